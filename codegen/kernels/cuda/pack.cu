// Weights between masters, floats w [outputs][inputs / groups][taps] of the channels that exist, and what convolutions
// multiply: elements for every channel in memory (channels.h), zero where it does not exist. taps: kernel * kernel. A
// group has O = outputs_all / groups channels of the output in memory, and I = inputs_all / groups of the input; the
// layouts of either (output_channels, output_pitch, ...) may have groups where the convolution has none. No weights
// have 2^31 elements, packed or not.
//
// SHAPE: groups, kernel, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch, integers.
//
// Grid: elements (grid.h), no shared memory:
//   conv2d_pack(w, packed as weights.h orders it, SHAPE, stride, tile_channels, tile_depth, turned)
//     for conv2d_forward.cu: a tile's channels are outputs, the depth inputs, and stride is 1; turned, for
//     conv2d_backward_input.cu: the other way round. tile_depth as there. One chunk of what exists a thread:
//     count = groups * tiles of a group * tile_channels * taps * (I, turned O) / CHUNK
//   conv2d_round(w, rounded [outputs_all][taps][I], SHAPE)
//     as libraries read them; one chunk a thread: count = outputs_all * taps * I / CHUNK
//   conv2d_widen_weight(rounded [outputs_all][taps][I], dw like w, SHAPE)
//     of a gradient that a library has rounded; one element of dw a thread
//   conv2d_fold_weight(parts [splits][outputs_all][taps][I], dw like w, splits, SHAPE)
//     the sum of what conv2d_backward_weight.cu leaves, splits in order; one element of dw a thread
#include "channels.h"
#include "grid.h"
#include "weights.h"

#define SHAPE_PARAMETERS                                                                                              \
  int groups, int kernel, int outputs_all, int output_channels, int output_pitch, int inputs_all, int input_channels, \
      int input_pitch
#define SHAPE groups, kernel, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch

struct Weights {
  int groups, kernel, outputs_all, output_channels, output_pitch, inputs_all, input_channels, input_pitch;
};

DEVICE int group_inputs(Weights s) { return s.inputs_all / s.input_pitch * s.input_channels / s.groups; }

// Eight weights from an output and an input in memory on: those of as many inputs, or, turned, outputs; so many lie in
// one group of either layout.
DEVICE Chunk weights_round(const float *w, Weights s, int output, int input, int tap, bool turned) {
  const int outputs = channels_exist(output, s.output_channels, s.output_pitch);
  const int inputs = channels_exist(input, s.input_channels, s.input_pitch);
  const int exist = turned ? (inputs > 0 ? outputs : 0) : (outputs > 0 ? inputs : 0);
  const int row = channel_number(output, s.output_channels, s.output_pitch), columns = group_inputs(s);
  const int column = channel_number(input, s.input_channels, s.input_pitch) % columns;
  const u64 taps = s.kernel * s.kernel, apart = turned ? columns * taps : taps;
  const float *const first = w + ((u64)row * columns + column) * taps + tap;
  Chunk out;
#pragma unroll
  for (int i = 0; i < CHUNK; i += 2)
    out.pairs[i / 2] = elements_pack(i < exist ? first[i * apart] : 0, i + 1 < exist ? first[(i + 1) * apart] : 0);
  return out;
}

// The steps of a tile: `packed` is where its first one lies.
struct TileSteps {
  Element *packed;
  int channels, depth;
  // depth_at: from the first step's beginning.
  DEVICE_MEMBER void store(int channel, int depth_at, Chunk chunk) const {
    const u64 step = depth_at / depth;
    chunk_store(packed + step * channels * depth + swizzled_place(depth, channel, depth_at % depth) / 2, chunk);
  }
};

