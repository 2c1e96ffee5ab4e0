// Convolution of lane tensors: any kernel size, stride, padding and groups, forward and the gradient of the input.
//
// Shape arguments are always (n, h, w, c, o, k, stride, pad, groups): input [n,h,w,c], o output channels, k x k taps.
// A tile of up to 8 output channels x 3 pixels of lanes (4 x 3 with 16 registers) is summed in registers: input vectors
// are loaded, packed weights broadcast. A kernel of one tap ("point") reads the tensor, or the view of one tile of
// pixels, as it goes; any other kernel copies what a task reads of a group of channels into a plane first, with its
// padding, so that what a kernel row reads of it is one run of vectors; conv2d_winograd.h is another way where that is
// faster. Tasks: image block x pixels x output channels.
#include "ahead.h"
#include "conv2d_winograd.h"
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "statistics.h"
#include "tuned.h"
#include "view.h"

enum {
  CONV_REGISTERS = LANES == 16 ? 24 : 12,
  CONV_POINT_FLOATS = 3 * TUNED_conv_point_channels * LANES,
  CONV_RUNS = 256,  // a kernel's rows, or, of some of the channels, its taps
  ELEMENT_IS_FLOAT = sizeof(Element) == sizeof(float)
};

// ---- weights ----

// Where the packed weights have tap `at` of a kernel's column or row, when the taps are read backwards and every
// `stride`-th meets an input: remainder by remainder, each from its last tap to its first. So they follow each other
// like the inputs they meet. For stride 1: k - 1 - at.
KERNEL int conv2d_backward_position(int k, int stride, int at) {
  int position = 0;
  for (int remainder = 0; remainder < at % stride; remainder++)
    if (remainder < k) position += (k - 1 - remainder) / stride + 1;
  return position + (k - 1 - at % stride) / stride - at / stride;
}

// Weights of one tap -> [input][output of the tile], of which `live` exist and the others are zero. Strides as below.
KERNEL void conv2d_pack_tap(int inputs, int tile, int live, int64_t output_stride, int64_t input_stride,
                            const float *restrict source, float *restrict target) {
  for (int input = 0; input < inputs; input += DEPTH, source += DEPTH * input_stride)
    for (int i = 0; i < tile; i++) {
      const float *from = source + i * output_stride;
      const int next = DEPTH > 1 && input + 1 < inputs;
      *target++ = i < live ? float_pair(from[0], next ? from[input_stride] : 0.0f) : 0.0f;
    }
}

// The same of a kernel of one tap forward, whose inputs follow each other: LANES of them are turned at once. Tiles are
// half a vector: each is stored as a whole one, of which the next overwrites the rest.
KERNEL void conv2d_pack_turned(int inputs, int live, int64_t output_stride, const float *restrict source,
                               float *restrict target) {
  for (int input = 0; input < inputs; input += LANES) {
    const int count = inputs - input < LANES ? inputs - input : LANES;
    Lanes rows[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) {
      const float *from = source + i * output_stride + input;
      rows[i] = i >= live       ? lanes_splat(0.0f)
                : count < LANES ? lanes_load_part(from, count)
                                : lanes_load_unaligned(from);
    }
    lanes_transpose(rows);
    for (int i = 0; i < count; i++, target += LANES / 2) {
      if (input + i + 1 < inputs)
        lanes_store_unaligned(target, rows[i]);
      else
        memcpy(target, &rows[i], LANES / 2 * sizeof(float));
    }
  }
}

// Packs the weights of units [first, last): unit = (group, tile of outputs), inside it [tap][vector of inputs][output
// of the tile], outputs beyond the group zero. Strides are those of w for an output, an input, a tap. stride 0: taps as
// they are, else in the order of conv2d_backward_position.
KERNEL void conv2d_pack_units(int inputs, int outputs, int k, int stride, int64_t group_stride, int64_t output_stride,
                              int64_t input_stride, const float *restrict w, float *restrict packed, int first,
                              int last) {
  const int tile = (int)conv2d_tile(outputs, &tuned), tiles = (outputs + tile - 1) / tile;
  for (int unit = first; unit < last; unit++) {
    const int group = unit / tiles, output = unit % tiles * tile;
    const int live = outputs - output < tile ? outputs - output : tile;
    const float *source = w + group * group_stride + output * output_stride;
    for (int ky = 0; ky < k; ky++)
      for (int kx = 0; kx < k; kx++) {
        const int row = stride ? conv2d_backward_position(k, stride, ky) : ky;
        const int column = stride ? conv2d_backward_position(k, stride, kx) : kx;
        const float *from = source + ky * k + kx;
        float *target = packed + (((int64_t)unit * k + row) * k + column) * view_depth(inputs) * tile;
        if (DEPTH == 1 && input_stride == 1 && tile == LANES / 2)
          conv2d_pack_turned(inputs, live, output_stride, from, target);
        else if (DEPTH == 1 && output_stride == 1 && live == LANES / 2)
          for (int i = 0; i < inputs; i++)
            memcpy(target + i * (LANES / 2), from + i * input_stride, LANES / 2 * sizeof(float));
        else
          conv2d_pack_tap(inputs, tile, live, output_stride, input_stride, from, target);
      }
  }
}

