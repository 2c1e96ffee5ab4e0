// A box of radius r + f weighs 2r + 1 pixels fully and the next one on either side by f. Sums are integers, so windows
// may be added in any order: whole rows at a time here, where Pillow slides.
#include "runtime/data/blur.h"

#include <math.h>
#include <string.h>

enum { PASSES = 3, ROUNDING_BITS = 24 };

typedef struct Box {
  int radius;
  uint32_t inner, outer;  // weights, of 2^24
} Box;

// Float variables and double constants where Pillow has them: the weights come out equal.
static Box box_make(double sigma) {
  float radius = (float)sigma;
  float variance = radius * radius / PASSES;
  float length = (float)sqrt(12.0 * (double)variance + 1.0);
  float whole = (float)floor(((double)length - 1.0) / 2.0);
  float square = (whole + 1) * (whole + 1);
  float product = whole * (whole + 1), spread = 3 * variance;
  float part = (2 * whole + 1) * (product - spread);
  part /= 6 * (variance - square);
  float full = whole + part;
  float span = full * 2;
  Box box = {.radius = (int)full, .inner = (uint32_t)((float)(1 << ROUNDING_BITS) / (span + 1))};
  box.outer = ((1u << ROUNDING_BITS) - (uint32_t)(box.radius * 2 + 1) * box.inner) / 2;
  return box;
}

static inline uint8_t weigh(uint32_t inside, uint32_t edges, Box box) {
  uint32_t sum = inside * box.inner + edges * box.outer;
  return (uint8_t)((sum + (1u << (ROUNDING_BITS - 1))) >> ROUNDING_BITS);
}

// `padded` holds radius + 1 pixels, the row, radius + 1 pixels.
static void row_blur(uint8_t *restrict row, uint8_t *restrict padded, uint16_t *restrict sums, int width, Box box) {
  int margin = box.radius + 1;
  for (int pass = 0; pass < PASSES; pass++) {
    memset(padded, row[0], (size_t)margin);
    memcpy(padded + margin, row, (size_t)width);
    memset(padded + margin + width, row[width - 1], (size_t)margin);
    for (int x = 0; x < width; x++) { sums[x] = padded[x + 1]; }
    for (int k = 1; k < 2 * box.radius + 1; k++) {
      for (int x = 0; x < width; x++) { sums[x] = (uint16_t)(sums[x] + padded[x + 1 + k]); }
    }
    const uint8_t *right = padded + 2 * margin;
    for (int x = 0; x < width; x++) { row[x] = weigh(sums[x], (uint32_t)padded[x] + right[x], box); }
  }
}

static const uint8_t *row_at(const uint8_t *plane, int width, int height, int y) {
  y = y < 0 ? 0 : y >= height ? height - 1 : y;
  return plane + (size_t)y * (size_t)width;
}

static void columns_blur(const uint8_t *restrict from, uint8_t *restrict to, uint16_t *restrict sums, int width,
                         int height, Box box) {
  memset(sums, 0, (size_t)width * sizeof *sums);
  for (int k = -box.radius - 1; k < box.radius; k++) {
    const uint8_t *row = row_at(from, width, height, k);
    for (int x = 0; x < width; x++) { sums[x] = (uint16_t)(sums[x] + row[x]); }
  }
  for (int y = 0; y < height; y++) {
    const uint8_t *gone = row_at(from, width, height, y - box.radius - 1);
    const uint8_t *come = row_at(from, width, height, y + box.radius);
    const uint8_t *next = row_at(from, width, height, y + box.radius + 1);
    uint8_t *out = to + (size_t)y * (size_t)width;
    for (int x = 0; x < width; x++) {
      uint16_t sum = (uint16_t)(sums[x] + come[x] - gone[x]);
      sums[x] = sum;
      out[x] = weigh(sum, (uint32_t)gone[x] + next[x], box);
    }
  }
}

bool seer_blur(uint8_t *plane, int width, int height, double sigma, SeerBuffer *scratch) {
  Box box = box_make(sigma);
  size_t plane_bytes = (size_t)width * (size_t)height, sums_bytes = (size_t)width * sizeof(uint16_t);
  size_t padded_bytes = (size_t)width + 2 * (size_t)(box.radius + 1);
  if (!seer_buffer_reserve(scratch, sums_bytes + padded_bytes + plane_bytes)) { return false; }
  uint16_t *sums = (uint16_t *)(void *)scratch->bytes;
  uint8_t *padded = scratch->bytes + sums_bytes, *other = padded + padded_bytes;
  for (int y = 0; y < height; y++) { row_blur(plane + (size_t)y * (size_t)width, padded, sums, width, box); }
  columns_blur(plane, other, sums, width, height, box);
  columns_blur(other, plane, sums, width, height, box);
  columns_blur(plane, other, sums, width, height, box);
  memcpy(plane, other, plane_bytes);
  return true;
}
