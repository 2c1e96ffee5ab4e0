// Rows of floats: copies, the queue of embeddings, and rows of length 1.
//
// Grid: elements (grid.h), no shared memory:
//   copy_floats(x, y, count)
//   queue_push(queue [q][d], rows [b][d], y [q][d], q, b, d)   rows first, then the first q - b of the queue; y is
//                                                              apart from both; count = q * d
// Grid: rows, shared memory ROW_BYTES; sums in double; a result may lie on an operand:
//   l2_normalize(x, y, norms [n], n, d, epsilon)               y = x / max(|x|, epsilon), norms = |x|
//   l2_normalize_backward(dy, y, norms, dx, n, d, epsilon)     dx = (dy - y * (y . dy)) / norm; dy / epsilon where the
//                                                              norm is at most epsilon
//   normalize_rows(w [k][d], y, k, d)                          rows of length 1; a row of zeros stays
#include "grid.h"

DEVICE_KERNEL(copy_floats, THREADS, 1, 0, (const float *x, float *y, u64 count)) {
  const u64 at = grid_element();
  if (at < count) y[at] = x[at];
}

DEVICE_KERNEL(queue_push, THREADS, 1, 0,
              (const float *__restrict__ queue, const float *__restrict__ rows, float *__restrict__ y, int q, int b,
               int d)) {
  const u64 at = grid_element(), pushed = (u64)b * d;
  if (at < (u64)q * d) y[at] = at < pushed ? rows[at] : queue[at - pushed];
}

// Of a row and another (or itself), over the whole block.
DEVICE double row_product(const float *a, const float *b, int d, void *shared) {
  double sum = 0;
#pragma unroll 1
  for (int i = threadIdx.x; i < d; i += THREADS) sum += (double)a[i] * (double)b[i];
  return row_sum(sum, shared);
}

DEVICE void row_scale(const float *x, float *y, int d, float factor) {
#pragma unroll 1
  for (int i = threadIdx.x; i < d; i += THREADS) y[i] = x[i] * factor;
}

DEVICE_KERNEL(l2_normalize, THREADS, 1, ROW_BYTES,
              (const float *x, float *y, float *norms, int n, int d, float epsilon)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= n) return;
  const u64 at = (u64)row * d;
  const double norm = square_root(row_product(x + at, x + at, d, memory)), least = epsilon;
  row_scale(x + at, y + at, d, (float)(1 / (norm > least ? norm : least)));
  if (threadIdx.x == 0) norms[row] = (float)norm;
}

DEVICE_KERNEL(l2_normalize_backward, THREADS, 1, ROW_BYTES,
              (const float *dy, const float *y, const float *norms, float *dx, int n, int d, float epsilon)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= n) return;
  const u64 at = (u64)row * d;
  const bool small = !(norms[row] > epsilon);
  const double product = row_product(dy + at, y + at, d, memory);
  const float along = small ? 0 : (float)product, inverse = (float)(1 / (double)(small ? epsilon : norms[row]));
#pragma unroll 1
  for (int i = threadIdx.x; i < d; i += THREADS) dx[at + i] = (dy[at + i] - y[at + i] * along) * inverse;
}

DEVICE_KERNEL(normalize_rows, THREADS, 1, ROW_BYTES, (const float *w, float *y, int k, int d)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= k) return;
  const u64 at = (u64)row * d;
  const double norm = square_root(row_product(w + at, w + at, d, memory));
  row_scale(w + at, y + at, d, (float)(1 / (norm > 1e-12 ? norm : 1e-12)));
}
