// The two products that heads spend their time in. Single-threaded over one tile: callers share tiles out. Every sum
// has one fixed shape, whatever the tile, so that threads change no bit.
//
// Rows are `pitch` floats apart, a multiple of SEER_MATRIX_LANES; what lies between a row's width and its pitch must be
// zero.
#ifndef SEER_RUNTIME_EVALUATE_MATRIX_H
#define SEER_RUNTIME_EVALUATE_MATRIX_H

#include <stdint.h>

enum { SEER_MATRIX_LANES = 16 };

static inline int64_t seer_matrix_pitch(int64_t width) {
  return (width + SEER_MATRIX_LANES - 1) / SEER_MATRIX_LANES * SEER_MATRIX_LANES;
}

// out[i][j] = sum over k of a[i][k] * b[j][k], for i < rows, j < columns; rows of `out` are out_pitch apart.
void seer_matrix_dots(const float *a, const float *b, int64_t pitch, int rows, int columns, float *out,
                      int64_t out_pitch);
// out[j][k] = sum over i of weights[i][j] * a[i][k], for j < columns; rows of `weights` are weight_pitch apart.
void seer_matrix_sums(const float *a, int64_t pitch, int rows, const float *weights, int64_t weight_pitch, int columns,
                      float *out);

#endif
