// The weight gradient of a convolution: dw[o][c][ky][kx] = sum over images and pixels of dy * x.
//
// Of a 1 x 1 kernel it is a product of matrices whose depth is pixels and lanes: inputs are transposed while they are
// copied, so that they are the vectors, and output gradients are broadcast as they lie. Any other kernel takes products
// of whole lanes: chunk by chunk of pixels a task copies its input channels into padded planes and its output gradients
// into panels of 8 (4), so that every (channel, tap) and every panel is one stream of vectors; then tiles of 8 (4)
// outputs x 3 (channel, tap) are summed over the chunk in registers, the lanes folded, and added to dw.
#include "ahead.h"
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "tuned.h"
#include "view.h"

enum { WEIGHT_TILE = LANES == 16 ? 8 : 4, WEIGHT_VECTORS = 3 };

// x and dy of the first image block as they are seen.
typedef struct WeightViews {
  View x, dy;
  int x_kind, dy_kind;
} WeightViews;

KERNEL View weight_view(int kind, View v, int64_t block, int64_t elements) {
  v.x += block * elements;
  if (kind == VIEW_SCALED) v.scale += block * v.c * LANES;
  if (kind == VIEW_GRADIENT) v.raw += block * elements;
  return v;
}

// ---- 1 x 1 ----

// dw[i][vector * LANES ..] = sum over depth of gradient[.. i ..] * inputs[..][vector], and, with `more`, what dw has:
// `tile` outputs x `vectors` vectors of inputs. gradients: [pixel][output][lane, or pair of lanes], `pixel_stride` of
// them from one pixel to the next; inputs [pixel][lane, or pair of lanes][vectors * LANES]. Of the last vector `left`
// inputs exist, of the tile `live` outputs. With each lane, or pair, what comes next is asked for `step` bytes further.
KERNEL void weight_product(int vectors, int pixels, const float *gradients, int64_t pixel_stride, const float *inputs,
                           int live, int left, int more, AheadPiece ahead, int step, float *dw, int64_t dw_stride) {
  Lanes sums[WEIGHT_TILE * WEIGHT_VECTORS];
  UNROLL
  for (int i = 0; i < WEIGHT_TILE * vectors; i++) LANES_CLEAR(sums[i]);
  for (int pixel = 0; pixel < pixels; pixel++, gradients += pixel_stride) {
    for (int lane = 0; lane < LANES / DEPTH; lane++, inputs += vectors * LANES) {
      __builtin_prefetch(ahead.x);
      __builtin_prefetch(ahead.other);
      ahead.x += step;
      ahead.other += step;
      Lanes x[WEIGHT_VECTORS];
      UNROLL
      for (int j = 0; j < vectors; j++) {
        x[j] = lanes_load(inputs + j * LANES);
        LANES_PIN(x[j]);
      }
      UNROLL
      for (int i = 0; i < WEIGHT_TILE; i++) {
        Lanes g = lanes_splat(gradients[i * (LANES / DEPTH) + lane]);
        LANES_PIN(g);
        UNROLL
        for (int j = 0; j < vectors; j++) sums[i * vectors + j] = lanes_multiply_add(sums[i * vectors + j], x[j], g);
      }
    }
  }
  UNROLL
  for (int i = 0; i < WEIGHT_TILE; i++) {
    if (i >= live) continue;
    UNROLL
    for (int j = 0; j < vectors; j++) {
      float *target = dw + i * dw_stride + j * LANES;
      Lanes sum = sums[i * vectors + j];
      if (j + 1 == vectors && left < LANES) {
        if (more) sum += lanes_load_part(target, left);
        lanes_store_part(target, sum, left);
      } else {
        if (more) sum += lanes_load_unaligned(target);
        lanes_store_unaligned(target, sum);
      }
    }
  }
}

#define WEIGHT_PRODUCT(vectors)                                                                                     \
  KERNEL_SHARED void weight_product_##vectors(int pixels, const float *gradients, int64_t pixel_stride,             \
                                              const float *inputs, int live, int left, int more, AheadPiece ahead,  \
                                              int step, float *dw, int64_t dw_stride) {                             \
    weight_product(vectors, pixels, gradients, pixel_stride, inputs, live, left, more, ahead, step, dw, dw_stride); \
  }
WEIGHT_PRODUCT(3)
WEIGHT_PRODUCT(2)
WEIGHT_PRODUCT(1)

