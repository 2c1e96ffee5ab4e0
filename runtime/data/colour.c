// Pillow blends in float and truncates; its luma is ITU-R 601 in 16-bit fixed point; its HSV has 8 bits per part, with
// float variables and double arithmetic between assignments, which the hue loops below keep so that no pixel differs.
// Loops run over chunks in plain arrays so that compilers vectorise them.
#include "runtime/data/colour.h"

#include <string.h>

enum { CHUNK = 256 };

static inline uint8_t blend(float base, float value, float factor) {
  float scaled = factor * (value - base);
  float mixed = base + scaled;
  mixed = mixed > 0.0f ? mixed : 0.0f;
  mixed = mixed < 255.0f ? mixed : 255.0f;
  return (uint8_t)(int32_t)mixed;
}

static inline uint8_t luma(uint32_t red, uint32_t green, uint32_t blue) {
  return (uint8_t)((red * 19595u + green * 38470u + blue * 7471u + 0x8000u) >> 16);
}

static void blend_constant(uint8_t *const planes[3], size_t count, float base, float factor) {
  for (int channel = 0; channel < 3; channel++) {
    uint8_t *plane = planes[channel];
    for (size_t i = 0; i < count; i++) { plane[i] = blend(base, (float)plane[i], factor); }
  }
}

void seer_adjust_brightness(uint8_t *const planes[3], size_t count, double factor) {
  blend_constant(planes, count, 0.0f, (float)factor);
}

void seer_adjust_contrast(uint8_t *const planes[3], size_t count, double factor) {
  const uint8_t *red = planes[0], *green = planes[1], *blue = planes[2];
  uint64_t sum = 0;
  for (size_t start = 0; start < count; start += CHUNK) {
    size_t end = start + CHUNK < count ? start + CHUNK : count;
    uint32_t part = 0;
    for (size_t i = start; i < end; i++) { part += luma(red[i], green[i], blue[i]); }
    sum += part;
  }
  int mean = (int)((double)sum / (double)count + 0.5);
  blend_constant(planes, count, (float)mean, (float)factor);
}

void seer_adjust_saturation(uint8_t *const planes[3], size_t count, double factor) {
  uint8_t *red = planes[0], *green = planes[1], *blue = planes[2];
  for (size_t start = 0; start < count; start += CHUNK) {
    uint8_t grey[CHUNK];
    size_t n = count - start < CHUNK ? count - start : CHUNK;
    for (size_t i = 0; i < n; i++) { grey[i] = luma(red[start + i], green[start + i], blue[start + i]); }
    for (int channel = 0; channel < 3; channel++) {
      uint8_t *plane = planes[channel] + start;
      for (size_t i = 0; i < n; i++) { plane[i] = blend((float)grey[i], (float)plane[i], (float)factor); }
    }
  }
}

void seer_make_grey(uint8_t *const planes[3], size_t count) {
  uint8_t *red = planes[0], *green = planes[1], *blue = planes[2];
  for (size_t i = 0; i < count; i++) { red[i] = luma(red[i], green[i], blue[i]); }
  memcpy(green, red, count);
  memcpy(blue, red, count);
}

typedef struct HsvChunk {
  int32_t hue[CHUNK], saturation[CHUNK], value[CHUNK];  // 0..255
} HsvChunk;

// Without a branch, so that the loops below stay loops over vectors.
static inline int32_t pick(int condition, int32_t yes, int32_t no) {
  int32_t mask = -(int32_t)(condition != 0);
  return (yes & mask) | (no & ~mask);
}

static void chunk_to_hsv(const uint8_t *restrict red, const uint8_t *restrict green, const uint8_t *restrict blue,
                         HsvChunk *restrict hsv) {
  for (int i = 0; i < CHUNK; i++) {
    int32_t r = red[i], g = green[i], b = blue[i];
    int32_t high = r > g ? r : g, low = r < g ? r : g;
    high = high > b ? high : b;
    low = low < b ? low : b;
    int32_t spread = high - low, is_red = r == high, is_green = g == high;
    float width = (float)(spread + (spread == 0));
    float first = (float)(high - pick(is_red, b, pick(is_green, r, g))) / width;
    float second = (float)(high - pick(is_red, g, pick(is_green, b, r))) / width;
    // Pillow sums in double, from the left, and rounds to float once; a zero first term changes nothing.
    double sector = (double)pick(is_red, 0, pick(is_green, 2, 4));
    float hue = (float)((sector + (double)first) - (double)second);
    double turns = (double)hue / 6.0 + 1.0;
    float kept = (float)(turns - (double)(int32_t)turns);
    float saturation = (float)spread / (float)(high + (high == 0));
    double hue_scaled = (double)kept * 255.0, saturation_scaled = (double)saturation * 255.0;
    hsv->hue[i] = (int32_t)hue_scaled;
    hsv->saturation[i] = (int32_t)saturation_scaled;
    hsv->value[i] = high;
  }
}

static void chunk_from_hsv(const HsvChunk *restrict hsv, uint8_t *restrict red, uint8_t *restrict green,
                           uint8_t *restrict blue) {
  for (int i = 0; i < CHUNK; i++) {
    int32_t place = hsv->hue[i] * 6, v = hsv->value[i];
    int32_t sector = (place * 32897) >> 23;  // / 255
    float fraction = (float)(place - sector * 255) / 255.0f;
    float saturation = (float)hsv->saturation[i] / 255.0f;
    double value = (double)v;
    double falling_part = (double)saturation * (double)fraction;
    double rising_part = (double)saturation * (1.0 - (double)fraction);
    int32_t least = (int32_t)(value * (1.0 - (double)saturation) + 0.5);
    int32_t falling = (int32_t)(value * (1.0 - falling_part) + 0.5);
    int32_t rising = (int32_t)(value * (1.0 - rising_part) + 0.5);
    sector = pick(sector == 6, 0, sector);
    int32_t r = pick((sector == 0) | (sector == 5), v, pick(sector == 1, falling, pick(sector == 4, rising, least)));
    int32_t g = pick((sector == 1) | (sector == 2), v, pick(sector == 3, falling, pick(sector == 0, rising, least)));
    int32_t b = pick((sector == 3) | (sector == 4), v, pick(sector == 5, falling, pick(sector == 2, rising, least)));
    red[i] = (uint8_t)r;
    green[i] = (uint8_t)g;
    blue[i] = (uint8_t)b;
  }
}

void seer_adjust_hue(uint8_t *const planes[3], size_t count, double turns) {
  int32_t shift = (int32_t)(turns * 255.0);
  for (size_t start = 0; start < count; start += CHUNK) {
    uint8_t rgb[3][CHUNK] = {{0}};
    HsvChunk hsv;
    size_t n = count - start < CHUNK ? count - start : CHUNK;
    for (int channel = 0; channel < 3; channel++) { memcpy(rgb[channel], planes[channel] + start, n); }
    chunk_to_hsv(rgb[0], rgb[1], rgb[2], &hsv);
    for (int i = 0; i < CHUNK; i++) { hsv.hue[i] = (hsv.hue[i] + shift) & 255; }
    chunk_from_hsv(&hsv, rgb[0], rgb[1], rgb[2]);
    for (int channel = 0; channel < 3; channel++) { memcpy(planes[channel] + start, rgb[channel], n); }
  }
}
