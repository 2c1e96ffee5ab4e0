// Bilinear antialiased resizing with Pillow's arithmetic: coefficients in 22-bit fixed point, rows first, rounding to
// 8 bits between the two passes. Equal to Pillow's Image.resize(BILINEAR) bit for bit.
#ifndef SEER_RUNTIME_DATA_RESAMPLE_H
#define SEER_RUNTIME_DATA_RESAMPLE_H

#include "runtime/data/source.h"

typedef struct SeerBox {
  int left, top, width, height;
} SeerBox;

typedef struct SeerResampler {
  SeerBuffer taps_x, taps_y, rows;
} SeerResampler;

// Resizes `box` of the picture as if cut out first, to width x height, and writes the part `window` of the result to
// planes[3], each [window.height][window.width]. False when memory runs out.
bool seer_resample(SeerResampler *resampler, const SeerPicture *picture, SeerBox box, int width, int height,
                   SeerBox window, uint8_t *const planes[3]);
void seer_resampler_release(SeerResampler *resampler);

#endif
