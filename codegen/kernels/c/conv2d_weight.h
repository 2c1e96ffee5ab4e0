// The weight gradient of a convolution: dw[o][c][ky][kx] = sum over images and pixels of dy * x.
//
// A task owns a block of (output, input channel) pairs. Chunk by chunk of pixels it copies its input channels into padded
// planes and 4 output gradients at a time into a panel, so that every (channel, tap) is one stream of vectors; then tiles
// of 4 outputs x 3 (channel, tap) are summed over the chunk in registers, the lanes folded, and added to dw.
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

// Copies input channels [first, first + count) of the chunk into planes [channel][block][plane row][plane column].
KERNEL void weight_pack_planes(WeightChunks s, WeightChunk t, int h, int w, int c, int k, int stride, int pad, int first,
                               int count, const float *restrict x, float *restrict planes) {
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
          for (int i = 0; i < count; i++) lanes_store(target + i * plane, lanes_load(source + (int64_t)i * LANES));
        }
      }
}

// Copies 4 output gradients from channel `first` on (`live` of them exist, the others become zero) into [pixel][4],
// dead lanes zero.
KERNEL void weight_pack_panel(WeightChunk t, int n, int ho, int wo, int o, int first, int live,
                              const float *restrict dy, float *restrict panel) {
  for (int block = t.block_first; block < t.block_last; block++) {
    const int images = lanes_live(n, block);
    const Lanes mask = lanes_mask(images);
    for (int row = t.row_first; row < t.row_last; row++)
      for (int column = t.column_first; column < t.column_last; column++) {
        const float *source = dy + ((((int64_t)block * ho + row) * wo + column) * o + first) * LANES;
        for (int i = 0; i < 4; i++, panel += LANES) {
          Lanes v = i < live ? lanes_load(source + i * LANES) : lanes_splat(0.0f);
          if (images < LANES) v *= mask;
          lanes_store(panel, v);
        }
      }
  }
}

// sums[i][j] += sum over `count` pixels of panel[pixel][i] * plane[j][pixel * step].
KERNEL void weight_accumulate(int count, int step, const float *panel, const float *const *plane, Lanes *sums) {
  for (int pixel = 0; pixel < count; pixel++) {
    Lanes x[3];
    UNROLL for (int j = 0; j < 3; j++) {
      x[j] = lanes_load(plane[j] + (int64_t)pixel * step * LANES);
      LANES_PIN(x[j]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
      Lanes g = lanes_load(panel + ((int64_t)pixel * 4 + i) * LANES);
      LANES_PIN(g);
      UNROLL for (int j = 0; j < 3; j++) sums[i * 3 + j] += g * x[j];
    }
  }
}

// One tile over one chunk: columns [column, column + 3) of the `columns` (channel, tap) pairs, added to dw.
KERNEL void weight_tile(WeightChunks s, WeightChunk t, int k, int stride, int column, int columns, int live,
                        int64_t dw_stride, const float *panel, const float *planes, float *dw) {
  const int height = (int)s.plane_height, width = (int)s.plane_width;
  const float *base[3];
  UNROLL for (int j = 0; j < 3; j++) {
    const int at = column + j < columns ? column + j : columns - 1;
    const int channel = at / (k * k), ky = at / k % k, kx = at % k;
    base[j] = planes + ((int64_t)channel * s.blocks * height * width + (int64_t)ky * width + kx) * LANES;
  }
  Lanes sums[12];
  UNROLL for (int i = 0; i < 12; i++) LANES_CLEAR(sums[i]);
  const int rows = t.row_last - t.row_first, across = t.column_last - t.column_first;
  const int step = k == 1 ? 1 : stride;
  const int blocks = t.block_last - t.block_first;
  if (k == 1 && across == width && (rows == height || blocks == 1)) {  // planes without gaps: one run
    weight_accumulate(blocks * rows * across, 1, panel, base, sums);
  } else {
    for (int block = 0; block < blocks; block++)
      for (int row = 0; row < rows; row++) {
        const float *plane[3];
        UNROLL for (int j = 0; j < 3; j++)
          plane[j] = base[j] + ((int64_t)block * height + row * step) * width * LANES;
        weight_accumulate(across, step, panel + ((int64_t)block * rows + row) * across * 4 * LANES, plane, sums);
      }
  }
  UNROLL for (int i = 0; i < 4; i++) {
    float folded[4] __attribute__((aligned(16)));
    lanes_sum4(sums[i * 3], sums[i * 3 + 1], sums[i * 3 + 2], sums[i * 3 + 2], folded);
    if (i >= live) break;
    for (int j = 0; j < 3 && column + j < columns; j++) dw[i * dw_stride + column + j] += folded[j];
  }
}

// x [n,h,w,c], dy [n,ho,wo,o] -> dw [o][c/groups][k][k], or, where the workspace is not empty, one such sum per split
// there, for conv2d_fold_weight. workspace: conv2d_backward_weight_workspace_floats(..) floats. Needs 300 KiB of stack
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
  const int columns = (input_last - input_first) * k * k;
  const int64_t stride_o = (int64_t)inputs * k * k;
  float *target = s.splits > 1 ? workspace + (int64_t)split * o * stride_o : dw;
  target += ((int64_t)group * outputs + output_first) * stride_o + (int64_t)input_first * k * k;
  for (int i = 0; i < output_last - output_first; i++)
    memset(target + i * stride_o, 0, (size_t)columns * sizeof(float));

  float planes[WEIGHT_PLANE_LANES * LANES] __attribute__((aligned(64)));
  float panel[WEIGHT_PIXELS * 4 * LANES] __attribute__((aligned(64)));
  const int chunk_first = (int)(s.chunks * split / s.splits), chunk_last = (int)(s.chunks * (split + 1) / s.splits);
  for (int chunk = chunk_first; chunk < chunk_last; chunk++) {
    const WeightChunk t = weight_chunk(s, blocks, ho, wo, chunk);
    weight_pack_planes(s, t, h, w, c, k, stride, pad, group * inputs + input_first, input_last - input_first, x, planes);
    for (int output = output_first; output < output_last; output += 4) {
      const int live = output_last - output < 4 ? output_last - output : 4;
      weight_pack_panel(t, n, ho, wo, o, group * outputs + output, live, dy, panel);
      for (int column = 0; column < columns; column += 3)
        weight_tile(s, t, k, stride, column, columns, live, stride_o, panel, planes,
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
