// Weights between masters, floats w [outputs][inputs / groups][taps] of the channels that exist, and what convolutions
// multiply: elements for every channel in memory (channels.h), zero where it does not exist. taps: k * k. A group has
// O = outputs_all / groups channels of the output in memory, and I = inputs_all / groups of the input; the layouts of
// either (output_channels, output_pitch, ...) may have groups where the convolution has none. No weights have 2^31
// elements, packed or not.
//
// Constants: groups, taps, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch: SHAPE.
//
// Grid: elements (grid.h), no shared memory:
//   conv2d_pack(w, packed [outputs_all][taps][I], SHAPE)
//     for conv2d_forward.cu; one chunk a thread: count = outputs_all * taps * I / CHUNK
//   conv2d_pack_backward(w, packed [inputs_all][taps][O], SHAPE)
//     for conv2d_backward_input.cu; count as before
//   conv2d_fold_weight(parts [splits][outputs_all][taps][I], dw like w, splits, SHAPE)
//     the sum of what conv2d_backward_weight.cu leaves, splits in order; one element of dw a thread
#include "channels.h"
#include "grid.h"

#define SHAPE_PARAMETERS                                                                                            \
  int groups, int taps, int outputs_all, int output_channels, int output_pitch, int inputs_all, int input_channels, \
      int input_pitch
#define SHAPE groups, taps, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch

struct Weights {
  int groups, taps, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch;
};

DEVICE int group_inputs(Weights s) { return s.inputs_all / s.input_pitch * s.input_channels / s.groups; }

// Of channels in memory; inputs may be counted from the first of any group.
DEVICE float weight_get(const float *w, Weights s, int output, int input, int tap) {
  if (channels_exist(output, s.output_channels, s.output_pitch) <= 0 ||
      channels_exist(input, s.input_channels, s.input_pitch) <= 0)
    return 0;
  const int row = channel_number(output, s.output_channels, s.output_pitch);
  const int column = channel_number(input, s.input_channels, s.input_pitch) % group_inputs(s);
  return w[((u64)row * group_inputs(s) + column) * s.taps + tap];
}

// Chunks go to threads with taps changing fastest, as they do in w, whose reads then lie together.
DEVICE_KERNEL(conv2d_pack, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ packed, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const u32 at = (u32)grid_element();
  const int width = inputs_all / groups, tap = at % taps, input = at / taps % (width / CHUNK) * CHUNK;
  const int output = at / taps / (width / CHUNK);
  if (output >= outputs_all) return;
  Chunk out;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++)
    out.pairs[pair] = elements_pack(weight_get(w, s, output, input + 2 * pair, tap),
                                    weight_get(w, s, output, input + 2 * pair + 1, tap));
  chunk_store(packed + ((u64)output * taps + tap) * width + input, out);
}

DEVICE_KERNEL(conv2d_pack_backward, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ packed, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const u32 at = (u32)grid_element();
  const int width = outputs_all / groups, tap = at % taps, input = at / taps % inputs_all;
  const int output = at / taps / inputs_all * CHUNK, first = input / (inputs_all / groups) * width;
  if (output >= width) return;
  Chunk out;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++)
    out.pairs[pair] = elements_pack(weight_get(w, s, first + output + 2 * pair, input, tap),
                                    weight_get(w, s, first + output + 2 * pair + 1, input, tap));
  chunk_store(packed + ((u64)input * taps + tap) * width + output, out);
}

DEVICE_KERNEL(conv2d_fold_weight, THREADS, 1, 0,
              (const float *__restrict__ parts, float *__restrict__ dw, int splits, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const u32 at = (u32)grid_element();
  // In the order of the parts, which are read more often than dw is written.
  const int columns = group_inputs(s), column = at % columns, tap = at / columns % taps, row = at / columns / taps;
  const int outputs = outputs_all / output_pitch * output_channels, width = inputs_all / groups;
  if (row >= outputs) return;
  const int group = row / (outputs / groups), input = group * columns + column;
  const int output_place = row / output_channels * output_pitch + row % output_channels;
  const int input_place = input / input_channels * input_pitch + input % input_channels - group * width;
  const u64 from = ((u64)output_place * taps + tap) * width + input_place,
            split_elements = (u64)outputs_all * taps * width;
  float sum = 0;
#pragma unroll 1
  for (int split = 0; split < splits; split++) sum += parts[split * split_elements + from];
  dw[((u64)row * columns + column) * taps + tap] = sum;
}
