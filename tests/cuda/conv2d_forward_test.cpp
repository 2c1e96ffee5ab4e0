// conv2d_forward.cu, one shape (the macros of the compiler command), against plain loops in double precision: outputs to
// their rounding, statistics of what is stored, everything written, pads zero. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/conv2d_forward.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

enum { TILES = DIVIDE_UP(PIXELS, TILE_PIXELS) };

static double value_of(const Element *y, int pixel, int channel) {
  return (double)element_to_float(y[(size_t)pixel * TO_ALL + (size_t)channel]);
}

static int outputs_check(const Element *x, const Element *weights, const Element *y, bool same) {
  Error error;
  bool zero = true;
  std::vector<double> sums((size_t)ROWS * COLUMNS);
  for (int image = 0; image < IMAGES; image++)
    for (int channel = 0; channel < TO_ALL; channel++) {
      const int group = channel / OUTPUT_PITCH;
      sums.assign(sums.size(), 0);
      for_each_tap([&](int in, int out, int tap) {
        const Element *a = x + ((size_t)image * HEIGHT * WIDTH + (size_t)in) * FROM_ALL + group * INPUT_PITCH;
        const Element *b = weights + ((size_t)channel * KERNEL * KERNEL + (size_t)tap) * INPUT_PITCH;
        for (int i = 0; i < INPUTS; i++)
          sums[(size_t)out] += (double)element_to_float(a[i]) * (double)element_to_float(b[i]);
      });
      for (int pixel = 0; pixel < ROWS * COLUMNS; pixel++) {
        const double got = value_of(y, image * ROWS * COLUMNS + pixel, channel);
        if (channel % OUTPUT_PITCH >= OUTPUTS)
          zero = zero && got == 0;
        else
          error.add(got, sums[(size_t)pixel]);
      }
    }
  return verdict("outputs", error.relative(), ROUNDING, zero, same);
}

static int statistics_check(const Element *y, const float *statistics, bool same) {
  Error error;
  for (int tile = 0; tile < TILES; tile++)
    for (int channel = 0; channel < TO_ALL; channel++) {
      const int begin = tile * TILE_PIXELS, end = begin + TILE_PIXELS < PIXELS ? begin + TILE_PIXELS : PIXELS;
      double sum = 0, squares = 0;
      for (int pixel = begin; pixel < end; pixel++) sum += value_of(y, pixel, channel);
      const double mean = sum / (end - begin);
      for (int pixel = begin; pixel < end; pixel++)
        squares += (value_of(y, pixel, channel) - mean) * (value_of(y, pixel, channel) - mean);
      const float *got = statistics + ((size_t)tile * TO_ALL + (size_t)channel) * 2;
      error.add((double)got[0], sum);
      error.add((double)got[1], squares);
    }
  return verdict("statistics", error.relative(), SINGLE, true, same);
}

int main() {
  const bool scaled = VIEW == VIEW_SCALED;
  const int exist = scaled ? VIEW_CHANNELS : INPUTS, pitch = scaled ? VIEW_PITCH : INPUT_PITCH;
  Buffer<Element> x((size_t)IMAGES * HEIGHT * WIDTH * FROM_ALL), y((size_t)PIXELS * TO_ALL), stored(y.count);
  Buffer<Element> weights((size_t)TO_ALL * KERNEL * KERNEL * INPUT_PITCH);
  Buffer<float> statistics((size_t)TILES * TO_ALL * 2);
  fill(x, exist, pitch);
  const Sight sight(x, IMAGES, FROM_ALL / pitch, exist, pitch, VIEW != VIEW_PLAIN, scaled);
  fill(weights, INPUTS, INPUT_PITCH);
  const Packing packing = {GROUPS, OUTPUT_PITCH, INPUT_PITCH, KERNEL, 1, TILE_CHANNELS, DEPTH};
  Buffer<Element> packed(packing.count());
  pack(packing, weights, OUTPUTS, packed);
  const Element *x_at = x.items, *weights_at = packed.items;
  const float *line = sight.line.items, *scale = sight.scale.items;
  void *arguments[] = {&x_at, &line, &scale, &weights_at, &y.items, &statistics.items};
  const simulated::Index grid = {TILES, DIVIDE_UP(OUTPUT_PITCH, TILE_CHANNELS), GROUPS};
  const bool same = run(conv2d_forward_simulated, arguments, grid, THREADS, SHARED_BYTES, y);
  const bool same_statistics = run(conv2d_forward_simulated, arguments, grid, THREADS, SHARED_BYTES, statistics);
  int failed = outputs_check(sight.seen.items, weights.items, y.items, same);
  failed |= statistics_check(y.items, statistics.items, same_statistics);
  if (VIEW == VIEW_PLAIN) return failed;
  std::memcpy((void *)stored.items, y.items, y.bytes());
  x_at = sight.seen.items, line = sight.line_kept.items, scale = sight.scale_kept.items;
  run(conv2d_forward_simulated, arguments, grid, THREADS, SHARED_BYTES, y);
  return verdict("view", std::memcmp(stored.items, y.items, y.bytes()) ? 1 : 0, 0, true, true) | failed;
}
