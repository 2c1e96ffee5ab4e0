// The weight gradient of a convolution: dw[o][c][ky][kx] = sum over images and pixels of dy * x.
//
// A task owns a block of (output, input channel) pairs. Chunk by chunk of pixels it copies its input channels into
// padded planes and its output gradients into panels of 4, so that every (channel, tap) and every panel is one stream
// of vectors; then tiles of 4 outputs x 3 (channel, tap) are summed over the chunk in registers, the lanes folded, and
// added to dw.
// Included by conv2d.h.
#ifndef SEER_KERNELS_CONV2D_WEIGHT_H
#define SEER_KERNELS_CONV2D_WEIGHT_H

#include "lanes.h"
#include "sizes.h"

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

// Copies `count` vectors, `apart` floats from one to the next. Channels of one pixel are a short run that hardware
// does not fetch ahead of: `ahead` floats further, what a later call copies is asked for.
KERNEL void weight_copy(int count, int64_t ahead, const float *restrict from, int64_t apart, float *restrict to) {
  for (; count >= 4; count -= 4, from += 4 * LANES, to += 4 * apart) {
    UNROLL
    for (int i = 0; i < 4 * LANES; i += 16) __builtin_prefetch(from + ahead + i);
    UNROLL
    for (int i = 0; i < 4; i++) lanes_store(to + i * apart, lanes_load(from + i * LANES));
  }
  for (; count > 0; count--, from += LANES, to += apart) lanes_store(to, lanes_load(from));
}

// Copies input channels [first, first + count) of the chunk into planes [channel][block][plane row][plane column].
KERNEL void weight_pack_planes(WeightChunks s, WeightChunk t, int h, int w, int c, int k, int stride, int pad,
                               int first, int count, const float *restrict x, float *restrict planes) {
  const int height = (int)s.plane_height, width = (int)s.plane_width, step = k == 1 ? stride : 1;
  const int64_t plane = (int64_t)s.blocks * height * width * LANES;
  for (int block = t.block_first; block < t.block_last; block++)
    for (int row = 0; row < height; row++)
      for (int column = 0; column < width; column++) {
        const int y = t.row_first * stride - pad + row * step, at = t.column_first * stride - pad + column * step;
        float *target = planes + (((int64_t)(block - t.block_first) * height + row) * width + column) * LANES;
        if (y < 0 || y >= h || at < 0 || at >= w) {
          for (int i = 0; i < count; i++) lanes_store(target + i * plane, lanes_splat(0.0f));
        } else {
          const float *source = x + ((((int64_t)block * h + y) * w + at) * c + first) * LANES;
          weight_copy(count, 3 * (int64_t)c * LANES, source, plane, target);
        }
      }
}

// Copies output gradients [first, first + count) of the chunk into panels [tile of 4][pixel][4], dead lanes zero; a
// last tile of fewer than 4 is filled with zeros. panel_stride: floats from panel to panel.
KERNEL void weight_pack_panels(WeightChunk t, int n, int ho, int wo, int o, int first, int count, int64_t panel_stride,
                               const float *restrict dy, float *restrict panels) {
  for (int block = t.block_first; block < t.block_last; block++) {
    const int images = lanes_live(n, block);
    const Lanes mask = lanes_mask(images);
    for (int row = t.row_first; row < t.row_last; row++)
      for (int column = t.column_first; column < t.column_last; column++, panels += 4 * LANES) {
        const float *source = dy + ((((int64_t)block * ho + row) * wo + column) * o + first) * LANES;
        for (int i = 0; i < count; i += 4) {
          float *target = panels + i / 4 * panel_stride;
          const int live = count - i < 4 ? count - i : 4;
          if (live == 4) {
            weight_copy(4, 3 * (int64_t)o * LANES, source + (int64_t)i * LANES, LANES, target);
          } else {
            weight_copy(live, 0, source + (int64_t)i * LANES, LANES, target);
            memset(target + live * LANES, 0, (size_t)(4 - live) * LANES * sizeof(float));
          }
          if (images < LANES) UNROLL
          for (int j = 0; j < 4; j++) lanes_store(target + j * LANES, lanes_load(target + j * LANES) * mask);
        }
      }
  }
}

// The pixels of a chunk as the inner loop walks them: `blocks` x `rows` x `count` gradients, one after another in the
// panel; in the planes, vectors `step` apart in a row, floats `row_stride` and `block_stride` between rows and blocks.
typedef struct WeightWalk {
  int blocks, rows, count, step;
  int64_t row_stride, block_stride;
} WeightWalk;

// folded[i][j] = sum over pixels and lanes of panel[pixel][i] * plane j[pixel]; j = 3 is not used.
KERNEL_SHARED void weight_sum(const WeightWalk *walk, const float *panel, const float *plane0, const float *plane1,
                              const float *plane2, float *folded) {
  Lanes sums[12];
  UNROLL
  for (int i = 0; i < 12; i++) LANES_CLEAR(sums[i]);
  const int64_t step = (int64_t)walk->step * LANES;
  for (int block = 0; block < walk->blocks; block++)
    for (int row = 0; row < walk->rows; row++) {
      int64_t at = block * walk->block_stride + row * walk->row_stride;
      for (int pixel = 0; pixel < walk->count; pixel++, at += step, panel += 4 * LANES) {
        Lanes x0 = lanes_load(plane0 + at), x1 = lanes_load(plane1 + at), x2 = lanes_load(plane2 + at);
        LANES_PIN(x0);
        LANES_PIN(x1);
        LANES_PIN(x2);
        UNROLL
        for (int i = 0; i < 4; i++) {
          Lanes g = lanes_load(panel + i * LANES);
          LANES_PIN(g);
          sums[i * 3] += g * x0;
          sums[i * 3 + 1] += g * x1;
          sums[i * 3 + 2] += g * x2;
        }
      }
    }
  UNROLL
  for (int i = 0; i < 4; i++)
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
  if (k == 1 && walk.count == s.plane_width &&
      (walk.rows == s.plane_height || walk.blocks == 1)) {  // no gaps: one row
    walk.count *= walk.blocks * walk.rows;
    walk.blocks = walk.rows = 1;
  }
  return walk;
}

