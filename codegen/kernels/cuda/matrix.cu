// Products of row-major matrices in single precision, as linear layers need them, and the sums of columns.
//
//   linear(x [n][c], w [o][c], bias? [o], y [n][o], n, c, o)          y = x * w' + bias
//   linear_backward_input(dy [n][o], w [o][c], dx [n][c], n, c, o)    dx = dy * w
//   linear_backward_weight(x [n][c], dy [n][o], dw [o][c], n, c, o)   dw = dy' * x
// Grid: DIVIDE_UP(columns of the result, TILE), DIVIDE_UP(rows of the result, TILE); shared memory TILE_BYTES. A block
// makes a tile of the result, each thread 4 x 4 of it; while it multiplies one step of the depth, the next is on its
// way into registers, and from there into the other half of shared memory.
//
//   sum_rows(x [n][c], y [c], n, c)   in double
// Grid: columns (grid.h), shared memory COLUMN_BYTES.
#include "grid.h"

enum {
  TILE = 64,
  DEPTH = 16,
  PITCH = TILE + 4,  // of shared memory: turned stores then meet fewer banks twice, and fours stay aligned
  LOADS = TILE * DEPTH / THREADS,
  STAGE = 2 * DEPTH * PITCH,
  TILE_BYTES = 2 * STAGE * 4
};

struct ALIGNED(16) Four {
  float values[4];
};

// A factor of a product: `lines`, of the result's rows or columns, by `depth`. TURNED: it lies as [depth][lines], else
// as [lines][depth]; threads load what lies together.
struct Factor {
  const float *items;
  int lines, depth;
};

template <bool TURNED>
DEVICE int place_line(int i) {
  const int at = (int)threadIdx.x + i * THREADS;
  return TURNED ? at % TILE : at / DEPTH;
}
template <bool TURNED>
DEVICE int place_depth(int i) {
  const int at = (int)threadIdx.x + i * THREADS;
  return TURNED ? at / TILE : at % DEPTH;
}

template <bool TURNED>
DEVICE void factor_load(Factor factor, int line_first, int depth_first, float (&values)[LOADS]) {
#pragma unroll
  for (int i = 0; i < LOADS; i++) {
    const int line = line_first + place_line<TURNED>(i), depth = depth_first + place_depth<TURNED>(i);
    const u64 at = TURNED ? (u64)depth * factor.lines + line : (u64)line * factor.depth + depth;
    values[i] = line < factor.lines && depth < factor.depth ? factor.items[at] : 0;
  }
}

template <bool TURNED>
DEVICE void factor_store(float *stage, const float (&values)[LOADS]) {
#pragma unroll
  for (int i = 0; i < LOADS; i++) stage[place_depth<TURNED>(i) * PITCH + place_line<TURNED>(i)] = values[i];
}

DEVICE void step_multiply(const float *stage, int row, int column, float (&sums)[4][4]) {
#pragma unroll
  for (int depth = 0; depth < DEPTH; depth++) {
    const Four a = *(const Four *)(stage + depth * PITCH + row);
    const Four b = *(const Four *)(stage + (DEPTH + depth) * PITCH + column);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 4; j++) sums[i][j] += a.values[i] * b.values[j];
  }
}

// y [a.lines][b.lines] = a * b' + bias
template <bool A_TURNED, bool B_TURNED>
DEVICE void matrix_tile(Factor a, Factor b, const float *bias, float *y, float *shared) {
  const int row_first = blockIdx.y * TILE, column_first = blockIdx.x * TILE, steps = DIVIDE_UP(a.depth, DEPTH);
  const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
  float sums[4][4], a_next[LOADS], b_next[LOADS];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) sums[i][j] = 0;
  factor_load<A_TURNED>(a, row_first, 0, a_next);
  factor_load<B_TURNED>(b, column_first, 0, b_next);
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    float *const stage = shared + step % 2 * STAGE;
    factor_store<A_TURNED>(stage, a_next);
    factor_store<B_TURNED>(stage + DEPTH * PITCH, b_next);
    block_wait();  // the stage is whole, and nobody reads the other one, which is filled next
    if (step + 1 < steps) {
      factor_load<A_TURNED>(a, row_first, (step + 1) * DEPTH, a_next);
      factor_load<B_TURNED>(b, column_first, (step + 1) * DEPTH, b_next);
    }
    step_multiply(stage, row, column, sums);
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int at_row = row_first + row + i, at = column_first + column + j;
      if (at_row < a.lines && at < b.lines) y[(u64)at_row * b.lines + at] = sums[i][j] + (bias ? bias[at] : 0);
    }
}

DEVICE_KERNEL(linear, THREADS, 2, TILE_BYTES,
              (const float *__restrict__ x, const float *__restrict__ w, const float *__restrict__ bias,
               float *__restrict__ y, int n, int c, int o)) {
  SHARED_MEMORY(memory);
  matrix_tile<false, false>(Factor{x, n, c}, Factor{w, o, c}, bias, y, (float *)memory);
}

DEVICE_KERNEL(linear_backward_input, THREADS, 2, TILE_BYTES,
              (const float *__restrict__ dy, const float *__restrict__ w, float *__restrict__ dx, int n, int c,
               int o)) {
  SHARED_MEMORY(memory);
  matrix_tile<false, true>(Factor{dy, n, o}, Factor{w, c, o}, nullptr, dx, (float *)memory);
}

DEVICE_KERNEL(linear_backward_weight, THREADS, 2, TILE_BYTES,
              (const float *__restrict__ x, const float *__restrict__ dy, float *__restrict__ dw, int n, int c,
               int o)) {
  SHARED_MEMORY(memory);
  matrix_tile<true, true>(Factor{dy, o, n}, Factor{x, c, n}, nullptr, dw, (float *)memory);
}

DEVICE_KERNEL(sum_rows, COLUMN_THREADS, 1, COLUMN_BYTES,
              (const float *__restrict__ x, float *__restrict__ y, int n, int c)) {
  SHARED_MEMORY(memory);
  const int column = grid_column(), rows = column < c ? n : 0;
  double sum = 0;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS) sum += (double)x[(u64)row * c + column];
  sum = column_sum(sum, memory);
  if (column < c && grid_column_row() == 0) y[column] = (float)sum;
}