// Vectors of the next panel where `left` remain: never one alone where two and two will do.
KERNEL int weight_panel_vectors(int left) { return left == 4 ? 2 : left < WEIGHT_VECTORS ? left : WEIGHT_VECTORS; }

// Where pixel `pixel` of all image blocks lies, in pixels of x.
typedef struct WeightPixel {
  int64_t block, in, out;
} WeightPixel;

KERNEL WeightPixel weight_pixel(int h, int w, int ho, int wo, int stride, int64_t pixel) {
  const int64_t block = pixel / (ho * wo), at = pixel % (ho * wo);
  (void)h;
  return (WeightPixel){block, at / wo * stride * w + at % wo * stride, at};
}

// Inputs [first, first + count) of `pixels` pixels -> panels [panel][pixel][lane, or pair][vectors of the panel].
KERNEL void weight_turn_inputs(int kind, WeightViews v, int h, int w, int ho, int wo, int stride, int64_t pixel_first,
                               int pixels, int first, int count, float *restrict panels) {
  const int c = v.x.c;
  for (int pixel = 0; pixel < pixels; pixel++) {
    const WeightPixel at = weight_pixel(h, w, ho, wo, stride, pixel_first + pixel);
    const View x = weight_view(kind, v.x, at.block, (int64_t)h * w * c * LANES);
    for (int channel = 0, vectors; channel < count; channel += vectors * LANES) {
      vectors = weight_panel_vectors((count - channel + LANES - 1) / LANES);
      float *to =
          panels + (int64_t)pixels * (LANES / DEPTH) * channel + (int64_t)pixel * (LANES / DEPTH) * vectors * LANES;
      for (int j = 0; j < vectors; j++) {
        Lanes block[LANES];
        const int from = channel + j * LANES;
        UNROLL
        for (int i = 0; i < LANES; i++) {
          const int there = first + (from + i < count ? from + i : 0);
          block[i] = view_load(kind, x, (at.in * c + there) * LANES, there);
        }
        lanes_transpose(block);
        UNROLL
        for (int i = 0; i < LANES; i += DEPTH)
          lanes_store(to + ((int64_t)(i / DEPTH) * vectors + j) * LANES, lanes_pair(block[i], block[i + DEPTH - 1]));
      }
    }
  }
}

// A vector of gradients, lanes or, in bf16, pairs of them.
KERNEL void weight_store_gradients(float *to, Lanes v) {
  if (DEPTH == 1)
    lanes_store(to, v);
  else
    element_store((Element *)(void *)to, v);
}

// Output gradients [first, first + count) of `pixels` pixels -> [pixel][WEIGHT_TILE * tiles][lane, or pair]; dead lanes
// zero.
KERNEL void weight_copy_gradients(int kind, WeightViews v, int n, int ho, int wo, int64_t pixel_first, int pixels,
                                  int first, int count, float *restrict to) {
  const int vectors = (count + WEIGHT_TILE - 1) / WEIGHT_TILE * WEIGHT_TILE, floats = LANES / DEPTH;
  const int64_t o = v.dy.c, width = (int64_t)vectors * floats;
  for (int pixel = 0; pixel < pixels; pixel++, to += width) {
    const WeightPixel at = weight_pixel(0, 0, ho, wo, 0, pixel_first + pixel);
    const View dy = weight_view(kind, v.dy, at.block, (int64_t)ho * wo * o * LANES);
    const Lanes live = lanes_mask(lanes_live(n, (int)at.block));
    for (int i = 0; i < count; i++)
      weight_store_gradients(to + i * floats, view_load(kind, dy, (at.out * o + first + i) * LANES, first + i) * live);
    for (int i = count; i < vectors; i++) weight_store_gradients(to + i * floats, lanes_splat(0.0f));
  }
}

// What the next chunk copies.
typedef struct WeightAhead {
  Ahead gradients, inputs;
} WeightAhead;

