// A tile of a convolution on the tensor cores: rows are pixels of the tensor that is made ("to"), the depth is the
// channels, tap after tap without a gap, of the tensor that is gathered from ("from"). Threads copy both operands of a
// step ahead, to stages in turn; warps, or on sm_90a warpgroups, multiply what has come.
//
// Whoever includes this has defined, as constants:
//   FROM_HEIGHT FROM_WIDTH FROM_PITCH  the tensor [n][height][width][GROUPS * FROM_PITCH]
//   TO_CHANNELS TO_PITCH               of a group of the tensor that is made: those that exist, those it has in memory
//   GROUPS KERNEL                      weights lie as [GROUPS * TO_PITCH][KERNEL * KERNEL][FROM_PITCH]
//   TILE_PIXELS TILE_CHANNELS          of a block
// and for products of warps (those of warpgroups choose their own):
//   TILE_DEPTH STAGES                  so much depth is copied at once, STAGES - 1 steps ahead
//   WARPS_PIXELS WARPS_CHANNELS        by which the tile is divided
#ifndef SEER_KERNELS_CONV2D_TILE_H
#define SEER_KERNELS_CONV2D_TILE_H

#include "operands.h"

enum {
  FROM_ALL = GROUPS * FROM_PITCH,  // channels of a pixel
  TO_ALL = GROUPS * TO_PITCH,
  TAPS_DEPTH = KERNEL * KERNEL * FROM_PITCH,
#ifdef WARPGROUP_MULTIPLY
  PIXEL_WARPS = TILE_PIXELS / 16,  // a warpgroup has 64 pixels and all channels
  CHANNEL_WARPS = 1,
  DEPTH = TAPS_DEPTH > 32 ? 64 : DIVIDE_UP(TAPS_DEPTH, 16) * 16,
  AHEAD = STEPS_AHEAD((TILE_PIXELS + TILE_CHANNELS) * DEPTH * 2),
  STAGE_COUNT = AHEAD + 2,
  BLOCKS = 2,
#else
  PIXEL_WARPS = WARPS_PIXELS,
  CHANNEL_WARPS = WARPS_CHANNELS,
  DEPTH = TILE_DEPTH,
  AHEAD = STAGES - 1,
  STAGE_COUNT = STAGES,
  BLOCKS = 1,
#endif
  THREADS = 32 * PIXEL_WARPS * CHANNEL_WARPS,
  CHUNKS = DEPTH / CHUNK,                         // of a row of a tile
  PIXEL_COPIES = TILE_PIXELS * CHUNKS / THREADS,  // of a thread, in one step
  WEIGHT_COPIES = DIVIDE_UP(TILE_CHANNELS * CHUNKS, THREADS),
  MMA_PIXELS = TILE_PIXELS / PIXEL_WARPS / 16,  // products of a warp
  MMA_CHANNELS = TILE_CHANNELS / CHANNEL_WARPS / 8,
  STAGE_PIXELS = TILE_PIXELS * DEPTH * 2,  // bytes
  STAGE_WEIGHTS = TILE_CHANNELS * DEPTH * 2,
  TILE_BYTES = STAGE_COUNT * (STAGE_PIXELS + STAGE_WEIGHTS)
};

static_assert(TILE_PIXELS * CHUNKS % THREADS == 0, "copies of pixels are divided evenly");
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

DEVICE u32 pixel_stage(u32 tile, int step) { return tile + step % STAGE_COUNT * STAGE_PIXELS; }
DEVICE u32 weight_stage(u32 tile, int step) {
  return tile + STAGE_COUNT * STAGE_PIXELS + step % STAGE_COUNT * STAGE_WEIGHTS;
}

// Starts the copies of step `step`: of group `group`, of output channels from `channel` on.
DEVICE void step_copy(int step, Taps taps, const Pixel (&pixels)[PIXEL_COPIES], int group, int channel,
                      const Element *from, const Element *weights, u32 tile) {
  const int row_first = threadIdx.x / CHUNKS, place = threadIdx.x % CHUNKS * CHUNK;
  const u32 depth = step * DEPTH + place;
  const int number = depth / FROM_PITCH, at = depth % FROM_PITCH;  // of a tap that meets something, of its channels
  const int down = number / taps.columns, across = number % taps.columns;
  const int tap = (taps.first_row + down * taps.apart) * KERNEL + taps.first_column + across * taps.apart;
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++) {
    const int row = pixels[i].row + down * taps.move, column = pixels[i].column + across * taps.move;
    const bool there = row >= 0 && row < FROM_HEIGHT && column >= 0 && column < FROM_WIDTH && down < taps.rows;
    const Element *source = pixels[i].image + ((u64)row * FROM_WIDTH + column) * FROM_ALL + group * FROM_PITCH + at;
    copy_start(pixel_stage(tile, step) + operand_place<DEPTH>(row_first + i * (THREADS / CHUNKS), place),
               there ? source : from, there ? 16 : 0);
  }
