// BatchNorm's kernels in the order of a step, one shape and one set of choices (the macros of the compiler command),
// against double precision: the fold of statistics, the output, the backward's sums and their fold, the gradient of the
// input. Exit status 0 when each is right to its rounding, pads are zero and no schedule changes a bit.
#include "device.h"

namespace fold {
#include "codegen/kernels/cuda/batch_norm_fold.cu"
}
namespace apply {
#include "codegen/kernels/cuda/batch_norm_apply.cu"
}
namespace backward_sums {
#include "codegen/kernels/cuda/batch_norm_backward_sums.cu"
}
namespace backward_fold {
#include "codegen/kernels/cuda/batch_norm_backward_fold.cu"
}
namespace backward_apply {
#include "codegen/kernels/cuda/batch_norm_backward_apply.cu"
}

#include <vector>

#include "tests/cuda/kernel_test.h"

enum { TILES = fold::TILES, IMAGES = PIXELS / IMAGE_PIXELS, APPLY_BLOCKS = (PIXELS * CHANNELS / 8 + 255) / 256 };
const float EPSILON = 1e-5f;

static double value(const Buffer<Element> &b, size_t at) { return (double)element_to_float(b.items[at]); }

static void fill_channels(Buffer<float> &buffer, float centre, float spread) {
  for (size_t i = 0; i < buffer.count; i++)
    buffer.items[i] = (int)(i % CHANNELS) < EXIST ? centre + spread * draw() : 0.0f;
}

// Of what x and the reference line of a channel give, before ReLU.
struct Line {
  double mean, variance, factor, shift;
};