// The products of all panels and tiles: `more`: added to what dw has.
KERNEL void weight_products(int pixels, int inputs, int outputs, const float *gradients, const float *panels, int more,
                            WeightAhead ahead, float *dw, int64_t dw_stride) {
  const int calls =
      (outputs + WEIGHT_TILE - 1) / WEIGHT_TILE * ((inputs + WEIGHT_VECTORS * LANES - 1) / (WEIGHT_VECTORS * LANES));
  const int64_t all = ahead_lines(&ahead.gradients) + ahead_lines(&ahead.inputs);
  const int64_t lines = (all + all / 4) / calls + 1;  // some more: rows end within a piece
  const int step = (int)(lines * AHEAD_LINE / (pixels * (LANES / DEPTH)));
  const int64_t pixel_stride = (int64_t)((outputs + WEIGHT_TILE - 1) / WEIGHT_TILE * WEIGHT_TILE) * (LANES / DEPTH);
  for (int input = 0, vectors; input < inputs; input += vectors * LANES) {
    vectors = weight_panel_vectors((inputs - input + LANES - 1) / LANES);
    const int left = inputs - input < vectors * LANES ? inputs - input - (vectors - 1) * LANES : LANES;
    for (int output = 0; output < outputs; output += WEIGHT_TILE) {
      const int live = outputs - output < WEIGHT_TILE ? outputs - output : WEIGHT_TILE;
      const float *from = gradients + (int64_t)output * (LANES / DEPTH);
      float *target = dw + output * dw_stride + input;
      Ahead *const some = ahead.gradients.rows > 0 ? &ahead.gradients : &ahead.inputs;
      const AheadPiece next = ahead_piece(some, lines, from);
      if (vectors == 3)
        weight_product_3(pixels, from, pixel_stride, panels, live, left, more, next, step, target, dw_stride);
      if (vectors == 2)
        weight_product_2(pixels, from, pixel_stride, panels, live, left, more, next, step, target, dw_stride);
      if (vectors == 1)
        weight_product_1(pixels, from, pixel_stride, panels, live, left, more, next, step, target, dw_stride);
    }
    panels += (int64_t)pixels * (LANES / DEPTH) * vectors * LANES;
  }
}

KERNEL void conv2d_weight_points(int n, int h, int w, int c, int o, int stride, WeightViews v, float *restrict dw,
                                 float *restrict workspace, int task) {
  const int ho = (int)conv2d_size(h, 1, stride, 0), wo = (int)conv2d_size(w, 1, stride, 0);
  const WeightPoints s = weight_points(n, ho * wo, c, o, &tuned);
  const int split = task % (int)s.splits, unit = task / (int)s.splits, vectors = (c + LANES - 1) / LANES;
  const int input_part = unit % (int)s.input_parts, output_part = unit / (int)s.input_parts;
  const int input_first = vectors * input_part / (int)s.input_parts * LANES;
  int input_last = vectors * (input_part + 1) / (int)s.input_parts * LANES;
  if (input_last > c) input_last = c;
  const int output_first = (int)((int64_t)o * output_part / s.output_parts);
  const int output_last = (int)((int64_t)o * (output_part + 1) / s.output_parts);
  const int inputs = input_last - input_first, outputs = output_last - output_first;
  float *target = s.splits > 1 ? workspace + (int64_t)split * o * c : dw;
  target += (int64_t)output_first * c + input_first;
  float panels[TUNED_weight_depth * TUNED_weight_width + TUNED_weight_depth * LANES] __attribute__((aligned(64)));
  float gradients[TUNED_weight_depth * (TUNED_weight_width + WEIGHT_TILE)] __attribute__((aligned(64)));
  const int64_t chunks = (s.pixels + s.depth - 1) / s.depth;
  const int64_t first = chunks * split / s.splits * s.depth, end = chunks * (split + 1) / s.splits * s.depth;
  const int64_t last = end < s.pixels ? end : s.pixels;
  for (int64_t pixel = first; pixel < last; pixel += s.depth) {
    const int pixels = (int)(last - pixel < s.depth ? last - pixel : s.depth);
    if (v.x_kind == VIEW_PLAIN)
      weight_turn_inputs(VIEW_PLAIN, v, h, w, ho, wo, stride, pixel, pixels, input_first, inputs, panels);
    else if (v.x_kind == VIEW_NORMALIZED)
      weight_turn_inputs(VIEW_NORMALIZED, v, h, w, ho, wo, stride, pixel, pixels, input_first, inputs, panels);
    else
      weight_turn_inputs(VIEW_SCALED, v, h, w, ho, wo, stride, pixel, pixels, input_first, inputs, panels);
    if (v.dy_kind == VIEW_PLAIN)
      weight_copy_gradients(VIEW_PLAIN, v, n, ho, wo, pixel, pixels, output_first, outputs, gradients);
    else
      weight_copy_gradients(VIEW_GRADIENT, v, n, ho, wo, pixel, pixels, output_first, outputs, gradients);
    const int64_t next = pixel + pixels, more = size_min(s.depth, last - next);
    const WeightAhead ahead = {ahead_pixels(v.dy_kind, v.dy, next, more, output_first, outputs),
                               ahead_pixels(v.x_kind, v.x, next, stride == 1 ? more : 0, input_first, inputs)};
    weight_products(pixels, inputs, outputs, gradients, panels, pixel > first, ahead, target, c);
  }
}

