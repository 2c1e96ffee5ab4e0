// The two sums that the backward of BatchNorm needs, part by part: of the gradient where ReLU let its input through,
// and of that times what BatchNorm read, less its mean.
//
// Constants: CHANNELS (all of a pixel), GROUP_CHANNELS and GROUP_PITCH (channels.h), and
//   RELU  1: the gradient counts where y, what ReLU made, is positive; 0: everywhere, and y and masked are not touched
//
// dy, x, y [pixels][CHANNELS], mean of the channels that exist -> parts [parts][CHANNELS] = {sum dz, sum dz * (x -
// mean)}, each but the last of part_pixels; with RELU, masked like dy (which it may lie on): dz.
// Grid: channels by 64 (a block has 8 chunks of 8 channels, by 32 rows of pixels), parts. Shared memory: SHARED_BYTES.
#include "channels.h"

enum { CHUNKS = 8, ROWS = 32, THREADS = CHUNKS * ROWS, SHARED_BYTES = ROWS * CHUNKS * CHUNK * 2 * 4 };

DEVICE_KERNEL(batch_norm_backward_sums, THREADS, 1, SHARED_BYTES,
              (const Element *dy, const Element *__restrict__ x, const Element *__restrict__ y,
               const float *__restrict__ mean, Element *masked, float *__restrict__ parts, int pixels,
               int part_pixels)) {
  SHARED_MEMORY(memory);
  float *const shared = (float *)memory;
  const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS, channel = (blockIdx.x * CHUNKS + chunk) * CHUNK;
  float sums[CHUNK], products[CHUNK], means[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) {
    const bool exists = channel + i < CHANNELS && channels_exist(channel + i, GROUP_CHANNELS, GROUP_PITCH) > 0;
    means[i] = exists ? mean[channel_number(channel + i, GROUP_CHANNELS, GROUP_PITCH)] : 0;
    sums[i] = products[i] = 0;
  }
  const int begin = (int)blockIdx.y * part_pixels, end = begin + part_pixels < pixels ? begin + part_pixels : pixels;
  if (channel < CHANNELS) {
#pragma unroll 1
    for (int pixel = begin + row; pixel < end; pixel += ROWS) {
      const u64 at = (u64)pixel * CHANNELS + channel;
      const Chunk gradient = chunk_load(dy + at), in = chunk_load(x + at);
      Chunk out = {}, kept;
      if (RELU) out = chunk_load(y + at);
#pragma unroll
      for (int pair = 0; pair < 4; pair++) {
        float d[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
          const int i = pair * 2 + k;
          d[k] = !RELU || chunk_get(out, i) > 0 ? chunk_get(gradient, i) : 0;
          sums[i] += d[k];
          products[i] += d[k] * (chunk_get(in, i) - means[i]);
        }
        kept.pairs[pair] = elements_pack(d[0], d[1]);
      }
      if (RELU) chunk_store(masked + at, kept);
    }
  }
#pragma unroll
  for (int i = 0; i < CHUNK; i++) {
    shared[((row * CHUNKS + chunk) * CHUNK + i) * 2] = sums[i];
    shared[((row * CHUNKS + chunk) * CHUNK + i) * 2 + 1] = products[i];
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
