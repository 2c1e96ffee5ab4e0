// Dense layers: on lanes ([n,c] in lanes, for squeeze-and-excitation) and on row-major matrices (heads, prototypes,
// classifiers); sums over rows; rows of unit length.
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "tuned.h"

// ---- lanes ----

void linear_lanes(int n, int c, int o, const float *restrict x, const float *restrict w, const float *restrict bias,
                  float *restrict y, int task) {
  (void)n;
  const int parts = (o + 31) / 32, block = task / parts, first = task % parts * 32;
  const int last = first + 32 < o ? first + 32 : o;
  const float *source = x + (int64_t)block * c * LANES;
  for (int output = first; output < last; output += 4) {
    const int count = last - output < 4 ? last - output : 4;
    const float *rows[4];
    Lanes sums[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
      const int row = output + (i < count ? i : 0);
      rows[i] = w + (int64_t)row * c;
      sums[i] = lanes_splat(bias ? bias[row] : 0.0f);
    }
    for (int input = 0; input < c; input++) {
      Lanes v = lanes_load(source + (int64_t)input * LANES);
      UNROLL
      for (int i = 0; i < 4; i++) sums[i] += v * rows[i][input];
    }
    UNROLL
    for (int i = 0; i < 4; i++)
      if (i < count) lanes_store(y + ((int64_t)block * o + output + i) * LANES, sums[i]);
  }
}

void linear_lanes_backward_input(int n, int c, int o, const float *restrict dy, const float *restrict w,
                                 float *restrict dx, int task) {
  (void)n;
  const int parts = (c + 31) / 32, block = task / parts, first = task % parts * 32;
  const int last = first + 32 < c ? first + 32 : c;
  const float *source = dy + (int64_t)block * o * LANES;
  for (int input = first; input < last; input += 4) {
    const int count = last - input < 4 ? last - input : 4;
    Lanes sums[4] = {{0}};
    for (int output = 0; output < o; output++) {
      Lanes v = lanes_load(source + (int64_t)output * LANES);
      const float *row = w + (int64_t)output * c + input;
      UNROLL
      for (int i = 0; i < 4; i++) sums[i] += v * row[i < count ? i : 0];
    }
    UNROLL
    for (int i = 0; i < 4; i++)
      if (i < count) lanes_store(dx + ((int64_t)block * c + input + i) * LANES, sums[i]);
  }
}

void linear_lanes_backward_weight(int n, int c, int o, const float *restrict x, const float *restrict dy,
                                  float *restrict dw, int task) {
  const int first = task * 8, outputs = o - first < 8 ? o - first : 8, blocks = (int)image_blocks(n, &tuned);
  for (int input = 0; input < c; input += LANES) {
    const int inputs = c - input < LANES ? c - input : LANES;
    Lanes sums[8];
    UNROLL
    for (int i = 0; i < 8; i++) sums[i] = lanes_splat(0.0f);
    for (int block = 0; block < blocks; block++) {
      const float *from = x + ((int64_t)block * c + input) * LANES;
      const float *gradient = dy + ((int64_t)block * o + first) * LANES;
      Lanes turned[LANES];  // by image, of LANES inputs
      UNROLL
      for (int i = 0; i < LANES; i++) turned[i] = lanes_load(from + (i < inputs ? i : 0) * LANES);
      lanes_transpose(turned);
      const int live = lanes_live(n, block);
      UNROLL
      for (int lane = 0; lane < LANES; lane++) {
        if (lane >= live) continue;
        UNROLL
        for (int i = 0; i < 8; i++) sums[i] += turned[lane] * gradient[(i < outputs ? i : 0) * LANES + lane];
      }
    }
    for (int i = 0; i < outputs; i++) {
      float *target = dw + (int64_t)(first + i) * c + input;
      if (inputs < LANES)
        lanes_store_part(target, sums[i], inputs);
      else
        lanes_store_unaligned(target, sums[i]);
    }
  }
}