// The plane of (channel, tap) pair `pair`.
KERNEL const float *weight_plane_of(WeightChunks s, int k, int pair, const float *planes) {
  const int channel = pair / (k * k), ky = pair / k % k, kx = pair % k;
  return planes + ((int64_t)channel * s.blocks * s.plane_height * s.plane_width + ky * s.plane_width + kx) * LANES;
}

// Adds 4 outputs (`live` of them exist) x all `pairs` (channel, tap) pairs of a chunk to dw.
KERNEL void weight_tiles(WeightChunks s, WeightWalk walk, int k, int pairs, int live, int64_t dw_stride,
                         const float *panel, const float *planes, float *dw) {
  for (int pair = 0; pair < pairs; pair += 3) {
    const int last = pairs - 1, wide = pairs - pair < 3 ? pairs - pair : 3;
    float folded[16] __attribute__((aligned(64)));
    weight_sum(&walk, panel, weight_plane_of(s, k, pair, planes),
               weight_plane_of(s, k, pair + 1 < pairs ? pair + 1 : last, planes),
               weight_plane_of(s, k, pair + 2 < pairs ? pair + 2 : last, planes), folded);
    for (int i = 0; i < live; i++)
      for (int j = 0; j < wide; j++) dw[i * dw_stride + pair + j] += folded[i * 4 + j];
  }
}

// x [n,h,w,c], dy [n,ho,wo,o] -> dw [o][c/groups][k][k], or, where the workspace is not empty, one such sum per split
// there, for conv2d_fold_weight. workspace: conv2d_backward_weight_workspace_floats(..) floats. Needs 400 KiB of stack
// (twice that with 16 lanes).
// Tasks: conv2d_backward_weight_tasks(n, h, w, c, o, k, stride, pad, groups, LANES).
KERNEL void conv2d_backward_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                                   const float *restrict x, const float *restrict dy, float *restrict dw,
                                   float *restrict workspace, int task) {
  const WeightChunks s = weight_chunks(n, h, w, c, o, k, stride, pad, groups, LANES);
  const int ho = (int)conv2d_size(h, k, stride, pad), wo = (int)conv2d_size(w, k, stride, pad);
  const int inputs = c / groups, outputs = o / groups, blocks = (int)image_blocks(n, LANES);
  const int input_parts = (int)s.input_parts, output_parts = (int)s.output_parts;
  const int unit = task / (int)s.splits, split = task % (int)s.splits;
  const int group = unit / (input_parts * output_parts), part = unit % (input_parts * output_parts);
  const int input_first = inputs * (part / output_parts) / input_parts;
  const int input_last = inputs * (part / output_parts + 1) / input_parts;
  const int output_first = outputs * (part % output_parts) / output_parts;
  const int output_last = outputs * (part % output_parts + 1) / output_parts;
  const int pairs = (input_last - input_first) * k * k;
  const int64_t stride_o = (int64_t)inputs * k * k;
  float *target = s.splits > 1 ? workspace + (int64_t)split * o * stride_o : dw;
  target += ((int64_t)group * outputs + output_first) * stride_o + (int64_t)input_first * k * k;
  for (int i = 0; i < output_last - output_first; i++) memset(target + i * stride_o, 0, (size_t)pairs * sizeof(float));

  float planes[WEIGHT_PLANE_LANES * LANES] __attribute__((aligned(64)));
  float panels[WEIGHT_PLANE_LANES * LANES] __attribute__((aligned(64)));
  const int64_t panel_stride = s.blocks * s.rows * s.columns * 4 * LANES;
  const int chunk_first = (int)(s.chunks * split / s.splits), chunk_last = (int)(s.chunks * (split + 1) / s.splits);
  for (int chunk = chunk_first; chunk < chunk_last; chunk++) {
    const WeightChunk t = weight_chunk(s, blocks, ho, wo, chunk);
    weight_pack_planes(s, t, h, w, c, k, stride, pad, group * inputs + input_first, input_last - input_first, x,
                       planes);
    weight_pack_panels(t, n, ho, wo, o, group * outputs + output_first, output_last - output_first, panel_stride, dy,
                       panels);
    for (int output = output_first; output < output_last; output += 4) {
      const int live = output_last - output < 4 ? output_last - output : 4;
      weight_tiles(s, weight_walk(s, t, k, stride), k, pairs, live, stride_o,
                   panels + (output - output_first) / 4 * panel_stride, planes,
                   target + (output - output_first) * stride_o);
    }
  }
}

// Adds the splits in order. Tasks: conv2d_fold_weight_tasks(n, h, w, c, o, k, stride, pad, groups, LANES).
KERNEL void conv2d_fold_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                               const float *restrict workspace, float *restrict dw, int task) {
  const WeightChunks s = weight_chunks(n, h, w, c, o, k, stride, pad, groups, LANES);
  const int64_t count = (int64_t)o * (c / groups) * k * k, first = (int64_t)task * 4096;
  const int64_t last = first + 4096 < count ? first + 4096 : count;
  for (int64_t i = first; i < last; i++) dw[i] = workspace[i];
  for (int64_t split = 1; split < s.splits; split++)
    for (int64_t i = first; i < last; i++) dw[i] += workspace[split * count + i];
}

#endif
