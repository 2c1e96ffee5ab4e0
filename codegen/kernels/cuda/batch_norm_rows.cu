// BatchNorm over the rows of a matrix [n][c], and its gradients; sums in double.
//
// Grid: columns (grid.h), shared memory COLUMN_BYTES:
//   batch_norm_rows_statistics(x, mean [c], variance [c], n, c)   biased
//   batch_norm_rows_backward_sums(dy, y?, x, mean, variance, dgamma [c], dbeta [c], masked?, n, c, epsilon)
//     with y, what ReLU made, dy counts where y > 0; masked, which may be dy, takes what counts
// Grid: elements, no shared memory; a result may lie on an operand:
//   batch_norm_rows_apply(x, gamma, beta, mean, variance, residual?, y, n, c, relu, epsilon)
//     y = relu?((x - mean) / sqrt(variance + epsilon) * gamma + beta + residual); count = n * c
//   batch_norm_rows_backward_apply(dy, y?, x, gamma, mean, variance, dgamma, dbeta, dx, n, c, epsilon)
//     the gradient of x, dy as above; count = n * c
#include "grid.h"

DEVICE float inverse_deviation(float variance, float epsilon) {
  return (float)(1 / square_root((double)variance + (double)epsilon));
}

DEVICE_KERNEL(batch_norm_rows_statistics, COLUMN_THREADS, 1, COLUMN_BYTES,
              (const float *__restrict__ x, float *__restrict__ mean, float *__restrict__ variance, int n, int c)) {
  SHARED_MEMORY(memory);
  const int column = grid_column(), rows = column < c ? n : 0;
  double sum = 0, squares = 0;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS) sum += (double)x[(u64)row * c + column];
  const double centre = column_sum(sum, memory) / n;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS) {
    const double apart = (double)x[(u64)row * c + column] - centre;
    squares += apart * apart;
  }
  squares = column_sum(squares, memory);
  if (column >= c || grid_column_row() > 0) return;
  mean[column] = (float)centre;
  variance[column] = (float)(squares / n);
}

DEVICE_KERNEL(batch_norm_rows_apply, THREADS, 1, 0,
              (const float *x, const float *gamma, const float *beta, const float *mean, const float *variance,
               const float *residual, float *y, int n, int c, int relu, float epsilon)) {
  const u64 at = grid_element();
  if (at >= (u64)n * c) return;
  const int column = (int)(at % c);
  const float factor = gamma[column] * inverse_deviation(variance[column], epsilon);
  float value = (x[at] - mean[column]) * factor + beta[column];
  if (residual) value += residual[at];
  y[at] = relu && !(value > 0) ? 0 : value;
}

DEVICE_KERNEL(batch_norm_rows_backward_sums, COLUMN_THREADS, 1, COLUMN_BYTES,
              (const float *dy, const float *y, const float *x, const float *mean, const float *variance, float *dgamma,
               float *dbeta, float *masked, int n, int c, float epsilon)) {
  SHARED_MEMORY(memory);
  const int column = grid_column(), rows = column < c ? n : 0;
  double sum = 0, product = 0;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS) {
    const u64 at = (u64)row * c + column;
    const float d = y && !(y[at] > 0) ? 0 : dy[at];
    sum += (double)d;
    product += (double)d * ((double)x[at] - (double)mean[column]);
    if (masked) masked[at] = d;
  }
  sum = column_sum(sum, memory);
  product = column_sum(product, memory);
  if (column >= c || grid_column_row() > 0) return;
  dbeta[column] = (float)sum;
  dgamma[column] = (float)(product / square_root((double)variance[column] + (double)epsilon));
}

DEVICE_KERNEL(batch_norm_rows_backward_apply, THREADS, 1, 0,
              (const float *dy, const float *y, const float *x, const float *gamma, const float *mean,
               const float *variance, const float *dgamma, const float *dbeta, float *dx, int n, int c,
               float epsilon)) {
  const u64 at = grid_element();
  if (at >= (u64)n * c) return;
  const int column = (int)(at % c);
  const float deviation = inverse_deviation(variance[column], epsilon);
  const float slope = -dgamma[column] * deviation / (float)n, shift = -dbeta[column] / (float)n;
  const float d = y && !(y[at] > 0) ? 0 : dy[at];
  dx[at] = (d + (x[at] - mean[column]) * slope + shift) * (gamma[column] * deviation);
}