int main() {
  const size_t all = (size_t)PIXELS * CHANNELS;
  Buffer<Element> x(all), add(all), y(all), dy(all), dz(all), dx(all);
  Buffer<float> statistics((size_t)TILES * CHANNELS * 2), gamma(CHANNELS), beta(CHANNELS), mean(CHANNELS);
  Buffer<float> variance(CHANNELS), factor(CHANNELS), shift(CHANNELS), add_factor(CHANNELS), add_shift(CHANNELS);
  Buffer<float> scale((size_t)IMAGES * CHANNELS), parts((size_t)PARTS * CHANNELS * 2), dgamma(CHANNELS),
      dbeta(CHANNELS);
  Buffer<float> lines(3 * CHANNELS);
  fill(x, EXIST, CHANNELS);
  fill(add, EXIST, CHANNELS);
  fill(dy, EXIST, CHANNELS);
  fill_channels(gamma, 1, 0.5f);
  fill_channels(beta, 0, 0.5f);
  fill_channels(add_factor, 1, 0.2f);
  fill_channels(add_shift, 0, 0.2f);
  fill_channels(scale, 0.5f, 0.4f);

  // Statistics of tiles, and of everything, from x itself.
  std::vector<Line> line(CHANNELS);
  for (size_t c = 0; c < CHANNELS; c++) {
    double sum = 0, squares = 0;
    for (int tile = 0; tile < TILES; tile++) {
      const int begin = tile * TILE_PIXELS, end = begin + TILE_PIXELS < PIXELS ? begin + TILE_PIXELS : PIXELS;
      double tile_sum = 0, tile_squares = 0;
      for (int p = begin; p < end; p++) tile_sum += value(x, (size_t)p * CHANNELS + c);
      for (int p = begin; p < end; p++)
        tile_squares += std::pow(value(x, (size_t)p * CHANNELS + c) - tile_sum / (end - begin), 2);
      statistics.items[((size_t)tile * CHANNELS + c) * 2] = (float)tile_sum;
      statistics.items[((size_t)tile * CHANNELS + c) * 2 + 1] = (float)tile_squares;
      sum += tile_sum;
    }
    for (size_t p = 0; p < PIXELS; p++) squares += std::pow(value(x, p * CHANNELS + c) - sum / PIXELS, 2);
    const double slope = (double)gamma.items[c] / std::sqrt(squares / PIXELS + (double)EPSILON);
    line[c] = {sum / PIXELS, squares / PIXELS, slope, (double)beta.items[c] - sum / PIXELS * slope};
  }

  int failed = 0;
  float epsilon = EPSILON;
  void *fold_arguments[] = {&statistics.items, &gamma.items,    &beta.items,   &epsilon,
                            &mean.items,       &variance.items, &factor.items, &shift.items};
  bool same = run(fold::batch_norm_fold_simulated, fold_arguments, {(CHANNELS + 31) / 32, 1, 1}, fold::THREADS,
                  fold::SHARED_BYTES, mean);
  Error error;
  for (size_t c = 0; c < CHANNELS; c++) {
    error.add((double)mean.items[c], line[c].mean);
    error.add((double)variance.items[c], line[c].variance);
    error.add((double)factor.items[c], line[c].factor);
    error.add((double)shift.items[c], line[c].shift);
  }
  failed |= verdict("statistics of channels", error.relative(), SINGLE, true, same);

  void *apply_arguments[] = {&x.items,          &factor.items,    &shift.items, &add.items,
                             &add_factor.items, &add_shift.items, &scale.items, &y.items};
  same = run(apply::batch_norm_apply_simulated, apply_arguments, {APPLY_BLOCKS, 1, 1}, apply::THREADS, 0, y);
  error = Error();
  bool zero = true;
  for (size_t at = 0; at < all; at++) {
    const size_t c = at % CHANNELS;
    double wanted = value(x, at) * line[c].factor + line[c].shift;
    if (ADD == 1) wanted += value(add, at);
    if (ADD == 2) wanted += value(add, at) * (double)add_factor.items[c] + (double)add_shift.items[c];
    if (FORWARD_RELU && wanted < 0) wanted = 0;
    if (SCALE) wanted *= (double)scale.items[at / CHANNELS / IMAGE_PIXELS * CHANNELS + c];
    if (c < EXIST)
      error.add(value(y, at), wanted);
    else
      zero = zero && value(y, at) == 0;
  }
  failed |= verdict("output", error.relative(), ROUNDING, zero, same);

  void *sums_arguments[] = {&dy.items,     &x.items,     &y.items,  &mean.items,
                            &factor.items, &shift.items, &dz.items, &parts.items};
  const simulated::Index sums_grid = {(CHANNELS + 63) / 64, PARTS, 1};
  same = run(backward_sums::batch_norm_backward_sums_simulated, sums_arguments, sums_grid, backward_sums::THREADS,
             backward_sums::SHARED_BYTES, parts);
  void *backward_arguments[] = {&parts.items, &gamma.items,  &mean.items,  &variance.items,
                                &epsilon,     &dgamma.items, &dbeta.items, &lines.items};
  same = run(backward_fold::batch_norm_backward_fold_simulated, backward_arguments,
             {(CHANNELS + backward_fold::THREADS - 1) / backward_fold::THREADS, 1, 1}, backward_fold::THREADS, 0,
             dgamma) &&
         same;
  Buffer<Element> &masked = BACKWARD_RELU ? dz : dy;
  void *last_arguments[] = {&masked.items, &x.items, &lines.items, &dx.items};
  bool same_dx = run(backward_apply::batch_norm_backward_apply_simulated, last_arguments, {APPLY_BLOCKS, 1, 1},
                     backward_apply::THREADS, 0, dx);
  error = Error();
  Error gradient;
  zero = true;
  for (size_t c = 0; c < CHANNELS; c++) {
    double sum = 0, product = 0;
    std::vector<double> d(PIXELS);
    for (size_t p = 0; p < PIXELS; p++) {
      const size_t at = p * CHANNELS + c;
      const double before = value(x, at) * (double)factor.items[c] + (double)shift.items[c];
      const bool through = BACKWARD_RELU == 0 || (BACKWARD_RELU == 1 ? before > 0 : value(y, at) > 0);
      d[p] = through ? value(dy, at) : 0;
      sum += d[p];
      product += d[p] * (value(x, at) - line[c].mean);
    }
    const double inverse = 1 / std::sqrt(line[c].variance + (double)EPSILON);
    error.add((double)dbeta.items[c], sum);
    error.add((double)dgamma.items[c], product * inverse);
    for (size_t p = 0; p < PIXELS; p++) {
      const size_t at = p * CHANNELS + c;
      const double normal = (value(x, at) - line[c].mean) * inverse;
      const double wanted =
          (double)gamma.items[c] * inverse * (d[p] - sum / PIXELS - normal * product * inverse / PIXELS);
      if (c < EXIST)
        gradient.add(value(dx, at), wanted);
      else
        zero = zero && value(dx, at) == 0;
    }
  }
  failed |= verdict("gradients of gamma and beta", error.relative(), SINGLE, true, same);
  failed |= verdict("gradient of the input", gradient.relative(), ROUNDING, zero, same_dx);
  return failed;
}
