// conv2d_backward_input.cu, one shape, against plain loops in double precision: the gradient and what is added to it, to
// their rounding, every element written, pads zero. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/conv2d_backward_input.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

int main() {
  Buffer<Element> dy((size_t)IMAGES * ROWS * COLUMNS * FROM_ALL), dx((size_t)IMAGES * HEIGHT * WIDTH * TO_ALL);
  Buffer<Element> add(dx.count), weights((size_t)TO_ALL * KERNEL * KERNEL * OUTPUT_PITCH);
  fill(dy, OUTPUTS, OUTPUT_PITCH);
  fill(add, INPUTS, INPUT_PITCH);
  fill(weights, OUTPUTS, OUTPUT_PITCH);
  const Packing packing = {GROUPS, INPUT_PITCH, OUTPUT_PITCH, KERNEL, STRIDE, TILE_CHANNELS, DEPTH};
  Buffer<Element> packed(packing.count());
  pack(packing, weights, INPUTS, packed);
  const Element *dy_at = dy.items, *weights_at = packed.items, *add_at = add.items;
  void *arguments[] = {&dy_at, &weights_at, &add_at, &dx.items};
  const simulated::Index grid = {DIVIDE_UP(PHASE_PIXELS, TILE_PIXELS), DIVIDE_UP(INPUT_PITCH, TILE_CHANNELS),
                                 GROUPS * PHASES};
  const bool same = run(conv2d_backward_input_simulated, arguments, grid, THREADS, TILE_BYTES, dx);
  Error error;
  bool zero = true;
  std::vector<double> sums((size_t)HEIGHT * WIDTH);
  for (int image = 0; image < IMAGES; image++)
    for (int channel = 0; channel < TO_ALL; channel++) {
      const int group = channel / INPUT_PITCH;
      const size_t pixels = (size_t)image * HEIGHT * WIDTH;
      for (size_t pixel = 0; pixel < sums.size(); pixel++)
        sums[pixel] = ADD ? (double)element_to_float(add.items[(pixels + pixel) * TO_ALL + (size_t)channel]) : 0;
      for_each_tap([&](int in, int out, int tap) {
        const Element *a = dy.items + ((size_t)image * ROWS * COLUMNS + (size_t)out) * FROM_ALL + group * OUTPUT_PITCH;
        const Element *b = weights.items + ((size_t)channel * KERNEL * KERNEL + (size_t)tap) * OUTPUT_PITCH;
        for (int i = 0; i < OUTPUTS; i++)
          sums[(size_t)in] += (double)element_to_float(a[i]) * (double)element_to_float(b[i]);
      });
      for (size_t pixel = 0; pixel < sums.size(); pixel++) {
        const double got = (double)element_to_float(dx.items[(pixels + pixel) * TO_ALL + (size_t)channel]);
        if (channel % INPUT_PITCH >= INPUTS)
          zero = zero && got == 0;
        else
          error.add(got, sums[pixel]);
      }
    }
  return verdict("gradient of the input", error.relative(), ROUNDING, zero, same);
}