void conv2d_pack(int c, int o, int k, int groups, int winograd, const float *restrict w, float *restrict packed,
                 int task) {
  const int parts = (int)conv2d_pack_tasks(c, o, k, groups, winograd, &tuned);
  const int units = (int)conv2d_units(groups, o / groups, &tuned), inputs = c / groups, outputs = o / groups;
  const int first = (int)((int64_t)units * task / parts), last = (int)((int64_t)units * (task + 1) / parts);
  const int64_t group_stride = (int64_t)outputs * inputs * k * k, output_stride = (int64_t)inputs * k * k;
  if (winograd)
    conv2d_winograd_pack(inputs, outputs, 0, group_stride, output_stride, k * k, w, packed, first, last);
  else
    conv2d_pack_units(inputs, outputs, k, 0, group_stride, output_stride, k * k, w, packed, first, last);
}

void conv2d_pack_backward(int c, int o, int k, int stride, int groups, int winograd, const float *restrict w,
                          float *restrict packed, int task) {
  const int parts = (int)conv2d_pack_backward_tasks(c, o, k, groups, winograd, &tuned);
  const int units = (int)conv2d_units(groups, c / groups, &tuned), inputs = c / groups, outputs = o / groups;
  const int first = (int)((int64_t)units * task / parts), last = (int)((int64_t)units * (task + 1) / parts);
  const int64_t group_stride = (int64_t)outputs * inputs * k * k, input_stride = (int64_t)inputs * k * k;
  if (winograd)
    conv2d_winograd_pack(outputs, inputs, 1, group_stride, k * k, input_stride, w, packed, first, last);
  else
    conv2d_pack_units(outputs, inputs, k, stride, group_stride, k * k, input_stride, w, packed, first, last);
}

// ---- the tile ----

// Vectors that follow each other, and the weights they meet: places from the tile's first pixel and from its unit on.
// With each vector, what comes next is asked for `step` bytes further.
typedef struct Conv2dRun {
  int64_t x, weights;
  int count, step;
} Conv2dRun;

// How outputs lie, and which portion of the input channels is summed. It is passed by pointer, and what changes from
// tile to tile by value: a processor that copies a struct just written waits for the tile before.
typedef struct Conv2dOutput {
  int64_t pixel_stride;  // elements from one pixel to the next
  int64_t sums_stride;   // floats
  int first, last;       // portion
  Ahead *ahead;          // what comes next, of which each run asks for `lines` lines at most
  int64_t lines;
} Conv2dOutput;

