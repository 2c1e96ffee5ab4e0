// Kernels of batch_norm_rows.cu in the order of a step against double precision: with a mean far from zero, ReLU and
// what is added or neither, one row, columns that fill no block. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/batch_norm_rows.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

static int test(int n, int c, bool relu, bool residual) {
  const float epsilon = 1e-3f;
  const size_t rows = (size_t)n, columns = (size_t)c, count = rows * columns;
  const simulated::Index elements = grid_of(count, THREADS), by_column = grid_of(columns, COLUMN_WIDTH);
  Buffer<float> x(count), added(count), y(count), dy(count), masked(count), dx(count), gamma(columns), beta(columns);
  Buffer<float> mean(columns), variance(columns), dgamma(columns), dbeta(columns);
  fill_floats(x, 3, 1);
  fill_floats(added, 0, 1);
  fill_floats(dy, 0.2f, 1);
  fill_floats(gamma, 1, 0.5f);
  fill_floats(beta, 0, 0.5f);
  std::vector<double> means(columns), variances(columns), sums(columns), products(columns), normal(count), d(count);
  for (size_t i = 0; i < count; i++) means[i % columns] += (double)x.items[i] / n;
  for (size_t i = 0; i < count; i++) variances[i % columns] += std::pow((double)x.items[i] - means[i % columns], 2) / n;
  for (size_t i = 0; i < count; i++)
    normal[i] = ((double)x.items[i] - means[i % columns]) / std::sqrt(variances[i % columns] + (double)epsilon);

  bool same = RUN(batch_norm_rows_statistics, by_column, mean, x.items, mean.items, variance.items, n, c);
  int failed = compare("mean", mean, SINGLE, same, [&](size_t i) { return means[i]; });
  same = RUN(batch_norm_rows_statistics, by_column, variance, x.items, mean.items, variance.items, n, c);
  failed |= compare("variance", variance, SINGLE, same, [&](size_t i) { return variances[i]; });

  const float *const other = residual ? added.items : nullptr;
  same = RUN(batch_norm_rows_apply, elements, y, x.items, gamma.items, beta.items, mean.items, variance.items, other,
             y.items, n, c, relu, epsilon);
  same = same && IN_PLACE(batch_norm_rows_apply, elements, x, y, x.items, gamma.items, beta.items, mean.items,
                          variance.items, other, x.items, n, c, relu, epsilon);
  failed |= compare("output", y, 2 * SINGLE, same, [&](size_t i) {
    const double value = normal[i] * (double)gamma.items[i % columns] + (double)beta.items[i % columns] +
                         (residual ? (double)added.items[i] : 0);
    return relu && value < 0 ? 0 : value;
  });

  const float *const out = relu ? y.items : nullptr;
  for (size_t i = 0; i < count; i++) {
    d[i] = relu && !(y.items[i] > 0) ? 0 : (double)dy.items[i];
    sums[i % columns] += d[i];
    products[i % columns] += d[i] * normal[i];
  }
  same = RUN(batch_norm_rows_backward_sums, by_column, dgamma, dy.items, out, x.items, mean.items, variance.items,
             dgamma.items, dbeta.items, nullptr, n, c, epsilon);
  failed |= compare("gradient of gamma", dgamma, 2 * SINGLE, same, [&](size_t i) { return products[i]; });
  same = RUN(batch_norm_rows_backward_sums, by_column, masked, dy.items, out, x.items, mean.items, variance.items,
             dgamma.items, dbeta.items, masked.items, n, c, epsilon);
  same = same && IN_PLACE(batch_norm_rows_backward_sums, by_column, dy, masked, dy.items, out, x.items, mean.items,
                          variance.items, dgamma.items, dbeta.items, dy.items, n, c, epsilon);
  failed |= compare("what counts", masked, 0, same, [&](size_t i) { return d[i]; });
  same = RUN(batch_norm_rows_backward_sums, by_column, dbeta, dy.items, out, x.items, mean.items, variance.items,
             dgamma.items, dbeta.items, nullptr, n, c, epsilon);
  failed |= compare("gradient of beta", dbeta, SINGLE, same, [&](size_t i) { return sums[i]; });
  same = RUN(batch_norm_rows_backward_apply, elements, dx, dy.items, out, x.items, gamma.items, mean.items,
             variance.items, dgamma.items, dbeta.items, dx.items, n, c, epsilon);
  same = same && IN_PLACE(batch_norm_rows_backward_apply, elements, dy, dx, dy.items, out, x.items, gamma.items,
                          mean.items, variance.items, dgamma.items, dbeta.items, dy.items, n, c, epsilon);
  return failed | compare("gradient of the input", dx, 2 * SINGLE, same, [&](size_t i) {
           const size_t column = i % columns;
           return (double)gamma.items[column] / std::sqrt(variances[column] + (double)epsilon) *
                  (d[i] - sums[column] / n - normal[i] * products[column] / n);
         });
}

int main() {
  int failed = test(37, 45, true, true) | test(130, 32, false, false);
  return failed | test(17, 1, true, false) | test(1, 3, false, true);
}
