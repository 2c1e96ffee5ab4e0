// Kernels of pointwise.cu, of several counts, against double precision, apart from their operands and on them. Exit
// status 0 when all of it holds.
#include "codegen/kernels/cuda/pointwise.cu"

#include "tests/cuda/kernel_test.h"

static int test(size_t count) {
  const simulated::Index grid = grid_of(count, THREADS);
  Buffer<float> a(count), b(count), y(count), z(count);
  fill_floats(a, 0, 8);
  fill_floats(b, 0, 1);
  const auto at = [](const Buffer<float> &buffer, size_t i) { return (double)buffer.items[i]; };
  int failed = 0;
  bool same = RUN(relu, grid, y, a.items, y.items, count);
  same = same && IN_PLACE(relu, grid, a, y, a.items, a.items, count);
  failed |= compare("relu", y, SINGLE, same, [&](size_t i) { return at(a, i) > 0 ? at(a, i) : 0; });
  same = RUN(relu_backward, grid, z, b.items, y.items, z.items, count);
  same = same && IN_PLACE(relu_backward, grid, b, z, b.items, y.items, b.items, count);
  failed |= compare("gradient of relu", z, SINGLE, same, [&](size_t i) { return at(a, i) > 0 ? at(b, i) : 0; });
  same = RUN(sigmoid, grid, y, a.items, y.items, count);
  same = same && IN_PLACE(sigmoid, grid, a, y, a.items, a.items, count);
  failed |= compare("sigmoid", y, SINGLE, same, [&](size_t i) { return 1 / (1 + std::exp(-at(a, i))); });
  same = RUN(sigmoid_backward, grid, z, b.items, y.items, z.items, count);
  same = same && IN_PLACE(sigmoid_backward, grid, y, z, b.items, y.items, y.items, count);
  failed |=
      compare("gradient of sigmoid", z, SINGLE, same, [&](size_t i) { return at(b, i) * at(y, i) * (1 - at(y, i)); });
  same = RUN(add, grid, y, a.items, b.items, y.items, count);
  same = same && IN_PLACE(add, grid, a, y, a.items, b.items, a.items, count);
  return failed | compare("add", y, SINGLE, same, [&](size_t i) { return at(a, i) + at(b, i); });
}

int main() {
  int failed = 0;
  for (size_t count : {1, 256, 1003}) failed |= test(count);
  return failed;
}
