// Convolution of lane tensors: any kernel size, stride, padding and groups, forward and both gradients.
//
// Shape arguments are always (n, h, w, c, o, k, stride, pad, groups): input [n,h,w,c], o output channels, k x k taps.
// A tile of up to 4 output channels x 3 pixels of lanes is summed in registers: input vectors are loaded, packed
// weights broadcast. Taps in the padding read zeros. Tasks: image block x rows x output channels.
#ifndef SEER_KERNELS_CONV2D_H
#define SEER_KERNELS_CONV2D_H

#include "lanes.h"
#include "normalize.h"
#include "sizes.h"

enum {
  CONV_ACCUMULATORS = 12,
  CONV_RUN = 64,        // input channels of a tap at once, where it may read padding
  CONV_CHANNELS = 256,  // input channels of a 1 x 1 kernel at once: 3 pixels of them fit the first cache
  CONV_TAPS = 48        // runs summed before the outputs are written
};

static const float conv2d_zeros[CONV_RUN * LANES] __attribute__((aligned(64)));

// Packs the weights of units [first, last): unit = (group, tile of outputs), inside it [tap][input][output of the
// tile], outputs beyond the group zero. Strides are those of w for an output, an input, a tap.
KERNEL void conv2d_pack_units(int inputs, int outputs, int taps, int64_t group_stride, int64_t output_stride,
                              int64_t input_stride, const float *restrict w, float *restrict packed, int first,
                              int last) {
  const int tile = (int)conv2d_tile(outputs), tiles = (outputs + tile - 1) / tile;
  for (int unit = first; unit < last; unit++) {
    const int group = unit / tiles, output = unit % tiles * tile;
    const float *source = w + group * group_stride + output * output_stride;
    float *target = packed + (int64_t)unit * taps * inputs * tile;
    for (int tap = 0; tap < taps; tap++)
      for (int input = 0; input < inputs; input++)
        for (int i = 0; i < tile; i++)
          *target++ = output + i < outputs ? source[i * output_stride + input * input_stride + tap] : 0.0f;
  }
}

// w [o][c/groups][k][k] -> packed, conv2d_packed_floats(c, o, k, groups) floats, for conv2d_forward.
// Tasks: conv2d_pack_tasks(c, o, k, groups).
KERNEL void conv2d_pack(int c, int o, int k, int groups, const float *restrict w, float *restrict packed, int task) {
  const int parts = (int)conv2d_pack_tasks(c, o, k, groups), units = (int)conv2d_units(groups, o / groups);
  const int inputs = c / groups, outputs = o / groups;
  conv2d_pack_units(inputs, outputs, k * k, (int64_t)outputs * inputs * k * k, (int64_t)inputs * k * k, k * k, w,
                    packed, (int)((int64_t)units * task / parts), (int)((int64_t)units * (task + 1) / parts));
}

// w [o][c/groups][k][k] -> packed, conv2d_packed_backward_floats(c, o, k, groups) floats, for conv2d_backward_input.
// Tasks: conv2d_pack_backward_tasks(c, o, k, groups).
KERNEL void conv2d_pack_backward(int c, int o, int k, int groups, const float *restrict w, float *restrict packed,
                                 int task) {
  const int parts = (int)conv2d_pack_backward_tasks(c, o, k, groups), units = (int)conv2d_units(groups, c / groups);
  const int inputs = c / groups, outputs = o / groups;
  conv2d_pack_units(outputs, inputs, k * k, (int64_t)outputs * inputs * k * k, k * k, (int64_t)inputs * k * k, w,
                    packed, (int)((int64_t)units * task / parts), (int)((int64_t)units * (task + 1) / parts));
}

// A run of input channels of one tap: where each pixel of the tile reads it, and its weights' place in a unit.
typedef struct Conv2dTap {
  const float *pixel[CONV_ACCUMULATORS];
  int64_t weights;
  int count;
} Conv2dTap;