// y[p][i] = sum over runs of x[p][..] * packed[..][i], and add[p][i] (NULL: nothing), for `tile` outputs, of which
// `live` exist, and `pixels` pixels, pixel_stride floats from one to the next. Where input channels come in portions,
// all but the last leave their sums in `kept`, and all but the first go on from there.
KERNEL void conv2d_sum(int tile, int pixels, int runs, const Conv2dRun *run, const float *x, int64_t pixel_stride,
                       const float *packed, int live, Element *y, const Element *add, float *kept,
                       const Conv2dOutput *out) {
  Lanes sums[CONV_REGISTERS];
  UNROLL
  for (int i = 0; i < tile * pixels; i++) LANES_CLEAR(sums[i]);
  if (out->last && runs) UNROLL
  for (int i = 0; i < tile * pixels; i++) {  // what is written, and added, is asked for while sums are made
    const int64_t at = i / tile * out->pixel_stride + (int64_t)(i % tile) * LANES;
    __builtin_prefetch(y + at, 1);
    if (add) __builtin_prefetch(add + at);
  }
  for (; runs > 0; runs--, run++) {
    const float *weights = packed + run->weights, *from = x + run->x;
    AheadPiece ahead = ahead_piece(out->ahead, out->lines, run);
    const int64_t step = run->step;
    for (int left = run->count; left > 0; left--, from += LANES, weights += tile) {
      __builtin_prefetch(ahead.x);
      __builtin_prefetch(ahead.other);
      ahead.x += step;
      ahead.other += step;
      Lanes v[CONV_REGISTERS];
      UNROLL
      for (int p = 0; p < pixels; p++) {
        v[p] = lanes_load(from + p * pixel_stride);
        LANES_PIN(v[p]);
      }
      UNROLL
      for (int i = 0; i < tile; i++) {
        Lanes weight = lanes_splat(weights[i]);
        LANES_PIN(weight);
        UNROLL
        for (int p = 0; p < pixels; p++) sums[i * pixels + p] = lanes_multiply_add(sums[i * pixels + p], v[p], weight);
      }
    }
  }
  UNROLL
  for (int i = 0; i < tile; i++) {
    if (i >= live) continue;
    UNROLL
    for (int p = 0; p < pixels; p++) {
      const int64_t at = p * out->pixel_stride + (int64_t)i * LANES;
      const int64_t place = p * out->sums_stride + (int64_t)i * LANES;
      Lanes sum = sums[i * pixels + p];
      if (!out->first) sum += lanes_load(kept + place);
      if (!out->last) {
        lanes_store(kept + place, sum);
        continue;
      }
      if (add) sum += element_load(add + at);
      element_store(y + at, sum);
    }
  }
}

// The tiles there are: all pixels that fit the registers, two, one.
#if LANES == 16
#define CONV2D_TILES(X) \
  X(8, 3)               \
  X(8, 2)               \
  X(8, 1)               \
  X(7, 3)               \
  X(7, 2)               \
  X(7, 1)               \
  X(6, 4)               \
  X(6, 2)               \
  X(6, 1)               \
  X(5, 4)               \
  X(5, 2) X(5, 1) X(4, 6) X(4, 2) X(4, 1) X(3, 8) X(3, 2) X(3, 1) X(2, 12) X(2, 2) X(2, 1) X(1, 24) X(1, 2) X(1, 1)
#else
#define CONV2D_TILES(X) X(4, 3) X(4, 2) X(4, 1) X(3, 4) X(3, 2) X(3, 1) X(2, 6) X(2, 2) X(2, 1) X(1, 12) X(1, 2) X(1, 1)
#endif
#define CONV2D_SUM(tile, pixels)                                                                                       \
  static void conv2d_sum_##tile##x##pixels(int runs, const Conv2dRun *run, const float *x, int64_t pixel_stride,       \
                                           const float *packed, int live, Element *y, const Element *add, float *kept, \
                                           const Conv2dOutput *out) {                                                  \
    conv2d_sum(tile, pixels, runs, run, x, pixel_stride, packed, live, y, add, kept, out);                             \
  }
CONV2D_TILES(CONV2D_SUM)

typedef void Conv2dSum(int runs, const Conv2dRun *run, const float *x, int64_t pixel_stride, const float *packed,
                       int live, Element *y, const Element *add, float *kept, const Conv2dOutput *out);

static Conv2dSum *conv2d_sum_of(int tile, int pixels) {
#define CONV2D_CHOICE(a, b) \
  if (tile == a && pixels == b) return conv2d_sum_##a##x##b;
  CONV2D_TILES(CONV2D_CHOICE)
#undef CONV2D_CHOICE
  return NULL;  // conv2d_tile_pixels gives no other
}

// Pixels of the next tile where `left` remain: never one alone where two and two will do.
KERNEL int conv2d_tile_pixels(int tile, int left) {
  const int most = CONV_REGISTERS / tile;
  if (left >= most && left != most + 1) return most;
  return left >= 2 ? 2 : 1;
}

// ---- a task ----

// A convolution as the loops see it: outputs of `oc` channels gathered from inputs of `ic` channels, h x w pixels.
// Forward, output q of a row or column meets input q * stride - pad + t with tap t; backward, input (q + pad - t) /
// stride where that is whole.
typedef struct Conv2dGeometry {
  int h, w, ic, oc, groups, k, stride, pad;
  int backward;
  int inputs, outputs;  // of a group
  int tile, tiles;      // outputs of a tile, tiles of a group
} Conv2dGeometry;

KERNEL Conv2dGeometry conv2d_geometry(int h, int w, int ic, int oc, int k, int stride, int pad, int groups,
                                      int backward) {
  const int outputs = oc / groups, tile = (int)conv2d_tile(outputs, &tuned);
  return (Conv2dGeometry){
      h, w, ic, oc, groups, k, stride, pad, backward, ic / groups, outputs, tile, (outputs + tile - 1) / tile};
}

