// The gradient of a convolution's weights: a product of matrices, the inputs that taps meet, tap after tap, x outputs,
// whose depth is pixels. Both operands lie with pixels as rows, so both are turned while they are multiplied. Pixels
// are split among blocks; what each of them sums is added up in order by whoever reads `parts`.
//
// Constants as for conv2d_forward.cu, but STATISTICS, and
//   TILE_OUTPUTS TILE_INPUTS     of a block: inputs of several taps, where the tile reaches beyond one
//   SPLITS                       of the pixels, none of them empty
//   STAGES BLOCKS                as in conv2d_tile.h
// and for products of warps (those of warpgroups choose their own):
//   TILE_DEPTH                   so many pixels are copied at once
//   WARPS_OUTPUTS WARPS_INPUTS   by which the tile is divided
//
// x [n][h][w][GROUPS * INPUT_PITCH], line and scale of its view, dy [n][p][q][GROUPS * OUTPUT_PITCH]
// -> parts [SPLITS][GROUPS * OUTPUT_PITCH][KERNEL * KERNEL][INPUT_PITCH], in single precision.
// Grid: tiles of outputs * tiles of all taps' inputs (the last change slowest), groups, splits. Shared memory:
// TILE_BYTES.
#include "operands.h"
#include "view.h"

enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  PIXELS = IMAGES * ROWS * COLUMNS,
  INPUTS_ALL = GROUPS * INPUT_PITCH,
  OUTPUTS_ALL = GROUPS * OUTPUT_PITCH,
  TAPS_INPUTS = KERNEL * KERNEL * INPUT_PITCH,
  OUTPUT_TILES = DIVIDE_UP(OUTPUT_PITCH, TILE_OUTPUTS),
  INPUT_TILES = DIVIDE_UP(TAPS_INPUTS, TILE_INPUTS),
  INPUT_SLAB = SLAB_COLUMNS(TILE_INPUTS),
  OUTPUT_SLAB = SLAB_COLUMNS(TILE_OUTPUTS),
#ifdef WARPGROUP_MULTIPLY
  INPUT_WARPS = TILE_INPUTS / 16,  // a warpgroup has 64 inputs and all outputs
  OUTPUT_WARPS = 1,
  DEPTH = 64,
  AHEAD = STEPS_AHEAD(DEPTH * (TILE_INPUTS + TILE_OUTPUTS) * 2),
  STAGE_COUNT = AHEAD + 2,
  BLOCKS_FIT = BLOCKS,
#else
  INPUT_WARPS = WARPS_INPUTS,
  OUTPUT_WARPS = WARPS_OUTPUTS,
  DEPTH = TILE_DEPTH,
  AHEAD = STAGES - 1,
  STAGE_COUNT = STAGES,
  BLOCKS_FIT = 1,
#endif
  THREADS = 32 * INPUT_WARPS * OUTPUT_WARPS,
  STEPS = DIVIDE_UP(PIXELS, DEPTH),
  INPUT_SLAB_BYTES = DEPTH * INPUT_SLAB * 2,
  OUTPUT_SLAB_BYTES = DEPTH * OUTPUT_SLAB * 2,
  INPUT_CHUNKS = TILE_INPUTS / CHUNK,  // of a pixel
  OUTPUT_CHUNKS = TILE_OUTPUTS / CHUNK,
  INPUT_ROWS = THREADS / INPUT_CHUNKS,                      // of pixels, whose inputs all threads copy at once
  INPUT_BYTES = INPUT_ROWS * INPUT_SLAB * 2,                // from a thread's copy to its next one
  INPUT_COPIES = DIVIDE_UP(DEPTH * INPUT_CHUNKS, THREADS),  // of a thread, in one step
  OUTPUT_COPIES = DIVIDE_UP(DEPTH * OUTPUT_CHUNKS, THREADS),
  MMA_INPUTS = TILE_INPUTS / INPUT_WARPS / 16,  // products of a warp
  MMA_OUTPUTS = TILE_OUTPUTS / OUTPUT_WARPS / 8,
  COPIES_AT_ONCE = VIEW ? 1 : INPUT_COPIES + OUTPUT_COPIES,  // a view takes registers
  STAGE_INPUTS = DEPTH * TILE_INPUTS * 2,                    // bytes
  STAGE_OUTPUTS = DEPTH * TILE_OUTPUTS * 2,
  TILE_BYTES = STAGE_COUNT * (STAGE_INPUTS + STAGE_OUTPUTS)
};

