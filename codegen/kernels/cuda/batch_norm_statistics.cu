// What BatchNorm needs to know of images that a library made, as conv2d_forward.cu leaves it of its own.
//
// x [pixels][channels_all] -> statistics [tiles][channels_all] = {sum, sum of squared deviations from the tile's mean},
// of STATISTICS_PIXELS each, but the last. A block keeps its part of x in registers, so that it is read once.
// Grid: channels_all by 64 (a block has 8 chunks of 8 channels, by 32 rows of pixels), tiles. Shared memory:
// SHARED_BYTES.
#include "device.h"

enum { CHUNKS = 8, ROWS = 32, THREADS = CHUNKS * ROWS, HELD = 8, STATISTICS_PIXELS = ROWS * HELD };
enum { SHARED_BYTES = THREADS * CHUNK * 4 };

// Adds up the rows' values, halves of them as a tree; all get the sums.
DEVICE void rows_sum(float *shared, int chunk, int row, float (&values)[CHUNK]) {
  block_wait();  // nobody reads what the tree before has left
#pragma unroll
  for (int i = 0; i < CHUNK; i++) shared[(row * CHUNKS + chunk) * CHUNK + i] = values[i];
  block_wait();
#pragma unroll 1
  for (int half = ROWS / 2; half > 0; half /= 2) {
    if (row < half)
#pragma unroll
      for (int i = 0; i < CHUNK; i++)
        shared[(row * CHUNKS + chunk) * CHUNK + i] += shared[((row + half) * CHUNKS + chunk) * CHUNK + i];
    block_wait();
  }
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] = shared[chunk * CHUNK + i];
}

DEVICE_KERNEL(batch_norm_statistics, THREADS, 1, SHARED_BYTES,
              (const Element *__restrict__ x, float *__restrict__ statistics, int channels_all, int pixels)) {
  SHARED_MEMORY(memory);
  float *const shared = (float *)memory;
  const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS, channel = (blockIdx.x * CHUNKS + chunk) * CHUNK;
  const int begin = (int)blockIdx.y * STATISTICS_PIXELS, rest = pixels - begin;
  const int count = rest < STATISTICS_PIXELS ? rest : STATISTICS_PIXELS;
  Chunk kept[HELD] = {};
  float sums[CHUNK] = {}, squares[CHUNK] = {}, means[CHUNK];
#pragma unroll
  for (int i = 0; i < HELD; i++) {
    const int pixel = row + i * ROWS;
    if (pixel < count && channel < channels_all)
      kept[i] = chunk_load(x + (u64)(begin + pixel) * channels_all + channel);
#pragma unroll
    for (int k = 0; k < CHUNK; k++) sums[k] += chunk_get(kept[i], k);
  }
  rows_sum(shared, chunk, row, sums);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) means[k] = sums[k] / (float)count;
#pragma unroll
  for (int i = 0; i < HELD; i++) {
    const bool counts = row + i * ROWS < count;
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
      const float apart = counts ? chunk_get(kept[i], k) - means[k] : 0;
      squares[k] = multiply_add(apart, apart, squares[k]);
    }
  }
  rows_sum(shared, chunk, row, squares);
  if (row > 0 || channel >= channels_all) return;
  float *const to = statistics + ((u64)blockIdx.y * channels_all + channel) * 2;
#pragma unroll
  for (int k = 0; k < CHUNK; k++) to[2 * k] = sums[k], to[2 * k + 1] = squares[k];
}
