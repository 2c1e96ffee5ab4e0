// Winograd's way F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015): a tile of
// 2 x 2 outputs of a channel is made from 16 products an input channel, one for each position of the transformed 4 x 4
// inputs and weights, in place of 36. Lanes are images, so transforms are sums of whole vectors.
//
// Inputs with their padding are copied into a plane. Up to three tiles of a row are then taken together, and of their
// positions one row after the other: inputs are transformed from the plane, products summed over the inputs in
// registers, and what the row means for the outputs is kept, so that the first cache has nearly all of it. Where a tile
// has one row (column) of outputs, the last row (column) of positions is left out.
#include "conv2d_winograd.h"

#include "lanes.h"
#include "sizes.h"

enum {
  WINOGRAD_TILES = 3,                                       // most tiles taken together
  WINOGRAD_OUTPUTS = LANES == 16 ? 8 : 4,                   // outputs of a unit; groups are never narrower
  WINOGRAD_UNITS = 64 / WINOGRAD_OUTPUTS,                   // most units taken together
  WINOGRAD_CHANNELS = 64,                                   // most input channels taken together
  WINOGRAD_PLANE = 3072,                                    // vectors: 192 KiB with 16 lanes
  WINOGRAD_RUN = WINOGRAD_TILES * WINOGRAD_OUTPUTS * LANES  // floats of a unit's sums of one position, at most
};

// ---- weights ----

// What the outputs of a unit have of something.
typedef float WinogradOutputs __attribute__((vector_size(4 * WINOGRAD_OUTPUTS), aligned(4), may_alias));

// G of three taps, `step` apart.
KERNEL void winograd_taps(const WinogradOutputs *taps, int step, WinogradOutputs *to) {
  const WinogradOutputs ends = (taps[0] + taps[2 * step]) * 0.5f, middle = taps[step] * 0.5f;
  to[0] = taps[0], to[1] = ends + middle, to[2] = ends - middle, to[3] = taps[2 * step];
}

void conv2d_winograd_pack(int inputs, int outputs, int turned, int64_t group_stride, int64_t output_stride,
                          int64_t input_stride, const float *restrict w, float *restrict packed, int first, int last) {
  const int units = (outputs + WINOGRAD_OUTPUTS - 1) / WINOGRAD_OUTPUTS;
  for (int unit = first; unit < last; unit++) {
    const int output = unit % units * WINOGRAD_OUTPUTS;
    const int live = outputs - output < WINOGRAD_OUTPUTS ? outputs - output : WINOGRAD_OUTPUTS;
    const float *source = w + unit / units * group_stride + output * output_stride;
    float *target = packed + (int64_t)unit * 16 * inputs * WINOGRAD_OUTPUTS;
    WinogradOutputs taps[9] = {{0}};
    for (int input = 0; input < inputs; input++, source += input_stride, target += WINOGRAD_OUTPUTS) {
      for (int tap = 0; tap < 9; tap++)
        for (int i = 0; i < live; i++) taps[tap][i] = source[i * output_stride + (turned ? 8 - tap : tap)];
      WinogradOutputs columns[3][4], positions[4];
      for (int x = 0; x < 3; x++) winograd_taps(taps + x, 3, columns[x]);
      for (int y = 0; y < 4; y++) {
        winograd_taps(&columns[0][y], 4, positions);
        for (int x = 0; x < 4; x++)
          *(WinogradOutputs *)(target + (int64_t)(4 * y + x) * inputs * WINOGRAD_OUTPUTS) = positions[x];
      }
    }
  }
}

// ---- tiles ----

// Outputs of rows [row, row + rows) and columns [column, column + columns) from input channels [channel, channel +
// channels) of their group: down x across tiles, whose inputs are the plane, [2 * down + 2][2 * across + 2][channels].
typedef struct WinogradChunk {
  int row, rows, down, column, columns, across, channel, channels;
} WinogradChunk;

// Tiles of a row of them that are taken together, of two rows of outputs or one; the last one has two columns or one.
typedef struct WinogradStrip {
  int tiles, two_rows, two_columns;
} WinogradStrip;

