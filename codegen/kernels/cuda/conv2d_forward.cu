// Convolution of images [n][h][w][groups * INPUT_PITCH], any kernel size, stride and groups, with the statistics that
// BatchNorm needs: a product of matrices whose rows are output pixels and whose depth is taps and input channels, made
// of tiles by the tensor cores of sm_80 and later (mma.sync).
//
// Shapes are constants of the compiler command:
//   IMAGES HEIGHT WIDTH              of the input
//   GROUPS INPUTS OUTPUTS            channels of a group that exist
//   INPUT_PITCH OUTPUT_PITCH         and those it has in memory: multiples of 8, the others zero
//   KERNEL STRIDE PAD
//   TILE_PIXELS TILE_OUTPUTS         of a block; TILE_DEPTH channels of a tap are copied at once, STAGES times ahead
//   WARPS_PIXELS WARPS_OUTPUTS       by which the tile is divided
//
// x -> y [n][p][q][groups * OUTPUT_PITCH], rounded; weights [groups * OUTPUT_PITCH][KERNEL * KERNEL][INPUT_PITCH];
// statistics [tiles of pixels][groups * OUTPUT_PITCH] = {sum, sum of squared deviations from the tile's mean} of the
// rounded y. Grid: tiles of pixels, tiles of a group's outputs, groups. Every element of y and of statistics is written.
#include "device.h"

#define DIVIDE_UP(a, b) (((a) + (b)-1) / (b))

enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  PIXELS = IMAGES * ROWS * COLUMNS,
  CHANNELS_IN = GROUPS * INPUT_PITCH,
  CHANNELS_OUT = GROUPS * OUTPUT_PITCH,
  THREADS = 32 * WARPS_PIXELS * WARPS_OUTPUTS,
  CHUNK = 8,                                   // elements of one copy
  CHUNKS = TILE_DEPTH / CHUNK,                 // of a row of a tile
  ROW = TILE_DEPTH + CHUNK,                    // elements from row to row: no two rows share banks
  PARTS = DIVIDE_UP(INPUT_PITCH, TILE_DEPTH),  // of a tap's channels
  STEPS = KERNEL * KERNEL * PARTS,
  PIXEL_COPIES = TILE_PIXELS * CHUNKS / THREADS,  // of a thread, in one step
  OUTPUT_COPIES = DIVIDE_UP(TILE_OUTPUTS * CHUNKS, THREADS),
  LAST_PIXELS = PIXELS - (PIXELS - 1) / TILE_PIXELS * TILE_PIXELS,  // of the last tile
  MMA_PIXELS = TILE_PIXELS / WARPS_PIXELS / 16,                     // products of a warp
  MMA_OUTPUTS = TILE_OUTPUTS / WARPS_OUTPUTS / 8,
  SUM_OFFSET = STAGES * (TILE_PIXELS + TILE_OUTPUTS) * ROW * 2  // bytes of shared memory before the sums
};

static_assert(TILE_PIXELS * CHUNKS % THREADS == 0, "copies of pixels are divided evenly");
static_assert(MMA_OUTPUTS % 2 == 0, "matrices of weights are loaded two by two");
static_assert(INPUT_PITCH % CHUNK == 0 && OUTPUT_PITCH % CHUNK == 0, "pitches are multiples of 8");

// Of an output pixel: its image, and the first input row and column that it meets. Beyond the last pixel: none.
struct Pixel {
  const Element *image;
  int row, column;
};

DEVICE Pixel pixel_find(const Element *x, int pixel) {
  if (pixel >= PIXELS) return Pixel{x, -HEIGHT - KERNEL, 0};
  const int image = pixel / (ROWS * COLUMNS), at = pixel % (ROWS * COLUMNS);
  return Pixel{x + (u64)image * HEIGHT * WIDTH * CHANNELS_IN, at / COLUMNS * STRIDE - PAD, at % COLUMNS * STRIDE - PAD};
}

