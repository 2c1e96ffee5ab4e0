// Images beside convolutions and BatchNorm: pictures into elements, pooling, the scales of squeeze-and-excitation,
// sums. Images lie as [n][pixels][channels_all], of whose channels those of channels.h exist and the others
// become zero; vectors by channel are floats [n][c] without pads. What is stored is rounded once. With `line`
// [2][channels_all], what is read of x is what BatchNorm and ReLU make of it (view.h); NULL: as it lies.
//
// Grid: elements (grid.h), no shared memory:
//   normalize_images(images u8 [pixels][3], y [pixels][8], pixels, scale0, scale1, scale2, shift0, shift1, shift2)
//     y = v * scale + shift, channels 3 .. 7 zero; one pixel a thread
//   add_images(a, b, y, chunks)
//     one chunk a thread; y may be an operand
// Grid: DIVIDE_UP(pixels * channels_all / CHUNK, THREADS), images, no shared memory, one chunk a thread; pixels are
// those of one image:
//   pool_average_backward(dy [n][c], dx, images, pixels, channels_all, group_channels, group_pitch)   dx = dy / pixels
//   scale_channels(x, line?, s [n][c], y, the same)   y = x * s; without line y may be x
// Grid: DIVIDE_UP(channels_all, 64), images, shared memory POOL_BYTES: a block has 8 chunks of channels of one image,
// by 32 rows of pixels:
//   pool_average(x, line?, y [n][c], images, pixels, channels_all, group_channels, group_pitch)   the mean over an image
//   scale_channels_backward(dy, x, line?, s [n][c]?, dx?, ds [n][c], the same)   dx = dy * s, which may be dy; ds = sum
//                                                                                over an image of dy * x
#include "grid.h"
#include "view.h"

enum { CHUNKS = 8, POOL_ROWS = THREADS / CHUNKS, POOL_BYTES = POOL_ROWS * CHUNKS * CHUNK * 4 };

DEVICE_KERNEL(normalize_images, THREADS, 1, 0,
              (const unsigned char *__restrict__ images, Element *__restrict__ y, u64 pixels, float scale0,
               float scale1, float scale2, float shift0, float shift1, float shift2)) {
  const u64 at = grid_element();
  if (at >= pixels) return;
  const unsigned char *pixel = images + at * 3;
  const float red = (float)pixel[0] * scale0 + shift0, green = (float)pixel[1] * scale1 + shift1;
  const float values[CHUNK] = {red, green, (float)pixel[2] * scale2 + shift2, 0, 0, 0, 0, 0};
  chunk_store(y + at * CHUNK, chunk_make(values));
}

// Adds up the rows of a block as a tree; the first row's threads then have the whole sums.
DEVICE void pool_rows(float (&sums)[CHUNK], float *shared) {
  const int row = threadIdx.x / CHUNKS;
  float *const own = shared + threadIdx.x * CHUNK;
#pragma unroll
  for (int i = 0; i < CHUNK; i++) own[i] = sums[i];
  block_wait();
#pragma unroll 1
  for (int half = POOL_ROWS / 2; half > 0; half /= 2) {
    if (row < half)
#pragma unroll
      for (int i = 0; i < CHUNK; i++) own[i] += own[half * CHUNKS * CHUNK + i];
    block_wait();
  }
#pragma unroll
  for (int i = 0; i < CHUNK; i++) sums[i] = own[i];
}

// A chunk of x as it is seen, of the line that was loaded where there is one.
DEVICE Line line_find(const float *line, Channels channels, int channel, bool there) {
  return line && there ? line_load(line, channels.all, channel) : Line{};
}
DEVICE Chunk chunk_see(const Element *x, const float *line, const Line &part) {
  const Chunk chunk = chunk_load(x);
  return line ? chunk_normalize(chunk, part) : chunk;
}

DEVICE void vector_store(float *vector, Channels c, int channel, const float (&values)[CHUNK], float factor) {
  const int count = channels_exist(channel, c.group_channels, c.group_pitch);
  float *const to = vector + channel_number(channel, c.group_channels, c.group_pitch);
#pragma unroll
  for (int i = 0; i < CHUNK; i++)
    if (i < count) to[i] = values[i] * factor;
}