KERNEL void winograd_plane(WinogradPart part, WinogradChunk c, int kind, View view, float *restrict plane) {
  for (int i = 0; i < 2 * c.down + 2; i++)
    for (int j = 0; j < 2 * c.across + 2; j++, plane += (int64_t)c.channels * LANES) {
      const int row = c.row - 1 + i, column = c.column - 1 + j, channel = part.group * part.inputs + c.channel;
      if (row < 0 || row >= part.h || column < 0 || column >= part.w)
        memset(plane, 0, (size_t)c.channels * LANES * sizeof(float));
      else
        view_copy(kind, view, (((int64_t)row * part.w + column) * view.c + channel) * LANES, channel, c.channels, 1,
                  (int64_t)c.channels * LANES, plane, LANES);
    }
}

// A row of positions of the inputs, from x + sign * other, a row of B^T d: to v [position][tile][channel].
KERNEL void winograd_inputs(int tiles, int channels, const float *x, const float *other, float sign,
                            float *restrict v) {
  const int64_t pixel = (int64_t)channels * LANES, next = WINOGRAD_TILES * pixel;
  for (int channel = 0; channel < channels; channel++, x += LANES, other += LANES, v += LANES) {
    Lanes d[2 * WINOGRAD_TILES + 2];
    UNROLL
    for (int j = 0; j < 2 * tiles + 2; j++) d[j] = lanes_load(x + j * pixel) + sign * lanes_load(other + j * pixel);
    UNROLL
    for (int j = 0; j < tiles; j++) {
      lanes_store(v + j * pixel, d[2 * j] - d[2 * j + 2]);
      lanes_store(v + j * pixel + next, d[2 * j + 1] + d[2 * j + 2]);
      lanes_store(v + j * pixel + 2 * next, d[2 * j + 2] - d[2 * j + 1]);
      lanes_store(v + j * pixel + 3 * next, d[2 * j + 1] - d[2 * j + 3]);
    }
  }
}

// m[tile][output] = sum over channels of v[tile][channel] * weights[channel][output].
KERNEL void winograd_sum(int tiles, int channels, const float *restrict v, const float *restrict weights,
                         float *restrict m) {
  const int64_t pixel = (int64_t)channels * LANES;
  Lanes sums[WINOGRAD_TILES * WINOGRAD_OUTPUTS];
  UNROLL
  for (int i = 0; i < tiles * WINOGRAD_OUTPUTS; i++) LANES_CLEAR(sums[i]);
  for (int left = channels; left > 0; left--, v += LANES, weights += WINOGRAD_OUTPUTS) {
    Lanes x[WINOGRAD_TILES];
    UNROLL
    for (int j = 0; j < tiles; j++) {
      x[j] = lanes_load(v + j * pixel);
      LANES_PIN(x[j]);
    }
    UNROLL
    for (int i = 0; i < WINOGRAD_OUTPUTS; i++) {
      Lanes weight = lanes_splat(weights[i]);
      LANES_PIN(weight);
      UNROLL
      for (int j = 0; j < tiles; j++) sums[j * WINOGRAD_OUTPUTS + i] += x[j] * weight;
    }
  }
  UNROLL
  for (int i = 0; i < tiles * WINOGRAD_OUTPUTS; i++) lanes_store(m + i * LANES, sums[i]);
}

// One copy for each number of tiles.
#define WINOGRAD_COPIES(tiles)                                                                                  \
  KERNEL_SHARED void winograd_inputs_##tiles(int channels, const float *x, const float *other, float sign,      \
                                             float *restrict v) {                                               \
    winograd_inputs(tiles, channels, x, other, sign, v);                                                        \
  }                                                                                                             \
  KERNEL_SHARED void winograd_sum_##tiles(int channels, const float *restrict v, const float *restrict weights, \
                                          float *restrict m) {                                                  \
    winograd_sum(tiles, channels, v, weights, m);                                                               \
  }
WINOGRAD_COPIES(1)
WINOGRAD_COPIES(2)
WINOGRAD_COPIES(3)

// What `sum`, of row `position` of the positions, means for a pixel of a tile's first row of outputs and for the one
// below it. Both are begun at kept and kept + WINOGRAD_KEPT by rows 1 and 2, which come first. Row 0 ends the former,
// row 3 the latter: it goes to y, with what is at add (NULL: nothing). The line of y is asked for beforehand.
enum { WINOGRAD_KEPT = 2 * WINOGRAD_RUN };

