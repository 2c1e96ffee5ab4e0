// BatchNorm's output from the line of each channel (batch_norm_fold.cu), what is added to it, and ReLU.
//
// Constants: CHANNELS (all of a pixel, a multiple of 8), PIXELS (of all images), IMAGE_PIXELS (of one), FORWARD_RELU
// (0 or 1), and
//   ADD    0: nothing; 1: add as it lies, a block's input; 2: add normalised by a line of its own, a projection
//   SCALE  1: the result is multiplied by scale [n][CHANNELS], of squeeze-and-excitation
//
// x, add [PIXELS][CHANNELS] -> y like x, rounded once: (relu(x * factor + shift + add)) * scale.
// Grid: chunks of 8 elements by THREADS. No shared memory.
#include "device.h"

enum { THREADS = 256, CHUNKS = CHANNELS / 8 };

DEVICE_KERNEL(batch_norm_apply, THREADS, 1, 0,
              (const Element *__restrict__ x, const float *__restrict__ factor, const float *__restrict__ shift,
               const Element *__restrict__ add, const float *__restrict__ add_factor,
               const float *__restrict__ add_shift, const float *__restrict__ scale, Element *__restrict__ y)) {
  const u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (at >= (u64)PIXELS * CHUNKS) return;
  const int channel = (int)(at % CHUNKS) * 8;
  const Chunk in = chunk_load(x + at * 8);
  Chunk other = {}, out;
  if (ADD) other = chunk_load(add + at * 8);
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    float value[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int i = pair * 2 + k, c = channel + i;
      value[k] = chunk_get(in, i) * factor[c] + shift[c];
      if (ADD == 1) value[k] += chunk_get(other, i);
      if (ADD == 2) value[k] += chunk_get(other, i) * add_factor[c] + add_shift[c];
      if (FORWARD_RELU) value[k] = value[k] > 0 ? value[k] : 0;
      if (SCALE) value[k] *= scale[at / CHUNKS / IMAGE_PIXELS * CHANNELS + c];
    }
    out.pairs[pair] = elements_pack(value[0], value[1]);
  }
  chunk_store(y + at * 8, out);
}
