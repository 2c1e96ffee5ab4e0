// Convolution of images, any kernel size, stride and groups, with the statistics that BatchNorm needs.
//
// Constants of the compiler command, besides those of conv2d_tile.h for tiles:
//   IMAGES HEIGHT WIDTH        of the input
//   GROUPS INPUTS OUTPUTS      channels of a group that exist
//   INPUT_PITCH OUTPUT_PITCH   and those it has in memory: multiples of 8, the others zero
//   KERNEL STRIDE PAD
//   STATISTICS                 0: `statistics` is not touched
//
// x [n][h][w][GROUPS * INPUT_PITCH], weights [GROUPS * OUTPUT_PITCH][KERNEL * KERNEL][INPUT_PITCH]
// -> y [n][p][q][GROUPS * OUTPUT_PITCH], rounded; statistics [tiles of pixels][GROUPS * OUTPUT_PITCH] = {sum, sum of
// squared deviations from the tile's mean} of the rounded y. Grid: tiles of pixels, tiles of a group's outputs, groups.
// Shared memory: SHARED_BYTES.
enum {
  FROM_HEIGHT = HEIGHT,
  FROM_WIDTH = WIDTH,
  FROM_PITCH = INPUT_PITCH,
  TO_CHANNELS = OUTPUTS,
  TO_PITCH = OUTPUT_PITCH
};
#include "conv2d_tile.h"

enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  PIXELS = IMAGES * ROWS * COLUMNS,
  LAST_PIXELS = PIXELS - (PIXELS - 1) / TILE_PIXELS * TILE_PIXELS,  // of the last tile
  PART_ROWS = WARPS_PIXELS * 8,                                     // of column sums: those of the threads of a column
  PART_ROW = TILE_CHANNELS + 8,  // floats from row to row: no two of a warp's share banks
  PART_BYTES = PART_ROWS * PART_ROW * 4,
  SHARED_BYTES = STATISTICS && PART_BYTES > TILE_BYTES ? PART_BYTES : TILE_BYTES
};

DEVICE Pixel pixel_find(const Element *x, int pixel) {
  if (pixel >= PIXELS) return pixel_none(x);
  const int image = pixel / (ROWS * COLUMNS), at = pixel % (ROWS * COLUMNS);
  return Pixel{x + (u64)image * HEIGHT * WIDTH * FROM_ALL, at / COLUMNS * STRIDE - PAD, at % COLUMNS * STRIDE - PAD};
}

// The sums over all pixels of the tile of the columns that a thread holds parts of, the same for all threads that hold
// some, row by row. shared: [PART_ROWS][PART_ROW], which the tile's operands may have lain in; `column` of the tile.
DEVICE void columns_sum(float (&sums)[MMA_CHANNELS][2], float *shared, int column) {
  const int row = threadIdx.x / 32 % WARPS_PIXELS * 8 + threadIdx.x % 32 / 4;
  block_wait();  // nobody reads what lay there
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) shared[row * PART_ROW + column + j * 8 + k] = sums[j][k];
  block_wait();
#pragma unroll 1
  for (int at = threadIdx.x; at < TILE_CHANNELS; at += THREADS) {
    float sum = shared[at];
#pragma unroll 1
    for (int i = 1; i < PART_ROWS; i++) sum += shared[i * PART_ROW + at];
    shared[at] = sum;
  }
  block_wait();
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) sums[j][k] = shared[column + j * 8 + k];
}

// Rounds the sums, stores them, and adds up what is stored, by column.
DEVICE void tile_store(float (&sums)[MMA_PIXELS][MMA_CHANNELS][4], int pixel, int group, int channel, Element *y,
                       float (&totals)[MMA_CHANNELS][2]) {
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++) {
    totals[j][0] = totals[j][1] = 0;
#pragma unroll
    for (int i = 0; i < 2 * MMA_PIXELS; i++) {
      float *const two = &sums[i / 2][j][i % 2 * 2];
      const int at = pixel + i * 8;
      const u32 pair = elements_pack(two[0], two[1]);
      two[0] = elements_first(pair);
      two[1] = elements_second(pair);
      if (at >= PIXELS) continue;
      totals[j][0] += two[0];
      totals[j][1] += two[1];
      if (channel + j * 8 < OUTPUT_PITCH)
        *(u32 *)(y + (u64)at * TO_ALL + group * OUTPUT_PITCH + channel + j * 8) = pair;
    }
  }
}

DEVICE_KERNEL(conv2d_forward, THREADS, 1, SHARED_BYTES,
              (const Element *__restrict__ x, const Element *__restrict__ weights, Element *__restrict__ y,
               float *__restrict__ statistics)) {
  SHARED_MEMORY(memory);
  const int first_pixel = blockIdx.x * TILE_PIXELS, first_channel = blockIdx.y * TILE_CHANNELS, group = blockIdx.z;
  Pixel pixels[PIXEL_COPIES];
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++)
    pixels[i] = pixel_find(x, first_pixel + (int)threadIdx.x / CHUNKS + i * (THREADS / CHUNKS));
  float sums[MMA_PIXELS][MMA_CHANNELS][4];
  tile_multiply(Taps{KERNEL, KERNEL, 0, 0, 1, 1}, pixels, group, first_channel, x, weights, shared_address(memory),
                sums);

  const int pixel = first_pixel + thread_pixel(), column = thread_channel();
  float totals[MMA_CHANNELS][2], squares[MMA_CHANNELS][2];
  tile_store(sums, pixel, group, first_channel + column, y, totals);
  if (!STATISTICS) return;
  float *const shared = (float *)memory;
  columns_sum(totals, shared, column);
  const float share = first_pixel + TILE_PIXELS <= PIXELS ? 1.0f / TILE_PIXELS : 1.0f / LAST_PIXELS;
#pragma unroll
  for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      squares[j][k] = 0;
#pragma unroll
      for (int i = 0; i < 2 * MMA_PIXELS; i++) {
        const float apart = sums[i / 2][j][i % 2 * 2 + k] - totals[j][k] * share;
        if (pixel + i * 8 < PIXELS) squares[j][k] += apart * apart;
      }
    }
  columns_sum(squares, shared, column);
  if (threadIdx.x / 32 % WARPS_PIXELS == 0 && threadIdx.x % 32 < 4) {
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j++)
#pragma unroll
      for (int k = 0; k < 2; k++) {
        const int output = first_channel + column + j * 8 + k;
        if (output >= OUTPUT_PITCH) continue;
        float *to = statistics + ((u64)blockIdx.x * TO_ALL + group * OUTPUT_PITCH + output) * 2;
        to[0] = totals[j][k];
        to[1] = squares[j][k];
      }
  }
}