// y[p][i] = sum over taps and inputs of pixel[p][input] * packed[input][i] for `tile` outputs, of which `live` exist,
// and `pixels` pixels, pixel_stride floats apart; added to what y holds if more.
KERNEL void conv2d_sum(int tile, int pixels, int taps, const Conv2dTap *tap, const float *packed, int more, int live,
                       int64_t pixel_stride, float *y) {
  Lanes sums[CONV_ACCUMULATORS];
  UNROLL
  for (int i = 0; i < tile * pixels; i++) LANES_CLEAR(sums[i]);
  for (; taps > 0; taps--, tap++) {
    const float *weights = packed + tap->weights;
    const int64_t end = (int64_t)tap->count * LANES;
    const float *pixel[CONV_ACCUMULATORS];
    UNROLL
    for (int p = 0; p < pixels; p++) pixel[p] = tap->pixel[p];
    for (int64_t at = 0; at < end; at += LANES, weights += tile) {
      Lanes x[CONV_ACCUMULATORS];
      UNROLL
      for (int p = 0; p < pixels; p++) {
        x[p] = lanes_load(pixel[p] + at);
        LANES_PIN(x[p]);
      }
      UNROLL
      for (int i = 0; i < tile; i++) {
        const float weight = weights[i];
        UNROLL
        for (int p = 0; p < pixels; p++) sums[i * pixels + p] += x[p] * weight;
      }
    }
  }
  UNROLL
  for (int i = 0; i < tile; i++) {
    UNROLL
    for (int p = 0; p < pixels; p++) {
      float *target = y + p * pixel_stride + (int64_t)i * LANES;
      if (i >= live) continue;
      if (more) sums[i * pixels + p] += lanes_load(target);
      lanes_store(target, sums[i * pixels + p]);
    }
  }
}

// The tiles there are: all pixels that fit the registers, two, one.
#define CONV2D_TILES(X) \
  X(4, 3) X(4, 2) X(4, 1) X(3, 4) X(3, 2) X(3, 1) X(2, 6) X(2, 2) X(2, 1) X(1, 12) X(1, 2) X(1, 1)
#define CONV2D_SUM(tile, pixels)                                                                                 \
  KERNEL_SHARED void conv2d_sum_##tile##x##pixels(int taps, const Conv2dTap *tap, const float *packed, int more, \
                                                  int live, int64_t pixel_stride, float *y) {                    \
    conv2d_sum(tile, pixels, taps, tap, packed, more, live, pixel_stride, y);                                    \
  }
CONV2D_TILES(CONV2D_SUM)

KERNEL void conv2d_sum_tile(int tile, int pixels, int taps, const Conv2dTap *tap, const float *packed, int more,
                            int live, int64_t pixel_stride, float *y) {
#define CONV2D_CALL(a, b) \
  if (tile == a && pixels == b) conv2d_sum_##a##x##b(taps, tap, packed, more, live, pixel_stride, y);
  CONV2D_TILES(CONV2D_CALL)
#undef CONV2D_CALL
}

// What a task works on: units [unit_first, unit_last) of rows [row_first, row_last) of one image block.
typedef struct Conv2dTask {
  int block, row_part, row_first, row_last, unit_first, unit_last;
} Conv2dTask;

KERNEL Conv2dTask conv2d_task(int n, int height, int width, int k, int units, int task) {
  const int row_parts = (int)conv2d_row_parts(height, width, k);
  const int unit_parts = (int)conv2d_unit_parts(n, height, width, k, units, LANES);
  const int unit_part = task % unit_parts, row_part = task / unit_parts % row_parts;
  return (Conv2dTask){task / unit_parts / row_parts,
                      row_part,
                      (int)((int64_t)height * row_part / row_parts),
                      (int)((int64_t)height * (row_part + 1) / row_parts),
                      (int)((int64_t)units * unit_part / unit_parts),
                      (int)((int64_t)units * (unit_part + 1) / unit_parts)};
}

// A strip of convolution as the tile loop sees it: outputs of `oc` channels gathered from inputs of `ic` channels.
// Output pixel q of a row reads, for column tap t, input pixel q * step + offset[t]; rows likewise.
typedef struct Conv2dGeometry {
  int h, w, ic, oc, groups, k, stride, pad;  // h, w, ic: of the tensor read
  int backward;                              // gather for the gradient of the input
} Conv2dGeometry;

// Input row or column that output position `at` reads for tap `tap`, perhaps outside; -1 where it falls between
// strides.
KERNEL int conv2d_source(Conv2dGeometry g, int at, int tap) {
  if (!g.backward) return at * g.stride - g.pad + tap;
  const int reach = at + g.pad - tap;
  return reach < 0 || reach % g.stride ? -1 : reach / g.stride;
}

