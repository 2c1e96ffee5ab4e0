// BatchNorm's output from the line of each channel (batch_norm_fold.cu), what is added to it, and ReLU.
//
// Constants: CHANNELS (all of a pixel, a multiple of 8), ADD, RELU (0 or 1).
//
// x, add (ADD) [pixels][CHANNELS], line [2][CHANNELS] -> y like x, rounded once: x * factor + shift + add, of which
// RELU leaves what is positive. Grid: chunks of 8 elements by THREADS. No shared memory.
#include "device.h"

enum { THREADS = 256, CHUNKS = CHANNELS / CHUNK };

DEVICE_KERNEL(batch_norm_apply, THREADS, 1, 0,
              (const Element *__restrict__ x, const float *__restrict__ line, const Element *__restrict__ add,
               Element *__restrict__ y, u64 chunks)) {
  const u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (at >= chunks) return;
  const int channel = (int)(at % CHUNKS) * CHUNK;
  const Chunk in = chunk_load(x + at * CHUNK);
  Chunk other = {}, out;
  if (ADD) other = chunk_load(add + at * CHUNK);
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    float value[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int i = pair * 2 + k, c = channel + i;
      value[k] = chunk_get(in, i) * line[c] + line[CHANNELS + c];
      if (ADD) value[k] += chunk_get(other, i);
      if (RELU) value[k] = value[k] > 0 ? value[k] : 0;
    }
    out.pairs[pair] = elements_pack(value[0], value[1]);
  }
  chunk_store(y + at * CHUNK, out);
}