// Starts the copies of step `step` to its stage.
DEVICE void step_copy(int step, const Pixel (&pixels)[PIXEL_COPIES], const Element *x, const Element *weights,
                      u32 tiles) {
  const int thread = threadIdx.x, tap = step / PARTS, channel = step % PARTS * TILE_DEPTH + thread % CHUNKS * CHUNK;
  const int first_output = blockIdx.y * TILE_OUTPUTS, group = blockIdx.z, place = thread % CHUNKS * CHUNK;
  const u32 inputs = tiles + step % STAGES * TILE_PIXELS * ROW * 2;
  const u32 outputs = tiles + (STAGES * TILE_PIXELS + step % STAGES * TILE_OUTPUTS) * ROW * 2;
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++) {
    const int row = pixels[i].row + tap / KERNEL, column = pixels[i].column + tap % KERNEL;
    const bool there = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH && channel < INPUT_PITCH;
    const Element *from = pixels[i].image + ((u64)row * WIDTH + column) * CHANNELS_IN + group * INPUT_PITCH + channel;
    copy_start(inputs + ((thread / CHUNKS + i * (THREADS / CHUNKS)) * ROW + place) * 2, there ? from : x,
               there ? 16 : 0);
  }
#pragma unroll
  for (int i = 0; i < OUTPUT_COPIES; i++) {
    const int at = thread / CHUNKS + i * (THREADS / CHUNKS), output = first_output + at;
    const bool there = output < OUTPUTS && channel < INPUT_PITCH;
    const Element *from =
        weights + ((u64)(group * OUTPUT_PITCH + output) * KERNEL * KERNEL + tap) * INPUT_PITCH + channel;
    if (at < TILE_OUTPUTS) copy_start(outputs + (at * ROW + place) * 2, there ? from : weights, there ? 16 : 0);
  }
}

// Adds the products of a stage to the warp's part of the tile.
DEVICE void step_multiply(int step, u32 tiles, float (&sums)[MMA_PIXELS][MMA_OUTPUTS][4]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int pixel = warp % WARPS_PIXELS * (TILE_PIXELS / WARPS_PIXELS);
  const int output = warp / WARPS_PIXELS * (TILE_OUTPUTS / WARPS_OUTPUTS);
  const u32 inputs = tiles + step % STAGES * TILE_PIXELS * ROW * 2;
  const u32 outputs = tiles + (STAGES * TILE_PIXELS + step % STAGES * TILE_OUTPUTS) * ROW * 2;
#pragma unroll
  for (int depth = 0; depth < TILE_DEPTH; depth += 16) {
    u32 a[MMA_PIXELS][4];
#pragma unroll
    for (int i = 0; i < MMA_PIXELS; i++)
      matrices_load(a[i], inputs + ((pixel + i * 16 + lane % 16) * ROW + depth + lane / 16 * 8) * 2);
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j += 2) {
      u32 b[4];
      matrices_load(b, outputs + ((output + j * 8 + lane % 8 + lane / 16 * 8) * ROW + depth + lane / 8 % 2 * 8) * 2);
#pragma unroll
      for (int i = 0; i < MMA_PIXELS; i++) {
        matrix_multiply_add(sums[i][j], a[i], b[0], b[1]);
        matrix_multiply_add(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// The sums over all pixels of the tile of two columns a thread holds parts of, the same for all threads that hold some.
// shared: [WARPS_PIXELS][TILE_OUTPUTS], free; `column` of the tile.
DEVICE void columns_sum(float (&sums)[MMA_OUTPUTS][2], float *shared, int column) {
  const int lane = threadIdx.x % 32, part = threadIdx.x / 32 % WARPS_PIXELS;
#pragma unroll
  for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      float sum = sums[j][k];
#pragma unroll
      for (int mask = 4; mask < 32; mask *= 2) sum += warp_exchange(sum, mask);
      if (lane < 4) shared[part * TILE_OUTPUTS + column + j * 8 + k] = sum;
    }
  block_wait();
#pragma unroll
  for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      sums[j][k] = 0;
#pragma unroll
      for (int i = 0; i < WARPS_PIXELS; i++) sums[j][k] += shared[i * TILE_OUTPUTS + column + j * 8 + k];
    }
  block_wait();
}

DEVICE_KERNEL(conv2d_forward, THREADS, 1,
              (const Element *__restrict__ x, const Element *__restrict__ weights, Element *__restrict__ y,
               float *__restrict__ statistics)) {
  SHARED_MEMORY(memory);
  const u32 tiles = shared_address(memory);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int first_pixel = blockIdx.x * TILE_PIXELS, first_output = blockIdx.y * TILE_OUTPUTS, group = blockIdx.z;
  Pixel pixels[PIXEL_COPIES];
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++)
    pixels[i] = pixel_find(x, first_pixel + thread / CHUNKS + i * (THREADS / CHUNKS));

  float sums[MMA_PIXELS][MMA_OUTPUTS][4];
#pragma unroll
  for (int i = 0; i < MMA_PIXELS; i++)
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
#pragma unroll
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < STEPS) step_copy(step, pixels, x, weights, tiles);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < STEPS; step++) {
    copy_wait<STAGES - 2>();
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (step + STAGES - 1 < STEPS) step_copy(step + STAGES - 1, pixels, x, weights, tiles);
    copy_commit();
    step_multiply(step, tiles, sums);
  }
  copy_wait<0>();

  // Rounded and stored; statistics are of what is stored.
  const int pixel = first_pixel + warp % WARPS_PIXELS * (TILE_PIXELS / WARPS_PIXELS) + lane / 4;
  const int column = warp / WARPS_PIXELS * (TILE_OUTPUTS / WARPS_OUTPUTS) + lane % 4 * 2;
  float means[MMA_OUTPUTS][2], squares[MMA_OUTPUTS][2];
