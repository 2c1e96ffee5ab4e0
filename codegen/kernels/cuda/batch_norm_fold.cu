// What the statistics of tiles say of whole channels: mean and variance; and from those the line that normalises.
#include "channels.h"

enum {
  WIDTH_THREADS = 32,
  SEGMENTS = 8,
  THREADS = WIDTH_THREADS * SEGMENTS,
  SHARED_BYTES = SEGMENTS * WIDTH_THREADS * 3 * 8,
  LINE_THREADS = 64
};

// Of some pixels: how many, their mean, the sum of squared deviations from it.
struct Moments {
  double count, mean, squares;
};

// Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
DEVICE Moments moments_join(Moments a, Moments b) {
  if (b.count == 0) return a;
  const double count = a.count + b.count, apart = b.mean - a.mean;
  return Moments{count, a.mean + apart * (b.count / count),
                 a.squares + b.squares + apart * apart * (a.count * b.count / count)};
}

// statistics [tiles][channels_all] = {sum, sum of squared deviations from the tile's mean}, as conv2d_forward.cu leaves
// them; each tile but the last has tile_pixels -> mean, variance (biased), of the channels that exist. In double
// precision, tiles in order, by segments of them: no digit depends on anything but the shape.
// Grid: channels_all by 32. Shared memory: SHARED_BYTES.
DEVICE_KERNEL(batch_norm_fold, THREADS, 1, SHARED_BYTES,
              (const float *__restrict__ statistics, float *__restrict__ mean, float *__restrict__ variance, int pixels,
               int tile_pixels, int channels_all, int group_channels, int group_pitch)) {
  SHARED_MEMORY(memory);
  Moments *const shared = (Moments *)memory;
  const int channel = blockIdx.x * WIDTH_THREADS + threadIdx.x % WIDTH_THREADS, segment = threadIdx.x / WIDTH_THREADS;
  const int tiles = DIVIDE_UP(pixels, tile_pixels);
  const bool exists = channel < channels_all && channels_exist(channel, group_channels, group_pitch) > 0;
  Moments all = {0, 0, 0};
  if (exists) {
#pragma unroll 1
    for (int tile = (int)((u64)tiles * segment / SEGMENTS); tile < (int)((u64)tiles * (segment + 1) / SEGMENTS);
         tile++) {
      const double count = tile + 1 < tiles ? tile_pixels : pixels - (tiles - 1) * tile_pixels;
      const float *at = statistics + ((u64)tile * channels_all + channel) * 2;
      all = moments_join(all, Moments{count, at[0] / count, at[1]});
    }
  }
  shared[threadIdx.x] = all;
  block_wait();
  if (segment > 0 || !exists) return;
#pragma unroll 1
  for (int i = 1; i < SEGMENTS; i++) all = moments_join(all, shared[i * WIDTH_THREADS + threadIdx.x]);
  const int number = channel_number(channel, group_channels, group_pitch);
  mean[number] = (float)all.mean;
  variance[number] = (float)(all.squares / all.count);
}

// gamma, beta, mean, variance of the channels that exist -> line [2][channels_all], factor and shift: normalised is
// x * factor + shift, which is zero in pads. Grid: channels_all by 64. No shared memory.
DEVICE_KERNEL(batch_norm_line, LINE_THREADS, 1, 0,
              (const float *__restrict__ gamma, const float *__restrict__ beta, const float *__restrict__ mean,
               const float *__restrict__ variance, float *__restrict__ line, int channels_all, int group_channels,
               int group_pitch, float epsilon)) {
  const int channel = blockIdx.x * LINE_THREADS + threadIdx.x;
  if (channel >= channels_all) return;
  double factor = 0, shift = 0;
  if (channels_exist(channel, group_channels, group_pitch) > 0) {
    const int number = channel_number(channel, group_channels, group_pitch);
    factor = gamma[number] / square_root((double)variance[number] + epsilon);
    shift = beta[number] - mean[number] * factor;
  }
  line[channel] = (float)factor;
  line[channels_all + channel] = (float)shift;
}
