// Weights between masters, floats w [o][c/groups][taps] with o = groups * outputs and c = groups * inputs, and what
// convolutions multiply, elements whose groups have pitches (multiples of CHUNK). taps: k * k. No weights
// have 2^31 elements, packed or not.
//
// Grid: elements (grid.h), no shared memory:
//   conv2d_pack(w, packed [groups*output_pitch][taps][input_pitch], groups, outputs, inputs, taps, output_pitch,
//               input_pitch)
//     for conv2d_forward.cu; pads are zero; one chunk a thread: count = groups * output_pitch * taps * input_pitch /
//     CHUNK
//   conv2d_pack_backward(w, packed [groups*input_pitch][taps][output_pitch], the same)
//     for conv2d_backward_input.cu; count as before
//   conv2d_fold_weight(parts [splits][groups*output_pitch][taps][input_pitch], dw like w, splits, the same)
//     the sum of what conv2d_backward_weight.cu leaves, splits in order; one element of dw a thread: count = groups *
//     outputs * inputs * taps
#include "grid.h"

// Chunks go to threads in the order of w, whose reads then lie together: taps change fastest, then chunks or channels.
struct Weights {
  const float *w;
  int groups, outputs, inputs, taps;
};
DEVICE float weight_get(Weights w, int group, int output, int input, int tap) {
  const bool there = output < w.outputs && input < w.inputs;
  return there ? w.w[(((u64)group * w.outputs + output) * w.inputs + input) * w.taps + tap] : 0;
}

DEVICE_KERNEL(conv2d_pack, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ packed, int groups, int outputs, int inputs, int taps,
               int output_pitch, int input_pitch)) {
  const u32 at = (u32)grid_element();
  const int chunks = input_pitch / CHUNK, tap = at % taps, input = at / taps % chunks * CHUNK;
  const int row = at / taps / chunks, output = row % output_pitch, group = row / output_pitch;
  if (group >= groups) return;
  const Weights weights = {w, groups, outputs, inputs, taps};
  Chunk out;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++)
    out.pairs[pair] = elements_pack(weight_get(weights, group, output, input + 2 * pair, tap),
                                    weight_get(weights, group, output, input + 2 * pair + 1, tap));
  chunk_store(packed + ((u64)row * taps + tap) * input_pitch + input, out);
}

DEVICE_KERNEL(conv2d_pack_backward, THREADS, 1, 0,
              (const float *__restrict__ w, Element *__restrict__ packed, int groups, int outputs, int inputs, int taps,
               int output_pitch, int input_pitch)) {
  const u32 at = (u32)grid_element();
  const int chunks = output_pitch / CHUNK, tap = at % taps, input = at / taps % input_pitch;
  const int run = at / taps / input_pitch, output = run % chunks * CHUNK, group = run / chunks;
  if (group >= groups) return;
  const Weights weights = {w, groups, outputs, inputs, taps};
  Chunk out;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++)
    out.pairs[pair] = elements_pack(weight_get(weights, group, output + 2 * pair, input, tap),
                                    weight_get(weights, group, output + 2 * pair + 1, input, tap));
  chunk_store(packed + (((u64)group * input_pitch + input) * taps + tap) * output_pitch + output, out);
}

DEVICE_KERNEL(conv2d_fold_weight, THREADS, 1, 0,
              (const float *__restrict__ parts, float *__restrict__ dw, int splits, int groups, int outputs, int inputs,
               int taps, int output_pitch, int input_pitch)) {
  const u32 at = (u32)grid_element();
  // In the order of the parts, which are read more often than dw is written.
  const int input = at % inputs, tap = at / inputs % taps, row = at / inputs / taps, group = row / outputs;
  if (group >= groups) return;
  const u64 from = (((u64)group * output_pitch + row % outputs) * taps + tap) * input_pitch + input;
  const u64 split_elements = (u64)groups * output_pitch * taps * input_pitch;
  float sum = 0;
#pragma unroll 1
  for (int split = 0; split < splits; split++) sum += parts[split * split_elements + from];
  dw[((u64)row * inputs + input) * taps + tap] = sum;
}
