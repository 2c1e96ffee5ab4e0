// A tile of a convolution on the tensor cores of sm_80 and later: rows are pixels of the tensor that is made ("to"),
// the depth is taps and channels of the tensor that is gathered from ("from"). Threads copy both operands of a step
// ahead, to stages in turn; warps multiply what has come.
//
// Whoever includes this has defined, as constants:
//   FROM_HEIGHT FROM_WIDTH FROM_PITCH  the tensor [n][height][width][GROUPS * FROM_PITCH]
//   TO_CHANNELS TO_PITCH               of a group of the tensor that is made: those that exist, those it has in memory
//   GROUPS KERNEL                      weights lie as [GROUPS * TO_PITCH][KERNEL * KERNEL][FROM_PITCH]
//   TILE_PIXELS TILE_CHANNELS          of a block; TILE_DEPTH channels of a tap are copied at once, STAGES - 1 ahead
//   WARPS_PIXELS WARPS_CHANNELS        by which the tile is divided
#ifndef SEER_KERNELS_CONV2D_TILE_H
#define SEER_KERNELS_CONV2D_TILE_H

#include "device.h"

enum {
  FROM_ALL = GROUPS * FROM_PITCH,  // channels of a pixel
  TO_ALL = GROUPS * TO_PITCH,
  THREADS = 32 * WARPS_PIXELS * WARPS_CHANNELS,
  CHUNKS = TILE_DEPTH / CHUNK,                    // of a row of a tile
  ROW = TILE_DEPTH + CHUNK,                       // elements from row to row: no two of eight rows share banks
  PARTS = DIVIDE_UP(FROM_PITCH, TILE_DEPTH),      // of a tap's channels
  PIXEL_COPIES = TILE_PIXELS * CHUNKS / THREADS,  // of a thread, in one step
  WEIGHT_COPIES = DIVIDE_UP(TILE_CHANNELS * CHUNKS, THREADS),
  MMA_PIXELS = TILE_PIXELS / WARPS_PIXELS / 16,  // products of a warp
  MMA_CHANNELS = TILE_CHANNELS / WARPS_CHANNELS / 8,
  STAGE_PIXELS = TILE_PIXELS * ROW * 2,  // bytes
  STAGE_WEIGHTS = TILE_CHANNELS * ROW * 2,
  TILE_BYTES = STAGES * (STAGE_PIXELS + STAGE_WEIGHTS)
};

static_assert(TILE_PIXELS * CHUNKS % THREADS == 0, "copies of pixels are divided evenly");
static_assert(TILE_DEPTH % 16 == 0 && MMA_CHANNELS % 2 == 0, "matrices of weights are loaded four at a time");
static_assert(FROM_PITCH % CHUNK == 0 && TO_PITCH % CHUNK == 0, "pitches are multiples of 8");

// The taps that meet something, in order: of the kernel's rows and columns every `apart`-th from the first; each moves
// by `move` in the tensor that is gathered from.
struct Taps {
  int rows, columns, first_row, first_column, apart, move;
};

// Of a pixel of the tile: its image, and the row and column that the first tap meets. None: no row is there.
struct Pixel {
  const Element *image;
  int row, column;
};
DEVICE Pixel pixel_none(const Element *from) { return Pixel{from, -(1 << 20), 0}; }

