// Pointwise operations on rows: `count` floats, whatever their shape. A result may lie on an operand.
//
//   relu(x, y, count)                   y = x where x > 0, else 0
//   relu_backward(dy, y, dx, count)     dx = dy where y > 0, else 0; y is what relu made
//   sigmoid(x, y, count)                y = 1 / (1 + exp(-x))
//   sigmoid_backward(dy, y, dx, count)  dx = dy * y * (1 - y); y is what sigmoid made
//   add(a, b, y, count)                 y = a + b
//
// Grid: elements (grid.h). No shared memory.
#include "grid.h"

DEVICE_KERNEL(relu, THREADS, 1, 0, (const float *x, float *y, u64 count)) {
  const u64 at = grid_element();
  if (at < count) y[at] = x[at] > 0 ? x[at] : 0;
}

DEVICE_KERNEL(relu_backward, THREADS, 1, 0, (const float *dy, const float *y, float *dx, u64 count)) {
  const u64 at = grid_element();
  if (at < count) dx[at] = y[at] > 0 ? dy[at] : 0;
}

DEVICE_KERNEL(sigmoid, THREADS, 1, 0, (const float *x, float *y, u64 count)) {
  const u64 at = grid_element();
  if (at < count) y[at] = 1 / (1 + expf(-x[at]));
}

DEVICE_KERNEL(sigmoid_backward, THREADS, 1, 0, (const float *dy, const float *y, float *dx, u64 count)) {
  const u64 at = grid_element();
  if (at < count) dx[at] = dy[at] * y[at] * (1 - y[at]);
}

DEVICE_KERNEL(add, THREADS, 1, 0, (const float *a, const float *b, float *y, u64 count)) {
  const u64 at = grid_element();
  if (at < count) y[at] = a[at] + b[at];
}
