// Kernels of images.cu of one type of element, several groups with and without pads, against double precision: pads
// zero, one pixel, pixels and channels that fill no block, results on operands. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/images.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

struct Shape {
  int images, pixels, groups, channels, pitch;
  int all() const { return groups * pitch; }
  size_t count() const { return (size_t)(images * pixels * all()); }
  size_t vectors() const { return (size_t)(images * groups * channels); }
  bool exists(size_t at) const { return (int)at % pitch < channels; }
  // Where an element's image and channel are in vectors by channel.
  size_t vector(size_t at) const {
    const int image = (int)at / (pixels * all()), channel = (int)at % all();
    return (size_t)((image * groups + channel / pitch) * channels + channel % pitch);
  }
};

static double value(const Buffer<Element> &buffer, size_t at) { return (double)element_to_float(buffer.items[at]); }

// Of images: what exists against wanted(at), the rest against zero.
template <class Wanted>
static int compare_images(const char *what, const Shape &s, const Buffer<Element> &got, bool same, Wanted wanted) {
  Error error;
  bool zero = true;
  for (size_t at = 0; at < got.count; at++) {
    if (s.exists(at))
      error.add(value(got, at), wanted(at));
    else
      zero = zero && got.items[at] == 0;
  }
  // Few elements may be rounded worse than many.
  return verdict(what, error.relative(), got.count < 100 ? 2 * ROUNDING : ROUNDING, zero, same);
}

// Through a view: the bits of what they make of the images that it would be.
static int view_test(const Shape &s) {
  const simulated::Index chunks = {(unsigned)DIVIDE_UP(s.pixels * s.all() / CHUNK, THREADS), (unsigned)s.images, 1};
  const simulated::Index pool = {(unsigned)DIVIDE_UP(s.all(), 64), (unsigned)s.images, 1};
  Buffer<Element> x(s.count()), dy(s.count()), y(s.count()), y_wanted(s.count());
  Buffer<float> sums(s.vectors()), wanted(s.vectors());
  fill(x, s.channels, s.pitch);
  fill(dy, s.channels, s.pitch);
  const Sight sight(x, s.images, s.groups, s.channels, s.pitch, true, false);
  const float *none = nullptr;
  bool same = RUN(pool_average, pool, sums, x.items, sight.line.items, sums.items, s.images, s.pixels, s.all(),
                  s.channels, s.pitch);
  same = same && RUN(pool_average, pool, wanted, sight.seen.items, none, wanted.items, s.images, s.pixels, s.all(),
                     s.channels, s.pitch);
  int failed = compare("means through a view", sums, 0, same, [&](size_t i) { return (double)wanted.items[i]; });
  same = RUN(scale_channels, chunks, y, x.items, sight.line.items, sight.scale.items, y.items, s.images, s.pixels,
             s.all(), s.channels, s.pitch);
  same = same && RUN(scale_channels, chunks, y_wanted, sight.seen.items, none, sight.scale.items, y_wanted.items,
                     s.images, s.pixels, s.all(), s.channels, s.pitch);
  failed |= verdict("scaled through a view", std::memcmp(y.items, y_wanted.items, y.bytes()) ? 1 : 0, 0, true, same);
  same = RUN(scale_channels_backward, pool, sums, dy.items, x.items, sight.line.items, none, (Element *)nullptr,
             sums.items, s.images, s.pixels, s.all(), s.channels, s.pitch);
  same = same && RUN(scale_channels_backward, pool, wanted, dy.items, sight.seen.items, none, sight.scale.items,
                     y.items, wanted.items, s.images, s.pixels, s.all(), s.channels, s.pitch);
  return failed |
         compare("gradient of scales through a view", sums, 0, same, [&](size_t i) { return (double)wanted.items[i]; });
}