// What a task makes: units [unit_first, unit_last) of outputs [first, last) of one image block: of its rows, or of its
// pixels where the kernel is a point.
typedef struct Conv2dTask {
  int block, part, first, last, unit_first, unit_last;
} Conv2dTask;

KERNEL Conv2dTask conv2d_task(int n, int height, int width, int o, int k, int stride, int pad, int groups, int task) {
  const int units = (int)conv2d_units(groups, o / groups, &tuned);
  const int parts = (int)conv2d_pixel_parts(height, width, o, k, stride, pad, groups, &tuned);
  const int unit_parts = (int)conv2d_unit_parts(n, height, width, o, k, stride, pad, groups, &tuned);
  const int unit_part = task % unit_parts, part = task / unit_parts % parts;
  const int step = (int)conv2d_row_step(k, stride, pad), steps = (height + step - 1) / step;
  const int whole = groups >= unit_parts ? units / groups : 1;  // where groups suffice, none is split
  Conv2dTask t = {task / unit_parts / parts,
                  part,
                  (int)((int64_t)steps * part / parts) * step,
                  (int)size_min(height, (int64_t)steps * (part + 1) / parts * step),
                  (int)((int64_t)units / whole * unit_part / unit_parts) * whole,
                  (int)((int64_t)units / whole * (unit_part + 1) / unit_parts) * whole};
  if (conv2d_is_point(k, stride, pad, groups)) {
    const int pixels = (int)conv2d_point_pixels(o, &tuned);
    t.first = part * pixels;
    t.last = t.first + pixels < height * width ? t.first + pixels : height * width;
  }
  return t;
}

// Sums the runs for a tile of pixels, for units [first, last) of one group. x: the tile's first pixel; y and add (NULL:
// nothing): its output of unit `first`, as are the sums kept.
static void conv2d_units_sum(const Conv2dGeometry *g, int pixels, int first, int last, int runs, const Conv2dRun *run,
                             const float *x, int64_t pixel_stride, const float *packed, Element *y, const Element *add,
                             float *kept, const Conv2dOutput *out) {
  const int tile = g->tile;
  const int64_t unit_floats = (int64_t)g->k * g->k * view_depth(g->inputs) * tile;
  Conv2dSum *const sum = conv2d_sum_of(tile, pixels);
  int left = g->outputs - first % g->tiles * tile;
  packed += first * unit_floats;
  for (int unit = first; unit < last; unit++, left -= tile) {
    sum(runs, run, x, pixel_stride, packed, left < tile ? left : tile, y, add, kept, out);
    packed += unit_floats;
    y += tile * LANES;
    if (add) add += tile * LANES;
    if (kept) kept += tile * LANES;
  }
}

// Units [first, last) of `pixels` outputs from `pixel` on, of a point kernel; then come `next` pixels. kept: room for
// their sums where input channels come in portions.
KERNEL void conv2d_points_sum(const Conv2dGeometry *g, int kind, View view, int pixel, int pixels, int next,
                              int channels, int first, int last, const float *packed, Element *y, const Element *add,
                              float *kept) {
  const int64_t at = ((int64_t)pixel * g->oc + first * g->tile) * LANES;
  Ahead ahead;
  Conv2dOutput out = {(int64_t)g->oc * LANES, (int64_t)(last - first) * g->tile * LANES, 1, 0, &ahead, 0};
  float copy[CONV_POINT_FLOATS] __attribute__((aligned(64)));
  for (int channel = 0; channel < g->ic; channel += channels, out.first = 0) {
    const int count = g->ic - channel < channels ? g->ic - channel : channels;
    const float *source = copy;
    int64_t stride = (int64_t)view_depth(count) * LANES;
    if (kind == VIEW_PLAIN && ELEMENT_IS_FLOAT) {
      source = (const float *)(const void *)(view.x + ((int64_t)pixel * g->ic + channel) * LANES);
      stride = (int64_t)g->ic * LANES;
    } else {
      view_copy_pixels(kind, view, ((int64_t)pixel * g->ic + channel) * LANES, (int64_t)g->ic * LANES, pixels, channel,
                       count, copy, stride);
    }
    out.last = channel + count == g->ic;
    ahead = out.last ? ahead_pixels(kind, view, pixel + pixels, next, 0, channels)
                     : ahead_pixels(kind, view, pixel, pixels, channel + count,
                                    (int)size_min(g->ic - channel - count, channels));
    out.lines = ahead_lines(&ahead) / (last - first) + 1;
    const Conv2dRun run = {0, (int64_t)channel / DEPTH * g->tile, view_depth(count),
                           (int)(out.lines * AHEAD_LINE / view_depth(count))};
    conv2d_units_sum(g, pixels, first, last, 1, &run, source, stride, packed, y + at, add ? add + at : NULL, kept,
                     &out);
  }
}