// ---- any kernel ----

// Where a chunk lies, clipped to the tensor.
typedef struct WeightChunk {
  int block_first, block_last, row_first, row_last, column_first, column_last;
} WeightChunk;

KERNEL WeightChunk weight_chunk(WeightChunks s, int blocks, int ho, int wo, int chunk) {
  WeightChunk r;
  const int columns = (int)s.columns, rows = (int)s.rows, together = (int)s.blocks;
  r.column_first = chunk % (int)s.chunks_columns * columns;
  r.row_first = chunk / (int)s.chunks_columns % (int)s.chunks_rows * rows;
  r.block_first = chunk / (int)(s.chunks_columns * s.chunks_rows) * together;
  r.column_last = r.column_first + columns < wo ? r.column_first + columns : wo;
  r.row_last = r.row_first + rows < ho ? r.row_first + rows : ho;
  r.block_last = r.block_first + together < blocks ? r.block_first + together : blocks;
  return r;
}

// Copies input channels [first, first + count) of the chunk into planes [channel][block][plane row][plane column].
KERNEL void weight_pack_planes(int kind, WeightChunks s, WeightChunk t, WeightViews v, int h, int w, int k, int stride,
                               int pad, int first, int count, float *restrict planes) {
  const int height = (int)s.plane_height, width = (int)s.plane_width, step = k == 1 ? stride : 1, c = v.x.c;
  const int64_t plane = (int64_t)s.blocks * height * width * LANES;
  for (int block = t.block_first; block < t.block_last; block++) {
    const View view = weight_view(kind, v.x, block, (int64_t)h * w * c * LANES);
    for (int row = 0; row < height; row++)
      for (int column = 0; column < width; column++) {
        const int y = t.row_first * stride - pad + row * step, at = t.column_first * stride - pad + column * step;
        float *target = planes + (((int64_t)(block - t.block_first) * height + row) * width + column) * LANES;
        if (y < 0 || y >= h || at < 0 || at >= w) {
          for (int i = 0; i < count; i++) lanes_store(target + i * plane, lanes_splat(0.0f));
        } else {
          view_copy(kind, view, (((int64_t)y * w + at) * c + first) * LANES, first, count, 1,
                    TUNED_weight_ahead_pixels * (int64_t)c * LANES, target, plane);
        }
      }
  }
}

// Copies output gradients [first, first + count) of the chunk into panels [tile][pixel][output of the tile], dead lanes
// zero; a last tile is filled with zeros. panel_stride: floats from panel to panel.
KERNEL void weight_pack_panels(int kind, WeightChunk t, WeightViews v, int n, int ho, int wo, int first, int count,
                               int64_t panel_stride, float *restrict panels) {
  const int o = v.dy.c;
  for (int block = t.block_first; block < t.block_last; block++) {
    const int images = lanes_live(n, block);
    const Lanes mask = lanes_mask(images);
    const View view = weight_view(kind, v.dy, block, (int64_t)ho * wo * o * LANES);
    for (int row = t.row_first; row < t.row_last; row++)
      for (int column = t.column_first; column < t.column_last; column++, panels += WEIGHT_TILE * LANES)
        for (int i = 0; i < count; i += WEIGHT_TILE) {
          float *target = panels + i / WEIGHT_TILE * panel_stride;
          const int live = count - i < WEIGHT_TILE ? count - i : WEIGHT_TILE;
          view_copy(kind, view, (((int64_t)row * wo + column) * o + first + i) * LANES, first + i, live, 1,
                    TUNED_weight_ahead_pixels * (int64_t)o * LANES, target, LANES);
          if (live < WEIGHT_TILE)
            memset(target + live * LANES, 0, (size_t)(WEIGHT_TILE - live) * LANES * sizeof(float));
          if (images < LANES) UNROLL
          for (int j = 0; j < WEIGHT_TILE; j++) lanes_store(target + j * LANES, lanes_load(target + j * LANES) * mask);
        }
  }
}

