// Normalisation: BatchNorm over all but the last dimension in its training, folded and fused forms, running statistics,
// and L2 normalisation of rows. Variances are biased; running_update's `scale` makes them unbiased.
#include <math.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

static const char *expect_channel_vectors(OpShapeCall *call, int x, int first, int last) {
  for (int i = first; i <= last; i++) OP_TRY(op_expect_vector(call, i, shape_last(call->operands[x])));
  return NULL;
}

const char *op_batch_norm_shape(OpShapeCall *call) {
  if (call->operands[0].rank < 2) return op_fail(call, "x needs rows and channels");
  OP_TRY(expect_channel_vectors(call, 0, 1, 2));
  call->results[0] = call->operands[0];
  call->results[1] = call->results[2] = call->operands[1];
  return NULL;
}

void op_batch_norm_evaluate(const OpEvaluateCall *call) {
  int64_t channels = shape_last(call->shapes[0]), rows = shape_rows(call->shapes[0]);
  const double *x = call->operands[0], *gamma = call->operands[1], *beta = call->operands[2];
  for (int64_t c = 0; c < channels; c++) {
    double mean = 0, variance = 0;
    for (int64_t r = 0; r < rows; r++) mean += x[r * channels + c];
    mean /= (double)rows;
    for (int64_t r = 0; r < rows; r++) variance += (x[r * channels + c] - mean) * (x[r * channels + c] - mean);
    variance /= (double)rows;
    double factor = gamma[c] / sqrt(variance + call->op->attributes.epsilon);
    for (int64_t r = 0; r < rows; r++)
      call->results[0][r * channels + c] = (x[r * channels + c] - mean) * factor + beta[c];
    call->results[1][c] = mean;
    call->results[2][c] = variance;
  }
}

void op_batch_norm_gradient(OpGradientCall *call) {
  if (call->result_gradients[1] != VALUE_NONE || call->result_gradients[2] != VALUE_NONE)
    BUG("batch_norm '%s': its statistics are not differentiated", call->op.name);
  Op op = op_backward_of(&call->op, OP_batch_norm_backward);
  ValueId operands[] = {call->result_gradients[0], call->op.operands[0], call->op.operands[1], call->op.results[1],
                        call->op.results[2]};
  op.operand_count = 5;
  for (int i = 0; i < 5; i++) op.operands[i] = operands[i];
  const Op *made = graph_op(call->graph, graph_add_op(call->graph, op));
  for (int i = 0; i < 3; i++) call->operand_gradients[i] = made->results[i];
}

const char *op_batch_norm_backward_shape(OpShapeCall *call) {
  if (call->operands[1].rank < 2) return op_fail(call, "x needs rows and channels");
  OP_TRY(op_expect_same(call, 0, 1));
  OP_TRY(expect_channel_vectors(call, 1, 2, 4));
  call->results[0] = call->operands[1];
  call->results[1] = call->results[2] = call->operands[2];
  return NULL;
}

typedef struct NormBackward {
  const double *dy, *x, *gamma, *mean, *variance;
  double *dx, *dgamma, *dbeta;
} NormBackward;

// dx = gamma*inverse_std * (dy - mean(dy) - x_hat * mean(dy*x_hat)), by channel.
static void norm_backward(NormBackward n, Shape shape, double epsilon) {
  int64_t channels = shape_last(shape), rows = shape_rows(shape);
  for (int64_t c = 0; c < channels; c++) {
    double inverse = 1 / sqrt(n.variance[c] + epsilon), sum = 0, dot = 0;
    for (int64_t i = c; i < rows * channels; i += channels) {
      sum += n.dy[i];
      dot += n.dy[i] * (n.x[i] - n.mean[c]) * inverse;
    }
    for (int64_t i = c; i < rows * channels; i += channels) {
      double x_hat = (n.x[i] - n.mean[c]) * inverse;
      n.dx[i] = n.gamma[c] * inverse * (n.dy[i] - sum / (double)rows - x_hat * dot / (double)rows);
    }
    n.dgamma[c] = dot;
    n.dbeta[c] = sum;
  }
}

void op_batch_norm_backward_evaluate(const OpEvaluateCall *call) {
  norm_backward((NormBackward){.dy = call->operands[0], .x = call->operands[1], .gamma = call->operands[2],
                               .mean = call->operands[3], .variance = call->operands[4], .dx = call->results[0],
                               .dgamma = call->results[1], .dbeta = call->results[2]},
                call->shapes[1], call->op->attributes.epsilon);
}