// Outputs [t.first, t.last) of a point kernel. view, y and add (NULL: none) are of the task's image block.
KERNEL void conv2d_points(const Conv2dGeometry *g, int kind, Conv2dTask t, View view, const float *restrict packed,
                          Element *y, const Element *add) {
  const int tile = g->tile, most = CONV_REGISTERS / tile;
  const int channels = CONV_POINT_FLOATS / (most * LANES) < g->ic ? CONV_POINT_FLOATS / (most * LANES) : g->ic;
  const int units = channels < g->ic ? CONV_POINT_FLOATS / (most * tile * LANES) : t.unit_last - t.unit_first;
  float kept[CONV_POINT_FLOATS] __attribute__((aligned(64)));
  for (int pixel = t.first, pixels; pixel < t.last; pixel += pixels) {
    pixels = conv2d_tile_pixels(tile, t.last - pixel);
    const int left = t.last - pixel - pixels;
    for (int first = t.unit_first; first < t.unit_last; first += units) {
      const int last = t.unit_last - first < units ? t.unit_last : first + units;
      const int next = last < t.unit_last || left == 0 ? 0 : conv2d_tile_pixels(tile, left);
      conv2d_points_sum(g, kind, view, pixel, pixels, next, channels, first, last, packed, y, add,
                        channels < g->ic ? kept : NULL);
    }
  }
}

// What of the input lies in a plane: rows [row, row + rows), columns [column, column + columns), of which every
// `step`-th is wanted, channels [channel, channel + channels). Rows and columns outside the image are zeros.
typedef struct Conv2dPlane {
  int row, rows, column, columns, step, channel, channels;
} Conv2dPlane;

// Strides are mostly 1, and divisions slow.
KERNEL int stride_quotient(int a, int stride) {
  return stride == 1 ? a : a >= 0 ? a / stride : -((stride - 1 - a) / stride);
}
KERNEL int stride_remainder(int a, int stride) { return stride == 1 ? 0 : a % stride; }

// Rows or columns of input that outputs [first, last) meet: the first, and how many.
KERNEL int conv2d_reach(const Conv2dGeometry *g, int first, int last, int *from) {
  if (g->backward) {
    *from = stride_quotient(first + g->pad - (g->k - 1), g->stride);
    return stride_quotient(last - 1 + g->pad, g->stride) + 1 - *from;
  }
  *from = first * g->stride - g->pad;
  return g->k == 1 ? last - first : (last - 1 - first) * g->stride + g->k;
}

KERNEL Conv2dPlane conv2d_plane(const Conv2dGeometry *g, int row, int rows, int column, int columns, int channels) {
  Conv2dPlane p = {.step = g->k == 1 && !g->backward ? g->stride : 1, .channels = channels};
  p.rows = conv2d_reach(g, row, row + rows, &p.row);
  p.columns = conv2d_reach(g, column, column + columns, &p.column);
  return p;
}

KERNEL void conv2d_plane_fill(const Conv2dGeometry *g, int kind, View view, Conv2dPlane p, float *restrict plane) {
  for (int i = 0; i < p.rows; i++) {
    const int row = p.row + i * p.step;
    if (row < 0 || row >= g->h) continue;  // no run reads it
    for (int j = 0; j < p.columns; j++) {
      const int column = p.column + j * p.step;
      float *to = plane + ((int64_t)i * p.columns + j) * view_depth(p.channels) * LANES;
      if (column < 0 || column >= g->w)
        memset(to, 0, (size_t)view_depth(p.channels) * LANES * sizeof(float));
      else
        view_copy(kind, view, (((int64_t)row * g->w + column) * g->ic + p.channel) * LANES, p.channel, p.channels,
                  DEPTH, (int64_t)TUNED_conv_ahead_pixels * p.step * p.channels * LANES, to, LANES);
    }
  }
}