// What is copied of a chunk, where it has whole rows of images.
KERNEL WeightAhead weight_chunk_ahead(WeightChunks s, WeightChunk t, WeightViews v, int h, int w, int ho, int wo, int k,
                                      int stride, int pad, int input, int inputs, int output, int outputs) {
  if (s.chunks_columns > 1) return (WeightAhead){ahead_nothing, ahead_nothing};
  const int top = t.row_first * stride - pad, end = (t.row_last - 1) * stride - pad + k;
  const int first = top > 0 ? top : 0, blocks = t.block_last - t.block_first;  // more than one are whole
  const int rows = (end < h ? end : h) - first, row = t.block_first * h + first;
  return (WeightAhead){
      ahead_pixels(v.dy_kind, v.dy, ((int64_t)t.block_first * ho + t.row_first) * wo,
                   (int64_t)blocks * (t.row_last - t.row_first) * wo, output, outputs),
      ahead_pixels(v.x_kind, v.x, (int64_t)row * w, (int64_t)(blocks > 1 ? blocks * h : rows) * w, input, inputs)};
}

// The pixels of a chunk as the inner loop walks them: `blocks` x `rows` x `count` gradients, one after another in the
// panel; in the planes, vectors `step` apart in a row, floats `row_stride` and `block_stride` between rows and blocks.
typedef struct WeightWalk {
  int blocks, rows, count, step;
  int64_t row_stride, block_stride;
} WeightWalk;

// folded[i][j] = sum over pixels and lanes of panel[pixel][i] * plane j[pixel]; j = 3 is not used. With each row,
// `lines` lines of what comes next are asked for.
KERNEL_SHARED void weight_sum(const WeightWalk *walk, const float *panel, const float *plane0, const float *plane1,
                              const float *plane2, WeightAhead *ahead, int64_t lines, float *folded) {
  Lanes sums[WEIGHT_TILE * 3];
  UNROLL
  for (int i = 0; i < WEIGHT_TILE * 3; i++) LANES_CLEAR(sums[i]);
  const int64_t step = (int64_t)walk->step * LANES;
  for (int block = 0; block < walk->blocks; block++)
    for (int row = 0; row < walk->rows; row++) {
      int64_t at = block * walk->block_stride + row * walk->row_stride;
      AheadPiece next = ahead_piece(ahead->gradients.rows > 0 ? &ahead->gradients : &ahead->inputs, lines, panel);
      for (int64_t line = 0; line < lines; line++, next.x += AHEAD_LINE, next.other += AHEAD_LINE) {
        __builtin_prefetch(next.x);
        __builtin_prefetch(next.other);
      }
      for (int pixel = 0; pixel < walk->count; pixel++, at += step, panel += WEIGHT_TILE * LANES) {
        Lanes x0 = lanes_load(plane0 + at), x1 = lanes_load(plane1 + at), x2 = lanes_load(plane2 + at);
        LANES_PIN(x0);
        LANES_PIN(x1);
        LANES_PIN(x2);
        UNROLL
        for (int i = 0; i < WEIGHT_TILE; i++) {
          Lanes g = lanes_load(panel + i * LANES);
          LANES_PIN(g);
          sums[i * 3] += g * x0;
          sums[i * 3 + 1] += g * x1;
          sums[i * 3 + 2] += g * x2;
        }
      }
    }
  UNROLL
  for (int i = 0; i < WEIGHT_TILE; i++)
    lanes_sum4(sums[i * 3], sums[i * 3 + 1], sums[i * 3 + 2], sums[i * 3 + 2], folded + i * 4);
}

KERNEL WeightWalk weight_walk(WeightChunks s, WeightChunk t, int k, int stride) {
  WeightWalk walk = {t.block_last - t.block_first,
                     t.row_last - t.row_first,
                     t.column_last - t.column_first,
                     k == 1 ? 1 : stride,
                     0,
                     s.plane_height * s.plane_width * LANES};
  walk.row_stride = s.plane_width * walk.step * LANES;
  if (k == 1 && walk.count == s.plane_width && (walk.rows == s.plane_height || walk.blocks == 1)) {  // no gaps: one row
    walk.count *= walk.blocks * walk.rows;
    walk.blocks = walk.rows = 1;
  }
  return walk;
}

