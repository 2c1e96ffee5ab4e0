// Two separable passes. The first loads a pixel as four lanes (red, green, blue and the next byte) and writes planes;
// the second runs along whole rows of a plane. Only rows and columns that the window needs are computed.
#include "runtime/data/resample.h"

#include <math.h>
#include <string.h>

enum { PRECISION = 22 };

typedef int32_t Lanes __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));
typedef uint16_t Halves __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

// Of one output coordinate: weights of inputs first..first+count-1.
typedef struct Taps {
  int first, count;
  int32_t *weights;
} Taps;

// Tables for outputs [from, from + count) of `out` made of `in` inputs; the weights follow the table in `memory`.
static const Taps *taps_make(SeerBuffer *memory, int in, int out, int from, int count) {
  double scale = (double)in / out, filter_scale = scale < 1.0 ? 1.0 : scale;
  double support = filter_scale, shrink = 1.0 / filter_scale;
  size_t room = (size_t)ceil(support) * 2 + 1, table_bytes = (size_t)count * sizeof(Taps);
  size_t weight_bytes = (size_t)count * room * sizeof(int32_t);
  if (!seer_buffer_reserve(memory, table_bytes + weight_bytes + 8 + room * sizeof(double))) { return NULL; }
  Taps *taps = (Taps *)(void *)memory->bytes;
  int32_t *weights = (int32_t *)(void *)(memory->bytes + table_bytes);
  double *exact = (double *)(void *)(memory->bytes + table_bytes + (weight_bytes + 7) / 8 * 8);
  for (int i = 0; i < count; i++, weights += room) {
    double center = (from + i + 0.5) * scale, sum = 0.0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int k = 0; k < end - first; k++) {
      double distance = fabs((k + first - center + 0.5) * shrink);
      exact[k] = distance < 1.0 ? 1.0 - distance : 0.0;
      sum += exact[k];
    }
    for (int k = 0; k < end - first; k++) {
      double share = sum != 0.0 ? exact[k] / sum : exact[k];
      weights[k] = (int32_t)(0.5 + share * (1 << PRECISION));
    }
    taps[i] = (Taps){first, end - first, weights};
  }
  return taps;
}

static inline uint8_t to_byte(int32_t sum) {
  int32_t value = sum >> PRECISION;
  return (uint8_t)(value > 255 ? 255 : value);
}

// Four bytes, each widened to a lane (little-endian), by two interleavings with zero that every SSE2 machine has.
static inline Lanes pixel_load(const uint8_t *pixel) {
  uint32_t word;
  memcpy(&word, pixel, sizeof word);
  Words words = {word, 0, 0, 0};
  Bytes zero = {0};
  Bytes pairs = __builtin_shufflevector((Bytes)words, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  Halves none = {0};
  return (Lanes)__builtin_shufflevector((Halves)pairs, none, 0, 8, 1, 9, 2, 10, 3, 11);
}

static void row_resample(const uint8_t *restrict from, const Taps *restrict taps, int count, uint8_t *restrict red,
                         uint8_t *restrict green, uint8_t *restrict blue) {
  const int32_t half = 1 << (PRECISION - 1);
  const Lanes most = {255, 255, 255, 255};
  for (int x = 0; x < count; x++) {
    const uint8_t *pixel = from + (size_t)taps[x].first * 3;
    const int32_t *weights = taps[x].weights;
    Lanes sum = {half, half, half, half};
    for (int k = 0; k < taps[x].count; k++, pixel += 3) { sum += pixel_load(pixel) * weights[k]; }
    sum >>= PRECISION;
    Lanes over = sum > most;
    sum = (most & over) | (sum & ~over);
    red[x] = (uint8_t)sum[0];
    green[x] = (uint8_t)sum[1];
    blue[x] = (uint8_t)sum[2];
  }
}

static void column_resample(const uint8_t *restrict rows, size_t stride, const Taps *taps, int width,
                            uint8_t *restrict to) {
  enum { CHUNK = 64 };
  for (int start = 0; start < width; start += CHUNK) {
    int32_t sums[CHUNK];
    int count = width - start < CHUNK ? width - start : CHUNK;
    for (int x = 0; x < CHUNK; x++) { sums[x] = 1 << (PRECISION - 1); }
    for (int k = 0; k < taps->count; k++) {
      const uint8_t *row = rows + (size_t)k * stride + start;
      int32_t weight = taps->weights[k];
      for (int x = 0; x < count; x++) { sums[x] += row[x] * weight; }
    }
    for (int x = 0; x < count; x++) { to[start + x] = to_byte(sums[x]); }
  }
}

bool seer_resample(SeerResampler *resampler, const SeerPicture *picture, SeerBox box, int width, int height,
                   SeerBox window, uint8_t *const planes[3]) {
  const Taps *across = taps_make(&resampler->taps_x, box.width, width, window.left, window.width);
  const Taps *down = taps_make(&resampler->taps_y, box.height, height, window.top, window.height);
  if (across == NULL || down == NULL) { return false; }
  int first = down[0].first;
  int row_count = down[window.height - 1].first + down[window.height - 1].count - first;
  size_t stride = (size_t)window.width, plane_bytes = stride * (size_t)row_count;
  if (!seer_buffer_reserve(&resampler->rows, plane_bytes * 3)) { return false; }
  uint8_t *rows = resampler->rows.bytes;
  for (int y = 0; y < row_count; y++) {
    size_t at = (size_t)(box.top + first + y) * (size_t)picture->width + (size_t)box.left;
    uint8_t *red = rows + (size_t)y * stride;
    row_resample(picture->pixels + at * 3, across, window.width, red, red + plane_bytes, red + 2 * plane_bytes);
  }
  for (int channel = 0; channel < 3; channel++) {
    const uint8_t *plane = rows + (size_t)channel * plane_bytes;
    for (int y = 0; y < window.height; y++) {
      column_resample(plane + (size_t)(down[y].first - first) * stride, stride, &down[y], window.width,
                      planes[channel] + (size_t)y * stride);
    }
  }
  return true;
}

void seer_resampler_release(SeerResampler *resampler) {
  seer_buffer_release(&resampler->taps_x);
  seer_buffer_release(&resampler->taps_y);
  seer_buffer_release(&resampler->rows);
}