static_assert(AHEAD > 0, "stages fit");
static_assert(DEPTH % 16 == 0 && TILE_INPUTS % 16 == 0 && TILE_OUTPUTS % 16 == 0, "of whole products and slabs");
static_assert(THREADS % INPUT_CHUNKS == 0, "a thread copies the same inputs of each of its pixels");
static_assert(INPUT_ROWS % 8 == 0, "all inputs that a thread copies are swizzled alike");
static_assert(SPLITS <= STEPS, "no split is empty");
static_assert(AHEAD * INPUT_COPIES <= 32, "a word has a bit for each copy of inputs on its way");

DEVICE u32 input_stage(u32 tile, int step) { return tile + step % STAGE_COUNT * STAGE_INPUTS; }
DEVICE u32 output_stage(u32 tile, int step) {
  return tile + STAGE_COUNT * STAGE_INPUTS + step % STAGE_COUNT * STAGE_OUTPUTS;
}

// Where a thread's first copy of inputs comes to lie.
DEVICE u32 input_place(u32 tile, int step) {
  return input_stage(tile, step) +
         slab_place<INPUT_SLAB>(threadIdx.x / INPUT_CHUNKS, threadIdx.x % INPUT_CHUNKS * CHUNK, INPUT_SLAB_BYTES);
}

// What a thread copies of x: eight inputs, as the first pixel has them and counted among all that a pixel has; how far
// down and across the tap that meets them is; and whether they exist.
struct Inputs {
  const Element *first;
  int down, across, channel;
  bool exist;
};
DEVICE Inputs inputs_find(const Element *x, int group, int first_input) {
  const int input = first_input + (int)threadIdx.x % INPUT_CHUNKS * CHUNK, tap = input / INPUT_PITCH;
  const int channel = group * INPUT_PITCH + input % INPUT_PITCH;
  return Inputs{x + channel, tap / KERNEL - PAD, tap % KERNEL - PAD, channel, input < TAPS_INPUTS};
}

// Starts the copies of DEPTH pixels, for step `step`: x where the tap meets it, and dy from `output` on, of group
// `group`. A bit for each copy of inputs, the first the lowest: whether there is something.
DEVICE u32 step_copy(int step, int first_pixel, Inputs inputs, int group, int output, const Element *dy, u32 tile) {
  u32 some = 0;
#pragma unroll COPIES_AT_ONCE
  for (int i = 0; i < INPUT_COPIES; i++) {
    const int at = threadIdx.x / INPUT_CHUNKS + i * INPUT_ROWS, pixel = first_pixel + at;
    const int line = pixel / COLUMNS, image = line / ROWS;
    const int row = (line - image * ROWS) * STRIDE + inputs.down;
    const int column = (pixel - line * COLUMNS) * STRIDE + inputs.across;
    const bool there = inputs.exist && pixel < PIXELS && (u32)row < HEIGHT && (u32)column < WIDTH;
    const long long number = (image * HEIGHT + row) * WIDTH + column;
    if (at < DEPTH)
      copy_start(input_place(tile, step) + i * INPUT_BYTES, inputs.first + number * INPUTS_ALL, there ? 16 : 0);
    some |= (u32)(there && at < DEPTH) << i;
  }
#pragma unroll COPIES_AT_ONCE
  for (int i = 0; i < OUTPUT_COPIES; i++) {
    const int number = threadIdx.x + i * THREADS, at = number / OUTPUT_CHUNKS, pixel = first_pixel + at;
    const int place = number % OUTPUT_CHUNKS * CHUNK;
    const bool there = pixel < PIXELS && output + place < OUTPUT_PITCH;
    const Element *source = dy + (long long)pixel * OUTPUTS_ALL + group * OUTPUT_PITCH + output + place;
    const u32 to = slab_place<OUTPUT_SLAB>(at, place, OUTPUT_SLAB_BYTES);
    if (at < DEPTH) copy_start(output_stage(tile, step) + to, source, there ? 16 : 0);
  }
  return some;
}

