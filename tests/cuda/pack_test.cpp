// Kernels of pack.cu of one type of element against the layouts written out: pads zero, several groups, one weight,
// several tiles and steps, phases with and without taps; and the sum of splits. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/pack.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

struct Shape {
  int groups, kernel, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch, splits;
  int stride, tile_channels, tile_depth;  // the stride of the gradient
  int taps() const { return kernel * kernel; }
  int outputs() const { return outputs_all / output_pitch * output_channels; }
  int inputs() const { return inputs_all / input_pitch * input_channels; }
};

static int place_of(int number, int channels, int pitch) { return number / channels * pitch + number % channels; }

// `turned`: inputs are rows.
static Packing packing_of(const Shape &s, bool turned) {
  const int outputs = s.outputs_all / s.groups, inputs = s.inputs_all / s.groups, width = turned ? outputs : inputs;
  return Packing{s.groups,
                 turned ? inputs : outputs,
                 width,
                 s.kernel,
                 turned ? s.stride : 1,
                 s.tile_channels,
                 STEP_DEPTH(s.taps() * width, s.tile_depth)};
}

// Written out weight by weight onto zeros.
static std::vector<double> packed_wanted(const Shape &s, const Buffer<float> &w, bool turned) {
  const int outputs = s.outputs_all / s.groups, inputs = s.inputs_all / s.groups;
  const Packing packing = packing_of(s, turned);
  std::vector<double> wanted(packing.count());
  for (int row = 0; row < s.outputs(); row++)
    for (int column = 0; column < s.inputs() / s.groups; column++)
      for (int tap = 0; tap < s.taps(); tap++) {
        const int group = row / (s.outputs() / s.groups), o = place_of(row, s.output_channels, s.output_pitch);
        const int i = place_of(group * (s.inputs() / s.groups) + column, s.input_channels, s.input_pitch);
        const size_t to = turned ? packing.place(group, i % inputs, tap, o % outputs)
                                 : packing.place(group, o % outputs, tap, i % inputs);
        wanted[to] = (double)w.items[(row * (s.inputs() / s.groups) + column) * s.taps() + tap];
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
  s.groups, s.kernel, s.outputs_all, s.output_channels, s.output_pitch, s.inputs_all, s.input_channels, s.input_pitch

static int packs_test(const Shape &s, const Buffer<float> &w, bool turned) {
  const Packing packing = packing_of(s, turned);
  Buffer<Element> packed(packing.count());
  const size_t chunks = (size_t)(s.groups * packing.tiles() * s.tile_channels * s.taps() * packing.width / CHUNK);
  const bool same = RUN(conv2d_pack, grid_of(chunks, THREADS), packed, w.items, packed.items, SHAPE_OF(s),
                        packing.stride, s.tile_channels, s.tile_depth, turned);
  return packed_check(turned ? "weights turned" : "weights", packed, packed_wanted(s, w, turned), same);
}

// As libraries read them.
static int round_test(const Shape &s, const Buffer<float> &w) {
  const int inputs = s.inputs_all / s.groups, columns = s.inputs() / s.groups;
  const size_t count = (size_t)(s.outputs_all * s.taps() * inputs);
  Buffer<Element> rounded(count);
  const bool same = RUN(conv2d_round, grid_of(count / CHUNK, THREADS), rounded, w.items, rounded.items, SHAPE_OF(s));
  std::vector<double> wanted(count);
  for (int row = 0; row < s.outputs(); row++)
    for (int column = 0; column < columns; column++)
      for (int tap = 0; tap < s.taps(); tap++) {
        const int group = row / (s.outputs() / s.groups), o = place_of(row, s.output_channels, s.output_pitch);
        const int i = place_of(group * columns + column, s.input_channels, s.input_pitch) % inputs;
        wanted[(size_t)((o * s.taps() + tap) * inputs + i)] =
            (double)w.items[(row * columns + column) * s.taps() + tap];
      }
  return packed_check("weights for libraries", rounded, wanted, same);
}

// Of a gradient of every weight in memory.
static int widen_test(const Shape &s) {
  const int inputs = s.inputs_all / s.groups, columns = s.inputs() / s.groups;
  Buffer<Element> rounded((size_t)(s.outputs_all * s.taps() * inputs));
  Buffer<float> dw((size_t)(s.outputs() * columns * s.taps()));
  fill(rounded, 1, 1);
  const bool same = RUN(conv2d_widen_weight, grid_of(dw.count, THREADS), dw, rounded.items, dw.items, SHAPE_OF(s));
  return compare("gradient of a library", dw, 0, same, [&](size_t at) {
    const int tap = (int)at % s.taps(), column = (int)at / s.taps() % columns, row = (int)at / s.taps() / columns;
    const int o = place_of(row, s.output_channels, s.output_pitch);
    const int i = place_of(row / (s.outputs() / s.groups) * columns + column, s.input_channels, s.input_pitch) % inputs;
    return (double)element_to_float(rounded.items[(o * s.taps() + tap) * inputs + i]);
  });
}

static int test(const Shape &s) {
  const int inputs = s.inputs_all / s.groups, columns = s.inputs() / s.groups;
  const size_t part_count = (size_t)(s.outputs_all * s.taps() * inputs);
  Buffer<float> w((size_t)(s.outputs() * columns * s.taps())), dw(w.count), parts((size_t)s.splits * part_count);
  fill_floats(w, 2, 1);  // none is zero
  fill_floats(parts, 0, 1);
  const int failed = packs_test(s, w, false) | packs_test(s, w, true) | round_test(s, w) | widen_test(s);
  const bool same =
      RUN(conv2d_fold_weight, grid_of(w.count, THREADS), dw, parts.items, dw.items, s.splits, SHAPE_OF(s));
  return failed | compare("gradient of the weights", dw, SINGLE, same, [&](size_t at) {
           const int tap = (int)at % s.taps(), column = (int)at / s.taps() % columns,
                     row = (int)at / s.taps() / columns;
           const int group = row / (s.outputs() / s.groups);
           const int o = place_of(row, s.output_channels, s.output_pitch);
           const int i = place_of(group * columns + column, s.input_channels, s.input_pitch) % inputs;
           double sum = 0;
           for (int split = 0; split < s.splits; split++)
             sum += (double)parts.items[(size_t)split * part_count + (size_t)((o * s.taps() + tap) * inputs + i)];
           return sum;
         });
}

// A grouped convolution with a stride; one weight, of which three phases have none; the stem; convolutions of one group
// that make, and read, channels in groups; phases of one, two and four taps.
int main() {
  int failed = 0;
  for (const Shape &shape :
       {Shape{3, 3, 72, 20, 24, 48, 13, 16, 3, 2, 16, 32}, Shape{1, 1, 8, 1, 8, 8, 1, 8, 1, 2, 16, 16},
        Shape{1, 3, 64, 64, 64, 8, 3, 8, 2, 1, 32, 64}, Shape{1, 1, 48, 13, 16, 40, 37, 40, 2, 1, 64, 32},
        Shape{1, 1, 40, 40, 40, 48, 21, 24, 5, 3, 24, 32}, Shape{2, 3, 208, 102, 104, 48, 24, 24, 1, 2, 88, 32}})
    failed |= test(shape);
  return failed;
}
