// The gradient of a convolution's weights: for every tap a product of matrices, outputs x inputs, whose depth is
// pixels. Both operands lie with pixels as rows, so both are turned while they are loaded from shared memory. Pixels
// are split among blocks; what each of them sums is added up in order by whoever reads `parts`.
//
// Constants as for conv2d_forward.cu, and
//   TILE_OUTPUTS TILE_INPUTS     of a block; TILE_DEPTH pixels are copied at once, STAGES - 1 times ahead
//   WARPS_OUTPUTS WARPS_INPUTS   by which the tile is divided
//   SPLITS                       of the pixels: multiples of TILE_DEPTH, none of them empty
//
// x [n][h][w][GROUPS * INPUT_PITCH], dy [n][p][q][GROUPS * OUTPUT_PITCH]
// -> parts [SPLITS][GROUPS * OUTPUT_PITCH][KERNEL * KERNEL][INPUT_PITCH], in single precision.
// Grid: tiles of outputs * tiles of inputs * taps (the last changes slowest), groups, splits. Shared memory:
// TILE_BYTES.
#include "device.h"

enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  PIXELS = IMAGES * ROWS * COLUMNS,
  STEPS = DIVIDE_UP(PIXELS, TILE_DEPTH),
  INPUTS_ALL = GROUPS * INPUT_PITCH,
  OUTPUTS_ALL = GROUPS * OUTPUT_PITCH,
  OUTPUT_TILES = DIVIDE_UP(OUTPUT_PITCH, TILE_OUTPUTS),
  INPUT_TILES = DIVIDE_UP(INPUT_PITCH, TILE_INPUTS),
  THREADS = 32 * WARPS_OUTPUTS * WARPS_INPUTS,
  OUTPUT_ROW = TILE_OUTPUTS + CHUNK,  // elements from row to row: no two of eight rows share banks
  INPUT_ROW = TILE_INPUTS + CHUNK,
  MMA_OUTPUTS = TILE_OUTPUTS / WARPS_OUTPUTS / 16,  // products of a warp
  MMA_INPUTS = TILE_INPUTS / WARPS_INPUTS / 8,
  STAGE_OUTPUTS = TILE_DEPTH * OUTPUT_ROW * 2,  // bytes
  STAGE_INPUTS = TILE_DEPTH * INPUT_ROW * 2,
  TILE_BYTES = STAGES * (STAGE_OUTPUTS + STAGE_INPUTS)
};

static_assert(TILE_DEPTH % 16 == 0 && MMA_INPUTS % 2 == 0, "matrices of inputs are loaded four at a time");
static_assert(SPLITS <= STEPS, "no split is empty");

// Starts the copies of TILE_DEPTH pixels, to stage `step` % STAGES: dy from `output`, and x as tap (down, across) meets
// it from `input`, of group `group`.
DEVICE void step_copy(int step, int first_pixel, int down, int across, int group, int output, int input,
                      const Element *x, const Element *dy, u32 tile) {
  const u32 output_stage = tile + step % STAGES * STAGE_OUTPUTS;
  const u32 input_stage = tile + STAGES * STAGE_OUTPUTS + step % STAGES * STAGE_INPUTS;
#pragma unroll
  for (int at = threadIdx.x; at < TILE_DEPTH * (TILE_OUTPUTS / CHUNK); at += THREADS) {
    const int pixel = first_pixel + at / (TILE_OUTPUTS / CHUNK), place = at % (TILE_OUTPUTS / CHUNK) * CHUNK;
    const bool there = pixel < PIXELS && output + place < OUTPUT_PITCH;
    const Element *source = dy + (u64)pixel * OUTPUTS_ALL + group * OUTPUT_PITCH + output + place;
    copy_start(output_stage + (at / (TILE_OUTPUTS / CHUNK) * OUTPUT_ROW + place) * 2, there ? source : dy,
               there ? 16 : 0);
  }
#pragma unroll
  for (int at = threadIdx.x; at < TILE_DEPTH * (TILE_INPUTS / CHUNK); at += THREADS) {
    const int pixel = first_pixel + at / (TILE_INPUTS / CHUNK), place = at % (TILE_INPUTS / CHUNK) * CHUNK;
    const int row = pixel / COLUMNS % ROWS * STRIDE - PAD + down, column = pixel % COLUMNS * STRIDE - PAD + across;
    const bool there =
        pixel < PIXELS && row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH && input + place < INPUT_PITCH;
    const Element *source = x + (((u64)(pixel / (ROWS * COLUMNS)) * HEIGHT + row) * WIDTH + column) * INPUTS_ALL +
                            group * INPUT_PITCH + input + place;
    copy_start(input_stage + (at / (TILE_INPUTS / CHUNK) * INPUT_ROW + place) * 2, there ? source : x, there ? 16 : 0);
  }
}