KERNEL void winograd_keep(int position, Lanes sum, float *kept, const Element *add, Element *y) {
  if (position == 1) {
    lanes_store(kept, sum);
    __builtin_prefetch(y, 1);
  } else if (position == 2) {
    const Lanes first = lanes_load(kept);
    lanes_store(kept, first + sum);
    lanes_store(kept + WINOGRAD_KEPT, first - sum);
    __builtin_prefetch(y, 1);
  } else {
    Lanes all = position == 0 ? lanes_load(kept) + sum : lanes_load(kept + WINOGRAD_KEPT) - sum;
    if (add) all += element_load(add);
    element_store(y, all);
  }
}

// Row `position` of the sums m [column of positions][tile][output] of a unit: `live` outputs of each pixel are kept, or
// go to y, pixel_stride floats from one pixel to the next.
KERNEL void winograd_outputs(int position, WinogradStrip s, int live, const float *m, float *kept, const Element *add,
                             Element *y, int64_t pixel_stride) {
  for (int j = 0; j < s.tiles; j++) {
    const int two = s.two_columns || j + 1 < s.tiles;
    for (int i = 0; i < live; i++) {
      const float *from = m + (j * WINOGRAD_OUTPUTS + i) * LANES;
      float *to = kept + (2 * j * WINOGRAD_OUTPUTS + i) * LANES;
      const int64_t at = 2 * j * pixel_stride + (int64_t)i * LANES;
      const Lanes m1 = lanes_load(from + WINOGRAD_RUN), m2 = lanes_load(from + 2 * WINOGRAD_RUN);
      winograd_keep(position, lanes_load(from) + m1 + m2, to, add ? add + at : NULL, y + at);
      if (two)
        winograd_keep(position, m1 - m2 - lanes_load(from + 3 * WINOGRAD_RUN), to + WINOGRAD_OUTPUTS * LANES,
                      add ? add + at + pixel_stride : NULL, y + at + pixel_stride);
    }
  }
}

// ---- a part ----

// Row `position` of the positions of units [first, last), of a strip at x in the plane, at y and add (NULL: nothing) in
// the first of its rows of outputs that the position ends.
KERNEL void winograd_strip_row(WinogradPart part, const WinogradChunk *c, WinogradStrip s, int position, int first,
                               int last, const float *x, const float *packed, float *kept, const Element *add,
                               Element *y) {
  static const int rows[4][2] = {{0, 2}, {1, 2}, {2, 1}, {1, 3}};
  float v[4 * WINOGRAD_TILES * WINOGRAD_CHANNELS * LANES] __attribute__((aligned(64)));
  float m[4 * WINOGRAD_RUN] __attribute__((aligned(64)));
  const int units = (part.outputs + WINOGRAD_OUTPUTS - 1) / WINOGRAD_OUTPUTS;
  const int64_t row = (int64_t)(2 * c->across + 2) * c->channels * LANES;
  const int64_t apart = (int64_t)part.inputs * WINOGRAD_OUTPUTS;
  const float *one = x + rows[position][0] * row, *other = x + rows[position][1] * row;
  const float sign = position == 1 ? 1.0f : -1.0f;
  if (s.tiles == 3) winograd_inputs_3(c->channels, one, other, sign, v);
  if (s.tiles == 2) winograd_inputs_2(c->channels, one, other, sign, v);
  if (s.tiles == 1) winograd_inputs_1(c->channels, one, other, sign, v);
  for (int unit = first; unit < last; unit++, kept += 2 * WINOGRAD_KEPT) {
    const float *weights = packed + (unit * 16 + position * 4) * apart + (int64_t)c->channel * WINOGRAD_OUTPUTS;
    const int output = unit % units * WINOGRAD_OUTPUTS;
    for (int q = 0; q < 4; q++, weights += apart) {
      const float *from = v + q * WINOGRAD_TILES * c->channels * LANES;
      const int tiles = s.tiles - (q == 3 && !s.two_columns);
      if (tiles == 3) winograd_sum_3(c->channels, from, weights, m + q * WINOGRAD_RUN);
      if (tiles == 2) winograd_sum_2(c->channels, from, weights, m + q * WINOGRAD_RUN);
      if (tiles == 1) winograd_sum_1(c->channels, from, weights, m + q * WINOGRAD_RUN);
    }
    winograd_outputs(position, s, (int)size_min(WINOGRAD_OUTPUTS, part.outputs - output), m, kept,
                     add ? add + output * LANES : NULL, y + output * LANES, (int64_t)part.channels * LANES);
  }
}