// The runs that outputs of row `row` and columns column, column + stride (backward), .. meet, from `column` of the
// plane on, with `lines` lines to be asked for; how many.
KERNEL int conv2d_runs(const Conv2dGeometry *g, Conv2dPlane p, int row, int column, int64_t lines, Conv2dRun *runs) {
  const int tile = g->tile, depth = view_depth(p.channels), all = view_depth(g->inputs);
  const int step = g->backward ? g->stride : 1;
  const int first_x = g->backward ? stride_remainder(column + g->pad, g->stride) : 0;
  const int last_x = first_x < g->k ? first_x + stride_quotient(g->k - 1 - first_x, step) * step : -1;
  const int x = g->backward ? stride_quotient(column + g->pad - last_x, g->stride) : column * g->stride - g->pad;
  const int columns = stride_quotient(last_x - first_x, step) + 1;
  const int tx = g->backward ? conv2d_backward_position(g->k, g->stride, last_x) : 0;
  const int ahead = (int)(columns > 0 ? lines * AHEAD_LINE / ((p.channels == g->inputs ? columns : 1) * depth) : 0);
  int count = 0;
  for (int ky = g->backward ? stride_remainder(row + g->pad, g->stride) : 0; ky < g->k && last_x >= 0; ky += step) {
    const int y = g->backward ? stride_quotient(row + g->pad - ky, g->stride) : row * g->stride - g->pad + ky;
    if (y < 0 || y >= g->h) continue;
    const int64_t pixel = stride_quotient(y - p.row, p.step) * p.columns + stride_quotient(x - p.column, p.step);
    const int64_t at = pixel * depth * LANES;
    const int ty = g->backward ? conv2d_backward_position(g->k, g->stride, ky) : ky;
    if (p.channels == g->inputs) {
      runs[count++] = (Conv2dRun){at, ((int64_t)ty * g->k + tx) * all * tile, columns * all, ahead};
      continue;
    }
    for (int i = 0; i < columns; i++)
      runs[count++] =
          (Conv2dRun){at + (int64_t)i * depth * LANES,
                      (((int64_t)ty * g->k + tx + i) * all + p.channel % g->inputs / DEPTH) * tile, depth, ahead};
  }
  return count;
}

// Where outputs lie that are made together: rows [row, row + rows), columns [column, column + columns) of images
// `width` wide, units [first, last) of a group.
typedef struct Conv2dRegion {
  int width, row, rows, column, columns, group, first, last;
} Conv2dRegion;

// The outputs of a region from a plane. y and add (NULL: nothing) are the image block's, kept is the region's.
KERNEL void conv2d_plane_sum(const Conv2dGeometry *g, Conv2dPlane p, Conv2dRegion r, int last_portion,
                             const float *plane, const float *packed, Element *y, const Element *add, float *kept,
                             Ahead *ahead) {
  const int spacing = g->backward ? g->stride : 1, apart = g->backward ? 1 : g->stride / p.step;
  const int64_t stride = (int64_t)apart * view_depth(p.channels) * LANES;
  const int64_t kept_stride = (int64_t)(r.last - r.first) * g->tile * LANES;
  const int first_output = r.group * g->outputs + (r.first - r.group * g->tiles) * g->tile;
  const Conv2dOutput out = {(int64_t)spacing * g->oc * LANES,
                            spacing * kept_stride,
                            p.channel == r.group * g->inputs,
                            last_portion,
                            ahead,
                            ahead->lines};
  for (int i = 0; i < r.rows; i++)
    for (int phase = 0; phase < spacing && phase < r.columns; phase++) {
      Conv2dRun runs[CONV_RUNS];
      const int count = conv2d_runs(g, p, r.row + i, r.column + phase, ahead->lines, runs);
      const int all = stride_quotient(r.columns - phase + spacing - 1, spacing);
      for (int at = 0, pixels; at < all; at += pixels) {
        pixels = conv2d_tile_pixels(g->tile, all - at);
        const int column = phase + at * spacing;
        const int64_t pixel = (int64_t)(r.row + i) * r.width + r.column + column;
        const int64_t to = (pixel * g->oc + first_output) * LANES;
        conv2d_units_sum(g, pixels, r.first, r.last, count, runs, plane + at * stride, stride, packed, y + to,
                         add ? add + to : NULL, kept ? kept + (i * r.columns + column) * kept_stride : NULL, &out);
      }
    }
}

// Rows, columns and input channels taken together, so that a plane fits.
typedef struct Conv2dPortion {
  int rows, columns, channels;
} Conv2dPortion;