const char *op_batch_norm_relu_backward_shape(OpShapeCall *call) {
  if (call->operands[2].rank < 2) return op_fail(call, "x needs rows and channels");
  OP_TRY(op_expect_same(call, 0, 2));
  OP_TRY(op_expect_masked(call, 1, 2, 6));
  OP_TRY(expect_channel_vectors(call, 2, 3, 5));
  call->results[0] = call->results[3] = call->operands[2];
  call->results[1] = call->results[2] = call->operands[3];
  return NULL;
}

void op_batch_norm_relu_backward_evaluate(const OpEvaluateCall *call) {
  double *masked = call->results[3];
  op_gradient_masked(call, 1, 2, 6, masked);
  norm_backward((NormBackward){.dy = masked, .x = call->operands[2], .gamma = call->operands[3],
                               .mean = call->operands[4], .variance = call->operands[5], .dx = call->results[0],
                               .dgamma = call->results[1], .dbeta = call->results[2]},
                call->shapes[2], call->op->attributes.epsilon);
}

const char *op_batch_normalize_shape(OpShapeCall *call) {
  if (call->operands[0].rank < 2) return op_fail(call, "x needs rows and channels");
  OP_TRY(expect_channel_vectors(call, 0, 1, 4));
  if (call->op->operand_count > 5) OP_TRY(op_expect_same(call, 5, 0));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_batch_normalize_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t channels = shape_last(call->shapes[0]), count = shape_elements(call->shapes[0]);
  const double *residual = call->op->operand_count > 5 ? call->operands[5] : NULL;
  for (int64_t i = 0; i < count; i++) {
    int64_t c = i % channels;
    double factor = call->operands[1][c] / sqrt(call->operands[4][c] + a->epsilon);
    double y = (call->operands[0][i] - call->operands[3][c]) * factor + call->operands[2][c];
    if (residual) y += residual[i];
    call->results[0][i] = a->relu && !(y > 0) ? 0 : y;
  }
}

const char *op_running_update_shape(OpShapeCall *call) {
  OP_TRY(op_expect_same(call, 0, 1));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_running_update_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t count = shape_elements(call->shapes[0]);
  for (int64_t i = 0; i < count; i++)
    call->results[0][i] = (1 - a->momentum) * call->operands[0][i] + a->momentum * call->operands[1][i] * a->scale;
}

const char *op_l2_normalize_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  call->results[0] = call->operands[0];
  call->results[1] = shape_make(1, call->operands[0].size[0], 0, 0, 0);
  return NULL;
}

void op_l2_normalize_evaluate(const OpEvaluateCall *call) {
  int64_t width = call->shapes[0].size[1];
  for (int64_t r = 0; r < call->shapes[0].size[0]; r++) {
    const double *x = call->operands[0] + r * width;
    double squares = 0;
    for (int64_t i = 0; i < width; i++) squares += x[i] * x[i];
    double norm = sqrt(squares), divisor = fmax(norm, call->op->attributes.epsilon);
    for (int64_t i = 0; i < width; i++) call->results[0][r * width + i] = x[i] / divisor;
    call->results[1][r] = norm;
  }
}

void op_l2_normalize_gradient(OpGradientCall *call) {
  if (call->result_gradients[1] != VALUE_NONE)
    BUG("l2_normalize '%s': its norms are not differentiated", call->op.name);
  Op op = op_backward_of(&call->op, OP_l2_normalize_backward);
  op.operand_count = 3;
  op.operands[0] = call->result_gradients[0];
  for (int i = 0; i < 2; i++) op.operands[1 + i] = call->op.results[i];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

const char *op_l2_normalize_backward_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 1, 2));
  OP_TRY(op_expect_same(call, 0, 1));
  OP_TRY(op_expect_vector(call, 2, call->operands[1].size[0]));
  call->results[0] = call->operands[1];
  return NULL;
}

void op_l2_normalize_backward_evaluate(const OpEvaluateCall *call) {
  int64_t width = call->shapes[1].size[1];
  double epsilon = call->op->attributes.epsilon;
  for (int64_t r = 0; r < call->shapes[1].size[0]; r++) {
    const double *dy = call->operands[0] + r * width, *y = call->operands[1] + r * width;
    double norm = call->operands[2][r], dot = 0;
    // Below epsilon the divisor is a constant.
    if (norm > epsilon)
      for (int64_t i = 0; i < width; i++) dot += dy[i] * y[i];
    for (int64_t i = 0; i < width; i++) call->results[0][r * width + i] = (dy[i] - y[i] * dot) / fmax(norm, epsilon);
  }
}
