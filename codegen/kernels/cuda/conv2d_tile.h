// A tile of a convolution on the tensor cores: rows are pixels of the tensor that is made ("to"), the depth is the
// channels, tap after tap without a gap, of the tensor that is gathered from ("from"). Both operands of a step are
// copied ahead, to stages in turn: pixels by all threads, weights, which lie as they are multiplied (weights.h), by one
// thread in one piece on sm_90a. Warps, there warpgroups, multiply what has come, or, of pixels with a view, what the
// thread that copied it has made of it.
//
// Whoever includes this has defined, as constants:
//   FROM_HEIGHT FROM_WIDTH FROM_PITCH  the tensor [n][height][width][GROUPS * FROM_PITCH]
//   TO_PITCH                           channels of a group of the tensor that is made, in memory
//   GROUPS KERNEL TAP_STRIDE           taps so far apart are a phase: what a block multiplies
//   VIEW VIEW_CHANNELS VIEW_PITCH      what is multiplied of "from" (view.h), and how its channels lie (channels.h)
//   TILE_PIXELS TILE_CHANNELS          of a block
//   TILE_DEPTH                         so much depth is multiplied in a step (STEP_DEPTH)
//   STAGES                             steps are copied STAGES - 1 ahead, by warpgroups STAGES where they fit
//   BLOCKS                             that are to fit a multiprocessor, of those whose products are of warpgroups
// and for products of warps:
//   WARPS_PIXELS WARPS_CHANNELS        by which the tile is divided
#ifndef SEER_KERNELS_CONV2D_TILE_H
#define SEER_KERNELS_CONV2D_TILE_H

#include "view.h"
#include "weights.h"

enum {
  FROM_ALL = GROUPS * FROM_PITCH,  // channels of a pixel
  TO_ALL = GROUPS * TO_PITCH,
  DEPTH = STEP_DEPTH(KERNEL * KERNEL * FROM_PITCH, TILE_DEPTH),
  CHANNEL_TILES = DIVIDE_UP(TO_PITCH, TILE_CHANNELS),  // of a group
  COLUMNS_MOST = DIVIDE_UP(KERNEL, TAP_STRIDE),        // of a phase's taps; others have one less, if any
  COLUMNS_LESS = COLUMNS_MOST > 1 ? COLUMNS_MOST - 1 : 1,
#ifdef WARPGROUP_MULTIPLY
  PIXEL_WARPS = TILE_PIXELS / 16,  // a warpgroup has 64 pixels and all channels
  CHANNEL_WARPS = 1,
  AHEAD = STEPS_AHEAD((TILE_PIXELS + TILE_CHANNELS) * DEPTH * 2),
  STAGE_COUNT = AHEAD + 2,
  BLOCKS_FIT = BLOCKS,
  MBARRIER_BYTES = 1024,  // before the stages, which begin at a multiple of this: one for each
#else
  PIXEL_WARPS = WARPS_PIXELS,
  CHANNEL_WARPS = WARPS_CHANNELS,
  AHEAD = STAGES - 1,
  STAGE_COUNT = STAGES,
  BLOCKS_FIT = 1,
  MBARRIER_BYTES = 0,
#endif
  THREADS = 32 * PIXEL_WARPS * CHANNEL_WARPS,
  CHUNKS = DEPTH / CHUNK,                       // of a row of a tile
  COPY_ROWS = THREADS / CHUNKS,                 // of pixels, whose chunks all threads copy at once
  PIXEL_COPIES = TILE_PIXELS / COPY_ROWS,       // of a thread, in one step
  MMA_PIXELS = TILE_PIXELS / PIXEL_WARPS / 16,  // products of a warp
  MMA_CHANNELS = TILE_CHANNELS / CHANNEL_WARPS / 8,
  STAGE_PIXELS = TILE_PIXELS * DEPTH * 2,  // bytes
  STAGE_WEIGHTS = TILE_CHANNELS * DEPTH * 2,
  TILE_BYTES = MBARRIER_BYTES + STAGE_COUNT * (STAGE_PIXELS + STAGE_WEIGHTS)
};

static_assert(AHEAD > 0, "stages fit");
static_assert(TILE_PIXELS % COPY_ROWS == 0, "copies of pixels are divided evenly");
static_assert(COPY_ROWS % 8 == 0, "all chunks that a thread copies are swizzled alike");
static_assert(FROM_PITCH % CHUNK == 0 && TO_PITCH % CHUNK == 0, "pitches are multiples of 8");
static_assert(AHEAD * PIXEL_COPIES <= 32, "a word has a bit for each copy of pixels on its way");

