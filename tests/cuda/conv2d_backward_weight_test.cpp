// conv2d_backward_weight.cu, one shape, against plain loops in double precision: the sum of all splits to what single
// precision leaves of it, every element of every split written, pads zero. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/conv2d_backward_weight.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

int main() {
  const size_t taps = KERNEL * KERNEL, all = (size_t)OUTPUTS_ALL * taps * INPUT_PITCH;
  Buffer<Element> x((size_t)IMAGES * HEIGHT * WIDTH * INPUTS_ALL), dy((size_t)PIXELS * OUTPUTS_ALL);
  Buffer<float> parts(SPLITS * all);
  fill(x, INPUTS, INPUT_PITCH);
  fill(dy, OUTPUTS, OUTPUT_PITCH);
  const Element *x_at = x.items, *dy_at = dy.items;
  void *arguments[] = {&x_at, &dy_at, &parts.items};
  const simulated::Index grid = {(unsigned)(OUTPUT_TILES * INPUT_TILES * KERNEL * KERNEL), GROUPS, SPLITS};
  const bool same = run(conv2d_backward_weight_simulated, arguments, grid, THREADS, TILE_BYTES, parts);
  Error error;
  bool zero = true;
  std::vector<double> sums(taps * INPUT_PITCH);
  for (int output = 0; output < OUTPUTS_ALL; output++) {
    const int group = output / OUTPUT_PITCH;
    sums.assign(sums.size(), 0);
    for (int image = 0; image < IMAGES; image++)
      for_each_tap([&](int in, int out, int tap) {
        const Element *a = x.items + ((size_t)image * HEIGHT * WIDTH + (size_t)in) * INPUTS_ALL + group * INPUT_PITCH;
        const double b = (double)element_to_float(
            dy.items[((size_t)image * ROWS * COLUMNS + (size_t)out) * OUTPUTS_ALL + (size_t)output]);
        for (int i = 0; i < INPUT_PITCH; i++)
          sums[(size_t)tap * INPUT_PITCH + (size_t)i] += b * (double)element_to_float(a[i]);
      });
    for (size_t i = 0; i < sums.size(); i++) {
      double got = 0;
      for (size_t split = 0; split < SPLITS; split++)
        got += (double)parts.items[split * all + (size_t)output * sums.size() + i];
      if (output % OUTPUT_PITCH >= OUTPUTS || (int)(i % INPUT_PITCH) >= INPUTS)
        zero = zero && got == 0;
      else
        error.add(got, sums[i]);
    }
  }
  return verdict("gradient of the weights", error.relative(), SINGLE, zero, same);
}
