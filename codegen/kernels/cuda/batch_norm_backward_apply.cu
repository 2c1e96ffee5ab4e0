// The gradient of what BatchNorm read: dx = dz * a + x * b + c, by channel (batch_norm_backward_fold.cu), rounded once.
//
// Constants: CHANNELS (a multiple of 8), PIXELS. dz, x [PIXELS][CHANNELS], lines [3][CHANNELS] -> dx like x.
// Grid: chunks of 8 elements by THREADS. No shared memory.
#include "device.h"

enum { THREADS = 256, CHUNKS = CHANNELS / 8 };

DEVICE_KERNEL(batch_norm_backward_apply, THREADS, 1, 0,
              (const Element *__restrict__ dz, const Element *__restrict__ x, const float *__restrict__ lines,
               Element *__restrict__ dx)) {
  const u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (at >= (u64)PIXELS * CHUNKS) return;
  const int channel = (int)(at % CHUNKS) * 8;
  const Chunk gradient = chunk_load(dz + at * 8), in = chunk_load(x + at * 8);
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
  chunk_store(dx + at * 8, out);
}