// Taps change fastest from thread to thread, then inputs, as they do in w, whose reads then lie together.
DEVICE_KERNEL(conv2d_pack, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ packed, SHAPE_PARAMETERS, int stride,
               int tile_channels, int tile_depth, int turned)) {
  const Weights s = {SHAPE};
  const int outputs = outputs_all / groups, inputs = inputs_all / groups, taps = kernel * kernel;
  const int channels = turned ? inputs : outputs, width = turned ? outputs : inputs, chunks = width / CHUNK;
  const int group_rows = DIVIDE_UP(channels, tile_channels) * tile_channels, rows = groups * group_rows;
  const u32 at = (u32)grid_element();
  const int tap = at % taps, place = at / taps;
  const int row = turned ? place % rows : place / chunks, first = (turned ? place / rows : place % chunks) * CHUNK;
  if (row >= rows || first >= width) return;
  const int group = row / group_rows, channel = row % group_rows;

  const int tap_row = tap / kernel, tap_column = tap % kernel;
  const int columns = phase_lines(kernel, stride, tap_column % stride);
  const int phase_taps = phase_lines(kernel, stride, tap_row % stride) * columns;
  const int number = tap_row / stride * columns + tap_column / stride;  // of the phase's
  const int depth = STEP_DEPTH(taps * width, tile_depth);
  const int before = steps_before(tap_row % stride * stride + tap_column % stride, kernel, stride, width, depth);
  const int steps = steps_before(stride * stride, kernel, stride, width, depth);
  const TileSteps tile = {packed + (u64)(row / tile_channels) * steps * tile_channels * depth, tile_channels, depth};

  const Chunk zeros = {};
  tile.store(channel % tile_channels, before * depth + number * width + first,
             channel < channels ? weights_round(w, s, group * outputs + (turned ? first : channel),
                                                group * inputs + (turned ? channel : first), tap, turned)
                                : zeros);
  if (number + 1 < phase_taps) return;
    // What the phase's last step has beyond its depth.
#pragma unroll 1
  for (int rest = phase_taps * width + first; rest < DIVIDE_UP(phase_taps * width, depth) * depth; rest += width)
    tile.store(channel % tile_channels, before * depth + rest, zeros);
}

// An element of dw: its place there, and in a gradient of every weight in memory [outputs_all][taps][I]. In the order
// of the latter, which is read more often than dw is written.
struct WeightPlace {
  bool exists;
  u64 from, to;
};

DEVICE WeightPlace weight_place(Weights s, u32 at) {
  const int columns = group_inputs(s), column = at % columns, taps = s.kernel * s.kernel;
  const int tap = at / columns % taps, row = at / columns / taps;
  const int outputs = s.outputs_all / s.output_pitch * s.output_channels, width = s.inputs_all / s.groups;
  const int group = row / (outputs / s.groups), input = group * columns + column;
  const int output_place = row / s.output_channels * s.output_pitch + row % s.output_channels;
  const int input_place = input / s.input_channels * s.input_pitch + input % s.input_channels - group * width;
  return WeightPlace{row < outputs, ((u64)output_place * taps + tap) * width + input_place,
                     ((u64)row * columns + column) * taps + tap};
}

DEVICE_KERNEL(conv2d_fold_weight, THREADS, 1, 0,
              (const float *__restrict__ parts, float *__restrict__ dw, int splits, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const WeightPlace place = weight_place(s, (u32)grid_element());
  if (!place.exists) return;
  const u64 split_elements = (u64)outputs_all * kernel * kernel * (inputs_all / groups);
  float sum = 0;
#pragma unroll 1
  for (int split = 0; split < splits; split++) sum += parts[split * split_elements + place.from];
  dw[place.to] = sum;
}

DEVICE_KERNEL(conv2d_widen_weight, THREADS, 1, 0,
              (const Element *__restrict__ rounded, float *__restrict__ dw, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const WeightPlace place = weight_place(s, (u32)grid_element());
  if (place.exists) dw[place.to] = element_to_float(rounded[place.from]);
}

// One chunk of inputs a thread, of every weight in memory.
DEVICE_KERNEL(conv2d_round, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ rounded, SHAPE_PARAMETERS)) {
  const Weights s = {SHAPE};
  const int width = inputs_all / groups, chunks = width / CHUNK, taps = kernel * kernel;
  const u32 at = (u32)grid_element();
  const int output = at / chunks / taps, tap = at / chunks % taps, first = at % chunks * CHUNK;
  if (output >= outputs_all) return;
  const int group = output / (outputs_all / groups);
  chunk_store(rounded + (u64)at * CHUNK, weights_round(w, s, output, group * width + first, tap, false));
}