// Walks (channel, tap) pairs: where the plane of one begins, until the last, which is then given again.
typedef struct WeightPairs {
  const float *plane;
  int left, k, kx, ky;
  int64_t row, channel;  // floats from where a tap's row ends to the next one, and from where the taps end to the next
} WeightPairs;

KERNEL WeightPairs weight_pairs(WeightChunks s, int k, int pairs, const float *planes) {
  const int64_t row = (s.plane_width - (k - 1)) * LANES;
  return (WeightPairs){planes,
                       pairs,
                       k,
                       0,
                       0,
                       row,
                       (s.blocks * s.plane_height * s.plane_width - ((k - 1) * s.plane_width + k - 1)) * LANES};
}

KERNEL const float *weight_next_plane(WeightPairs *at) {
  const float *plane = at->plane;
  if (--at->left <= 0) return plane;
  if (++at->kx < at->k) {
    at->plane += LANES;
    return plane;
  }
  at->kx = 0;
  if (++at->ky < at->k) {
    at->plane += at->row;
    return plane;
  }
  at->ky = 0;
  at->plane += at->channel;
  return plane;
}

// Adds a tile of outputs (`live` of them exist) x all `pairs` (channel, tap) pairs of a chunk to dw.
KERNEL void weight_tiles(WeightChunks s, WeightWalk walk, int k, int pairs, int live, int64_t dw_stride,
                         const float *panel, const float *planes, WeightAhead *ahead, int64_t lines, float *dw) {
  WeightPairs next = weight_pairs(s, k, pairs, planes);
  for (int pair = 0; pair < pairs; pair += 3) {
    const float *plane0 = weight_next_plane(&next), *plane1 = weight_next_plane(&next),
                *plane2 = weight_next_plane(&next);
    const int wide = pairs - pair < 3 ? pairs - pair : 3;
    float folded[WEIGHT_TILE * 4] __attribute__((aligned(64)));
    weight_sum(&walk, panel, plane0, plane1, plane2, ahead, lines, folded);
    for (int i = 0; i < live; i++)
      for (int j = 0; j < wide; j++) dw[i * dw_stride + pair + j] += folded[i * 4 + j];
  }
}

// The channels of a unit.
typedef struct WeightUnit {
  int input, inputs, output, outputs;
} WeightUnit;

KERNEL WeightUnit weight_unit(WeightChunks s, int inputs, int outputs, int unit) {
  const int input_parts = (int)s.input_parts, output_parts = (int)s.output_parts;
  const int group = unit / (input_parts * output_parts), part = unit % (input_parts * output_parts);
  const int in = part / output_parts, out = part % output_parts;
  const int input = inputs * in / input_parts, output = outputs * out / output_parts;
  return (WeightUnit){group * inputs + input, inputs * (in + 1) / input_parts - input, group * outputs + output,
                      outputs * (out + 1) / output_parts - output};
}

KERNEL void weight_pack_chunk(WeightChunks s, WeightChunk t, WeightUnit u, WeightViews v, int n, int h, int w, int ho,
                              int wo, int k, int stride, int pad, float *restrict planes, float *restrict panels) {
  const int64_t panel_stride = s.blocks * s.rows * s.columns * WEIGHT_TILE * LANES;
  if (v.x_kind == VIEW_PLAIN)
    weight_pack_planes(VIEW_PLAIN, s, t, v, h, w, k, stride, pad, u.input, u.inputs, planes);
  else if (v.x_kind == VIEW_NORMALIZED)
    weight_pack_planes(VIEW_NORMALIZED, s, t, v, h, w, k, stride, pad, u.input, u.inputs, planes);
  else
    weight_pack_planes(VIEW_SCALED, s, t, v, h, w, k, stride, pad, u.input, u.inputs, planes);
  if (v.dy_kind == VIEW_PLAIN)
    weight_pack_panels(VIEW_PLAIN, t, v, n, ho, wo, u.output, u.outputs, panel_stride, panels);
  else
    weight_pack_panels(VIEW_GRADIENT, t, v, n, ho, wo, u.output, u.outputs, panel_stride, panels);
}

