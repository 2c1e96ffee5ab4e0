// Convolution of images, any kernel size, stride and groups, with the statistics that BatchNorm needs.
//
// Constants of the compiler command, besides those of conv2d_tile.h for tiles:
//   IMAGES HEIGHT WIDTH        of the input
//   GROUPS INPUTS OUTPUTS      channels of a group that exist
//   INPUT_PITCH OUTPUT_PITCH   and those it has in memory: multiples of 8, the others zero
//   KERNEL STRIDE PAD
//   STATISTICS                 0: `statistics` is not touched
//   VIEW                       of x (view.h); then line [2][GROUPS * INPUT_PITCH], and scale [n][c] if it is scaled,
//   VIEW_CHANNELS VIEW_PITCH   whose channels are those of groups of x that have nothing to do with GROUPS
//
// x [n][h][w][GROUPS * INPUT_PITCH], weights [outputs][taps' inputs] as weights.h orders them
// -> y [n][p][q][GROUPS * OUTPUT_PITCH], rounded; statistics [tiles of pixels][GROUPS * OUTPUT_PITCH] = {sum, sum of
// squared deviations from the tile's mean} of the rounded y. Grid: tiles of pixels, tiles of a group's outputs, groups.
// Shared memory: SHARED_BYTES.
enum { FROM_HEIGHT = HEIGHT, FROM_WIDTH = WIDTH, FROM_PITCH = INPUT_PITCH, TO_PITCH = OUTPUT_PITCH, TAP_STRIDE = 1 };
#include "conv2d_tile.h"

enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  PIXELS = IMAGES * ROWS * COLUMNS,
  LAST_PIXELS = PIXELS - (PIXELS - 1) / TILE_PIXELS * TILE_PIXELS,  // of the last tile
  PART_ROWS = PIXEL_WARPS * 8,                                      // of column sums: those of a column's threads
  SUMS = PART_ROWS,                                                 // the row where they are added up
  SQUARES = PART_ROWS + 1,                                          // and that of the squares
  PART_ROW = DIVIDE_UP(TILE_CHANNELS, 32) * 32 + 8,                 // floats from row to row: four rows share no banks
  PART_BYTES = (PART_ROWS + 2) * PART_ROW * 4,
  SHARED_BYTES = STATISTICS && MBARRIER_BYTES + PART_BYTES > TILE_BYTES ? MBARRIER_BYTES + PART_BYTES : TILE_BYTES
};

DEVICE Pixel pixel_find(const Element *x, int group, int pixel) {
  if (pixel >= PIXELS) return pixel_none(x);
  const int image = pixel / (ROWS * COLUMNS), at = pixel % (ROWS * COLUMNS);
  return pixel_at(x, image, at / COLUMNS * STRIDE - PAD, at % COLUMNS * STRIDE - PAD, group);
}

// Adds up the parts of each column, row by row, to row `to`. shared: [PART_ROWS + 2][PART_ROW].
DEVICE void parts_add(float *shared, int to) {
  block_wait();
#pragma unroll 1
  for (int at = threadIdx.x; at < TILE_CHANNELS; at += THREADS) {
    float sum = shared[at];
#pragma unroll 1
    for (int i = 1; i < PART_ROWS; i++) sum += shared[i * PART_ROW + at];
    shared[to * PART_ROW + at] = sum;
  }
  block_wait();
}

// Rounds the sums, stores them, and adds up what is stored, by column: to `part`, where STATISTICS are wanted.
DEVICE void tile_store(float (&sums)[MMA_PIXELS][MMA_CHANNELS][4], int pixel, int group, int channel, Element *y,
                       float *part) {
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++) {
    float totals[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2 * MMA_PIXELS; i++) {
      float *const two = &sums[i / 2][j][i % 2 * 2];
      const int at = pixel + i * 8;
      const u32 pair = elements_pack(two[0], two[1]);
      two[0] = elements_first(pair);
      two[1] = elements_second(pair);
      if (at >= PIXELS) continue;
      totals[0] += two[0];
      totals[1] += two[1];
      if (channel + j * 8 < OUTPUT_PITCH)
        *(u32 *)(y + (u64)at * TO_ALL + group * OUTPUT_PITCH + channel + j * 8) = pair;
    }
    if (!STATISTICS) continue;
    part[j * 8] = totals[0];
    part[j * 8 + 1] = totals[1];
  }
}

// The squared deviations of what was stored from the means of its columns: to `part`.
DEVICE void squares_store(const float (&sums)[MMA_PIXELS][MMA_CHANNELS][4], int pixel, const float *totals, float share,
                          float *part) {
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const float mean = totals[j * 8 + k] * share;
      float squares = 0;
#pragma unroll
      for (int i = 0; i < 2 * MMA_PIXELS; i++) {
        const float apart = sums[i / 2][j][i % 2 * 2 + k] - mean;
        if (pixel + i * 8 < PIXELS) squares += apart * apart;
      }
      part[j * 8 + k] = squares;
    }
}

DEVICE_KERNEL(conv2d_forward, THREADS, BLOCKS_FIT, SHARED_BYTES,
              (const Element *__restrict__ x, const float *__restrict__ line, const float *__restrict__ scale,
               const Element *__restrict__ weights, Element *__restrict__ y, float *__restrict__ statistics)) {
  SHARED_MEMORY(memory);
  const int first_pixel = blockIdx.x * TILE_PIXELS, first_channel = blockIdx.y * TILE_CHANNELS, group = blockIdx.z;
  Pixel pixels[PIXEL_COPIES];
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++)
    pixels[i] = pixel_find(x, group, first_pixel + (int)threadIdx.x / CHUNKS + i * COPY_ROWS);
  float sums[MMA_PIXELS][MMA_CHANNELS][4];
  tile_multiply(Taps{KERNEL, KERNEL, 1}, 0, pixels, group, first_channel, View{line, scale}, weights,
                shared_address(memory), sums);

  const int pixel = first_pixel + thread_pixel(), column = thread_channel();
  float *const shared = (float *)(memory + MBARRIER_BYTES);
  float *const part = shared + (threadIdx.x / 32 % PIXEL_WARPS * 8 + threadIdx.x % 32 / 4) * PART_ROW + column;
  if (STATISTICS) block_wait();  // nobody reads the operands that lay there
  tile_store(sums, pixel, group, first_channel + column, y, part);
  if (!STATISTICS) return;
  parts_add(shared, SUMS);
  const float share = first_pixel + TILE_PIXELS <= PIXELS ? 1.0f / TILE_PIXELS : 1.0f / LAST_PIXELS;
  squares_store(sums, pixel, shared + SUMS * PART_ROW + column, share, part);
  parts_add(shared, SQUARES);
#pragma unroll 1
  for (int at = threadIdx.x; at < TILE_CHANNELS; at += THREADS) {
    if (first_channel + at >= OUTPUT_PITCH) continue;
    float *to = statistics + ((u64)blockIdx.x * TO_ALL + group * OUTPUT_PITCH + first_channel + at) * 2;
    to[0] = shared[SUMS * PART_ROW + at];
    to[1] = shared[SQUARES * PART_ROW + at];
  }
}
