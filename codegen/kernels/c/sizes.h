// How many tasks each kernel has and how many floats of workspace it needs, as functions of the shape and of the
// tuning, the number of lanes included. Included by the kernels and by the code generator, which runs elsewhere: plain
// integers, no vectors. A kernel with 0 tasks is not launched. Every sum's shape follows from these numbers, so they
// may depend on shapes and the tuning only.
#ifndef SEER_KERNELS_SIZES_H
#define SEER_KERNELS_SIZES_H

#include "tuning.h"

enum {
  TASK_PIXELS = 128,  // most pixels a lane sums in single precision, whatever the tuning
  WEIGHT_UNITS = 4,   // most units of a weight gradient that a task takes: what the next one reads is asked for
  CHANNEL_RUN = 64    // channels of a pixel read at once, where several pixels are summed
};

// What a convolution sees of a tensor; see view.h.
enum ViewKind { VIEW_PLAIN, VIEW_NORMALIZED, VIEW_SCALED, VIEW_GRADIENT };

static inline int64_t size_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t size_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t size_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- tensors ----

static inline int64_t image_blocks(int64_t n, const KernelTuning *t) { return size_ceil(n, t->lanes); }
// Floats of [n,h,w,c] in lanes.
static inline int64_t lane_tensor_floats(int64_t n, int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  return image_blocks(n, t) * h * w * c * t->lanes;
}
// Tasks of an operation over all of `count` floats.
static inline int64_t pointwise_tasks(int64_t count, const KernelTuning *t) { return size_ceil(count, t->task_floats); }
// Parts into which the pixels of an image block are split; part p holds pixels [h*w*p/parts, h*w*(p+1)/parts).
static inline int64_t pixel_parts(int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  int64_t pixels = size_min(TASK_PIXELS, size_max(1, t->task_floats / (c * t->lanes)));
  return size_ceil(h * w, pixels);
}
// Tasks of an operation on a lane tensor, by pixels.
static inline int64_t lane_tasks(int64_t n, int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  return image_blocks(n, t) * pixel_parts(h, w, c, t);
}
// Tasks of an operation on a lane tensor that sums over pixels: CHANNEL_RUN channels of one image block each.
static inline int64_t channel_tasks(int64_t n, int64_t c, const KernelTuning *t) {
  return image_blocks(n, t) * size_ceil(c, CHANNEL_RUN);
}
// Tasks of an operation over the columns of a row-major matrix.
static inline int64_t column_tasks(int64_t columns) { return size_ceil(columns, 64); }
// Tasks of an operation over the rows of a row-major matrix.
static inline int64_t row_tasks(int64_t rows, int64_t columns, const KernelTuning *t) {
  return size_ceil(rows, size_max(1, t->task_floats / size_max(1, columns)));
}

// ---- convolution ----

