// Losses: SwAV's Sinkhorn codes and swapped prediction (vissl/losses/swav_loss.py), softmax cross-entropy, and the
// count of assignments by prototype. Codes are constants to differentiation.
#include <math.h>

#include "compiler/graph/op.h"

static double log_sum_exp(const double *x, int64_t count, int64_t stride) {
  double largest = x[0], sum = 0;
  for (int64_t i = 1; i < count; i++) largest = fmax(largest, x[i * stride]);
  for (int64_t i = 0; i < count; i++) sum += exp(x[i * stride] - largest);
  return largest + log(sum);
}

const char *op_sinkhorn_shape(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 2));
  if (!(a->epsilon > 0) || a->iterations < 1) return op_fail(call, "epsilon or iterations are unset");
  if (call->op->operand_count == 2) return op_fail(call, "queue scores come with queue_active");
  if (call->op->operand_count == 3) {
    OP_TRY(op_expect_rank(call, 1, 2));
    if (call->operands[1].size[1] != call->operands[0].size[1])
      return op_fail(call, "queue scores differ in prototypes");
    OP_TRY(op_expect_vector(call, 2, 1));
  }
  call->results[0] = call->operands[0];
  return NULL;
}

// Alternately makes columns (prototypes) and rows (images) of exp(logits) sum to one, in the logarithm: no score is too
// large, no prototype too empty. The constants 1/K and 1/B of the published form cancel.
static void sinkhorn_iterate(double *logits, int64_t rows, int64_t prototypes, int iterations) {
  for (int t = 0; t < iterations; t++) {
    for (int64_t k = 0; k < prototypes; k++) {
      double sum = log_sum_exp(logits + k, rows, prototypes);
      for (int64_t b = 0; b < rows; b++) logits[b * prototypes + k] -= sum;
    }
    for (int64_t b = 0; b < rows; b++) {
      double sum = log_sum_exp(logits + b * prototypes, prototypes, 1);
      for (int64_t k = 0; k < prototypes; k++) logits[b * prototypes + k] -= sum;
    }
  }
}

void op_sinkhorn_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t batch = call->shapes[0].size[0], prototypes = call->shapes[0].size[1];
  bool queue = call->op->operand_count == 3 && call->operands[2][0] > 0;
  int64_t rows = batch + (queue ? call->shapes[1].size[0] : 0);
  double *logits = arena_array(call->scratch, double, rows * prototypes);
  for (int64_t i = 0; i < rows * prototypes; i++) {
    double score = i < batch * prototypes ? call->operands[0][i] : call->operands[1][i - batch * prototypes];
    logits[i] = score / a->epsilon;
  }
  sinkhorn_iterate(logits, rows, prototypes, a->iterations);
  for (int64_t b = 0; b < batch; b++) {
    const double *row = logits + b * prototypes;
    double *codes = call->results[0] + b * prototypes;
    int64_t best = 0;
    for (int64_t k = 0; k < prototypes; k++) {
      codes[k] = a->hard ? 0 : exp(row[k]);
      if (row[k] > row[best]) best = k;
    }
    if (a->hard) codes[best] = 1;
  }
}

static const char *expect_swapped(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(op_expect_rank(call, 1, 2));
  Shape scores = call->operands[0], codes = call->operands[1];
  if (a->crops < 2 || a->assign_crops < 1 || a->assign_crops > a->crops || !(a->temperature > 0))
    return op_fail(call, "crops, assign_crops or temperature are unset");
  if (scores.size[0] % a->crops || codes.size[0] != scores.size[0] / a->crops * a->assign_crops ||
      scores.size[1] != codes.size[1])
    return op_fail(call, "codes %s do not fit scores %s", shape_text(call->arena, codes),
                   shape_text(call->arena, scores));
  return NULL;
}

const char *op_swapped_prediction_shape(OpShapeCall *call) {
  OP_TRY(expect_swapped(call));
  call->results[0] = shape_make(1, 1, 0, 0, 0);
  return NULL;
}

// The weight of one pair (row of scores, row of codes) in the mean.
static double swapped_weight(const OpAttributes *a, int64_t batch) {
  return 1 / ((double)a->assign_crops * (a->crops - 1) * (double)batch);
}

void op_swapped_prediction_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t prototypes = call->shapes[0].size[1], batch = call->shapes[0].size[0] / a->crops;
  double *logits = arena_array(call->scratch, double, prototypes);
  double loss = 0;
  for (int64_t row = 0; row < a->crops * batch; row++) {
    for (int64_t k = 0; k < prototypes; k++) logits[k] = call->operands[0][row * prototypes + k] / a->temperature;
    double sum = log_sum_exp(logits, prototypes, 1);
    for (int i = 0; i < a->assign_crops; i++) {
      if (i == row / batch) continue;
      const double *codes = call->operands[1] + (i * batch + row % batch) * prototypes;
      for (int64_t k = 0; k < prototypes; k++) loss -= codes[k] * (logits[k] - sum);
    }
  }
  call->results[0][0] = loss * swapped_weight(a, batch);
}