// What the thread's copies of x have brought for a step, of pixels from `first_pixel` on, becomes what is seen of it;
// where nothing is, zeros stay. `channel`: the first of all that a pixel of x has.
DEVICE void step_view(int step, u32 some, int first_pixel, int channel, const Line &line, const float *scale,
                      u32 tile) {
#pragma unroll 2
  for (int i = 0; i < INPUT_COPIES; i++) {
    if (!(some >> i & 1)) continue;
    const int row = threadIdx.x / INPUT_CHUNKS + i * INPUT_ROWS;
    const u32 at = input_place(tile, step) + i * INPUT_BYTES;
    const Channels channels = {INPUTS_ALL, VIEW_CHANNELS, VIEW_PITCH};
    shared_view<VIEW>(at, line, scale, (first_pixel + row) / (ROWS * COLUMNS), channels, channel);
  }
}

#ifdef WARPGROUP_MULTIPLY

static_assert(INPUT_SLAB == 64, "a warpgroup has one slab of inputs");

// Starts sums += the products of a step that a warp takes part in, or, of the first one, sums = those.
DEVICE void step_multiply(int step, int warp, u32 tile, float (&sums)[MMA_INPUTS][MMA_OUTPUTS][4]) {
  const u64 inputs =
      operand_describe<INPUT_SLAB>(input_stage(tile, step) + warp / 4 * INPUT_SLAB_BYTES, INPUT_SLAB_BYTES);
  const u64 outputs = operand_describe<OUTPUT_SLAB>(output_stage(tile, step), OUTPUT_SLAB_BYTES);
  warpgroup_fence();
#pragma unroll
  for (int pixel = 0; pixel < DEPTH; pixel += 16)
    warpgroup_multiply_add<true>(sums[0], operand_move(inputs, pixel * INPUT_SLAB * 2),
                                 operand_move(outputs, pixel * OUTPUT_SLAB * 2), step + pixel > 0);
  warpgroup_commit();
}

#else