static void winograd_strip(WinogradPart part, const WinogradChunk *c, WinogradStrip s, const float *x,
                           const float *packed, const Element *add, Element *y) {
  const int64_t below = (int64_t)part.w * part.channels * LANES;
  float kept[WINOGRAD_UNITS * 2 * WINOGRAD_KEPT] __attribute__((aligned(64)));
  for (int first = part.first, last; first < part.last; first = last) {
    last = first + WINOGRAD_UNITS < part.last ? first + WINOGRAD_UNITS : part.last;
    winograd_strip_row(part, c, s, 1, first, last, x, packed, kept, NULL, y);
    winograd_strip_row(part, c, s, 2, first, last, x, packed, kept, NULL, s.two_rows ? y + below : y);
    winograd_strip_row(part, c, s, 0, first, last, x, packed, kept, add, y);
    if (s.two_rows)
      winograd_strip_row(part, c, s, 3, first, last, x, packed, kept, add ? add + below : NULL, y + below);
  }
}

// All tiles of a chunk. y and add: the group's first output at the chunk's first pixel.
static void winograd_chunk(WinogradPart part, const WinogradChunk *c, const float *plane, const float *packed,
                           const Element *add, Element *y) {
  for (int i = 0; i < c->down; i++)
    for (int j = 0, tiles; j < c->across; j += tiles) {
      const int left = c->across - j;
      tiles = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
      const WinogradStrip s = {tiles, 2 * i + 1 < c->rows, 2 * (j + tiles) <= c->columns};
      const int64_t at = ((int64_t)2 * i * part.w + 2 * j) * part.channels * LANES;
      winograd_strip(part, c, s, plane + ((int64_t)2 * i * (2 * c->across + 2) + 2 * j) * c->channels * LANES, packed,
                     add ? add + at : NULL, y + at);
    }
}

// The most that is taken together, so that the plane holds it: chunks of equal size, as far as that goes.
static WinogradChunk winograd_most(WinogradPart part) {
  WinogradChunk c = {.across = (part.w + 1) / 2, .down = (part.row_end - part.row + 1) / 2};
  c.channels = (int)size_ceil(part.inputs, size_ceil(part.inputs, WINOGRAD_CHANNELS));
  while ((2 * c.across + 2) * 4 * c.channels > WINOGRAD_PLANE) c.across = (c.across + 1) / 2;
  while ((2 * c.across + 2) * (2 * c.down + 2) * c.channels > WINOGRAD_PLANE) c.down = (c.down + 1) / 2;
  return c;
}

KERNEL void winograd_run(WinogradPart part, int kind, View view, const float *packed, Element *y, const Element *add) {
  const WinogradChunk most = winograd_most(part);
  float plane[WINOGRAD_PLANE * LANES] __attribute__((aligned(64)));
  for (int row = part.row; row < part.row_end; row += 2 * most.down)
    for (int column = 0; column < part.w; column += 2 * most.across)
      for (int channel = 0; channel < part.inputs; channel += most.channels) {
        WinogradChunk c = {.row = row, .column = column, .channel = channel};
        c.rows = (int)size_min(part.row_end - row, 2 * most.down), c.down = (c.rows + 1) / 2;
        c.columns = (int)size_min(part.w - column, 2 * most.across), c.across = (c.columns + 1) / 2;
        c.channels = (int)size_min(part.inputs - channel, most.channels);
        const int64_t at = (((int64_t)row * part.w + column) * part.channels + part.group * part.outputs) * LANES;
        winograd_plane(part, c, kind, view, plane);
        winograd_chunk(part, &c, plane, packed, channel ? y + at : add ? add + at : NULL, y + at);
      }
}

void conv2d_winograd(WinogradPart part, int kind, View view, const float *packed, Element *y, const Element *add) {
  if (kind == VIEW_PLAIN) winograd_run(part, VIEW_PLAIN, view, packed, y, add);
  if (kind == VIEW_NORMALIZED) winograd_run(part, VIEW_NORMALIZED, view, packed, y, add);
  if (kind == VIEW_SCALED) winograd_run(part, VIEW_SCALED, view, packed, y, add);
  if (kind == VIEW_GRADIENT) winograd_run(part, VIEW_GRADIENT, view, packed, y, add);
}
