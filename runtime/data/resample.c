// Two separable passes, over pixels of four bytes: red, green, blue and one that means nothing. The first takes as many
// rows at once as a vector holds; the second runs along whole rows and parts the colours. Only rows and columns that
// the window needs are computed.
#include "runtime/data/resample.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum { PRECISION = 22 };
#if defined(__AVX512BW__)
enum { ROWS = 4 };
#elif defined(__AVX2__)
enum { ROWS = 2 };
#else
enum { ROWS = 1 };
#endif

typedef int32_t Lanes __attribute__((vector_size(16 * ROWS)));
typedef uint32_t Words __attribute__((vector_size(16)));

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

// Each byte as a lane, of ROWS words.
static inline Lanes bytes_widen(Words words) {
#if defined(__AVX512BW__)
  return (Lanes)_mm512_cvtepu8_epi32((__m128i)words);
#elif defined(__AVX2__)
  return (Lanes)_mm256_cvtepu8_epi32((__m128i)words);
#else
  // By two interleavings with zero, which every SSE2 machine has.
  typedef uint16_t Halves __attribute__((vector_size(16)));
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  Bytes zero = {0};
  Bytes pairs = __builtin_shufflevector((Bytes)words, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  Halves none = {0};
  return (Lanes)__builtin_shufflevector((Halves)pairs, none, 0, 8, 1, 9, 2, 10, 3, 11);
#endif
}

// And each lane, none of them negative, as a byte, 255 at most.
static inline void lanes_narrow(Lanes lanes, uint8_t bytes[4 * ROWS]) {
#if defined(__AVX512BW__)
  _mm_storeu_si128((__m128i *)(void *)bytes, _mm512_cvtusepi32_epi8((__m512i)lanes));
#elif defined(__AVX2__)
  __m256i halves = _mm256_packus_epi32((__m256i)lanes, (__m256i)lanes), narrow = _mm256_packus_epi16(halves, halves);
  uint32_t words[2] = {(uint32_t)_mm256_extract_epi32(narrow, 0), (uint32_t)_mm256_extract_epi32(narrow, 4)};
  memcpy(bytes, words, sizeof words);
#else
  const Lanes most = (Lanes){0} + 255;
  Lanes over = lanes > most;
  lanes = (most & over) | (lanes & ~over);
  for (int i = 0; i < 4 * ROWS; i++) { bytes[i] = (uint8_t)lanes[i]; }
#endif
}

// The four bytes at `at` of each row.
static inline Lanes pixels_load(const uint8_t *const from[ROWS], size_t at) {
  Words words = {0};
  for (int row = 0; row < ROWS; row++) {
    uint32_t word;
    memcpy(&word, from[row] + at, sizeof word);
    words[row] = word;
  }
  return bytes_widen(words);
}

// Rows `from`, of which the last ones may be the same, to rows `to`.
static void rows_resample(const uint8_t *const from[ROWS], const Taps *restrict taps, int count,
                          uint8_t *const to[ROWS]) {
  const Lanes half = (Lanes){0} + (1 << (PRECISION - 1));
  for (int x = 0; x < count; x++) {
    size_t at = (size_t)taps[x].first * 3;
    const int32_t *weights = taps[x].weights;
    uint8_t bytes[4 * ROWS];
    Lanes sum = half;
    for (int k = 0; k < taps[x].count; k++, at += 3) { sum += pixels_load(from, at) * weights[k]; }
    lanes_narrow(sum >> PRECISION, bytes);
    for (int row = 0; row < ROWS; row++) { memcpy(to[row] + 4 * x, bytes + 4 * row, 4); }
  }
}

enum { CHUNK = 16 };  // pixels of a row at once

// Rows from `rows` on, `stride` bytes apart, to `width` pixels of three planes. Reads whole chunks.
static void columns_resample(const uint8_t *restrict rows, size_t stride, const Taps *taps, int width,
                             uint8_t *const to[3]) {
  for (int start = 0; start < width; start += CHUNK) {
    int32_t sums[4 * CHUNK];
    uint8_t bytes[4 * CHUNK];
    for (int i = 0; i < 4 * CHUNK; i++) { sums[i] = 1 << (PRECISION - 1); }
    for (int k = 0; k < taps->count; k++) {
      const uint8_t *row = rows + (size_t)k * stride + 4 * (size_t)start;
      int32_t weight = taps->weights[k];
      for (int i = 0; i < 4 * CHUNK; i++) { sums[i] += row[i] * weight; }
    }
    for (int i = 0; i < 4 * CHUNK; i++) {
      int32_t value = sums[i] >> PRECISION;
      bytes[i] = (uint8_t)(value > 255 ? 255 : value);
    }
    int count = width - start < CHUNK ? width - start : CHUNK;
    for (int channel = 0; channel < 3; channel++) {
      for (int x = 0; x < count; x++) { to[channel][start + x] = bytes[4 * x + channel]; }
    }
  }
}

bool seer_resample(SeerResampler *resampler, const SeerPicture *picture, SeerBox box, int width, int height,
                   SeerBox window, uint8_t *const planes[3]) {
  const Taps *across = taps_make(&resampler->taps_x, box.width, width, window.left, window.width);
  const Taps *down = taps_make(&resampler->taps_y, box.height, height, window.top, window.height);
  if (across == NULL || down == NULL) { return false; }
  int first = down[0].first;
  int row_count = down[window.height - 1].first + down[window.height - 1].count - first;
  size_t stride = 4 * (size_t)((window.width + CHUNK - 1) / CHUNK * CHUNK);
  if (!seer_buffer_reserve(&resampler->rows, stride * (size_t)row_count)) { return false; }
  uint8_t *rows = resampler->rows.bytes;
  for (int y = 0; y < row_count; y += ROWS) {
    const uint8_t *from[ROWS];
    uint8_t *to[ROWS];
    for (int i = 0; i < ROWS; i++) {
      int row = y + i < row_count ? y + i : row_count - 1;
      from[i] = picture->pixels + ((size_t)(box.top + first + row) * (size_t)picture->width + (size_t)box.left) * 3;
      to[i] = rows + (size_t)row * stride;
    }
    rows_resample(from, across, window.width, to);
  }
  for (int y = 0; y < window.height; y++) {
    size_t at = (size_t)y * (size_t)window.width;
    uint8_t *const to[3] = {planes[0] + at, planes[1] + at, planes[2] + at};
    columns_resample(rows + (size_t)(down[y].first - first) * stride, stride, &down[y], window.width, to);
  }
  return true;
}

void seer_resampler_release(SeerResampler *resampler) {
  seer_buffer_release(&resampler->taps_x);
  seer_buffer_release(&resampler->taps_y);
  seer_buffer_release(&resampler->rows);
}