static inline int64_t conv2d_size(int64_t size, int64_t k, int64_t stride, int64_t pad) {
  return (size + 2 * pad - k) / stride + 1;
}
// Vectors summed in registers at once: of 16 or of 32 registers.
static inline int64_t conv2d_accumulators(const KernelTuning *t) { return t->lanes == 16 ? 24 : 12; }
// Output channels computed together, of a group of `width` output channels.
static inline int64_t conv2d_tile(int64_t width, const KernelTuning *t) {
  return size_min(width, t->lanes == 16 ? 8 : 4);
}
static inline int64_t conv2d_units(int64_t groups, int64_t width, const KernelTuning *t) {
  return groups * size_ceil(width, conv2d_tile(width, t));
}
// A kernel of one tap at every pixel: rows of pixels follow each other, there is no border.
static inline int conv2d_is_point(int64_t k, int64_t stride, int64_t pad, int64_t groups) {
  return k == 1 && stride == 1 && pad == 0 && groups == 1;
}
// Output pixels of a task of a point convolution: whole tiles of pixels.
static inline int64_t conv2d_point_pixels(int64_t outputs, const KernelTuning *t) {
  int64_t tile = conv2d_accumulators(t) / conv2d_tile(outputs, t);
  int64_t pixels = size_min(t->conv_pixels, t->conv_output_floats / (outputs * t->lanes));
  return size_max(1, pixels / tile) * tile;
}
// Where Winograd's way (conv2d_winograd.h) is faster, forward and backward: for 3 x 3 taps at every pixel, in groups so
// wide that transforms cost less than the products they save, of images whose last, half empty tiles do not weigh. Not
// in bf16: it adds up portions of input channels where they are stored, which would round them.
static inline int conv2d_is_winograd(int64_t h, int64_t w, int64_t c, int64_t o, int64_t k, int64_t stride, int64_t pad,
                                     int64_t groups, const KernelTuning *t) {
  return !t->images_bf16 && k == 3 && stride == 1 && pad == 1 && size_min(c, o) / groups >= t->winograd_width &&
         size_min(h, w) >= (t->lanes == 16 ? 6 : 4);
}
// Rows of output that tasks keep together: Winograd's tiles have two.
static inline int64_t conv2d_row_step(int64_t k, int64_t stride, int64_t pad) {
  return k == 3 && stride == 1 && pad == 1 ? 2 : 1;
}
// Parts of an image block's output pixels: of points, or of rows; taller kernels read rows beyond the task's own: twice
// as many rows, less read twice.
static inline int64_t conv2d_pixel_parts(int64_t height, int64_t width, int64_t outputs, int64_t k, int64_t stride,
                                         int64_t pad, int64_t groups, const KernelTuning *t) {
  if (conv2d_is_point(k, stride, pad, groups)) return size_ceil(height * width, conv2d_point_pixels(outputs, t));
  int64_t step = conv2d_row_step(k, stride, pad);
  return size_ceil(size_ceil(height, step), size_max(1, (k > 1 ? 2 : 1) * t->conv_pixels / width / step));
}
static inline int64_t conv2d_unit_parts(int64_t n, int64_t height, int64_t width, int64_t outputs, int64_t k,
                                        int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  int64_t parts = image_blocks(n, t) * conv2d_pixel_parts(height, width, outputs, k, stride, pad, groups, t);
  return size_min(conv2d_units(groups, outputs / groups, t), size_ceil(t->conv_tasks, parts));
}

// conv2d_pack and conv2d_pack_backward: floats of the packed weights, and tasks. winograd: conv2d_is_winograd's word.
static inline int64_t conv2d_packed_floats(int64_t c, int64_t o, int64_t k, int64_t groups, int64_t winograd,
                                           const KernelTuning *t) {
  int64_t width = o / groups;
  return conv2d_units(groups, width, t) * conv2d_tile(width, t) * (winograd ? 16 : k * k) * (c / groups);
}
static inline int64_t conv2d_pack_tasks(int64_t c, int64_t o, int64_t k, int64_t groups, int64_t winograd,
                                        const KernelTuning *t) {
  return size_min(conv2d_units(groups, o / groups, t),
                  size_ceil(conv2d_packed_floats(c, o, k, groups, winograd, t), t->task_floats));
}
static inline int64_t conv2d_packed_backward_floats(int64_t c, int64_t o, int64_t k, int64_t groups, int64_t winograd,
                                                    const KernelTuning *t) {
  return conv2d_packed_floats(o, c, k, groups, winograd, t);
}
static inline int64_t conv2d_pack_backward_tasks(int64_t c, int64_t o, int64_t k, int64_t groups, int64_t winograd,
                                                 const KernelTuning *t) {
  return conv2d_pack_tasks(o, c, k, groups, winograd, t);
}

