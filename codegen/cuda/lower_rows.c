// Lowers what is neither convolution nor BatchNorm of the forward and backward: pictures, pooling, scaling of channels,
// dense layers, pointwise ops, moves of rows.
#include "codegen/cuda/lower_cuda.h"
#include "compiler/base/bug.h"

// ---- images ----

void cuda_lower_normalize_images(Lower *lower) {
  Images y = images_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  double scale[3], shift[3];
  for (int c = 0; c < 3; c++) scale[c] = 1 / (255 * a->std[c]), shift[c] = -a->mean[c] / a->std[c];
  CUDA_LAUNCH(lower, normalize_images, blocks_of(pixels_of(y), 256),
              (INT(pixels_of(y)), REAL(scale[0]), REAL(scale[1]), REAL(scale[2]), REAL(shift[0]), REAL(shift[1]),
               REAL(shift[2])),
              (operand(lower, 0), result(lower, 0)));
}

// A block takes 256 chunks of an image,
static LaunchGrid by_image(Images x) { return blocks(divide_up(chunks_of(x) / x.n, 256), x.n); }
// or 64 channels of one.
static LaunchGrid by_channels(Images x) { return blocks(divide_up(x.channels.all, 64), x.n); }

void cuda_lower_pool_average(Lower *lower) {
  Images x = images_of(lower, lower->op->operands[0]);
  CUDA_LAUNCH(lower, pool_average, by_channels(x), (INT(x.n), INT(x.h * x.w), CHANNEL_CONSTANTS(x.channels)),
              (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void cuda_lower_pool_average_backward(Lower *lower) {
  Images y = images_of(lower, lower->op->results[0]);
  CUDA_LAUNCH(lower, pool_average_backward, by_image(y), (INT(y.n), INT(y.h * y.w), CHANNEL_CONSTANTS(y.channels)),
              (operand(lower, 0), result(lower, 0)));
}

void cuda_lower_scale_channels(Lower *lower) {
  Images x = images_of(lower, lower->op->operands[0]);
  CUDA_LAUNCH(lower, scale_channels, by_image(x), (INT(x.n), INT(x.h * x.w), CHANNEL_CONSTANTS(x.channels)),
              (operand(lower, 0), operand(lower, 2), operand(lower, 1), result(lower, 0)));
}

// Without dx, which needs the scale, where x is seen through `line`.
static void scale_backward(Lower *lower, KernelOperand line, KernelOperand scale, KernelOperand dx, KernelOperand ds) {
  Images x = images_of(lower, lower->op->operands[0]);
  CUDA_LAUNCH(lower, scale_channels_backward, by_channels(x), (INT(x.n), INT(x.h * x.w), CHANNEL_CONSTANTS(x.channels)),
              (operand(lower, 0), operand(lower, 1), line, scale, dx, ds));
}

void cuda_lower_scale_channels_backward(Lower *lower) {
  scale_backward(lower, no_operand(), operand(lower, 2), result(lower, 0), result(lower, 1));
}

void cuda_lower_scale_gradient(Lower *lower) {
  scale_backward(lower, operand(lower, 2), no_operand(), no_operand(), result(lower, 0));
}

// ---- pointwise, of images or rows ----

// `of_images` or KERNEL_KIND_COUNT: there is no such kernel.
static void pointwise(Lower *lower, KernelKind of_rows, KernelKind of_images) {
  ValueId y = lower->op->results[0];
  bool images = is_of_images(lower, y);
  if (images && of_images == KERNEL_KIND_COUNT) BUG("'%s' is of images", lower->op->name);
  int64_t count = images ? chunks_of(images_of(lower, y)) : count_of(lower, y);
  KernelOperand operands[3];
  int used = 0;
  for (; used < lower->op->operand_count; used++) operands[used] = operand(lower, used);
  operands[used++] = result(lower, 0);
  launch_grid(lower, images ? of_images : of_rows, blocks_of(count, 256), &(KernelConstant)INT(count), 1, operands,
              used);
}

// ReLU of images is part of BatchNorm's output, its gradient of BatchNorm's.
void cuda_lower_relu(Lower *lower) { pointwise(lower, KERNEL_cuda_relu, KERNEL_KIND_COUNT); }
void cuda_lower_relu_backward(Lower *lower) { pointwise(lower, KERNEL_cuda_relu_backward, KERNEL_KIND_COUNT); }
void cuda_lower_sigmoid(Lower *lower) { pointwise(lower, KERNEL_cuda_sigmoid, KERNEL_KIND_COUNT); }
void cuda_lower_sigmoid_backward(Lower *lower) { pointwise(lower, KERNEL_cuda_sigmoid_backward, KERNEL_KIND_COUNT); }
void cuda_lower_add(Lower *lower) { pointwise(lower, KERNEL_cuda_add, KERNEL_cuda_add_images); }

// ---- dense layers ----

Linear cuda_linear(const Lower *lower, ValueId rows, ValueId w) {
  const Shape *shape = &graph_value(lower->graph, w)->shape;
  return (Linear){extent_of(lower, rows).n, shape->size[1], shape->size[0]};
}

// A block makes 64 x 64 of the result.
static LaunchGrid by_tiles(int64_t rows, int64_t columns) {
  return blocks(divide_up(columns, 64), divide_up(rows, 64));
}

void cuda_lower_linear(Lower *lower) {
  if (cuda_lower_by_library(lower)) return;
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->operands[1]);
  CUDA_LAUNCH(lower, linear, by_tiles(v.n, v.o), (INT(v.n), INT(v.c), INT(v.o)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void cuda_lower_linear_backward_input(Lower *lower) {
  if (cuda_lower_by_library(lower)) return;
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->operands[1]);
  CUDA_LAUNCH(lower, linear_backward_input, by_tiles(v.n, v.c), (INT(v.n), INT(v.c), INT(v.o)),
              (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void cuda_lower_linear_backward_weight(Lower *lower) {
  if (cuda_lower_by_library(lower)) return;
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->results[0]);
  CUDA_LAUNCH(lower, linear_backward_weight, by_tiles(v.o, v.c), (INT(v.n), INT(v.c), INT(v.o)),
              (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

static void lower_columns(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  CUDA_LAUNCH(lower, sum_rows, by_column(x.c), (INT(x.n), INT(x.c)), (operand(lower, 0), result(lower, 0)));
}

void cuda_lower_sum_rows(Lower *lower) { lower_columns(lower); }
void cuda_lower_count_assignments(Lower *lower) { lower_columns(lower); }

// ---- rows ----

static void copy(Lower *lower, KernelOperand from, KernelOperand to, int64_t count) {
  CUDA_LAUNCH(lower, copy_floats, blocks_of(count, 256), (INT(count)), (from, to));
}

void cuda_lower_concat_rows(Lower *lower) {
  int64_t floats = 0;
  for (int i = 0; i < lower->op->operand_count; i++) {
    int64_t count = count_of(lower, lower->op->operands[i]);
    copy(lower, operand(lower, i), behind(result(lower, 0), floats), count);
    floats += count;
  }
}

void cuda_lower_slice_rows(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  int64_t begin = lower->op->attributes.begin;
  copy(lower, behind(operand(lower, 0), begin * x.c), result(lower, 0), count_of(lower, lower->op->results[0]));
}

void cuda_lower_l2_normalize(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  CUDA_LAUNCH(lower, l2_normalize, blocks(x.n, 1), (INT(x.n), INT(x.c), REAL(lower->op->attributes.epsilon)),
              (operand(lower, 0), result(lower, 0), result(lower, 1)));
}

void cuda_lower_l2_normalize_backward(Lower *lower) {
  Extent y = extent_of(lower, lower->op->operands[1]);
  CUDA_LAUNCH(lower, l2_normalize_backward, blocks(y.n, 1), (INT(y.n), INT(y.c), REAL(lower->op->attributes.epsilon)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

static void refuse(const Lower *lower) { BUG("'%s' is no op of a network's step", lower->op->name); }
void cuda_lower_scale(Lower *lower) { refuse(lower); }
void cuda_lower_pad_rows(Lower *lower) { refuse(lower); }
