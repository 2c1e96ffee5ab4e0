// Colour operations on three planes of u8, with the arithmetic of Pillow's ImageEnhance and of torchvision's
// adjust_hue: equal bit for bit. `count` is the number of pixels.
#ifndef SEER_RUNTIME_DATA_COLOUR_H
#define SEER_RUNTIME_DATA_COLOUR_H

#include <stddef.h>
#include <stdint.h>

void seer_adjust_brightness(uint8_t *const planes[3], size_t count, double factor);
void seer_adjust_contrast(uint8_t *const planes[3], size_t count, double factor);
void seer_adjust_saturation(uint8_t *const planes[3], size_t count, double factor);
void seer_adjust_hue(uint8_t *const planes[3], size_t count, double turns);  // -0.5..0.5
void seer_make_grey(uint8_t *const planes[3], size_t count);

#endif