// The taps of a phase; each moves by `move` in the tensor that is gathered from.
struct Taps {
  int rows, columns, move;
};

// Of a pixel of the tile: the row and column that the first tap meets, which may lie beyond the edges, where that
// pixel's channels of the group are, and the number of its image. None: no row is there.
struct Pixel {
  const Element *first;
  int row, column, image;
};
DEVICE Pixel pixel_none(const Element *from) { return Pixel{from, -(1 << 20), 0, 0}; }
DEVICE Pixel pixel_at(const Element *from, int image, int row, int column, int group) {
  const long long number = ((long long)image * FROM_HEIGHT + row) * FROM_WIDTH + column;
  return Pixel{from + number * FROM_ALL + group * FROM_PITCH, row, column, image};
}

// Of "from": line [2][FROM_ALL]; VIEW_SCALED: scale [n][c].
struct View {
  const float *line, *scale;
};

DEVICE u32 pixel_stage(u32 tile, int step) { return tile + MBARRIER_BYTES + step % STAGE_COUNT * STAGE_PIXELS; }
DEVICE u32 weight_stage(u32 tile, int step) {
  return tile + MBARRIER_BYTES + STAGE_COUNT * STAGE_PIXELS + step % STAGE_COUNT * STAGE_WEIGHTS;
}

#ifdef WARPGROUP_MULTIPLY

// One for each stage, which turns when the weights of a step have come.
DEVICE u32 stage_mbarrier(u32 tile, int step) { return tile + step % STAGE_COUNT * 8; }

DEVICE void mbarriers_make(u32 tile) {
  if (threadIdx.x == 0) {
#pragma unroll
    for (int stage = 0; stage < STAGE_COUNT; stage++) mbarrier_init(stage_mbarrier(tile, stage), 1);
    mbarriers_publish();
  }
}

// Starts the copy of a step's weights: of a tile and phase whose first step's are at `weights`.
DEVICE void weights_copy(int step, const Element *weights, u32 tile) {
  if (threadIdx.x == 0) {
    const u32 mbarrier = stage_mbarrier(tile, step);
    mbarrier_expect(mbarrier, STAGE_WEIGHTS);
    bulk_copy_start(weight_stage(tile, step), weights + (u64)step * TILE_CHANNELS * DEPTH, STAGE_WEIGHTS, mbarrier);
  }
}

// Until they have come, for products of this thread.
DEVICE void weights_wait(int step, u32 tile) { mbarrier_wait(stage_mbarrier(tile, step), step / STAGE_COUNT % 2); }

#else

DEVICE void weights_copy(int step, const Element *weights, u32 tile) {
#pragma unroll
  for (int i = 0; i < DIVIDE_UP(TILE_CHANNELS * CHUNKS, THREADS); i++) {
    const int number = threadIdx.x + i * THREADS;
    if (number < TILE_CHANNELS * CHUNKS)
      copy_start(weight_stage(tile, step) + number * 16,
                 weights + ((u64)step * TILE_CHANNELS * CHUNKS + number) * CHUNK, 16);
  }
}

#endif

// Starts the copies of step `step` of a phase's taps. Where a pixel is not there, nothing is read, and zeros come. A
// bit for each copy of pixels, the first the lowest: whether it is there.
DEVICE u32 step_copy(int step, Taps taps, const Pixel (&pixels)[PIXEL_COPIES], const Element *weights, u32 tile) {
  weights_copy(step, weights, tile);
  const int row_first = threadIdx.x / CHUNKS, place = threadIdx.x % CHUNKS * CHUNK;
  const u32 depth = step * DEPTH + place;
  const int number = depth / FROM_PITCH, at = depth % FROM_PITCH;  // of a tap that meets something, of its channels
  const int down = taps.columns == COLUMNS_MOST ? number / COLUMNS_MOST : number / COLUMNS_LESS;
  const int across = number - down * taps.columns, move = (down * FROM_WIDTH + across) * taps.move * FROM_ALL + at;
  const u32 to = pixel_stage(tile, step) + operand_place<DEPTH>(row_first, place);
  u32 some = 0;
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++) {
    const int row = pixels[i].row + down * taps.move, column = pixels[i].column + across * taps.move;
    const bool there = (u32)row < FROM_HEIGHT && (u32)column < FROM_WIDTH && down < taps.rows;
    copy_start(to + i * COPY_ROWS * DEPTH * 2, pixels[i].first + move, there ? 16 : 0);
    some |= (u32)there << i;
  }
  return some;
}