void sum_rows_lanes(int n, int c, const float *restrict x, float *restrict y, int task) {
  const int first = task * 64, last = first + 64 < c ? first + 64 : c, blocks = (int)image_blocks(n, &tuned);
  for (int channel = first; channel < last; channel++) {
    double sum = 0;
    for (int block = 0; block < blocks; block++)
      sum += lanes_sum_live(lanes_load(x + ((int64_t)block * c + channel) * LANES), lanes_live(n, block));
    y[channel] = (float)sum;
  }
}

// ---- row-major matrices ----

enum { MATRIX_TILE = 3 * LANES };

// block[r][j] = sum over `depth` of a[r * row + i * step] * right[i][j] for 4 rows and MATRIX_TILE columns.
KERNEL_SHARED void matmul_tile(int depth, int64_t row, int64_t step, const float *a, const float *right, float *block) {
  const float *a1 = a + row, *a2 = a1 + row, *a3 = a2 + row;
  Lanes sums[12];
  UNROLL
  for (int i = 0; i < 12; i++) LANES_CLEAR(sums[i]);
  for (int64_t at = 0, end = depth * step; at < end; at += step, right += MATRIX_TILE) {
    Lanes x0 = lanes_load(right), x1 = lanes_load(right + LANES), x2 = lanes_load(right + 2 * LANES);
    LANES_PIN(x0);
    LANES_PIN(x1);
    LANES_PIN(x2);
    const float weight[4] = {a[at], a1[at], a2[at], a3[at]};
    UNROLL
    for (int r = 0; r < 4; r++) {
      sums[r * 3] += x0 * weight[r];
      sums[r * 3 + 1] += x1 * weight[r];
      sums[r * 3 + 2] += x2 * weight[r];
    }
  }
  UNROLL
  for (int i = 0; i < 12; i++) lanes_store(block + i * LANES, sums[i]);
}

// right[i][j] = b[i * row + j * column] for `depth` rows and `wide` columns, the rest of MATRIX_TILE columns zero.
KERNEL void matmul_pack(int depth, int wide, int64_t row, int64_t column, const float *b, float *right) {
  if (wide < MATRIX_TILE) memset(right, 0, (size_t)depth * MATRIX_TILE * sizeof(float));
  if (column == 1) {
    for (int i = 0; i < depth; i++) memcpy(right + i * MATRIX_TILE, b + i * row, (size_t)wide * sizeof(float));
  } else {
    for (int j = 0; j < wide; j++)
      for (int i = 0; i < depth; i++) right[i * MATRIX_TILE + j] = b[i * row + j * column];
  }
}

// y[m][n] = sum over k of a(m,k) * b(k,n) (+ bias[n]); a(m,k) = a[m*a_row + k*a_column], b(k,n) = b[k*b_row +
// n*b_column]; y row-major. A task computes up to matrix_rows x matrix_columns of y. Rows beyond the last are read at
// the last.
KERNEL void matmul(int m, int n, int k, int64_t a_row, int64_t a_column, int64_t b_row, int64_t b_column,
                   const float *restrict a, const float *restrict b, const float *restrict bias, float *restrict y,
                   int task) {
  const int parts = (int)matmul_row_parts(m, n, &tuned), row_first = (int)((int64_t)m * (task % parts) / parts);
  const int row_last = (int)((int64_t)m * (task % parts + 1) / parts);
  const int column_first = task / parts * TUNED_matrix_columns;
  const int column_last = n - column_first < TUNED_matrix_columns ? n : column_first + TUNED_matrix_columns;
  float right[MATRIX_TILE * TUNED_matrix_depth] __attribute__((aligned(64)));
  float left[4 * TUNED_matrix_depth] __attribute__((aligned(64)));
  for (int depth_first = 0; depth_first < k; depth_first += TUNED_matrix_depth) {
    const int depth = k - depth_first < TUNED_matrix_depth ? k - depth_first : TUNED_matrix_depth;
    for (int column = column_first; column < column_last; column += MATRIX_TILE) {
      const int wide = column_last - column < MATRIX_TILE ? column_last - column : MATRIX_TILE;
      matmul_pack(depth, wide, b_row, b_column, b + depth_first * b_row + column * b_column, right);
      for (int row = row_first; row < row_last; row += 4) {
        const int high = row_last - row < 4 ? row_last - row : 4;
        float block[4 * MATRIX_TILE] __attribute__((aligned(64)));
        const float *source = a + row * a_row + depth_first * a_column;
        if (high == 4) {
          matmul_tile(depth, a_row, a_column, source, right, block);
        } else {
          for (int i = 0; i < depth; i++)
            for (int r = 0; r < 4; r++) left[i * 4 + r] = source[(r < high ? r : 0) * a_row + i * a_column];
          matmul_tile(depth, 1, 4, left, right, block);
        }
        for (int r = 0; r < high; r++) {
          float *target = y + (int64_t)(row + r) * n + column;
          const float *sums = block + r * MATRIX_TILE;
          if (depth_first > 0) {
            for (int j = 0; j < wide; j++) target[j] += sums[j];
          } else {
            for (int j = 0; j < wide; j++) target[j] = sums[j] + (bias ? bias[column + j] : 0.0f);
          }
        }
      }
    }
  }
}