DEVICE_KERNEL(pool_average, THREADS, 1, POOL_BYTES,
              (const Element *__restrict__ x, const float *__restrict__ line, float *__restrict__ y, int images,
               int pixels, int channels_all, int group_channels, int group_pitch)) {
  SHARED_MEMORY(memory);
  const Channels channels = {channels_all, group_channels, group_pitch};
  const int image = blockIdx.y, row = threadIdx.x / CHUNKS;
  const int channel = (int)(blockIdx.x * CHUNKS + threadIdx.x % CHUNKS) * CHUNK;
  const bool there = channel < channels_all && image < images;
  const Line part = line_find(line, channels, channel, there);
  float sums[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) sums[i] = 0;
#pragma unroll 1
  for (int pixel = row; there && pixel < pixels; pixel += POOL_ROWS) {
    const Chunk in = chunk_see(x + ((u64)image * pixels + pixel) * channels_all + channel, line, part);
#pragma unroll
    for (int i = 0; i < CHUNK; i++) sums[i] += chunk_get(in, i);
  }
  pool_rows(sums, (float *)memory);
  if (there && row == 0) vector_store(y + image * vector_width(channels), channels, channel, sums, 1 / (float)pixels);
}

DEVICE_KERNEL(pool_average_backward, THREADS, 1, 0,
              (const float *__restrict__ dy, Element *__restrict__ dx, int images, int pixels, int channels_all,
               int group_channels, int group_pitch)) {
  const Channels channels = {channels_all, group_channels, group_pitch};
  const int chunks = channels_all / CHUNK, image = blockIdx.y, place = (int)grid_element();
  if (place >= pixels * chunks || image >= images) return;
  const u64 at = (u64)image * pixels * chunks + place;
  float values[CHUNK];
  vector_load(dy + image * vector_width(channels), channels, place % chunks * CHUNK, values);
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] *= 1 / (float)pixels;
  chunk_store(dx + at * CHUNK, chunk_make(values));
}

DEVICE_KERNEL(scale_channels, THREADS, 1, 0,
              (const Element *x, const float *line, const float *s, Element *y, int images, int pixels,
               int channels_all, int group_channels, int group_pitch)) {
  const Channels channels = {channels_all, group_channels, group_pitch};
  const int chunks = channels_all / CHUNK, image = blockIdx.y, place = (int)grid_element();
  if (place >= pixels * chunks || image >= images) return;
  const u64 at = (u64)image * pixels * chunks + place;
  const int channel = place % chunks * CHUNK;
  const Chunk in = chunk_see(x + at * CHUNK, line, line_find(line, channels, channel, true));
  float scale[CHUNK];
  vector_load(s + image * vector_width(channels), channels, channel, scale);
  chunk_store(y + at * CHUNK, chunk_scale(in, scale));
}

DEVICE_KERNEL(scale_channels_backward, THREADS, 1, POOL_BYTES,
              (const Element *dy, const Element *x, const float *line, const float *s, Element *dx, float *ds,
               int images, int pixels, int channels_all, int group_channels, int group_pitch)) {
  SHARED_MEMORY(memory);
  const Channels channels = {channels_all, group_channels, group_pitch};
  const int image = blockIdx.y, row = threadIdx.x / CHUNKS;
  const int channel = (int)(blockIdx.x * CHUNKS + threadIdx.x % CHUNKS) * CHUNK;
  const bool there = channel < channels_all && image < images;
  const u64 vectors = image * vector_width(channels);
  const Line part = line_find(line, channels, channel, there);
  float sums[CHUNK], factors[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) sums[i] = factors[i] = 0;
  if (there && dx) vector_load(s + vectors, channels, channel, factors);
#pragma unroll 1
  for (int pixel = row; there && pixel < pixels; pixel += POOL_ROWS) {
    const u64 at = ((u64)image * pixels + pixel) * channels_all + channel;
    const Chunk gradient = chunk_load(dy + at), in = chunk_see(x + at, line, part);
#pragma unroll
    for (int i = 0; i < CHUNK; i++) sums[i] += chunk_get(gradient, i) * chunk_get(in, i);
    if (dx) chunk_store(dx + at, chunk_scale(gradient, factors));
  }
  pool_rows(sums, (float *)memory);
  if (there && row == 0) vector_store(ds + vectors, channels, channel, sums, 1);
}

DEVICE_KERNEL(add_images, THREADS, 1, 0, (const Element *a, const Element *b, Element *y, u64 chunks)) {
  const u64 at = grid_element();
  if (at >= chunks) return;
  const Chunk first = chunk_load(a + at * CHUNK), second = chunk_load(b + at * CHUNK);
  float values[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] = chunk_get(first, i) + chunk_get(second, i);
  chunk_store(y + at * CHUNK, chunk_make(values));
}
