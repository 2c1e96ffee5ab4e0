// The two sums that the backward of BatchNorm needs, part by part: of the gradient where ReLU let its input through,
// and of that times what BatchNorm read, less its mean.
//
// Constants: CHANNELS, PIXELS (of all images), PART_PIXELS (of each part but the last), and
//   BACKWARD_RELU  1: the gradient counts where x * factor + shift is positive; 2: where y, what ReLU made, is;
//                  0: everywhere
//
// dy, x, y [PIXELS][CHANNELS] -> parts [parts][CHANNELS] = {sum dz, sum dz * (x - mean)}; with BACKWARD_RELU, masked
// like dy: dz.
// Grid: channels by 64 (a block has 8 chunks of 8 channels, by 32 rows of pixels), parts. Shared memory: SHARED_BYTES.
#include "device.h"

enum { CHUNKS = 8, ROWS = 32, THREADS = CHUNKS * ROWS, SHARED_BYTES = ROWS * CHUNKS * 8 * 2 * 4 };

DEVICE_KERNEL(batch_norm_backward_sums, THREADS, 1, SHARED_BYTES,
              (const Element *__restrict__ dy, const Element *__restrict__ x, const Element *__restrict__ y,
               const float *__restrict__ mean, const float *__restrict__ factor, const float *__restrict__ shift,
               Element *__restrict__ masked, float *__restrict__ parts)) {
  SHARED_MEMORY(memory);
  float *const shared = (float *)memory;
  const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS, channel = (blockIdx.x * CHUNKS + chunk) * 8;
  float sums[8], products[8];
#pragma unroll
  for (int i = 0; i < 8; i++) sums[i] = products[i] = 0;
  const int end = (int)(blockIdx.y + 1) * PART_PIXELS < PIXELS ? (int)(blockIdx.y + 1) * PART_PIXELS : PIXELS;
  if (channel < CHANNELS) {
#pragma unroll 1
    for (int pixel = blockIdx.y * PART_PIXELS + row; pixel < end; pixel += ROWS) {
      const u64 at = (u64)pixel * CHANNELS + channel;
      const Chunk gradient = chunk_load(dy + at), in = chunk_load(x + at);
      Chunk out = {}, kept;
      if (BACKWARD_RELU == 2) out = chunk_load(y + at);
#pragma unroll
      for (int pair = 0; pair < 4; pair++) {
        float d[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
          const int i = pair * 2 + k, c = channel + i;
          const float value = chunk_get(in, i);
          const bool through =
              BACKWARD_RELU == 0 || (BACKWARD_RELU == 1 ? value * factor[c] + shift[c] > 0 : chunk_get(out, i) > 0);
          d[k] = through ? chunk_get(gradient, i) : 0;
          sums[i] += d[k];
          products[i] += d[k] * (value - mean[c]);
        }
        kept.pairs[pair] = elements_pack(d[0], d[1]);
      }
      if (BACKWARD_RELU) chunk_store(masked + at, kept);
    }
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    shared[(row * CHUNKS * 8 + chunk * 8 + i) * 2] = sums[i];
    shared[(row * CHUNKS * 8 + chunk * 8 + i) * 2 + 1] = products[i];
  }
  block_wait();
  // Rows in order: halves of them, as a tree.
#pragma unroll 1
  for (int half = ROWS / 2; half > 0; half /= 2) {
    if (row < half)
#pragma unroll
      for (int i = 0; i < 16; i++)
        shared[(row * CHUNKS + chunk) * 16 + i] += shared[((row + half) * CHUNKS + chunk) * 16 + i];
    block_wait();
  }
  if (row == 0 && channel < CHANNELS)
#pragma unroll
    for (int i = 0; i < 16; i++) parts[((u64)blockIdx.y * CHANNELS + channel) * 2 + i] = shared[chunk * 16 + i];
}
