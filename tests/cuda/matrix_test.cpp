// Kernels of matrix.cu against double precision: shapes that fill no tile and no step, with and without a bias, one
// number. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/matrix.cu"

#include "tests/cuda/kernel_test.h"

static simulated::Index tiles_of(int rows, int columns) {
  return {(unsigned)DIVIDE_UP(columns, TILE), (unsigned)DIVIDE_UP(rows, TILE), 1};
}

static int test(int n, int c, int o, bool with_bias) {
  const size_t rows = (size_t)n, inputs = (size_t)c, outputs = (size_t)o;
  Buffer<float> x(rows * inputs), w(outputs * inputs), bias(outputs), y(rows * outputs), dy(rows * outputs);
  Buffer<float> dx(rows * inputs), dw(outputs * inputs), sums(outputs);
  fill_floats(x, 0, 1);
  fill_floats(w, 0, 1);
  fill_floats(bias, 0, 1);
  fill_floats(dy, 0, 1);
  const auto at = [](const Buffer<float> &buffer, size_t i) { return (double)buffer.items[i]; };
  const float *const added = with_bias ? bias.items : nullptr;
  bool same = RUN(linear, tiles_of(n, o), y, x.items, w.items, added, y.items, n, c, o);
  int failed = compare("output", y, SINGLE, same, [&](size_t i) {
    double sum = with_bias ? at(bias, i % outputs) : 0;
    for (size_t k = 0; k < inputs; k++) sum += at(x, i / outputs * inputs + k) * at(w, i % outputs * inputs + k);
    return sum;
  });
  same = RUN(linear_backward_input, tiles_of(n, c), dx, dy.items, w.items, dx.items, n, c, o);
  failed |= compare("gradient of the input", dx, SINGLE, same, [&](size_t i) {
    double sum = 0;
    for (size_t k = 0; k < outputs; k++) sum += at(dy, i / inputs * outputs + k) * at(w, k * inputs + i % inputs);
    return sum;
  });
  same = RUN(linear_backward_weight, tiles_of(o, c), dw, x.items, dy.items, dw.items, n, c, o);
  failed |= compare("gradient of the weights", dw, SINGLE, same, [&](size_t i) {
    double sum = 0;
    for (size_t k = 0; k < rows; k++) sum += at(dy, k * outputs + i / inputs) * at(x, k * inputs + i % inputs);
    return sum;
  });
  same = RUN(sum_rows, grid_of(outputs, COLUMN_WIDTH), sums, dy.items, sums.items, n, o);
  return failed | compare("gradient of the bias", sums, SINGLE, same, [&](size_t i) {
           double sum = 0;
           for (size_t k = 0; k < rows; k++) sum += at(dy, k * outputs + i);
           return sum;
         });
}

int main() {
  int failed = test(70, 37, 131, true) | test(3, 130, 65, false);
  return failed | test(64, 16, 64, true) | test(1, 1, 1, true) | test(1, 1, 1, false);
}