void linear_rows(int n, int c, int o, const float *restrict x, const float *restrict w, const float *restrict bias,
                 float *restrict y, int task) {
  matmul(n, o, c, c, 1, 1, c, x, w, bias, y, task);
}

void linear_rows_backward_input(int n, int c, int o, const float *restrict dy, const float *restrict w,
                                float *restrict dx, int task) {
  matmul(n, c, o, o, 1, c, 1, dy, w, NULL, dx, task);
}

void linear_rows_backward_weight(int n, int c, int o, const float *restrict x, const float *restrict dy,
                                 float *restrict dw, int task) {
  matmul(o, c, n, 1, o, c, 1, dy, x, NULL, dw, task);
}

void sum_rows_rows(int n, int c, const float *restrict x, float *restrict y, int task) {
  const int first = task * 64, count = c - first < 64 ? c - first : 64;
  double sum[64] = {0};
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) sum[i] += (double)x[(int64_t)row * c + first + i];
  for (int i = 0; i < count; i++) y[first + i] = (float)sum[i];
}

void count_assignments(int b, int k, const float *restrict codes, float *restrict y, int task) {
  sum_rows_rows(b, k, codes, y, task);
}

void l2_normalize(int n, int d, double epsilon, const float *x, float *y, float *norms, int task) {
  const int parts = (int)row_tasks(n, d, &tuned), first = (int)((int64_t)n * task / parts);
  const int last = (int)((int64_t)n * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    const float *source = x + (int64_t)row * d;
    double sum = 0;
    for (int i = 0; i < d; i++) sum += (double)source[i] * (double)source[i];
    const double norm = sqrt(sum);
    const float inverse = (float)(1.0 / (norm > epsilon ? norm : epsilon));
    for (int i = 0; i < d; i++) y[(int64_t)row * d + i] = source[i] * inverse;
    norms[row] = (float)norm;
  }
}

void l2_normalize_backward(int n, int d, double epsilon, const float *dy, const float *y, const float *norms, float *dx,
                           int task) {
  const int parts = (int)row_tasks(n, d, &tuned), first = (int)((int64_t)n * task / parts);
  const int last = (int)((int64_t)n * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    const int64_t base = (int64_t)row * d;
    const int small = !((double)norms[row] > epsilon);
    double dot = 0;
    for (int i = 0; i < d && !small; i++) dot += (double)y[base + i] * (double)dy[base + i];
    const float inverse = (float)(1.0 / (small ? epsilon : (double)norms[row]));
    for (int i = 0; i < d; i++) dx[base + i] = (dy[base + i] - y[base + i] * (float)dot) * inverse;
  }
}
