// BatchNorm's kernels in the order of a step, one shape and one set of choices (the macros of the compiler command),
// against double precision: the fold of statistics, the output, the backward's sums and their fold, the gradient of the
// input. Exit status 0 when each is right to its rounding, pads are zero and no schedule changes a bit.
#include "codegen/kernels/cuda/view.h"

namespace statistics_pass {
#include "codegen/kernels/cuda/batch_norm_statistics.cu"
}
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

enum {
  TILES = DIVIDE_UP(PIXELS, TILE_PIXELS),
  PARTS = DIVIDE_UP(PIXELS, PART_PIXELS),
  EXIST = CHANNELS / GROUP_PITCH * GROUP_CHANNELS,
  APPLY_BLOCKS = DIVIDE_UP(PIXELS * CHANNELS / CHUNK, 256),
  IMAGE_PIXELS = 49,  // of images that a part may begin or end within
  IMAGES = DIVIDE_UP(PIXELS, IMAGE_PIXELS)
};
const float EPSILON = 0.05f;  // of the variances' order, so that it shows what is made of it

// Of the channels that exist, the memory's.
static size_t place(size_t number) { return number / GROUP_CHANNELS * GROUP_PITCH + number % GROUP_CHANNELS; }

static double value(const Buffer<Element> &b, size_t at) { return (double)element_to_float(b.items[at]); }

static void fill_channels(Buffer<float> &buffer, float centre, float spread) {
  for (size_t i = 0; i < buffer.count; i++) buffer.items[i] = centre + spread * draw();
}

static bool pads_are_zero(const Buffer<float> &lines) {
  for (size_t at = 0; at < lines.count; at++)
    if (at % GROUP_PITCH >= GROUP_CHANNELS && lines.items[at] != 0) return false;
  return true;
}

static bool pads_are_zero(const Buffer<Element> &images) {
  for (size_t at = 0; at < images.count; at++)
    if (at % GROUP_PITCH >= GROUP_CHANNELS && element_to_float(images.items[at]) != 0) return false;
  return true;
}

// Statistics of tiles, `each` of a channel.
static bool pads_are_zero(const Buffer<float> &statistics, size_t each) {
  for (size_t at = 0; at < statistics.count; at++)
    if (at / each % GROUP_PITCH >= GROUP_CHANNELS && statistics.items[at] != 0) return false;
  return true;
}

// Of what batch_norm_statistics.cu makes of x.
static double passed_error(const Buffer<Element> &x, const Buffer<float> &passed) {
  const size_t pixels = PIXELS, tile_pixels = statistics_pass::STATISTICS_PIXELS;
  Error error;
  for (size_t begin = 0; begin < pixels; begin += tile_pixels)
    for (size_t c = 0; c < CHANNELS; c++) {
      const size_t end = begin + tile_pixels < pixels ? begin + tile_pixels : pixels;
      double sum = 0, squares = 0;
      for (size_t p = begin; p < end; p++) sum += value(x, p * CHANNELS + c);
      for (size_t p = begin; p < end; p++)
        squares += std::pow(value(x, p * CHANNELS + c) - sum / (double)(end - begin), 2);
      const float *const got = passed.items + (begin / tile_pixels * CHANNELS + c) * 2;
      error.add((double)got[0], sum);
      error.add((double)got[1], squares);
    }
  return error.relative();
}

// Of what x and the reference line of a channel give, before ReLU.
struct Wanted {
  double mean, variance, factor, shift;
};

static float rounded(float value) { return element_to_float((Element)(elements_pack(value, 0) & 0xFFFF)); }

// Of what ReLU made: dy, or, where that was scaled and pooled, the sum of both gradients as it would have been stored.
static double gradient_of(Element dy, const Buffer<float> &scale, const Buffer<float> &pooled, size_t vector) {
  if (RELU != backward_sums::RELU_SCALED) return (double)element_to_float(dy);
  const float scaled = rounded(element_to_float(dy) * scale.items[vector]);
  return (double)rounded(scaled + rounded(pooled.items[vector] * (1 / (float)IMAGE_PIXELS)));
}

