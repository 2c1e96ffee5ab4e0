// The gradient of what BatchNorm read: dx = dz * a + x * b + c, by channel (batch_norm_backward_fold.cu), rounded once.
//
// Constants: CHANNELS (a multiple of 8). dz, x [pixels][CHANNELS], lines [3][CHANNELS] -> dx like x.
// Grid: chunks of 8 elements by THREADS. No shared memory.
#include "device.h"

enum { THREADS = 256, CHUNKS = CHANNELS / CHUNK };

DEVICE_KERNEL(batch_norm_backward_apply, THREADS, 1, 0,
              (const Element *dz, const Element *__restrict__ x, const float *__restrict__ lines, Element *dx,
               u64 chunks)) {
  const u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (at >= chunks) return;
  const int channel = (int)(at % CHUNKS) * CHUNK;
  const Chunk gradient = chunk_load(dz + at * CHUNK), in = chunk_load(x + at * CHUNK);
  Chunk out;
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    float value[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int i = pair * 2 + k, c = channel + i;
      value[k] = chunk_get(gradient, i) * lines[c] + chunk_get(in, i) * lines[CHANNELS + c] + lines[2 * CHANNELS + c];
    }
    out.pairs[pair] = elements_pack(value[0], value[1]);
  }
  chunk_store(dx + at * CHUNK, out);
}