static inline int64_t conv2d_forward_tasks(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k,
                                           int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  (void)c;
  int64_t ho = conv2d_size(h, k, stride, pad), wo = conv2d_size(w, k, stride, pad);
  return image_blocks(n, t) * conv2d_pixel_parts(ho, wo, o, k, stride, pad, groups, t) *
         conv2d_unit_parts(n, ho, wo, o, k, stride, pad, groups, t);
}
static inline int64_t conv2d_backward_input_tasks(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k,
                                                  int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  (void)o;
  return image_blocks(n, t) * conv2d_pixel_parts(h, w, c, k, stride, pad, groups, t) *
         conv2d_unit_parts(n, h, w, c, k, stride, pad, groups, t);
}
// conv2d_forward with statistics: parts, and floats of the workspace `statistics` that statistics_fold reads.
static inline int64_t conv2d_statistics_parts(int64_t n, int64_t h, int64_t w, int64_t o, int64_t k, int64_t stride,
                                              int64_t pad, int64_t groups, const KernelTuning *t) {
  return image_blocks(n, t) * conv2d_pixel_parts(conv2d_size(h, k, stride, pad), conv2d_size(w, k, stride, pad), o, k,
                                                 stride, pad, groups, t);
}
// Three doubles a part and channel: count, mean, sum of squared deviations.
static inline int64_t statistics_workspace_floats(int64_t parts, int64_t c) { return parts * c * 6; }
static inline int64_t statistics_fold_tasks(int64_t c) { return size_ceil(c, 32); }

// conv2d_backward_weight of a 1 x 1 kernel without groups: tasks have a part of the outputs, a part of the inputs
// (whole vectors of them), and a split of the pixels of all image blocks, summed `depth` at a time.
typedef struct WeightPoints {
  int64_t depth, pixels;  // pixels: of all image blocks
  int64_t output_parts, input_parts, splits;
} WeightPoints;

static inline int weight_is_point(int64_t k, int64_t pad, int64_t groups) { return k == 1 && pad == 0 && groups == 1; }
// Chosen so that what tasks copy and what they leave for conv2d_fold_weight are few floats.
static inline WeightPoints weight_points(int64_t n, int64_t pixels, int64_t c, int64_t o, const KernelTuning *t) {
  WeightPoints best = {.depth = size_max(1, t->weight_depth / t->lanes), .pixels = image_blocks(n, t) * pixels};
  int64_t chunks = size_ceil(best.pixels, best.depth), vectors = size_ceil(c, t->lanes), fewest = INT64_MAX;
  for (int64_t o_parts = size_ceil(o, t->weight_width); o_parts <= size_ceil(o, t->weight_width) + 3; o_parts++)
    for (int64_t c_parts = size_ceil(c, t->weight_width); c_parts <= size_ceil(c, t->weight_width) + 3; c_parts++) {
      if (o_parts > o || c_parts > vectors) continue;
      int64_t splits = size_min(chunks, size_ceil(t->weight_tasks, o_parts * c_parts));
      int64_t floats = best.pixels * t->lanes * (c * o_parts + o * c_parts) + (splits > 1 ? 2 * splits * o * c : 0);
      if (floats >= fewest) continue;
      fewest = floats;
      best.output_parts = o_parts, best.input_parts = c_parts, best.splits = splits;
    }
  return best;
}

// Of any other kernel it sums over chunks of `blocks` image blocks, `rows` output rows, `columns` output columns.
typedef struct WeightChunks {
  int64_t blocks, rows, columns;      // of a chunk
  int64_t plane_height, plane_width;  // of one input channel of one image block in a chunk
  int64_t chunks_blocks, chunks_rows, chunks_columns, chunks;
  int64_t inputs, input_parts, output_parts;  // per group
  int64_t units, unit_parts, splits;          // tasks = unit_parts * splits
} WeightChunks;