// The gradient of a loss op with respect to operand 0, by an op of the same operands.
static void loss_gradient(OpGradientCall *call, OpKind kind) {
  Op op = op_backward_of(&call->op, kind);
  op.operand_count = 2;
  op.operands[0] = call->op.operands[0], op.operands[1] = call->op.operands[1];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

void op_swapped_prediction_gradient(OpGradientCall *call) { loss_gradient(call, OP_swapped_prediction_backward); }

const char *op_swapped_prediction_backward_shape(OpShapeCall *call) {
  OP_TRY(expect_swapped(call));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_swapped_prediction_backward_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t prototypes = call->shapes[0].size[1], batch = call->shapes[0].size[0] / a->crops;
  double weight = swapped_weight(a, batch) / a->temperature;
  double *logits = arena_array(call->scratch, double, prototypes);
  for (int64_t row = 0; row < a->crops * batch; row++) {
    double *gradient = call->results[0] + row * prototypes;
    for (int64_t k = 0; k < prototypes; k++) logits[k] = call->operands[0][row * prototypes + k] / a->temperature;
    double sum = log_sum_exp(logits, prototypes, 1);
    for (int i = 0; i < a->assign_crops; i++) {
      if (i == row / batch) continue;
      const double *codes = call->operands[1] + (i * batch + row % batch) * prototypes;
      double mass = 0;
      for (int64_t k = 0; k < prototypes; k++) mass += codes[k];
      for (int64_t k = 0; k < prototypes; k++) gradient[k] += weight * (mass * exp(logits[k] - sum) - codes[k]);
    }
  }
}

static const char *expect_labelled(OpShapeCall *call) {
  double smoothing = call->op->attributes.label_smoothing;
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(op_expect_rank(call, 1, 1));
  if (call->operands[0].size[0] % call->operands[1].size[0])
    return op_fail(call, "logits are not whole sets of the labels");
  if (smoothing < 0 || smoothing >= 1) return op_fail(call, "label_smoothing is not in 0..1");
  return NULL;
}

const char *op_softmax_cross_entropy_shape(OpShapeCall *call) {
  OP_TRY(expect_labelled(call));
  call->results[0] = shape_make(1, 1, 0, 0, 0);
  return NULL;
}

void op_softmax_cross_entropy_evaluate(const OpEvaluateCall *call) {
  int64_t rows = call->shapes[0].size[0], classes = call->shapes[0].size[1], labels = call->shapes[1].size[0];
  double smoothing = call->op->attributes.label_smoothing, loss = 0;
  for (int64_t r = 0; r < rows; r++) {
    const double *logits = call->operands[0] + r * classes;
    double sum = log_sum_exp(logits, classes, 1), mean = 0;
    for (int64_t k = 0; k < classes; k++) mean += logits[k] / (double)classes;
    double own = logits[(int64_t)call->operands[1][r % labels]];
    loss += sum - (1 - smoothing) * own - smoothing * mean;
  }
  call->results[0][0] = loss / (double)rows;
}

void op_softmax_cross_entropy_gradient(OpGradientCall *call) {
  loss_gradient(call, OP_softmax_cross_entropy_backward);
}

const char *op_softmax_cross_entropy_backward_shape(OpShapeCall *call) {
  OP_TRY(expect_labelled(call));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_softmax_cross_entropy_backward_evaluate(const OpEvaluateCall *call) {
  int64_t rows = call->shapes[0].size[0], classes = call->shapes[0].size[1], labels = call->shapes[1].size[0];
  double smoothing = call->op->attributes.label_smoothing;
  for (int64_t r = 0; r < rows; r++) {
    const double *logits = call->operands[0] + r * classes;
    double *gradient = call->results[0] + r * classes, sum = log_sum_exp(logits, classes, 1);
    for (int64_t k = 0; k < classes; k++)
      gradient[k] = (exp(logits[k] - sum) - smoothing / (double)classes) / (double)rows;
    gradient[(int64_t)call->operands[1][r % labels]] -= (1 - smoothing) / (double)rows;
  }
}

const char *op_count_assignments_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  call->results[0] = shape_make(1, call->operands[0].size[1], 0, 0, 0);
  return NULL;
}

void op_count_assignments_evaluate(const OpEvaluateCall *call) {
  int64_t prototypes = call->shapes[0].size[1], count = shape_elements(call->shapes[0]);
  for (int64_t i = 0; i < count; i++) call->results[0][i % prototypes] += call->operands[0][i];
}