// The first of the channels that a thread copies for a step, of all that a pixel has.
DEVICE int step_channel(int step, int group) {
  return group * FROM_PITCH + (step * DEPTH + (int)threadIdx.x % CHUNKS * CHUNK) % FROM_PITCH;
}

// What the thread's copies of pixels have brought for a step becomes what is seen of it; where nothing is, zeros stay.
DEVICE void step_view(int step, u32 some, const Pixel (&pixels)[PIXEL_COPIES], int group, const Line &line,
                      const float *scale, u32 tile) {
  const u32 first = pixel_stage(tile, step) + operand_place<DEPTH>(threadIdx.x / CHUNKS, threadIdx.x % CHUNKS * CHUNK);
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++) {
    if (!(some >> i & 1)) continue;
    const u32 at = first + i * COPY_ROWS * DEPTH * 2;
    const Channels channels = {FROM_ALL, VIEW_CHANNELS, VIEW_PITCH};
    shared_view<VIEW>(at, line, scale, pixels[i].image, channels, step_channel(step, group));
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

// Starts sums += the products of a step that a warp takes part in, or, of the first one, sums = those.
DEVICE void step_multiply(int step, int warp, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const u64 pixels = operand_describe<DEPTH>(pixel_stage(tile, step) + warp / 4 * 64 * DEPTH * 2, ONE_SLAB);
  const u64 weights = operand_describe<DEPTH>(weight_stage(tile, step), ONE_SLAB);
  warpgroup_fence();
#pragma unroll
  for (int depth = 0; depth < DEPTH; depth += 16)
    warpgroup_multiply_add<false>(sums[0], operand_move(pixels, depth * 2), operand_move(weights, depth * 2),
                                  step + depth > 0);
  warpgroup_commit();
}

#else

// sums += the products of a step, of a warp.
DEVICE void step_multiply(int step, int warp, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int lane = threadIdx.x % 32;
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

// The products of all steps of a phase, for channels from `channel` on: `pixels` are those that this thread copies.
DEVICE void tile_multiply(Taps taps, int phase, const Pixel (&pixels)[PIXEL_COPIES], int group, int channel, View view,
                          const Element *all_weights, u32 tile, float (&sums)[MMA_PIXELS][MMA_CHANNELS][4]) {
  const int steps = DIVIDE_UP(taps.rows * taps.columns * FROM_PITCH, DEPTH), warp = warp_same(threadIdx.x / 32);
  const int all_steps = steps_before(TAP_STRIDE * TAP_STRIDE, KERNEL, TAP_STRIDE, FROM_PITCH, DEPTH);
  const int first_step = steps_before(phase, KERNEL, TAP_STRIDE, FROM_PITCH, DEPTH);
  const Element *const weights =
      all_weights +
      ((u64)(group * CHANNEL_TILES + channel / TILE_CHANNELS) * all_steps + first_step) * (TILE_CHANNELS * DEPTH);
#ifdef WARPGROUP_MULTIPLY
  mbarriers_make(tile);
#else
  sums_clear(sums);
#endif
  u32 some = 0;  // of the steps on their way, the newest the lowest
#pragma unroll
  for (int step = 0; step < AHEAD; step++) {
    some <<= PIXEL_COPIES;
    if (step < steps) some |= step_copy(step, taps, pixels, weights, tile);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    const int next = step + AHEAD;
    Line line = {};
    if (VIEW) line = line_load(view.line, FROM_ALL, step_channel(step, group));
    copy_wait<AHEAD - 1>();
    if (VIEW) step_view(step, some >> (AHEAD - 1) * PIXEL_COPIES, pixels, group, line, view.scale, tile);
    some <<= PIXEL_COPIES;
#ifdef WARPGROUP_MULTIPLY
    copies_publish();
    block_wait();  // the step's pixels have come, and the products before the last have read what is overwritten next
    weights_wait(step, tile);
    step_multiply(step, warp, tile, sums);
    if (next < steps) some |= step_copy(next, taps, pixels, weights, tile);
    copy_commit();
    warpgroup_wait<1>();
#else
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (next < steps) some |= step_copy(next, taps, pixels, weights, tile);
    copy_commit();
    step_multiply(step, warp, tile, sums);
#endif
  }
#ifdef WARPGROUP_MULTIPLY
  warpgroup_wait<0>();
  if (steps == 0) sums_clear(sums);
#endif
  copy_wait<0>();
}

#endif