#pragma unroll
  for (int i = 0; i < WEIGHT_COPIES; i++) {
    const int row = row_first + i * (THREADS / CHUNKS);
    const bool there = channel + row < TO_CHANNELS && down < taps.rows;
    const Element *source =
        weights + ((u64)(group * TO_PITCH + channel + row) * KERNEL * KERNEL + tap) * FROM_PITCH + at;
    if (row < TILE_CHANNELS)
      copy_start(weight_stage(tile, step) + operand_place<DEPTH>(row, place), there ? source : weights, there ? 16 : 0);
  }
}

// Where a thread's part of the products lies: its first pixel of the tile, and the first of its pairs of channels. It
// has pixels 8 apart, two for each product, and pairs 8 apart, one for each.
DEVICE int thread_pixel() {
  return threadIdx.x / 32 % PIXEL_WARPS * (TILE_PIXELS / PIXEL_WARPS) + threadIdx.x % 32 / 4;
}
DEVICE int thread_channel() {
  return threadIdx.x / 32 / PIXEL_WARPS * (TILE_CHANNELS / CHANNEL_WARPS) + threadIdx.x % 4 * 2;
}

#ifdef WARPGROUP_MULTIPLY

// Starts sums += the products of a step, or, of the first one, sums = those.
DEVICE void step_multiply(int step, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const u32 pixels = pixel_stage(tile, step) + threadIdx.x / 128 * 64 * DEPTH * 2, weights = weight_stage(tile, step);
  warpgroup_fence();
#pragma unroll
  for (int depth = 0; depth < DEPTH; depth += 16)
    warpgroup_multiply_add<false>(sums[0], operand_describe<DEPTH>(pixels + depth * 2, ONE_SLAB),
                                  operand_describe<DEPTH>(weights + depth * 2, ONE_SLAB), step + depth > 0);
  warpgroup_commit();
}

#else

// sums += the products of a step.
DEVICE void step_multiply(int step, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int pixel = warp % PIXEL_WARPS * (TILE_PIXELS / PIXEL_WARPS);
  const int channel = warp / PIXEL_WARPS * (TILE_CHANNELS / CHANNEL_WARPS);
  const u32 pixels = pixel_stage(tile, step), weights = weight_stage(tile, step);
#pragma unroll
  for (int depth = 0; depth < DEPTH; depth += 16) {
    u32 a[MMA_PIXELS][4];
#pragma unroll
    for (int i = 0; i < MMA_PIXELS; i++)
      matrices_load(a[i], pixels + operand_place<DEPTH>(pixel + i * 16 + lane % 16, depth + lane / 16 * 8));
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j += 2) {
      const bool two = j + 1 < MMA_CHANNELS;  // of eight channels; else the same ones twice
      const int row = channel + j * 8 + lane % 8 + (two ? lane / 16 * 8 : 0);
      u32 b[4];
      matrices_load(b, weights + operand_place<DEPTH>(row, depth + lane / 8 % 2 * 8));
#pragma unroll
      for (int i = 0; i < MMA_PIXELS; i++) {
        matrix_multiply_add(sums[i][j], a[i], b[0], b[1]);
        if (two) matrix_multiply_add(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

#endif

DEVICE void sums_clear(float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
#pragma unroll
  for (int i = 0; i < MMA_PIXELS; i++)
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
}

// The products of all steps: `pixels` are those that this thread copies.
DEVICE void tile_multiply(Taps taps, const Pixel (&pixels)[PIXEL_COPIES], int group, int channel, const Element *from,
                          const Element *weights, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int steps = DIVIDE_UP(taps.rows * taps.columns * FROM_PITCH, DEPTH);
#ifndef WARPGROUP_MULTIPLY
  sums_clear(sums);
#endif
#pragma unroll
  for (int step = 0; step < AHEAD; step++) {
    if (step < steps) step_copy(step, taps, pixels, group, channel, from, weights, tile);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    const int next = step + AHEAD;
    copy_wait<AHEAD - 1>();
#ifdef WARPGROUP_MULTIPLY
    copies_publish();
    block_wait();  // the step's copies have come, and the products before the last have read what is overwritten next
    step_multiply(step, tile, sums);
    if (next < steps) step_copy(next, taps, pixels, group, channel, from, weights, tile);
    copy_commit();
    warpgroup_wait<1>();
#else
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (next < steps) step_copy(next, taps, pixels, group, channel, from, weights, tile);
    copy_commit();
    step_multiply(step, tile, sums);
#endif
  }
#ifdef WARPGROUP_MULTIPLY
  warpgroup_wait<0>();
  if (steps == 0) sums_clear(sums);
#endif
  copy_wait<0>();
}

#endif