// Input rows that any region of so many rows meets at most: it may begin anywhere, columns begin at whole strides.
KERNEL int conv2d_most_rows(const Conv2dGeometry *g, int rows) {
  int most = 0;
  for (int row = 0, from; row < (g->backward ? g->stride : 1); row++) {
    const int reach = conv2d_reach(g, row, row + rows, &from);
    if (reach > most) most = reach;
  }
  return most;
}

KERNEL Conv2dPortion conv2d_portion(const Conv2dGeometry *g, int rows, int columns) {
  Conv2dPortion s = {rows, columns, g->inputs};
  for (;;) {
    const Conv2dPlane p = conv2d_plane(g, 0, s.rows, 0, s.columns, s.channels);
    const int in_portions = s.channels < g->inputs, runs = in_portions ? g->k * g->k : g->k;
    const int64_t pixels = (int64_t)conv2d_most_rows(g, s.rows) * p.columns;
    const int fits = pixels * view_depth(p.channels) <= TUNED_conv_plane_floats / LANES;
    const int kept_fit = !in_portions || s.rows * s.columns * g->tile <= TUNED_conv_plane_floats / LANES;
    if ((fits && kept_fit && runs <= CONV_RUNS) || (s.rows == 1 && s.columns <= 8 * g->stride && s.channels <= DEPTH))
      return s;
    if (s.channels > 16 && !(fits && runs <= CONV_RUNS))
      s.channels = view_depth((s.channels + 1) / 2) * DEPTH;
    else if (s.rows > 1)
      s.rows = (s.rows + 1) / 2;
    else if (s.columns > 8 * g->stride)
      s.columns = (s.columns / g->stride + 1) / 2 * g->stride;
    else
      s.channels = view_depth((s.channels + 1) / 2) * DEPTH;
  }
}

// What a plane reads of the input, if it is whole rows.
KERNEL Ahead conv2d_plane_ahead(const Conv2dGeometry *g, int kind, View view, Conv2dPlane p) {
  const int first = p.row > 0 ? p.row : 0, end = p.row + (p.rows - 1) * p.step + 1, last = end < g->h ? end : g->h;
  if (p.column > 0 || p.column + p.columns * p.step < g->w || p.step > 1 || last <= first) return ahead_nothing;
  return ahead_pixels(kind, view, (int64_t)first * g->w, (int64_t)(last - first) * g->w, p.channel, p.channels);
}

// One region, `channels` input channels at once.
KERNEL void conv2d_region(const Conv2dGeometry *g, int kind, Conv2dRegion r, int channels, View view,
                          const float *packed, Element *y, const Element *add, float *kept) {
  float plane[TUNED_conv_plane_floats] __attribute__((aligned(64)));
  for (int channel = 0; channel < g->inputs; channel += channels) {
    const int count = g->inputs - channel < channels ? g->inputs - channel : channels;
    Conv2dPlane p = conv2d_plane(g, r.row, r.rows, r.column, r.columns, count);
    p.channel = r.group * g->inputs + channel;
    conv2d_plane_fill(g, kind, view, p, plane);
    Conv2dPlane next = p;
    next.channel += count;
    Ahead ahead = next.channel < g->ic ? conv2d_plane_ahead(g, kind, view, next) : ahead_nothing;
    conv2d_plane_sum(g, p, r, channel + count == g->inputs, plane, packed, y, add, kept, &ahead);
  }
}

// Units [first, last) of one group, of the task's rows: where input channels come in portions, of few enough units for
// their sums to be kept.
KERNEL void conv2d_group(const Conv2dGeometry *g, int kind, Conv2dTask t, int width, int group, int first, int last,
                         View view, const float *packed, Element *y, const Element *add) {
  if (conv2d_is_winograd(g->h, g->w, g->ic, g->oc, g->k, g->stride, g->pad, g->groups, &tuned)) {
    const WinogradPart part = {g->h, g->w, t.first, t.last, g->inputs, g->outputs, g->oc, group, first, last};
    conv2d_winograd(part, kind, view, packed, y, add);
    return;
  }
  const Conv2dPortion s = conv2d_portion(g, t.last - t.first, width);
  const int in_portions = s.channels < g->inputs;
  const int units = in_portions ? TUNED_conv_plane_floats / LANES / (s.rows * s.columns * g->tile) : last - first;
  float kept[TUNED_conv_plane_floats] __attribute__((aligned(64)));
  for (int row = t.first; row < t.last; row += s.rows)
    for (int column = 0; column < width; column += s.columns)
      for (int unit = first; unit < last; unit += units) {
        const Conv2dRegion r = {width,
                                row,
                                t.last - row < s.rows ? t.last - row : s.rows,
                                column,
                                width - column < s.columns ? width - column : s.columns,
                                group,
                                unit,
                                last - unit < units ? last : unit + units};
        conv2d_region(g, kind, r, s.channels, view, packed, y, add, in_portions ? kept : NULL);
      }
}