// Starts the copies of step `step`: of group `group`, of output channels from `channel` on.
DEVICE void step_copy(int step, Taps taps, const Pixel (&pixels)[PIXEL_COPIES], int group, int channel,
                      const Element *from, const Element *weights, u32 tile) {
  const int thread = threadIdx.x, place = thread % CHUNKS * CHUNK, depth = step % PARTS * TILE_DEPTH + place;
  const int down = step / PARTS / taps.columns, across = step / PARTS % taps.columns;
  const int tap = (taps.first_row + down * taps.apart) * KERNEL + taps.first_column + across * taps.apart;
  const u32 pixel_stage = tile + step % STAGES * STAGE_PIXELS;
  const u32 weight_stage = tile + STAGES * STAGE_PIXELS + step % STAGES * STAGE_WEIGHTS;
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++) {
    const int row = pixels[i].row + down * taps.move, column = pixels[i].column + across * taps.move;
    const bool there = row >= 0 && row < FROM_HEIGHT && column >= 0 && column < FROM_WIDTH && depth < FROM_PITCH;
    const Element *source = pixels[i].image + ((u64)row * FROM_WIDTH + column) * FROM_ALL + group * FROM_PITCH + depth;
    copy_start(pixel_stage + ((thread / CHUNKS + i * (THREADS / CHUNKS)) * ROW + place) * 2, there ? source : from,
               there ? 16 : 0);
  }
#pragma unroll
  for (int i = 0; i < WEIGHT_COPIES; i++) {
    const int at = thread / CHUNKS + i * (THREADS / CHUNKS);
    const bool there = channel + at < TO_CHANNELS && depth < FROM_PITCH;
    const Element *source =
        weights + ((u64)(group * TO_PITCH + channel + at) * KERNEL * KERNEL + tap) * FROM_PITCH + depth;
    if (at < TILE_CHANNELS) copy_start(weight_stage + (at * ROW + place) * 2, there ? source : weights, there ? 16 : 0);
  }
}

// Where a thread's part of the products lies: its first pixel of the tile, and the first of its pairs of channels. It
// has pixels 8 apart, two for each product, and pairs 8 apart, one for each.
DEVICE int thread_pixel() {
  return threadIdx.x / 32 % WARPS_PIXELS * (TILE_PIXELS / WARPS_PIXELS) + threadIdx.x % 32 / 4;
}
DEVICE int thread_channel() {
  return threadIdx.x / 32 / WARPS_PIXELS * (TILE_CHANNELS / WARPS_CHANNELS) + threadIdx.x % 4 * 2;
}

// sums += the products of a step.
DEVICE void step_multiply(int step, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int pixel = warp % WARPS_PIXELS * (TILE_PIXELS / WARPS_PIXELS);
  const int channel = warp / WARPS_PIXELS * (TILE_CHANNELS / WARPS_CHANNELS);
  const u32 pixel_stage = tile + step % STAGES * STAGE_PIXELS;
  const u32 weight_stage = tile + STAGES * STAGE_PIXELS + step % STAGES * STAGE_WEIGHTS;
#pragma unroll
  for (int depth = 0; depth < TILE_DEPTH; depth += 16) {
    u32 a[MMA_PIXELS][4];
#pragma unroll
    for (int i = 0; i < MMA_PIXELS; i++)
      matrices_load(a[i], pixel_stage + ((pixel + i * 16 + lane % 16) * ROW + depth + lane / 16 * 8) * 2);
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j += 2) {
      u32 b[4];
      matrices_load(b,
                    weight_stage + ((channel + j * 8 + lane % 8 + lane / 16 * 8) * ROW + depth + lane / 8 % 2 * 8) * 2);
#pragma unroll
      for (int i = 0; i < MMA_PIXELS; i++) {
        matrix_multiply_add(sums[i][j], a[i], b[0], b[1]);
        matrix_multiply_add(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// The products of all steps: `pixels` are those that this thread copies.
DEVICE void tile_multiply(Taps taps, const Pixel (&pixels)[PIXEL_COPIES], int group, int channel, const Element *from,
                          const Element *weights, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int steps = taps.rows * taps.columns * PARTS;
#pragma unroll
  for (int i = 0; i < MMA_PIXELS; i++)
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
#pragma unroll
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < steps) step_copy(step, taps, pixels, group, channel, from, weights, tile);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    copy_wait<STAGES - 2>();
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (step + STAGES - 1 < steps) step_copy(step + STAGES - 1, taps, pixels, group, channel, from, weights, tile);
    copy_commit();
    step_multiply(step, tile, sums);
  }
  copy_wait<0>();
}

#endif
