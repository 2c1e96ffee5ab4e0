// conv2d_backward_weight.cu, one shape, against plain loops in double precision: the sum of all splits to what single
// precision leaves of it, every element of every split written, pads zero. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/conv2d_backward_weight.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

int main() {
  const size_t taps = KERNEL * KERNEL, all = (size_t)OUTPUTS_ALL * taps * INPUT_PITCH;
  Buffer<Element> x((size_t)IMAGES * HEIGHT * WIDTH * INPUTS_ALL), dy((size_t)PIXELS * OUTPUTS_ALL);
  Buffer<float> parts(SPLITS * all), stored(parts.count);
  const bool scaled = VIEW == VIEW_SCALED;
  const int exist = scaled ? VIEW_CHANNELS : INPUTS, pitch = scaled ? VIEW_PITCH : INPUT_PITCH;
  fill(x, exist, pitch);
  const Sight sight(x, IMAGES, INPUTS_ALL / pitch, exist, pitch, VIEW != VIEW_PLAIN, scaled);
  fill(dy, OUTPUTS, OUTPUT_PITCH);
  const Element *x_at = x.items, *dy_at = dy.items;
  const float *line = sight.line.items, *scale = sight.scale.items;
  void *arguments[] = {&x_at, &line, &scale, &dy_at, &parts.items};
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
        const Element *a =
            sight.seen.items + ((size_t)image * HEIGHT * WIDTH + (size_t)in) * INPUTS_ALL + group * INPUT_PITCH;
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
  const int failed = verdict("gradient of the weights", error.relative(), SINGLE, zero, same);
  if (VIEW == VIEW_PLAIN) return failed;
  std::memcpy((void *)stored.items, parts.items, parts.bytes());
  x_at = sight.seen.items, line = sight.line_kept.items, scale = sight.scale_kept.items;
  run(conv2d_backward_weight_simulated, arguments, grid, THREADS, TILE_BYTES, parts);
  return verdict("view", std::memcmp(stored.items, parts.items, parts.bytes()) ? 1 : 0, 0, true, true) | failed;
}