static int channels_test(const Shape &s) {
  const simulated::Index chunks = {(unsigned)DIVIDE_UP(s.pixels * s.all() / CHUNK, THREADS), (unsigned)s.images, 1};
  const simulated::Index pool = {(unsigned)DIVIDE_UP(s.all(), 64), (unsigned)s.images, 1};
  Buffer<Element> x(s.count()), y(s.count()), dy(s.count());
  Buffer<float> means(s.vectors()), scales(s.vectors()), sums(s.vectors());
  fill(x, s.channels, s.pitch);
  fill(dy, s.channels, s.pitch);
  fill_floats(scales, 0.5f, 0.5f);
  std::vector<double> whole(s.vectors()), products(s.vectors());
  for (size_t at = 0; at < s.count(); at++)
    if (s.exists(at)) whole[s.vector(at)] += value(x, at), products[s.vector(at)] += value(x, at) * value(dy, at);
  const float *none = nullptr;
  bool same =
      RUN(pool_average, pool, means, x.items, none, means.items, s.images, s.pixels, s.all(), s.channels, s.pitch);
  int failed = compare("means of images", means, SINGLE, same, [&](size_t i) { return whole[i] / s.pixels; });
  same = RUN(pool_average_backward, chunks, y, scales.items, y.items, s.images, s.pixels, s.all(), s.channels, s.pitch);
  failed |= compare_images("gradient of means", s, y, same,
                           [&](size_t at) { return (double)scales.items[s.vector(at)] / s.pixels; });
  same = RUN(scale_channels, chunks, y, x.items, none, scales.items, y.items, s.images, s.pixels, s.all(), s.channels,
             s.pitch);
  same = same && IN_PLACE(scale_channels, chunks, x, y, x.items, none, scales.items, x.items, s.images, s.pixels,
                          s.all(), s.channels, s.pitch);
  failed |= compare_images("scaled channels", s, y, same,
                           [&](size_t at) { return value(x, at) * (double)scales.items[s.vector(at)]; });
  same = RUN(scale_channels_backward, pool, sums, dy.items, x.items, none, scales.items, y.items, sums.items, s.images,
             s.pixels, s.all(), s.channels, s.pitch);
  failed |= compare("gradient of scales", sums, SINGLE, same, [&](size_t i) { return products[i]; });
  same = RUN(scale_channels_backward, pool, y, dy.items, x.items, none, scales.items, y.items, sums.items, s.images,
             s.pixels, s.all(), s.channels, s.pitch);
  same = same && IN_PLACE(scale_channels_backward, pool, dy, y, dy.items, x.items, none, scales.items, dy.items,
                          sums.items, s.images, s.pixels, s.all(), s.channels, s.pitch);
  return failed | compare_images("gradient of what is scaled", s, y, same,
                                 [&](size_t at) { return value(dy, at) * (double)scales.items[s.vector(at)]; });
}

static int pointwise_test(const Shape &s) {
  const size_t count = s.count() / CHUNK;
  const simulated::Index chunks = grid_of(count, THREADS);
  Buffer<Element> a(s.count()), b(s.count()), y(s.count());
  fill(a, s.channels, s.pitch);
  fill(b, s.channels, s.pitch);
  bool same = RUN(add_images, chunks, y, a.items, b.items, y.items, count);
  same = same && IN_PLACE(add_images, chunks, b, y, a.items, b.items, b.items, count);
  return compare_images("sum", s, y, same, [&](size_t at) { return value(a, at) + value(b, at); });
}

static int normalize_test(int pixels) {
  const Shape s = {1, pixels, 1, 3, 8};
  const float scales[3] = {0.017f, 0.018f, 0.0175f}, shifts[3] = {-2.1f, -2.0f, -1.8f};
  Buffer<unsigned char> images((size_t)pixels * 3);
  Buffer<Element> y(s.count());
  for (size_t i = 0; i < images.count; i++) images.items[i] = (unsigned char)(127.5f + 127.5f * draw());
  const bool same = RUN(normalize_images, grid_of((size_t)pixels, THREADS), y, images.items, y.items, (u64)pixels,
                        scales[0], scales[1], scales[2], shifts[0], shifts[1], shifts[2]);
  return compare_images("normalised pictures", s, y, same, [&](size_t at) {
    const size_t channel = at % 8;
    return images.items[at / 8 * 3 + channel] * (double)scales[channel] + (double)shifts[channel];
  });
}

int main() {
  int failed = normalize_test(1) | normalize_test(300);
  for (const Shape &shape : {Shape{2, 49, 3, 20, 24}, Shape{1, 1, 1, 5, 8}, Shape{3, 35, 1, 136, 136}})
    failed |= channels_test(shape) | view_test(shape) | pointwise_test(shape);
  return failed;
}
