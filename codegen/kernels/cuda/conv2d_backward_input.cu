// The gradient of a convolution's input: every input pixel gathers the output gradients that it took part in.
//
// Constants as for conv2d_forward.cu. With a stride, input pixels whose rows, and columns, leave the same remainder
// meet the same taps: they are a phase, and a tile has pixels of one phase alone, so that no tap is multiplied in vain.
//
// dy [n][p][q][GROUPS * OUTPUT_PITCH], weights turned: [inputs][taps' outputs] as weights.h orders them, and, where the
// constant ADD is 1, add [n][h][w][GROUPS * INPUT_PITCH] -> dx like add, rounded once: the gradient and
// `add`. Grid: tiles of a phase's pixels, tiles of a group's inputs, groups * STRIDE * STRIDE (phases within a group).
// Shared memory: TILE_BYTES.
enum {
  ROWS = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1,
  COLUMNS = (WIDTH + 2 * PAD - KERNEL) / STRIDE + 1,
  FROM_HEIGHT = ROWS,
  FROM_WIDTH = COLUMNS,
  FROM_PITCH = OUTPUT_PITCH,
  TO_PITCH = INPUT_PITCH,
  TAP_STRIDE = STRIDE
};
// dy is read as it lies.
#define VIEW 0
#define VIEW_CHANNELS FROM_PITCH
#define VIEW_PITCH FROM_PITCH
#include "conv2d_tile.h"

enum { PHASES = STRIDE * STRIDE };

// Pixels of the largest phase: the first.
#define PHASE_PIXELS (IMAGES * DIVIDE_UP(HEIGHT, STRIDE) * DIVIDE_UP(WIDTH, STRIDE))

// Pixel number `number` of a phase, in the input: n * HEIGHT * WIDTH + row * WIDTH + column. Beyond the last: negative.
DEVICE int phase_pixel(int row, int column, int number) {
  const int rows = (HEIGHT - row + STRIDE - 1) / STRIDE, columns = (WIDTH - column + STRIDE - 1) / STRIDE;
  const int image = number / (rows * columns), at = number % (rows * columns);
  if (image >= IMAGES) return -1;
  return (image * HEIGHT + row + at / columns * STRIDE) * WIDTH + column + at % columns * STRIDE;
}

// first_row, first_column: of the taps that the pixel meets.
DEVICE Pixel pixel_find(const Element *dy, int group, int first_row, int first_column, int pixel) {
  if (pixel < 0) return pixel_none(dy);
  const int image = pixel / (HEIGHT * WIDTH), row = pixel / WIDTH % HEIGHT, column = pixel % WIDTH;
  return pixel_at(dy, image, (row + PAD - first_row) / STRIDE, (column + PAD - first_column) / STRIDE, group);
}

DEVICE_KERNEL(conv2d_backward_input, THREADS, BLOCKS_FIT, TILE_BYTES,
              (const Element *__restrict__ dy, const Element *__restrict__ weights, const Element *__restrict__ add,
               Element *__restrict__ dx)) {
  SHARED_MEMORY(memory);
  const int group = blockIdx.z / PHASES, phase = blockIdx.z % PHASES;
  const int phase_row = phase / STRIDE, phase_column = phase % STRIDE;
  const int first_row = (phase_row + PAD) % STRIDE, first_column = (phase_column + PAD) % STRIDE;
  const Taps taps = {phase_lines(KERNEL, STRIDE, first_row), phase_lines(KERNEL, STRIDE, first_column), -1};
  const int first = blockIdx.x * TILE_PIXELS, first_channel = blockIdx.y * TILE_CHANNELS;
  Pixel pixels[PIXEL_COPIES];
#pragma unroll
  for (int i = 0; i < PIXEL_COPIES; i++)
    pixels[i] = pixel_find(dy, group, first_row, first_column,
                           phase_pixel(phase_row, phase_column, first + (int)threadIdx.x / CHUNKS + i * COPY_ROWS));
  float sums[MMA_PIXELS][MMA_CHANNELS][4];
  tile_multiply(taps, first_row * STRIDE + first_column, pixels, group, first_channel, View{}, weights,
                shared_address(memory), sums);
#pragma unroll
  for (int i = 0; i < 2 * MMA_PIXELS; i++) {
    const int pixel = phase_pixel(phase_row, phase_column, first + thread_pixel() + i * 8);
    if (pixel < 0) continue;
#pragma unroll
    for (int j = 0; j < MMA_CHANNELS; j++) {
      const int channel = first_channel + thread_channel() + j * 8;
      if (channel >= INPUT_PITCH) continue;
      const u64 at = (u64)pixel * TO_ALL + group * INPUT_PITCH + channel;
      float one = sums[i / 2][j][i % 2 * 2], other = sums[i / 2][j][i % 2 * 2 + 1];
      if (ADD) {
        const u32 more = *(const u32 *)(add + at);
        one += elements_first(more);
        other += elements_second(more);
      }
      *(u32 *)(dx + at) = elements_pack(one, other);
    }
  }
}
