// Kernels of pack.cu of one type of element against the layouts written out: pads zero, several groups, one weight; and
// the sum of splits. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/pack.cu"

#include "tests/cuda/kernel_test.h"

struct Shape {
  int groups, outputs, inputs, taps, output_pitch, input_pitch, splits;
};

static size_t weight_at(const Shape &s, int group, int output, int input, int tap) {
  return (size_t)(((group * s.outputs + output) * s.inputs + input) * s.taps + tap);
}

// What lies at [group][row][tap][column] of packed weights, rows being outputs or, `backward`, inputs.
static int packed_check(const char *what, const Shape &s, const Buffer<float> &w, const Buffer<Element> &packed,
                        bool backward, bool same) {
  const int rows = backward ? s.input_pitch : s.output_pitch, columns = backward ? s.output_pitch : s.input_pitch;
  Error error;
  bool zero = true;
  size_t at = 0;
  for (int group = 0; group < s.groups; group++)
    for (int row = 0; row < rows; row++)
      for (int tap = 0; tap < s.taps; tap++)
        for (int column = 0; column < columns; column++, at++) {
          const int output = backward ? column : row, input = backward ? row : column;
          if (output < s.outputs && input < s.inputs)
            error.add((double)element_to_float(packed.items[at]),
                      (double)w.items[weight_at(s, group, output, input, tap)]);
          else
            zero = zero && packed.items[at] == 0;
        }
  return verdict(what, error.relative(), ROUNDING, zero, same);
}

static int test(const Shape &s) {
  const size_t packed_count = (size_t)(s.groups * s.output_pitch * s.taps * s.input_pitch);
  Buffer<float> w((size_t)(s.groups * s.outputs * s.inputs * s.taps)), dw(w.count);
  Buffer<float> parts((size_t)s.splits * packed_count);
  Buffer<Element> packed(packed_count);
  fill_floats(w, 0, 1);
  fill_floats(parts, 0, 1);
  const simulated::Index chunks = grid_of(packed_count / CHUNK, THREADS);
  bool same = RUN(conv2d_pack, chunks, packed, w.items, packed.items, s.groups, s.outputs, s.inputs, s.taps,
                  s.output_pitch, s.input_pitch);
  int failed = packed_check("weights", s, w, packed, false, same);
  same = RUN(conv2d_pack_backward, chunks, packed, w.items, packed.items, s.groups, s.outputs, s.inputs, s.taps,
             s.output_pitch, s.input_pitch);
  failed |= packed_check("weights of the backward", s, w, packed, true, same);
  same = RUN(conv2d_fold_weight, grid_of(w.count, THREADS), dw, parts.items, dw.items, s.splits, s.groups, s.outputs,
             s.inputs, s.taps, s.output_pitch, s.input_pitch);
  return failed | compare("gradient of the weights", dw, SINGLE, same, [&](size_t i) {
           const int at = (int)i, tap = at % s.taps, input = at / s.taps % s.inputs, row = at / s.taps / s.inputs;
           const int place = row / s.outputs * s.output_pitch + row % s.outputs;
           double sum = 0;
           for (int split = 0; split < s.splits; split++)
             sum += (double)parts
                        .items[(size_t)split * packed_count + (size_t)((place * s.taps + tap) * s.input_pitch + input)];
           return sum;
         });
}

int main() {
  int failed = 0;
  for (const Shape &shape : {Shape{3, 20, 13, 9, 24, 16, 3}, Shape{1, 1, 1, 1, 8, 8, 1}, Shape{1, 64, 3, 9, 64, 8, 2},
                             Shape{2, 8, 8, 1, 8, 8, 5}})
    failed |= test(shape);
  return failed;
}
