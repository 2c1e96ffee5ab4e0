// Gaussian blur as Pillow approximates it: three box blurs of fractional width per axis (Gwosdek et al., 2011), rounded
// to 8 bits after each, edges repeated. Equal to ImageFilter.GaussianBlur bit for bit.
#ifndef SEER_RUNTIME_DATA_BLUR_H
#define SEER_RUNTIME_DATA_BLUR_H

#include <stdbool.h>

#include "runtime/data/buffer.h"

enum { SEER_MAX_BLUR_SIGMA = 100 };

// Blurs u8 [height][width] in place. 0 < sigma <= SEER_MAX_BLUR_SIGMA. False when memory runs out.
bool seer_blur(uint8_t *plane, int width, int height, double sigma, SeerBuffer *scratch);

#endif