// Sums the taps listed for a tile of pixels, for units [first, last) of one group; y: the group's first output there.
KERNEL void conv2d_units_sum(Conv2dGeometry g, int pixels, int first, int last, int spacing, int count,
                             const Conv2dTap *taps, int more, const float *packed, float *y) {
  const int inputs = g.ic / g.groups, outputs = g.oc / g.groups;
  const int tile = (int)conv2d_tile(outputs), tiles = (outputs + tile - 1) / tile;
  for (int unit = first; unit < last; unit++) {
    const int output = unit % tiles * tile, live = outputs - output < tile ? outputs - output : tile;
    conv2d_sum_tile(tile, pixels, count, taps, packed + (int64_t)unit * g.k * g.k * inputs * tile, more, live,
                    (int64_t)spacing * g.oc * LANES, y + (int64_t)output * LANES);
  }
}

// Asks for what the next group reads of the pixels of a tile: a group's channels of a pixel are a short run that
// hardware does not fetch ahead of.
KERNEL void conv2d_prefetch_group(Conv2dGeometry g, int pixels, int group, int row, int column, const float *x) {
  const int inputs = g.ic / g.groups, rows = g.backward ? 1 : g.stride, wide = g.backward ? pixels : pixels * g.stride;
  const int first_row = g.backward ? row / g.stride : row * g.stride;
  const int first = g.backward ? column / g.stride : column * g.stride;
  for (int y = first_row; y < first_row + rows && y < g.h; y++)
    for (int at = first; at < first + wide && at < g.w; at++) {
      const float *next = x + (((int64_t)y * g.w + at) * g.ic + (int64_t)(group + 1) * inputs) * LANES;
      for (int i = 0; i < inputs * LANES; i += 16) __builtin_prefetch(next + i);
    }
}

// `pixels` outputs of row `row` at columns column, column + spacing, ..: units [first, last), all of one group.
KERNEL void conv2d_pixels(Conv2dGeometry g, int pixels, int group, int first, int last, int row, int column,
                          int spacing, int width, const float *restrict x, const float *restrict packed,
                          float *restrict y) {
  const int inputs = g.ic / g.groups, outputs = g.oc / g.groups, tile = (int)conv2d_tile(outputs);
  const int longest = g.k == 1 ? CONV_CHANNELS : CONV_RUN;  // a single tap never meets the padding
  const int apart = g.backward ? 1 : g.stride;              // columns read by neighbouring pixels of the tile
  float *target = y + (((int64_t)row * width + column) * g.oc + (int64_t)group * outputs) * LANES;
  Conv2dTap taps[CONV_TAPS];
  int count = 0, more = 0;
  if (g.k > 1 && inputs <= 16 && group + 1 < g.groups) conv2d_prefetch_group(g, pixels, group, row, column, x);
  taps[0].count = 0;
  for (int ky = 0; ky < g.k; ky++) {
    const int source_row = conv2d_source(g, row, ky);
    if (source_row < 0 || source_row >= g.h) continue;
    const float *base = x + ((int64_t)source_row * g.w * g.ic + (int64_t)group * inputs) * LANES;
    for (int kx = 0; kx < g.k; kx++) {
      if (g.backward && (column + g.pad - kx + g.stride * g.k) % g.stride) continue;
      const int source =
          g.backward ? (column + g.pad - kx + g.stride * g.k) / g.stride - g.k : column * g.stride - g.pad + kx;
      for (int run = 0; run < inputs; run += longest) {
        Conv2dTap *tap = &taps[count++];
        UNROLL
        for (int p = 0; p < pixels; p++) {
          const int inside = g.k == 1 || (unsigned)(source + p * apart) < (unsigned)g.w;
          tap->pixel[p] = inside ? base + ((int64_t)(source + p * apart) * g.ic + run) * LANES : conv2d_zeros;
        }
        tap->weights = ((int64_t)(ky * g.k + kx) * inputs + run) * tile;
        tap->count = inputs - run < longest ? inputs - run : longest;
        if (count == CONV_TAPS || (g.k == 1 && run + longest < inputs)) {
          conv2d_units_sum(g, pixels, first, last, spacing, count, taps, more, packed, target);
          count = 0, more = 1;
        }
      }
    }
  }
  if (count || !more) conv2d_units_sum(g, pixels, first, last, spacing, count, taps, more, packed, target);
}