int main() {
  const size_t all = (size_t)PIXELS * CHANNELS;
  Buffer<Element> x(all), add(all), y(all), dy(all), dz(all), dx(all);
  Buffer<float> statistics((size_t)TILES * CHANNELS * 2), gamma(EXIST), beta(EXIST), mean(EXIST), variance(EXIST);
  Buffer<float> line(2 * CHANNELS), parts((size_t)PARTS * CHANNELS * 2), dgamma(EXIST), dbeta(EXIST);
  Buffer<float> lines(3 * CHANNELS);
  fill(x, GROUP_CHANNELS, GROUP_PITCH);
  fill(add, GROUP_CHANNELS, GROUP_PITCH);
  fill(dy, GROUP_CHANNELS, GROUP_PITCH);
  fill_channels(gamma, 1, 0.5f);
  fill_channels(beta, 0, 0.5f);

  // Statistics of tiles, and of everything, from x itself.
  std::vector<Wanted> wanted(EXIST);
  for (size_t n = 0; n < EXIST; n++) {
    const size_t c = place(n);
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
    const double slope = (double)gamma.items[n] / std::sqrt(squares / PIXELS + (double)EPSILON);
    wanted[n] = {sum / PIXELS, squares / PIXELS, slope, (double)beta.items[n] - sum / PIXELS * slope};
  }

  int failed = 0;
  float epsilon = EPSILON;
  int pixels = PIXELS, tile_pixels = TILE_PIXELS, part_pixels = PART_PIXELS, part_count = PARTS, channels = CHANNELS;
  int group_channels = GROUP_CHANNELS, group_pitch = GROUP_PITCH;
  u64 chunks = all / CHUNK;
  // Of x as a library leaves it, in tiles of the kernel's.
  const unsigned pass_tiles = DIVIDE_UP(PIXELS, statistics_pass::STATISTICS_PIXELS);
  Buffer<float> passed((size_t)pass_tiles * CHANNELS * 2);
  void *pass_arguments[] = {&x.items, &passed.items, &channels, &pixels};
  const bool same_passed =
      run(statistics_pass::batch_norm_statistics_simulated, pass_arguments, {DIVIDE_UP(CHANNELS, 64), pass_tiles, 1},
          statistics_pass::THREADS, statistics_pass::SHARED_BYTES, passed);
  failed |= verdict("statistics of what a library made", passed_error(x, passed), SINGLE, pads_are_zero(passed, 2),
                    same_passed);
  const simulated::Index by_32 = {DIVIDE_UP(CHANNELS, 32), 1, 1}, by_64 = {DIVIDE_UP(CHANNELS, 64), 1, 1};
  void *fold_arguments[] = {&statistics.items, &mean.items, &variance.items, &pixels,
                            &tile_pixels,      &channels,   &group_channels, &group_pitch};
  bool same = run(fold::batch_norm_fold_simulated, fold_arguments, by_32, fold::THREADS, fold::SHARED_BYTES, mean) &&
              run(fold::batch_norm_fold_simulated, fold_arguments, by_32, fold::THREADS, fold::SHARED_BYTES, variance);
  void *line_arguments[] = {&gamma.items, &beta.items,     &mean.items,  &variance.items, &line.items,
                            &channels,    &group_channels, &group_pitch, &epsilon};
  same = run(fold::batch_norm_line_simulated, line_arguments, by_64, fold::LINE_THREADS, 0, line) && same;
  Error error;
  for (size_t n = 0; n < EXIST; n++) {
    error.add((double)mean.items[n], wanted[n].mean);
    error.add((double)variance.items[n], wanted[n].variance);
    error.add((double)line.items[place(n)], wanted[n].factor);
    error.add((double)line.items[CHANNELS + place(n)], wanted[n].shift);
  }
  failed |= verdict("statistics of channels", error.relative(), SINGLE, pads_are_zero(line), same);

  void *apply_arguments[] = {&x.items, &line.items, &add.items, &y.items, &chunks};
  same = run(apply::batch_norm_apply_simulated, apply_arguments, {APPLY_BLOCKS, 1, 1}, apply::THREADS, 0, y);
  error = Error();
  for (size_t p = 0; p < PIXELS; p++)
    for (size_t n = 0; n < EXIST; n++) {
      const size_t at = p * CHANNELS + place(n);
      const double sum = value(x, at) * wanted[n].factor + wanted[n].shift + (ADD ? value(add, at) : 0);
      error.add(value(y, at), RELU && sum < 0 ? 0 : sum);
    }
  failed |= verdict("output", error.relative(), ROUNDING, pads_are_zero(y), same);

  // What is not to be read is poison.
  Buffer<Element> no_images(all);
  Buffer<float> scale((size_t)IMAGES * EXIST), pooled((size_t)IMAGES * EXIST), no_line(2 * CHANNELS);
  fill_channels(scale, 0.5f, 0.5f);
  fill_channels(pooled, 0, 20);
  const bool stored = RELU == backward_sums::RELU_STORED;
  int image_pixels = IMAGE_PIXELS;
  void *sums_arguments[] = {&dy.items,
                            &x.items,
                            stored ? &y.items : &no_images.items,
                            stored ? &no_line.items : &line.items,
                            &scale.items,
                            &pooled.items,
                            &mean.items,
                            &dz.items,
                            &parts.items,
                            &pixels,
                            &part_pixels,
                            &image_pixels};
  same = run(backward_sums::batch_norm_backward_sums_simulated, sums_arguments, {by_64.x, PARTS, 1},
             backward_sums::THREADS, backward_sums::SHARED_BYTES, parts);
  void *backward_arguments[] = {&parts.items, &variance.items, &dgamma.items, &dbeta.items, &part_count,
                                &channels,    &group_channels, &group_pitch,  &epsilon};
  for (Buffer<float> *one : {&dgamma, &dbeta})
    same = run(backward_fold::batch_norm_backward_fold_simulated, backward_arguments, by_64, backward_fold::THREADS, 0,
               *one) &&
           same;
  void *slope_arguments[] = {&gamma.items, &mean.items, &variance.items, &dgamma.items, &dbeta.items, &lines.items,
                             &pixels,      &channels,   &group_channels, &group_pitch,  &epsilon};
  same = run(backward_fold::batch_norm_backward_line_simulated, slope_arguments, by_64, backward_fold::THREADS, 0,
             lines) &&
         same;
  Buffer<Element> &masked = RELU ? dz : dy;
  void *last_arguments[] = {&masked.items, &x.items, &lines.items, &dx.items, &chunks};
  bool same_dx = run(backward_apply::batch_norm_backward_apply_simulated, last_arguments, {APPLY_BLOCKS, 1, 1},
                     backward_apply::THREADS, 0, dx);
  error = Error();
  Error gradient;
  bool exact = true;
  for (size_t n = 0; n < EXIST; n++) {
    double sum = 0, product = 0;
    std::vector<double> d(PIXELS);
    for (size_t p = 0; p < PIXELS; p++) {
      const size_t at = p * CHANNELS + place(n);
      d[p] = !RELU || value(y, at) > 0 ? gradient_of(dy.items[at], scale, pooled, p / IMAGE_PIXELS * EXIST + n) : 0;
      exact = exact && (!RELU || value(dz, at) == d[p]);
      sum += d[p];
      product += d[p] * (value(x, at) - wanted[n].mean);
    }
    const double inverse = 1 / std::sqrt(wanted[n].variance + (double)EPSILON);
    error.add((double)dbeta.items[n], sum);
    error.add((double)dgamma.items[n], product * inverse);
    for (size_t p = 0; p < PIXELS; p++) {
      const size_t at = p * CHANNELS + place(n);
      const double normal = (value(x, at) - wanted[n].mean) * inverse;
      gradient.add(value(dx, at),
                   (double)gamma.items[n] * inverse * (d[p] - sum / PIXELS - normal * product * inverse / PIXELS));
    }
  }
  failed |= verdict("what ReLU lets through", exact ? 0 : 1, 0, !RELU || pads_are_zero(dz), same);
  failed |= verdict("gradients of gamma and beta", error.relative(), SINGLE, pads_are_zero(lines), same);
  failed |= verdict("gradient of the input", gradient.relative(), ROUNDING, pads_are_zero(dx), same_dx);
  return failed;
}
