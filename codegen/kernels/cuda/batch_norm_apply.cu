// BatchNorm's output from the line of each channel (batch_norm_fold.cu), what is added to it, and ReLU.
//
// Constants: CHANNELS (all of a pixel, a multiple of 8), ADD, RELU (0 or 1).
//
// x, add (ADD) [pixels][CHANNELS], line [2][CHANNELS] -> y like x, rounded once: x * factor + shift + add, of which
// RELU leaves what is positive. Grid: chunks of 8 elements by THREADS. No shared memory.
#include "view.h"

enum { THREADS = 256, CHUNKS = CHANNELS / CHUNK };

DEVICE_KERNEL(batch_norm_apply, THREADS, 1, 0,
              (const Element *__restrict__ x, const float *__restrict__ line, const Element *__restrict__ add,
               Element *__restrict__ y, u64 chunks)) {
  const u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (at >= chunks) return;
  const int channel = (int)(at % CHUNKS) * CHUNK;
  const Chunk in = chunk_load(x + at * CHUNK);
  const Line part = line_load(line, CHANNELS, channel);
  if (RELU && !ADD) {
    chunk_store(y + at * CHUNK, chunk_normalize(in, part));
    return;
  }
  Chunk other = {}, out;
  if (ADD) other = chunk_load(add + at * CHUNK);
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    float value[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int i = pair * 2 + k;
      value[k] = multiply_add(chunk_get(in, i), part.factors[i], part.shifts[i]);
      if (ADD) value[k] += chunk_get(other, i);
    }
    out.pairs[pair] = RELU ? elements_pack_positive(value[0], value[1]) : elements_pack(value[0], value[1]);
  }
  chunk_store(y + at * CHUNK, out);
}