// All of a task's outputs: `width` columns a row. x and y are those of the task's image block.
KERNEL void conv2d_strip(Conv2dGeometry g, Conv2dTask t, int width, const float *restrict x,
                         const float *restrict packed, float *restrict y) {
  const int outputs = g.oc / g.groups, tile = (int)conv2d_tile(outputs), tiles = (outputs + tile - 1) / tile;
  const int pixels = CONV_ACCUMULATORS / tile, spacing = g.backward ? g.stride : 1;
  for (int group = t.unit_first / tiles; group * tiles < t.unit_last; group++) {
    const int first = group * tiles > t.unit_first ? group * tiles : t.unit_first;
    const int last = (group + 1) * tiles < t.unit_last ? (group + 1) * tiles : t.unit_last;
    for (int row = t.row_first; row < t.row_last; row++)
      for (int phase = 0; phase < spacing; phase++) {
        int column = phase;
        for (; column + (pixels - 1) * spacing < width; column += pixels * spacing)
          conv2d_pixels(g, pixels, group, first, last, row, column, spacing, width, x, packed, y);
        if (pixels > 2 && column + spacing < width) {
          conv2d_pixels(g, 2, group, first, last, row, column, spacing, width, x, packed, y);
          column += 2 * spacing;
        }
        for (; column < width; column += spacing)
          conv2d_pixels(g, 1, group, first, last, row, column, spacing, width, x, packed, y);
      }
  }
}

// x, packed -> y [n,ho,wo,o]. statistics: NULL, or workspace of statistics_workspace_floats(parts, o) floats with
// parts = conv2d_statistics_parts(..), to be folded by statistics_fold(parts, o, ..).
// Tasks: conv2d_forward_tasks(n, h, w, c, o, k, stride, pad, groups, LANES).
KERNEL void conv2d_forward(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                           const float *restrict x, const float *restrict packed, float *restrict y,
                           float *restrict statistics, int task) {
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const int outputs = o / groups, tile = (int)conv2d_tile(outputs), tiles = (outputs + tile - 1) / tile;
  const Conv2dTask t = conv2d_task(n, ho, wo, k, groups * tiles, task);
  const float *source = x + (int64_t)t.block * h * w * c * LANES;
  float *target = y + (int64_t)t.block * ho * wo * o * LANES;
  if (k == 1 && stride == 1 && pad == 0) {  // rows follow each other: one long row
    const int64_t pixel = (int64_t)t.row_first * w;
    const int width = (t.row_last - t.row_first) * w;
    const Conv2dTask line = {t.block, 0, 0, 1, t.unit_first, t.unit_last};
    conv2d_strip((Conv2dGeometry){1, width, c, o, groups, 1, 1, 0, 0}, line, width, source + pixel * c * LANES, packed,
                 target + pixel * o * LANES);
  } else {
    conv2d_strip((Conv2dGeometry){h, w, c, o, groups, k, stride, pad, 0}, t, wo, source, packed, target);
  }
  if (statistics) {
    const int first = t.unit_first / tiles * outputs + t.unit_first % tiles * tile;
    const int last_unit = t.unit_last - 1;
    int last = last_unit % tiles * tile + tile;
    last = last_unit / tiles * outputs + (last < outputs ? last : outputs);
    const int part = t.block * (int)conv2d_row_parts(ho, wo, k) + t.row_part;
    statistics_part((t.row_last - t.row_first) * wo, o, first, last, lanes_live(n, t.block),
                    target + (int64_t)t.row_first * wo * o * LANES,
                    (double *)(void *)statistics + (int64_t)part * o * 3);
  }
}

// dy [n,ho,wo,o], packed by conv2d_pack_backward -> dx [n,h,w,c].
// Tasks: conv2d_backward_input_tasks(n, h, w, c, o, k, stride, pad, groups, LANES).
KERNEL void conv2d_backward_input(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                                  const float *restrict dy, const float *restrict packed, float *restrict dx,
                                  int task) {
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const Conv2dTask t = conv2d_task(n, h, w, k, (int)conv2d_units(groups, c / groups), task);
  const float *source = dy + (int64_t)t.block * ho * wo * o * LANES;
  float *target = dx + (int64_t)t.block * h * w * c * LANES;
  if (k == 1 && stride == 1 && pad == 0) {
    const int64_t pixel = (int64_t)t.row_first * w;
    const int width = (t.row_last - t.row_first) * w;
    const Conv2dTask line = {t.block, 0, 0, 1, t.unit_first, t.unit_last};
    conv2d_strip((Conv2dGeometry){1, width, o, c, groups, 1, 1, 0, 0}, line, width, source + pixel * o * LANES, packed,
                 target + pixel * c * LANES);
  } else {
    conv2d_strip((Conv2dGeometry){ho, wo, o, c, groups, k, stride, pad, 1}, t, w, source, packed, target);
  }
}

#include "conv2d_weight.h"

#endif
