// What the statistics of tiles say of whole channels: mean and variance, and the line that normalises.
//
// Constants: CHANNELS (all of a pixel, pads too), PIXELS, TILE_PIXELS (of each tile but the last, which has the rest).
//
// statistics [tiles][CHANNELS] = {sum, sum of squared deviations from the tile's mean}, as conv2d_forward.cu leaves
// them; gamma, beta [CHANNELS], zero in pads -> mean, variance (biased), factor, shift [CHANNELS]: normalised is
// x * factor + shift. In double precision, tiles in order, by segments of them: no digit depends on anything but the
// shape. Grid: channels by 32. Shared memory: SHARED_BYTES.
#include "device.h"

enum {
  TILES = DIVIDE_UP(PIXELS, TILE_PIXELS),
  WIDTH_THREADS = 32,
  SEGMENTS = 8,
  THREADS = WIDTH_THREADS * SEGMENTS,
  SHARED_BYTES = SEGMENTS * WIDTH_THREADS * 3 * 8
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

DEVICE_KERNEL(batch_norm_fold, THREADS, 1, SHARED_BYTES,
              (const float *__restrict__ statistics, const float *__restrict__ gamma, const float *__restrict__ beta,
               float epsilon, float *__restrict__ mean, float *__restrict__ variance, float *__restrict__ factor,
               float *__restrict__ shift)) {
  SHARED_MEMORY(memory);
  Moments *const shared = (Moments *)memory;
  const int channel = blockIdx.x * WIDTH_THREADS + threadIdx.x % WIDTH_THREADS, segment = threadIdx.x / WIDTH_THREADS;
  Moments all = {0, 0, 0};
  if (channel < CHANNELS) {
#pragma unroll 1
    for (int tile = TILES * segment / SEGMENTS; tile < TILES * (segment + 1) / SEGMENTS; tile++) {
      const double count = tile + 1 < TILES ? TILE_PIXELS : PIXELS - (TILES - 1) * TILE_PIXELS;
      const float *at = statistics + ((u64)tile * CHANNELS + channel) * 2;
      all = moments_join(all, Moments{count, at[0] / count, at[1]});
    }
  }
  shared[threadIdx.x] = all;
  block_wait();
  if (segment > 0 || channel >= CHANNELS) return;
#pragma unroll 1
  for (int i = 1; i < SEGMENTS; i++) all = moments_join(all, shared[i * WIDTH_THREADS + threadIdx.x]);
  const double spread = all.squares / all.count;
  const double line = gamma[channel] / square_root(spread + epsilon);
  mean[channel] = (float)all.mean;
  variance[channel] = (float)spread;
  factor[channel] = (float)line;
  shift[channel] = (float)(beta[channel] - all.mean * line);
}
