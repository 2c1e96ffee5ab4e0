// Second formulas for the values of ops: each check computes an op's results another way and compares.
#ifndef SEER_TESTS_OP_CHECKS_H
#define SEER_TESTS_OP_CHECKS_H

#include "compiler/graph/graph.h"

struct OpCheck;
typedef struct OpCase {
  OpKind kind;
  OpAttributes attributes;
  int operand_count;
  Shape operands[MAX_OPERANDS];
  Shape results[MAX_RESULTS];
  unsigned gradients;
  void (*check)(const struct OpCheck *check);
} OpCase;

typedef struct OpCheck {
  const OpCase *c;
  const Graph *graph;
  const Op *op;
  double **tensors;  // evaluated
  Arena *arena;
} OpCheck;

typedef void OpCheckFunction(const OpCheck *check);
OpCheckFunction check_normalize_images, check_conv2d, check_linear, check_batch_norm, check_batch_normalize,
    check_running_update, check_l2_normalize, check_relu, check_sigmoid, check_add, check_scale, check_scale_channels,
    check_pool_average, check_concat_rows, check_slice_rows, check_sinkhorn, check_swapped_prediction,
    check_cross_entropy, check_count_assignments, check_queue_push, check_accumulate, check_update,
    check_normalize_rows, check_conv2d_statistics, check_batch_norm_relu_backward,
    check_normalization_factors, check_batch_norm_sums, check_batch_norm_relu_sums, check_scale_gradient;

#endif
