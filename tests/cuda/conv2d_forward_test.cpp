// conv2d_forward.cu on the simulated GPU, one shape (the macros of the compiler command) under every schedule, against
// plain loops in double precision: outputs to their rounding, statistics of what is stored, everything written, pads
// zero, the same bits whatever the schedule. Prints one line; exit status 0 when all of it holds.
#include "codegen/kernels/cuda/conv2d_forward.cu"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda/simulator/simulator.h"

namespace {

// L2-relative: a rounding to nearest, and what single precision leaves of a sum.
const double OUTPUT_TOLERANCE = ELEMENT_IS_BF16 ? 2.4e-3 : 3e-4, STATISTICS_TOLERANCE = 2e-6;
enum { TILES = DIVIDE_UP(PIXELS, TILE_PIXELS), SHARED = SUM_OFFSET + WARPS_PIXELS * TILE_OUTPUTS * 4 };

Element random_element() {
  const float value = (float)(std::rand() % 2001 - 1000) / 1000;
  return (Element)(elements_pack(value, 0) & 0xFFFF);
}

// Of the simulated GPU.
template <class T>
struct Buffer {
  T *items;
  size_t count;
  explicit Buffer(size_t n) : items((T *)simulated::memory_make(n * sizeof(T))), count(n) {}
  ~Buffer() { simulated::memory_release(items, count * sizeof(T)); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  void poison() { std::memset(items, 0xFF, count * sizeof(T)); }
};

// sum over taps and inputs of x * weights for one output element.
double output_of(const Element *x, const Element *weights, int pixel, int group, int output) {
  const int image = pixel / (ROWS * COLUMNS), row = pixel / COLUMNS % ROWS, column = pixel % COLUMNS;
  double sum = 0;
  for (int tap = 0; tap < KERNEL * KERNEL; tap++) {
    const int y = row * STRIDE - PAD + tap / KERNEL, at = column * STRIDE - PAD + tap % KERNEL;
    if (y < 0 || y >= HEIGHT || at < 0 || at >= WIDTH) continue;
    const Element *a =
        x + (((size_t)image * HEIGHT + (size_t)y) * WIDTH + (size_t)at) * CHANNELS_IN + group * INPUT_PITCH;
    const Element *b =
        weights + ((size_t)(group * OUTPUT_PITCH + output) * KERNEL * KERNEL + (size_t)tap) * INPUT_PITCH;
    for (int i = 0; i < INPUTS; i++) sum += (double)element_to_float(a[i]) * (double)element_to_float(b[i]);
  }
  return sum;
}

struct Error {
  double apart = 0, all = 0;
  void add(double got, double wanted) {
    apart += (got - wanted) * (got - wanted);  // a NaN stays
    all += wanted * wanted;
  }
  double relative() const { return std::sqrt(apart / (all > 0 ? all : 1)); }
};

}  // namespace

int main() {
  Buffer<Element> x((size_t)IMAGES * HEIGHT * WIDTH * CHANNELS_IN);
  Buffer<Element> weights((size_t)CHANNELS_OUT * KERNEL * KERNEL * INPUT_PITCH);
  Buffer<Element> y((size_t)PIXELS * CHANNELS_OUT), first(y.count);
  Buffer<float> statistics((size_t)TILES * CHANNELS_OUT * 2), first_statistics(statistics.count);
  for (size_t i = 0; i < x.count; i++) x.items[i] = i % INPUT_PITCH < INPUTS ? random_element() : (Element)0;
  for (size_t i = 0; i < weights.count; i++) {
    const size_t output = i / (KERNEL * KERNEL * INPUT_PITCH) % OUTPUT_PITCH;
    weights.items[i] = i % INPUT_PITCH < INPUTS && output < OUTPUTS ? random_element() : (Element)0;
  }
  const Element *x_at = x.items, *weights_at = weights.items;
  void *arguments[] = {&x_at, &weights_at, &y.items, &statistics.items};
  bool same = true;
  for (int schedule = 0; schedule < 3; schedule++) {
    y.poison();
    statistics.poison();
    const simulated::Launch launch = {conv2d_forward_simulated,
                                      arguments,
                                      {TILES, DIVIDE_UP(OUTPUT_PITCH, TILE_OUTPUTS), GROUPS},
                                      {THREADS, 1, 1},
                                      SHARED};
    simulated::launch(launch, (simulated::Schedule)schedule, 7);
    if (schedule == 0) {
      std::memcpy(first.items, y.items, y.count * sizeof(Element));
      std::memcpy(first_statistics.items, statistics.items, statistics.count * sizeof(float));
    }
    same = same && std::memcmp(first.items, y.items, y.count * sizeof(Element)) == 0 &&
           std::memcmp(first_statistics.items, statistics.items, statistics.count * sizeof(float)) == 0;
  }
  Error outputs, moments;
  bool zero = true;
  for (int pixel = 0; pixel < PIXELS; pixel++)
    for (int channel = 0; channel < CHANNELS_OUT; channel++) {
      const int group = channel / OUTPUT_PITCH, output = channel % OUTPUT_PITCH;
      const Element got = y.items[(size_t)pixel * CHANNELS_OUT + (size_t)channel];
      if (output >= OUTPUTS)
        zero = zero && got == 0;
      else
        outputs.add((double)element_to_float(got), output_of(x.items, weights.items, pixel, group, output));
    }
  for (int tile = 0; tile < TILES; tile++)
    for (int channel = 0; channel < CHANNELS_OUT; channel++) {
      const int begin = tile * TILE_PIXELS, end = begin + TILE_PIXELS < PIXELS ? begin + TILE_PIXELS : PIXELS;
      double sum = 0, squares = 0;
      for (int pixel = begin; pixel < end; pixel++)
        sum += (double)element_to_float(y.items[(size_t)pixel * CHANNELS_OUT + (size_t)channel]);
      for (int pixel = begin; pixel < end; pixel++) {
        const double value = (double)element_to_float(y.items[(size_t)pixel * CHANNELS_OUT + (size_t)channel]);
        squares += (value - sum / (end - begin)) * (value - sum / (end - begin));
      }
      const float *got = statistics.items + ((size_t)tile * CHANNELS_OUT + (size_t)channel) * 2;
      moments.add((double)got[0], sum);
      moments.add((double)got[1], squares);
    }
  const bool good = outputs.relative() <= OUTPUT_TOLERANCE && moments.relative() <= STATISTICS_TOLERANCE;
  std::printf("outputs %.2e, statistics %.2e, pads %s, schedules %s; %llu products\n", outputs.relative(),
              moments.relative(), zero ? "zero" : "NOT ZERO", same ? "agree" : "DIFFER",
              (unsigned long long)simulated::counts().products);
  return good && zero && same ? 0 : 1;
}
