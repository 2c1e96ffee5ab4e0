// Augmented views: random resized crop, flip, colour jitter, greyscale, Gaussian blur, in this order and with
// torchvision's meaning of every parameter. Drawing is apart from applying: the same draws given to torchvision on PIL
// images yield the same bytes.
#ifndef SEER_RUNTIME_DATA_AUGMENT_H
#define SEER_RUNTIME_DATA_AUGMENT_H

#include <stdbool.h>

#include "runtime/data/resample.h"
#include "runtime/program.h"
#include "runtime/random.h"

typedef enum SeerJitter { SEER_BRIGHTNESS, SEER_CONTRAST, SEER_SATURATION, SEER_HUE, SEER_JITTER_COUNT } SeerJitter;

typedef struct SeerViewDraw {
  SeerBox box;  // of the picture as the file has it
  bool flip, jitter, grey, blur;
  SeerJitter order[SEER_JITTER_COUNT];
  double amount[SEER_JITTER_COUNT];  // by SeerJitter: three factors, and the hue's turn
  double sigma;
} SeerViewDraw;

// Scratch memory of one thread. Start from {0}.
typedef struct SeerAugmenter {
  SeerResampler resampler;
  SeerBuffer planes, blur;
} SeerAugmenter;

// All parameters of one view of a width x height picture. Every view draws the same number of values in the same order
// whatever its size group's probabilities, apart from the tries of the crop, which come last.
void seer_view_draw(const SeerViews *views, const SeerSizeGroup *group, int width, int height, SeerRandom *random,
                    SeerViewDraw *draw);
// Sides of the picture by those of the smallest that will do for the draw and `size`: 1, 2, 4 or 8.
int seer_view_shrink(const SeerViewDraw *draw, int size);
// Makes the view, u8 [size][size][3], also of a picture that was decoded smaller than its file has it. False when
// memory runs out.
bool seer_view_apply(SeerAugmenter *augmenter, const SeerPicture *picture, const SeerViewDraw *draw, int size,
                     uint8_t *pixels);
// [3] planes to [count / width][width][3], rows mirrored when `flip`.
void seer_interleave(const uint8_t *const planes[3], int width, int height, bool flip, uint8_t *pixels);
void seer_augmenter_release(SeerAugmenter *augmenter);

#endif