DEVICE void step_multiply(int step, u32 tile, float (&sums)[MMA_OUTPUTS][MMA_INPUTS][4]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int output = warp % WARPS_OUTPUTS * (TILE_OUTPUTS / WARPS_OUTPUTS);
  const int input = warp / WARPS_OUTPUTS * (TILE_INPUTS / WARPS_INPUTS);
  const u32 output_stage = tile + step % STAGES * STAGE_OUTPUTS;
  const u32 input_stage = tile + STAGES * STAGE_OUTPUTS + step % STAGES * STAGE_INPUTS;
#pragma unroll
  for (int pixel = 0; pixel < TILE_DEPTH; pixel += 16) {
    u32 a[MMA_OUTPUTS][4];
#pragma unroll
    for (int i = 0; i < MMA_OUTPUTS; i++)
      matrices_load_transposed(
          a[i],
          output_stage + ((pixel + lane % 8 + lane / 16 * 8) * OUTPUT_ROW + output + i * 16 + lane / 8 % 2 * 8) * 2);
#pragma unroll
    for (int j = 0; j < MMA_INPUTS; j += 2) {
      u32 b[4];
      matrices_load_transposed(b, input_stage + ((pixel + lane % 16) * INPUT_ROW + input + j * 8 + lane / 16 * 8) * 2);
#pragma unroll
      for (int i = 0; i < MMA_OUTPUTS; i++) {
        matrix_multiply_add(sums[i][j], a[i], b[0], b[1]);
        matrix_multiply_add(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

DEVICE_KERNEL(conv2d_backward_weight, THREADS, 1, TILE_BYTES,
              (const Element *__restrict__ x, const Element *__restrict__ dy, float *__restrict__ parts)) {
  SHARED_MEMORY(memory);
  const u32 tile = shared_address(memory);
  const int output = blockIdx.x % OUTPUT_TILES * TILE_OUTPUTS,
            input = blockIdx.x / OUTPUT_TILES % INPUT_TILES * TILE_INPUTS;
  const int tap = blockIdx.x / (OUTPUT_TILES * INPUT_TILES), down = tap / KERNEL, across = tap % KERNEL;
  const int group = blockIdx.y, split = blockIdx.z;
  const int first = (int)((u64)STEPS * split / SPLITS), steps = (int)((u64)STEPS * (split + 1) / SPLITS) - first;
  float sums[MMA_OUTPUTS][MMA_INPUTS][4];
#pragma unroll
  for (int i = 0; i < MMA_OUTPUTS; i++)
#pragma unroll
    for (int j = 0; j < MMA_INPUTS; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
#pragma unroll
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < steps) step_copy(step, (first + step) * TILE_DEPTH, down, across, group, output, input, x, dy, tile);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    const int next = step + STAGES - 1;
    copy_wait<STAGES - 2>();
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (next < steps) step_copy(next, (first + next) * TILE_DEPTH, down, across, group, output, input, x, dy, tile);
    copy_commit();
    step_multiply(step, tile, sums);
  }
  copy_wait<0>();

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = output + warp % WARPS_OUTPUTS * (TILE_OUTPUTS / WARPS_OUTPUTS) + lane / 4;
  const int column = input + warp / WARPS_OUTPUTS * (TILE_INPUTS / WARPS_INPUTS) + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < 2 * MMA_OUTPUTS; i++)
#pragma unroll
    for (int j = 0; j < MMA_INPUTS; j++) {
      const int o = row + i * 8, c = column + j * 8;
      if (o >= OUTPUT_PITCH || c >= INPUT_PITCH) continue;
      float *to =
          parts + (((u64)split * OUTPUTS_ALL + group * OUTPUT_PITCH + o) * KERNEL * KERNEL + tap) * INPUT_PITCH + c;
      to[0] = sums[i / 2][j][i % 2 * 2];
      to[1] = sums[i / 2][j][i % 2 * 2 + 1];
    }
}