// Outputs summed together.
static inline int64_t weight_tile(const KernelTuning *t) { return t->lanes == 16 ? 8 : 4; }
static inline int64_t weight_plane(int64_t size, int64_t k, int64_t stride) {
  return k == 1 ? size : (size - 1) * stride + k;
}
static inline WeightChunks weight_chunks(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k,
                                         int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  int64_t ho = conv2d_size(h, k, stride, pad), wo = conv2d_size(w, k, stride, pad), blocks = image_blocks(n, t);
  int64_t most_vectors = t->weight_plane_floats / t->lanes, tile = weight_tile(t);
  WeightChunks r = {0};
  r.columns = size_min(wo, t->weight_pixels);
  while (r.columns > 1 && weight_plane(r.columns, k, stride) * k > most_vectors) r.columns = (r.columns + 1) / 2;
  r.rows = size_min(ho, size_max(1, t->weight_pixels / r.columns));
  while (r.rows > 1 && weight_plane(r.columns, k, stride) * weight_plane(r.rows, k, stride) > most_vectors)
    r.rows = (r.rows + 1) / 2;
  r.rows = size_ceil(ho, size_ceil(ho, r.rows));
  r.plane_width = weight_plane(r.columns, k, stride);
  r.plane_height = weight_plane(r.rows, k, stride);
  r.blocks = 1;
  if (r.columns == wo && r.rows == ho) {
    r.blocks = size_min(blocks, size_max(1, t->weight_pixels / (r.rows * r.columns)));
    r.blocks = size_min(r.blocks, size_max(1, most_vectors / (r.plane_width * r.plane_height)));
  }
  r.chunks_blocks = size_ceil(blocks, r.blocks);
  r.chunks_rows = size_ceil(ho, r.rows);
  r.chunks_columns = size_ceil(wo, r.columns);
  r.chunks = r.chunks_blocks * r.chunks_rows * r.chunks_columns;
  int64_t inputs = c / groups, outputs = o / groups;
  int64_t most = size_max(1, most_vectors / (r.blocks * r.plane_width * r.plane_height));
  r.input_parts = size_ceil(inputs, size_min(inputs, most));
  r.inputs = size_ceil(inputs, r.input_parts);
  int64_t most_outputs = size_max(1, most_vectors / (tile * r.blocks * r.rows * r.columns)) * tile;
  r.output_parts = size_ceil(outputs, size_min(outputs, most_outputs));
  r.units = groups * r.input_parts * r.output_parts;
  r.unit_parts = size_min(r.units, size_max(t->weight_tasks, size_ceil(r.units, WEIGHT_UNITS)));
  r.splits = size_min(r.chunks, size_ceil(t->weight_tasks, r.units));
  return r;
}

static inline int64_t weight_splits(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k, int64_t stride,
                                    int64_t pad, int64_t groups, const KernelTuning *t) {
  if (!weight_is_point(k, pad, groups)) return weight_chunks(n, h, w, c, o, k, stride, pad, groups, t).splits;
  int64_t pixels = conv2d_size(h, k, stride, pad) * conv2d_size(w, k, stride, pad);
  return weight_points(n, pixels, c, o, t).splits;
}
static inline int64_t conv2d_backward_weight_tasks(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k,
                                                   int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  if (weight_is_point(k, pad, groups)) {
    int64_t pixels = conv2d_size(h, k, stride, pad) * conv2d_size(w, k, stride, pad);
    WeightPoints points = weight_points(n, pixels, c, o, t);
    return points.output_parts * points.input_parts * points.splits;
  }
  WeightChunks chunks = weight_chunks(n, h, w, c, o, k, stride, pad, groups, t);
  return chunks.unit_parts * chunks.splits;
}
static inline int64_t conv2d_backward_weight_workspace_floats(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o,
                                                              int64_t k, int64_t stride, int64_t pad, int64_t groups,
                                                              const KernelTuning *t) {
  int64_t splits = weight_splits(n, h, w, c, o, k, stride, pad, groups, t);
  return splits > 1 ? splits * o * (c / groups) * k * k : 0;
}
static inline int64_t conv2d_fold_weight_tasks(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int64_t k,
                                               int64_t stride, int64_t pad, int64_t groups, const KernelTuning *t) {
  int64_t splits = weight_splits(n, h, w, c, o, k, stride, pad, groups, t);
  return splits > 1 ? size_ceil(o * (c / groups) * k * k, 4096) : 0;
}

