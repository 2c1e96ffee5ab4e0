// The two sums that the backward of BatchNorm needs, part by part: of the gradient where ReLU let its input through,
// and of that times what BatchNorm read, less its mean.
//
// Constants: CHANNELS (all of a pixel), GROUP_CHANNELS and GROUP_PITCH (channels.h), and
//   RELU   RELU_NONE: the gradient counts everywhere, and masked is not touched
//          RELU_STORED: where y, what ReLU made, is positive
//          RELU_VIEWED: where what line and ReLU make of x is (view.h); y is not touched
//          RELU_SCALED: the same, of the gradient that squeeze-and-excitation has scaled, and of its pool:
//          dy * scale + pooled / image_pixels, each product and the sum rounded as if it had been stored
//
// dy, x, y [pixels][CHANNELS], line [2][CHANNELS], scale and pooled [n][c], mean of the channels that exist -> parts
// [parts][CHANNELS] = {sum dz, sum dz * (x - mean)}, each but the last of part_pixels; with ReLU, masked like dy (which
// it may lie on): dz.
// Grid: channels by 64 (a block has 8 chunks of 8 channels, by 32 rows of pixels), parts. Shared memory: SHARED_BYTES.
#include "view.h"

enum { RELU_NONE, RELU_STORED, RELU_VIEWED, RELU_SCALED };
enum { CHUNKS = 8, ROWS = 32, THREADS = CHUNKS * ROWS, SHARED_BYTES = ROWS * CHUNKS * CHUNK * 2 * 4 };

// What becomes of the gradient of one image's channels before ReLU.
struct Scaling {
  int image;  // -1: none yet
  float scale[CHUNK];
  Chunk pooled;
};

DEVICE void scaling_load(Scaling &scaling, int image, int channel, const float *scale, const float *pooled,
                         int image_pixels) {
  const Channels channels = {CHANNELS, GROUP_CHANNELS, GROUP_PITCH};
  const u64 vectors = image * vector_width(channels);
  float values[CHUNK];
  vector_load(scale + vectors, channels, channel, scaling.scale);
  vector_load(pooled + vectors, channels, channel, values);
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] *= 1 / (float)image_pixels;
  scaling.pooled = chunk_make(values);
  scaling.image = image;
}

DEVICE Chunk scaling_apply(const Scaling &scaling, const Chunk &gradient) {
  const Chunk scaled = chunk_scale(gradient, scaling.scale);
  float values[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] = chunk_get(scaled, i) + chunk_get(scaling.pooled, i);
  return chunk_make(values);
}

DEVICE_KERNEL(batch_norm_backward_sums, THREADS, 1, SHARED_BYTES,
              (const Element *dy, const Element *__restrict__ x, const Element *__restrict__ y,
               const float *__restrict__ line, const float *__restrict__ scale, const float *__restrict__ pooled,
               const float *__restrict__ mean, Element *masked, float *__restrict__ parts, int pixels, int part_pixels,
               int image_pixels)) {
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
    Line part = {};
    if (RELU >= RELU_VIEWED) part = line_load(line, CHANNELS, channel);
    Scaling scaling = {};
    scaling.image = -1;
#pragma unroll 1
    for (int pixel = begin + row; pixel < end; pixel += ROWS) {
      const u64 at = (u64)pixel * CHANNELS + channel;
      const Chunk in = chunk_load(x + at);
      Chunk gradient = chunk_load(dy + at), out = {}, kept;
      if (RELU == RELU_STORED) out = chunk_load(y + at);
      if (RELU >= RELU_VIEWED) out = chunk_normalize(in, part);
      if (RELU == RELU_SCALED) {
        const int image = pixel / image_pixels;
        if (image != scaling.image) scaling_load(scaling, image, channel, scale, pooled, image_pixels);
        gradient = scaling_apply(scaling, gradient);
      }
#pragma unroll
      for (int pair = 0; pair < 4; pair++) {
        float d[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
          const int i = pair * 2 + k;
          d[k] = !RELU || chunk_get(out, i) > 0 ? chunk_get(gradient, i) : 0;
          sums[i] += d[k];
          products[i] = multiply_add(d[k], chunk_get(in, i) - means[i], products[i]);
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