// sums += the products of a step, of a warp.
DEVICE void step_multiply(int step, int warp, u32 tile, float (&sums)[MMA_INPUTS][MMA_OUTPUTS][4]) {
  const int lane = threadIdx.x % 32;
  const int input = warp % INPUT_WARPS * (TILE_INPUTS / INPUT_WARPS);
  const int output = warp / INPUT_WARPS * (TILE_OUTPUTS / OUTPUT_WARPS);
  const u32 inputs = input_stage(tile, step), outputs = output_stage(tile, step);
#pragma unroll
  for (int pixel = 0; pixel < DEPTH; pixel += 16) {
    u32 a[MMA_INPUTS][4];
#pragma unroll
    for (int i = 0; i < MMA_INPUTS; i++)
      matrices_load_transposed(
          a[i], inputs + slab_place<INPUT_SLAB>(pixel + lane % 8 + lane / 16 * 8, input + i * 16 + lane / 8 % 2 * 8,
                                                INPUT_SLAB_BYTES));
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j += 2) {
      const bool two = j + 1 < MMA_OUTPUTS;  // of eight outputs; else the same ones twice
      const int column = output + j * 8 + (two ? lane / 16 * 8 : 0);
      u32 b[4];
      matrices_load_transposed(b, outputs + slab_place<OUTPUT_SLAB>(pixel + lane % 16, column, OUTPUT_SLAB_BYTES));
#pragma unroll
      for (int i = 0; i < MMA_INPUTS; i++) {
        matrix_multiply_add(sums[i][j], a[i], b[0], b[1]);
        if (two) matrix_multiply_add(sums[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

#endif

// The products of `steps` steps from pixel `first_pixel` on.
DEVICE void tile_multiply(int first_pixel, int steps, int group, int output, int input, const Element *x,
                          const float *line, const float *scale, const Element *dy, u32 tile,
                          float (&sums)[MMA_INPUTS][MMA_OUTPUTS][4]) {
  const Inputs inputs = inputs_find(x, group, input);
  const int warp = warp_same(threadIdx.x / 32), channel = inputs.channel;
#ifndef WARPGROUP_MULTIPLY
#pragma unroll
  for (int i = 0; i < MMA_INPUTS; i++)
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
#endif
  u32 some = 0;  // of the steps on their way, the newest the lowest
#pragma unroll
  for (int step = 0; step < AHEAD; step++) {
    some <<= INPUT_COPIES;
    if (step < steps) some |= step_copy(step, first_pixel + step * DEPTH, inputs, group, output, dy, tile);
    copy_commit();
  }
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    const int next = step + AHEAD;
    Line part = {};
    if (VIEW) part = line_load(line, INPUTS_ALL, channel);
    copy_wait<AHEAD - 1>();
    if (VIEW)
      step_view(step, some >> (AHEAD - 1) * INPUT_COPIES, first_pixel + step * DEPTH, channel, part, scale, tile);
    some <<= INPUT_COPIES;
#ifdef WARPGROUP_MULTIPLY
    copies_publish();
    block_wait();  // the step's copies have come, and the products before the last have read what is overwritten next
    step_multiply(step, warp, tile, sums);
    if (next < steps) some |= step_copy(next, first_pixel + next * DEPTH, inputs, group, output, dy, tile);
    copy_commit();
    warpgroup_wait<1>();
#else
    block_wait();  // the step's copies have come, and nobody reads the stage that is filled next
    if (next < steps) some |= step_copy(next, first_pixel + next * DEPTH, inputs, group, output, dy, tile);
    copy_commit();
    step_multiply(step, warp, tile, sums);
#endif
  }
#ifdef WARPGROUP_MULTIPLY
  warpgroup_wait<0>();
#endif
  copy_wait<0>();
}

DEVICE_KERNEL(conv2d_backward_weight, THREADS, BLOCKS_FIT, TILE_BYTES,
              (const Element *__restrict__ x, const float *__restrict__ line, const float *__restrict__ scale,
               const Element *__restrict__ dy, float *__restrict__ parts)) {
  SHARED_MEMORY(memory);
  const int output = blockIdx.x % OUTPUT_TILES * TILE_OUTPUTS, input = blockIdx.x / OUTPUT_TILES * TILE_INPUTS;
  const int group = blockIdx.y, split = blockIdx.z;
  const int first = (int)((u64)STEPS * split / SPLITS), steps = (int)((u64)STEPS * (split + 1) / SPLITS) - first;
  float sums[MMA_INPUTS][MMA_OUTPUTS][4];
  tile_multiply(first * DEPTH, steps, group, output, input, x, line, scale, dy, shared_address(memory), sums);

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = input + warp % INPUT_WARPS * (TILE_INPUTS / INPUT_WARPS) + lane / 4;
  const int column = output + warp / INPUT_WARPS * (TILE_OUTPUTS / OUTPUT_WARPS) + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < 2 * MMA_INPUTS; i++)
#pragma unroll
    for (int j = 0; j < MMA_OUTPUTS; j++) {
      const int c = row + i * 8, o = column + j * 8;
      if (o >= OUTPUT_PITCH || c >= TAPS_INPUTS) continue;
      float *to = parts + ((u64)split * OUTPUTS_ALL + group * OUTPUT_PITCH + o) * TAPS_INPUTS + c;
      to[0] = sums[i / 2][j][i % 2 * 2];
      to[TAPS_INPUTS] = sums[i / 2][j][i % 2 * 2 + 1];
    }
}