#pragma unroll
  for (int j = 0; j < MMA_OUTPUTS; j++) {
    means[j][0] = means[j][1] = 0;
    const int output = first_output + column + j * 8;
#pragma unroll
    for (int i = 0; i < 2 * MMA_PIXELS; i++) {
      const int at = pixel + i * 8;
      const u32 pair = elements_pack(sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1]);
      sums[i / 2][j][i % 2 * 2] = elements_first(pair);
      sums[i / 2][j][i % 2 * 2 + 1] = elements_second(pair);
      if (at >= PIXELS) continue;
      means[j][0] += elements_first(pair);
      means[j][1] += elements_second(pair);
      if (output < OUTPUT_PITCH) *(u32 *)(y + (u64)at * CHANNELS_OUT + group * OUTPUT_PITCH + output) = pair;
    }
  }
  float *const shared = (float *)(memory + SUM_OFFSET);
  columns_sum(means, shared, column);
  const float share = first_pixel + TILE_PIXELS <= PIXELS ? 1.0f / TILE_PIXELS : 1.0f / LAST_PIXELS;
#pragma unroll
  for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      squares[j][k] = 0;
#pragma unroll
      for (int i = 0; i < 2 * MMA_PIXELS; i++) {
        const float apart = sums[i / 2][j][i % 2 * 2 + k] - means[j][k] * share;
        if (pixel + i * 8 < PIXELS) squares[j][k] += apart * apart;
      }
    }
  columns_sum(squares, shared, column);
  if (warp % WARPS_PIXELS == 0 && lane < 4) {
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
      for (int k = 0; k < 2; k++) {
        const int output = first_output + column + j * 8 + k;
        if (output >= OUTPUT_PITCH) continue;
        float *to = statistics + ((u64)blockIdx.x * CHANNELS_OUT + group * OUTPUT_PITCH + output) * 2;
        to[0] = means[j][k];
        to[1] = squares[j][k];
      }
  }
}
