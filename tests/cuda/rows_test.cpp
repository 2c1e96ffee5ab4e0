// Kernels of rows.cu: copies to the bit, rows of length 1 and their gradient against double precision, rows of zeros
// and others too short among them, apart from their operands and on them. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/rows.cu"

#include "tests/cuda/kernel_test.h"

static int copies_test(int n, int d) {
  const size_t rows = (size_t)n, width = (size_t)d, count = rows * width;
  const simulated::Index grid = grid_of(count, THREADS);
  Buffer<float> x(count), y(count);
  fill_floats(x, 0, 1);
  const auto at = [&](size_t i) { return (double)x.items[i]; };
  bool same = RUN(copy_floats, grid, y, x.items, y.items, count);
  int failed = compare("copy", y, 0, same, at);
  const int pushed = (n + 1) / 2;
  Buffer<float> part((size_t)pushed * width);
  fill_floats(part, 0, 1);
  same = RUN(queue_push, grid, y, x.items, part.items, y.items, n, pushed, d);
  return failed | compare("queue", y, 0, same,
                          [&](size_t i) { return i < part.count ? (double)part.items[i] : at(i - part.count); });
}

static double product(const float *a, const float *b, int d) {
  double sum = 0;
  for (int i = 0; i < d; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

static int normalize_test(int n, int d, float epsilon) {
  const size_t rows = (size_t)n, width = (size_t)d, count = rows * width;
  const simulated::Index grid = grid_of(rows, 1);
  Buffer<float> x(count), y(count), norms(rows), dy(count), dx(count);
  fill_floats(x, 0.1f, 1);
  fill_floats(dy, 0, 1);
  for (size_t i = 0; i < width && n > 2; i++) x.items[width + i] = 0, x.items[2 * width + i] *= 5e-3f;
  const auto norm = [&](size_t row) { return std::sqrt(product(x.items + row * width, x.items + row * width, d)); };
  bool same = RUN(l2_normalize, grid, norms, x.items, y.items, norms.items, n, d, epsilon);
  int failed = compare("norms", norms, SINGLE, same, norm);
  same = RUN(l2_normalize, grid, y, x.items, y.items, norms.items, n, d, epsilon);
  same = same && IN_PLACE(l2_normalize, grid, x, y, x.items, x.items, norms.items, n, d, epsilon);
  failed |= compare("rows of length 1", y, SINGLE, same,
                    [&](size_t i) { return (double)x.items[i] / std::fmax(norm(i / width), (double)epsilon); });
  same = RUN(l2_normalize_backward, grid, dx, dy.items, y.items, norms.items, dx.items, n, d, epsilon);
  same = same && IN_PLACE(l2_normalize_backward, grid, y, dx, dy.items, y.items, norms.items, y.items, n, d, epsilon);
  failed |= compare("gradient of rows of length 1", dx, 2 * SINGLE, same, [&](size_t i) {
    const size_t row = i / width, first = row * width;
    if (norm(row) <= (double)epsilon) return (double)dy.items[i] / (double)epsilon;
    const double along = product(dy.items + first, x.items + first, d) / norm(row);
    return ((double)dy.items[i] - (double)x.items[i] / norm(row) * along) / norm(row);
  });
  same = RUN(normalize_rows, grid, y, x.items, y.items, n, d);
  same = same && IN_PLACE(normalize_rows, grid, x, y, x.items, x.items, n, d);
  return failed | compare("prototypes", y, SINGLE, same,
                          [&](size_t i) { return (double)x.items[i] / std::fmax(norm(i / width), 1e-12); });
}

int main() {
  int failed = copies_test(1, 1) | copies_test(7, 61) | copies_test(3, 256);
  failed |= normalize_test(1, 1, 1e-12f);
  failed |= normalize_test(5, 300, 0.1f);
  return failed | normalize_test(3, 37, 1e-12f);
}
