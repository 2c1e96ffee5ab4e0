// Products of heads; see matrix.h. Blocks of four rows by four columns of sums stay in registers; the depth of dot
// products is cut so that a tile's share of both factors stays in the cache.
#include "runtime/evaluate/matrix.h"

#include <string.h>

enum { WIDE = SEER_MATRIX_LANES, BLOCK = 4, DEPTH = 1024 };

typedef float Lanes __attribute__((vector_size(WIDE * sizeof(float)), aligned(4), may_alias));

static float lanes_sum(const Lanes *lanes) {
  float sum = 0;
  for (int i = 0; i < WIDE; i++) sum += (*lanes)[i];
  return sum;
}

// Four rows against four columns; rows and columns that are not there repeat the last and are not stored.
static void dots_block(const float *const a[BLOCK], const float *const b[BLOCK], int64_t from, int64_t to, int rows,
                       int columns, float *out, int64_t out_pitch) {
  Lanes sums[BLOCK][BLOCK];
  memset(sums, 0, sizeof sums);
  for (int64_t k = from; k < to; k += WIDE) {
    Lanes column[BLOCK];
#pragma GCC unroll 4
    for (int j = 0; j < BLOCK; j++) column[j] = *(const Lanes *)(b[j] + k);
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK; i++) {
      Lanes row = *(const Lanes *)(a[i] + k);
#pragma GCC unroll 4
      for (int j = 0; j < BLOCK; j++) sums[i][j] += row * column[j];
    }
  }
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < columns; j++)
      out[i * out_pitch + j] = (from ? out[i * out_pitch + j] : 0) + lanes_sum(&sums[i][j]);
  }
}

static void rows_find(const float *first, int64_t pitch, int count, const float *rows[BLOCK]) {
  for (int i = 0; i < BLOCK; i++) rows[i] = first + (i < count ? i : count - 1) * pitch;
}

static int least(int a, int b) { return a < b ? a : b; }

void seer_matrix_dots(const float *a, const float *b, int64_t pitch, int rows, int columns, float *out,
                      int64_t out_pitch) {
  for (int64_t from = 0; from < pitch; from += DEPTH) {
    int64_t to = from + DEPTH < pitch ? from + DEPTH : pitch;
    for (int j = 0; j < columns; j += BLOCK) {
      const float *b_rows[BLOCK], *a_rows[BLOCK];
      rows_find(b + j * pitch, pitch, columns - j, b_rows);
      for (int i = 0; i < rows; i += BLOCK) {
        rows_find(a + i * pitch, pitch, rows - i, a_rows);
        dots_block(a_rows, b_rows, from, to, least(rows - i, BLOCK), least(columns - j, BLOCK), out + i * out_pitch + j,
                   out_pitch);
      }
    }
  }
}

// Two times sixteen numbers of each of four sums; the second sixteen may be missing.
static void sums_block(const float *a, int64_t pitch, int wide, int rows, const float *weights, int64_t weight_pitch,
                       int columns, float *out) {
  Lanes sums[BLOCK][2];
  memset(sums, 0, sizeof sums);
  int64_t second = wide > 1 ? WIDE : 0;
  for (int i = 0; i < rows; i++) {
    const float *row = a + i * pitch, *weight = weights + i * weight_pitch;
    Lanes low = *(const Lanes *)row, high = *(const Lanes *)(row + second);
#pragma GCC unroll 4
    for (int j = 0; j < BLOCK; j++) {
      float factor = weight[j < columns ? j : 0];
      sums[j][0] += low * factor;
      sums[j][1] += high * factor;
    }
  }
  for (int j = 0; j < columns; j++) {
    for (int k = 0; k < wide; k++) *(Lanes *)(out + j * pitch + k * WIDE) = sums[j][k];
  }
}

void seer_matrix_sums(const float *a, int64_t pitch, int rows, const float *weights, int64_t weight_pitch, int columns,
                      float *out) {
  for (int64_t k = 0; k < pitch; k += 2 * WIDE) {
    int wide = k + WIDE < pitch ? 2 : 1;
    for (int j = 0; j < columns; j += BLOCK)
      sums_block(a + k, pitch, wide, rows, weights + j, weight_pitch, least(columns - j, BLOCK), out + j * pitch + k);
  }
}