// All of a task: `width` columns a row. statistics: NULL, or where the task's part of them goes.
KERNEL void conv2d_run(const Conv2dGeometry *g, int kind, Conv2dTask t, int width, View view,
                       const float *restrict packed, Element *y, const Element *add, int live, double *statistics) {
  const int outputs = g->outputs, tile = g->tile, tiles = g->tiles;
  if (conv2d_is_point(g->k, g->stride, g->pad, g->groups)) {
    conv2d_points(g, kind, t, view, packed, y, add);
    const int last = t.unit_last * tile < g->oc ? t.unit_last * tile : g->oc;
    if (statistics)
      statistics_part(t.last - t.first, g->oc, t.unit_first * tile, last, live, y + (int64_t)t.first * g->oc * LANES,
                      statistics);
    return;
  }
  for (int group = t.unit_first / tiles; group * tiles < t.unit_last; group++) {
    const int first = group * tiles > t.unit_first ? group * tiles : t.unit_first;
    const int last = (group + 1) * tiles < t.unit_last ? (group + 1) * tiles : t.unit_last;
    conv2d_group(g, kind, t, width, group, first, last, view, packed, y, add);
    const int end = (last - group * tiles) * tile < outputs ? (last - group * tiles) * tile : outputs;
    if (statistics)
      statistics_part((t.last - t.first) * width, g->oc, group * outputs + (first - group * tiles) * tile,
                      group * outputs + end, live, y + (int64_t)t.first * width * g->oc * LANES, statistics);
  }
}

// Literal views, so that each is a loop of its own.
static void conv2d_run_view(const Conv2dGeometry *g, int kind, Conv2dTask t, int width, View view,
                            const float *restrict packed, Element *y, const Element *add, int live,
                            double *statistics) {
  if (kind == VIEW_PLAIN) conv2d_run(g, VIEW_PLAIN, t, width, view, packed, y, add, live, statistics);
  if (kind == VIEW_NORMALIZED) conv2d_run(g, VIEW_NORMALIZED, t, width, view, packed, y, add, live, statistics);
  if (kind == VIEW_SCALED) conv2d_run(g, VIEW_SCALED, t, width, view, packed, y, add, live, statistics);
  if (kind == VIEW_GRADIENT) conv2d_run(g, VIEW_GRADIENT, t, width, view, packed, y, add, live, statistics);
}

void conv2d_forward(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int view,
                    const Element *restrict x, const float *restrict factors, const float *restrict scale,
                    const float *restrict packed, Element *restrict y, float *restrict statistics, int task) {
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const Conv2dTask t = conv2d_task(n, ho, wo, o, k, stride, pad, groups, task);
  const View v = {x + (int64_t)t.block * h * w * c * LANES, NULL,
                  view == VIEW_SCALED ? scale + (int64_t)t.block * c * LANES : NULL, factors, c};
  const int parts = (int)conv2d_pixel_parts(ho, wo, o, k, stride, pad, groups, &tuned);
  double *part = (double *)(void *)statistics;
  if (part) part += ((int64_t)t.block * parts + t.part) * o * 3;
  const Conv2dGeometry g = conv2d_geometry(h, w, c, o, k, stride, pad, groups, 0);
  conv2d_run_view(&g, view, t, wo, v, packed, y + (int64_t)t.block * ho * wo * o * LANES, NULL, lanes_live(n, t.block),
                  part);
}

void conv2d_backward_input(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int view,
                           const Element *restrict dy, const Element *restrict raw, const float *restrict factors,
                           const float *restrict packed, const Element *restrict add, Element *restrict dx, int task) {
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const Conv2dTask t = conv2d_task(n, h, w, c, k, stride, pad, groups, task);
  const int64_t source = (int64_t)t.block * ho * wo * o * LANES, target = (int64_t)t.block * h * w * c * LANES;
  const View v = {dy + source, view == VIEW_GRADIENT ? raw + source : NULL, NULL, factors, o};
  const Conv2dGeometry g = conv2d_geometry(ho, wo, o, c, k, stride, pad, groups, 1);
  conv2d_run_view(&g, view, t, w, v, packed, dx + target, add ? add + target : NULL, LANES, NULL);
}
