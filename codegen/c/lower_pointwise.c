// Lowers pointwise ops, channel scaling, pooling, and moves of rows.
#include "codegen/c/lower_c.h"
#include "compiler/base/bug.h"

static void lower_unary(Lower *lower, KernelKind kernel) {
  int64_t count = count_of(lower, lower->op->results[0]);
  launch(lower, kernel, pointwise_tasks(count, lower->tuning), (KernelConstant[]){INT(count)}, 1,
         (KernelOperand[]){operand(lower, 0), result(lower, 0)}, 2);
}

static void lower_binary(Lower *lower, KernelKind kernel) {
  int64_t count = count_of(lower, lower->op->results[0]);
  launch(lower, kernel, pointwise_tasks(count, lower->tuning), (KernelConstant[]){INT(count)}, 1,
         (KernelOperand[]){operand(lower, 0), operand(lower, 1), result(lower, 0)}, 3);
}

static bool is_of_images(const Lower *lower) {
  ValueId y = lower->op->results[0];
  return is_in_lanes(lower, y) && graph_value(lower->graph, y)->shape.rank == 4;
}

void c_lower_relu(Lower *lower) { lower_unary(lower, is_of_images(lower) ? KERNEL_relu_images : KERNEL_relu); }
void c_lower_relu_backward(Lower *lower) {
  lower_binary(lower, is_of_images(lower) ? KERNEL_relu_backward_images : KERNEL_relu_backward);
}
void c_lower_sigmoid(Lower *lower) { lower_unary(lower, KERNEL_sigmoid); }
void c_lower_sigmoid_backward(Lower *lower) { lower_binary(lower, KERNEL_sigmoid_backward); }
void c_lower_add(Lower *lower) { lower_binary(lower, is_of_images(lower) ? KERNEL_add_images : KERNEL_add); }

void c_lower_scale(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  LAUNCH(lower, scale, pointwise_tasks(count, lower->tuning), (INT(count), REAL(lower->op->attributes.scale)),
         (operand(lower, 0), result(lower, 0)));
}

void c_lower_normalize_images(Lower *lower) {
  Extent y = extent_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  LAUNCH(lower, normalize_images, lane_tasks(y.n, y.h, y.w, 3, lower->tuning),
         (INT(y.n), INT(y.h), INT(y.w), REAL(a->mean[0]), REAL(a->mean[1]), REAL(a->mean[2]), REAL(a->std[0]),
          REAL(a->std[1]), REAL(a->std[2])),
         (operand(lower, 0), result(lower, 0)));
}

void c_lower_scale_channels(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  LAUNCH(lower, scale_channels, lane_tasks(x.n, x.h, x.w, x.c, lower->tuning), (INT(x.n), INT(x.h), INT(x.w), INT(x.c)),
         (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void c_lower_scale_channels_backward(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  LAUNCH(lower, scale_channels_backward, channel_tasks(x.n, x.c, lower->tuning),
         (INT(x.n), INT(x.h), INT(x.w), INT(x.c)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0), result(lower, 1)));
}

void c_lower_pool_average(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  int view = lower->op->operand_count > 1 ? VIEW_NORMALIZED : VIEW_PLAIN;
  LAUNCH(lower, pool_average, channel_tasks(x.n, x.c, lower->tuning),
         (INT(x.n), INT(x.h), INT(x.w), INT(x.c), INT(view)), (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void c_lower_scale_gradient(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[1]);
  LAUNCH(lower, scale_gradient, channel_tasks(x.n, x.c, lower->tuning), (INT(x.n), INT(x.h), INT(x.w), INT(x.c)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void c_lower_pool_average_backward(Lower *lower) {
  Extent y = extent_of(lower, lower->op->results[0]);
  LAUNCH(lower, pool_average_backward, lane_tasks(y.n, y.h, y.w, y.c, lower->tuning),
         (INT(y.n), INT(y.h), INT(y.w), INT(y.c)), (operand(lower, 0), result(lower, 0)));
}

void c_lower_mask(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  LAUNCH(lower, positive_mask, pointwise_tasks(count, lower->tuning), (INT(count)),
         (result(lower, 0), mask_operand(lower->op->results[0])));
}
