// Kernels of pack.cu of one type of element against the layouts written out: pads zero, several groups, one weight; and
// the sum of splits. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/pack.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

struct Shape {
  int groups, taps, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch, splits;
  int outputs() const { return outputs_all / output_pitch * output_channels; }
  int inputs() const { return inputs_all / input_pitch * input_channels; }
};

static int place_of(int number, int channels, int pitch) { return number / channels * pitch + number % channels; }

// packed as written out weight by weight onto zeros; `backward`: inputs are rows.
static std::vector<double> packed_wanted(const Shape &s, const Buffer<float> &w, bool backward) {
  const int outputs = s.outputs_all / s.groups, inputs = s.inputs_all / s.groups;
  std::vector<double> wanted((size_t)s.outputs_all * (size_t)s.taps * (size_t)inputs);
  for (int row = 0; row < s.outputs(); row++)
    for (int column = 0; column < s.inputs() / s.groups; column++)
      for (int tap = 0; tap < s.taps; tap++) {
        const int group = row / (s.outputs() / s.groups), o = place_of(row, s.output_channels, s.output_pitch);
        const int i = place_of(group * (s.inputs() / s.groups) + column, s.input_channels, s.input_pitch);
        const int to = backward ? (i * s.taps + tap) * outputs + o % outputs : (o * s.taps + tap) * inputs + i % inputs;
        wanted[(size_t)to] = (double)w.items[(row * (s.inputs() / s.groups) + column) * s.taps + tap];
      }
  return wanted;
}

static int packed_check(const char *what, const Buffer<Element> &packed, const std::vector<double> &wanted, bool same) {
  Error error;
  bool zero = true;
  for (size_t at = 0; at < packed.count; at++)
    if (wanted[at] != 0)
      error.add((double)element_to_float(packed.items[at]), wanted[at]);
    else
      zero = zero && packed.items[at] == 0;
  return verdict(what, error.relative(), ROUNDING, zero, same);
}

#define SHAPE_OF(s) \
  s.groups, s.taps, s.outputs_all, s.output_channels, s.output_pitch, s.inputs_all, s.input_channels, s.input_pitch

static int test(const Shape &s) {
  const int inputs = s.inputs_all / s.groups, columns = s.inputs() / s.groups;
  const size_t packed_count = (size_t)(s.outputs_all * s.taps * inputs);
  Buffer<float> w((size_t)(s.outputs() * columns * s.taps)), dw(w.count), parts((size_t)s.splits * packed_count);
  Buffer<Element> packed(packed_count);
  fill_floats(w, 2, 1);  // none is zero
  fill_floats(parts, 0, 1);
  const simulated::Index chunks = grid_of(packed_count / CHUNK, THREADS);
  bool same = RUN(conv2d_pack, chunks, packed, w.items, packed.items, SHAPE_OF(s));
  int failed = packed_check("weights", packed, packed_wanted(s, w, false), same);
  same = RUN(conv2d_pack_backward, chunks, packed, w.items, packed.items, SHAPE_OF(s));
  failed |= packed_check("weights of the backward", packed, packed_wanted(s, w, true), same);
  same = RUN(conv2d_fold_weight, grid_of(w.count, THREADS), dw, parts.items, dw.items, s.splits, SHAPE_OF(s));
  return failed | compare("gradient of the weights", dw, SINGLE, same, [&](size_t at) {
           const int tap = (int)at % s.taps, column = (int)at / s.taps % columns, row = (int)at / s.taps / columns;
           const int group = row / (s.outputs() / s.groups);
           const int o = place_of(row, s.output_channels, s.output_pitch);
           const int i = place_of(group * columns + column, s.input_channels, s.input_pitch) % inputs;
           double sum = 0;
           for (int split = 0; split < s.splits; split++)
             sum += (double)parts.items[(size_t)split * packed_count + (size_t)((o * s.taps + tap) * inputs + i)];
           return sum;
         });
}

// A grouped convolution; one weight; the stem; convolutions of one group that make, and read, channels in groups.
int main() {
  int failed = 0;
  for (const Shape &shape :
       {Shape{3, 9, 72, 20, 24, 48, 13, 16, 3}, Shape{1, 1, 8, 1, 8, 8, 1, 8, 1}, Shape{1, 9, 64, 64, 64, 8, 3, 8, 2},
        Shape{1, 1, 48, 13, 16, 40, 37, 40, 2}, Shape{1, 1, 40, 40, 40, 48, 21, 24, 5}})
    failed |= test(shape);
  return failed;
}