// Adds a chunk of a unit to dw, the unit's first weight.
KERNEL void weight_add_chunk(WeightChunks s, WeightWalk walk, WeightUnit u, int k, int64_t dw_stride, WeightAhead ahead,
                             const float *planes, const float *panels, float *dw) {
  const int pairs = u.inputs * k * k, tiles = (u.outputs + WEIGHT_TILE - 1) / WEIGHT_TILE;
  const int64_t panel_stride = s.blocks * s.rows * s.columns * WEIGHT_TILE * LANES;
  const int64_t begins = (int64_t)tiles * ((pairs + 2) / 3) * walk.blocks * walk.rows;
  const int64_t lines = size_min(8, (ahead_lines(&ahead.gradients) + ahead_lines(&ahead.inputs) + begins - 1) / begins);
  for (int tile = 0; tile < tiles; tile++) {
    const int output = tile * WEIGHT_TILE, live = u.outputs - output < WEIGHT_TILE ? u.outputs - output : WEIGHT_TILE;
    weight_tiles(s, walk, k, pairs, live, dw_stride, panels + tile * panel_stride, planes, &ahead, lines,
                 dw + output * dw_stride);
  }
}

KERNEL void conv2d_weight_chunks(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                                 WeightViews v, float *restrict dw, float *restrict workspace, int task) {
  const WeightChunks s = weight_chunks(n, h, w, c, o, k, stride, pad, groups, &tuned);
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const int inputs = c / groups, outputs = o / groups, blocks = (int)image_blocks(n, &tuned);
  const int part = task / (int)s.splits, split = task % (int)s.splits;
  const int first = (int)(s.units * part / s.unit_parts), last = (int)(s.units * (part + 1) / s.unit_parts);
  const int chunk_first = (int)(s.chunks * split / s.splits), chunk_last = (int)(s.chunks * (split + 1) / s.splits);
  const int64_t stride_o = (int64_t)inputs * k * k;
  float *const all = s.splits > 1 ? workspace + (int64_t)split * o * stride_o : dw;
  float planes[TUNED_weight_plane_floats] __attribute__((aligned(64)));
  float panels[TUNED_weight_plane_floats] __attribute__((aligned(64)));
  for (int unit = first; unit < last; unit++) {
    const WeightUnit u = weight_unit(s, inputs, outputs, unit);
    float *target = all + u.output * stride_o + (int64_t)(u.input % inputs) * k * k;
    for (int i = 0; i < u.outputs; i++)
      memset(target + i * stride_o, 0, (size_t)u.inputs * (size_t)(k * k) * sizeof(float));
    for (int chunk = chunk_first; chunk < chunk_last; chunk++) {
      const WeightChunk t = weight_chunk(s, blocks, ho, wo, chunk);
      weight_pack_chunk(s, t, u, v, n, h, w, ho, wo, k, stride, pad, planes, panels);
      WeightAhead ahead = {ahead_nothing, ahead_nothing};
      const int other = chunk + 1 == chunk_last;  // unit
      if (!other || unit + 1 < last) {
        const WeightUnit next = weight_unit(s, inputs, outputs, unit + other);
        ahead = weight_chunk_ahead(s, weight_chunk(s, blocks, ho, wo, other ? chunk_first : chunk + 1), v, h, w, ho, wo,
                                   k, stride, pad, next.input, next.inputs, next.output, next.outputs);
      }
      weight_add_chunk(s, weight_walk(s, t, k, stride), u, k, stride_o, ahead, planes, panels, target);
    }
  }
}

void conv2d_backward_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int x_view,
                            int dy_view, const Element *restrict x, const float *restrict x_factors,
                            const float *restrict x_scale, const Element *restrict dy, const Element *restrict raw,
                            const float *restrict dy_factors, float *restrict dw, float *restrict workspace, int task) {
  const WeightViews v = {{x, NULL, x_scale, x_factors, c}, {dy, raw, NULL, dy_factors, o}, x_view, dy_view};
  if (weight_is_point(k, pad, groups))
    conv2d_weight_points(n, h, w, c, o, stride, v, dw, workspace, task);
  else
    conv2d_weight_chunks(n, h, w, c, o, k, stride, pad, groups, v, dw, workspace, task);
}

void conv2d_fold_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                        const float *restrict workspace, float *restrict dw, int task) {
  const int64_t splits = weight_splits(n, h, w, c, o, k, stride, pad, groups, &tuned);
  const int64_t count = (int64_t)o * (c / groups) * k * k, first = (int64_t)task * 4096;
  const int64_t last = first + 4096 < count ? first + 4096 : count;
  for (int64_t i = first; i < last; i++) dw[i] = workspace[i];
  for (int64_t split = 1; split < splits; split++)
    for (int64_t i = first; i < last; i++) dw[i] += workspace[split * count + i];
}