// ---- normalisation ----

static inline int64_t batch_statistics_parts(int64_t n, int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  return lane_tasks(n, h, w, c, t);
}
// The backward's sums: parts of an image block's pixels, tasks, and two doubles a part and channel.
static inline int64_t sum_parts(int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  return size_ceil(h * w, size_min(TASK_PIXELS, size_max(1, t->sum_floats / (c * t->lanes))));
}
static inline int64_t sum_tasks(int64_t n, int64_t h, int64_t w, int64_t c, const KernelTuning *t) {
  return image_blocks(n, t) * sum_parts(h, w, c, t);
}
static inline int64_t batch_norm_backward_workspace_floats(int64_t n, int64_t h, int64_t w, int64_t c,
                                                           const KernelTuning *t) {
  return sum_tasks(n, h, w, c, t) * c * 4;
}
static inline int64_t batch_norm_backward_fold_tasks(int64_t c) { return size_ceil(c, 32); }

// Floats of one of several vectors that ranks send each other together.
static inline int64_t ranks_span(int64_t c) { return size_ceil(c, 16) * 16; }

// ---- matrices and dense layers on lanes ----

// matmul of an [m][n] result: tasks split the columns, and the rows until there are matrix_tasks.
static inline int64_t matmul_row_parts(int64_t m, int64_t n, const KernelTuning *t) {
  return size_max(size_ceil(m, t->matrix_rows),
                  size_min(size_ceil(m, 24), size_ceil(t->matrix_tasks, size_ceil(n, t->matrix_columns))));
}
static inline int64_t matmul_tasks(int64_t m, int64_t n, const KernelTuning *t) {
  return matmul_row_parts(m, n, t) * size_ceil(n, t->matrix_columns);
}
static inline int64_t linear_lanes_tasks(int64_t n, int64_t o, const KernelTuning *t) {
  return image_blocks(n, t) * size_ceil(o, 32);
}
static inline int64_t linear_lanes_backward_input_tasks(int64_t n, int64_t c, const KernelTuning *t) {
  return image_blocks(n, t) * size_ceil(c, 32);
}
static inline int64_t linear_lanes_backward_weight_tasks(int64_t o) { return size_ceil(o, 8); }
static inline int64_t sum_rows_lanes_tasks(int64_t c) { return size_ceil(c, 64); }

// ---- losses ----

static inline int64_t sinkhorn_prototypes_tasks(int64_t k) { return column_tasks(k); }
static inline int64_t sinkhorn_samples_tasks(int64_t b, int64_t q) { return size_ceil(b + q, 8); }
static inline int64_t sinkhorn_codes_tasks(int64_t b) { return size_ceil(b, 8); }
// A potential for each prototype, then one for each sample; padded so that both start on a cache line.
static inline int64_t sinkhorn_workspace_floats(int64_t b, int64_t q, int64_t k) {
  return size_ceil(k, 16) * 16 + size_ceil(b + q, 16) * 16;
}
static inline int64_t loss_rows_tasks(int64_t rows) { return size_ceil(rows, 4); }
// One double a row.
static inline int64_t loss_workspace_floats(int64_t rows) { return rows * 2; }

// ---- optimizer ----

static inline int64_t larc_parts(int64_t count, int64_t part) { return size_ceil(count, part); }
static inline int64_t larc_norms_tasks(int64_t count, int64_t part, const KernelTuning *t) {
  return larc_parts(count, part) * pointwise_tasks(part, t);
}
// Two doubles a task.
static inline int64_t larc_workspace_floats(int64_t count, int64_t part, const KernelTuning *t) {
  return larc_norms_tasks(count, part, t) * 4;
}

#endif
