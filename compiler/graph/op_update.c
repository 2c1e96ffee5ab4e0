// State and optimizer: the queue, gradient accumulation, SGD with momentum, LARC (vissl/optimizers/larc_fsdp.py), and
// unit rows for prototypes. An update that is not active leaves parameter and velocity as they are.
#include <math.h>
#include <string.h>

#include "compiler/graph/op.h"

const char *op_queue_push_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(op_expect_rank(call, 1, 2));
  Shape queue = call->operands[0], rows = call->operands[1];
  if (queue.size[1] != rows.size[1] || rows.size[0] > queue.size[0])
    return op_fail(call, "rows %s do not fit the queue %s", shape_text(call->arena, rows),
                   shape_text(call->arena, queue));
  call->results[0] = queue;
  return NULL;
}

void op_queue_push_evaluate(const OpEvaluateCall *call) {
  int64_t all = shape_elements(call->shapes[0]), pushed = shape_elements(call->shapes[1]);
  memcpy(call->results[0], call->operands[1], sizeof(double) * (size_t)pushed);
  memcpy(call->results[0] + pushed, call->operands[0], sizeof(double) * (size_t)(all - pushed));
}

const char *op_accumulate_shape(OpShapeCall *call) {
  OP_TRY(op_expect_same(call, 0, 1));
  if (call->op->operand_count > 2) OP_TRY(op_expect_vector(call, 2, 1));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_accumulate_evaluate(const OpEvaluateCall *call) {
  bool restart = call->op->operand_count > 2 && call->operands[2][0] > 0;
  int64_t count = shape_elements(call->shapes[0]);
  for (int64_t i = 0; i < count; i++)
    call->results[0][i] = (restart ? 0 : call->operands[0][i]) + call->op->attributes.scale * call->operands[1][i];
}

static const char *update_shape(OpShapeCall *call) {
  OP_TRY(op_expect_same(call, 1, 0));
  OP_TRY(op_expect_same(call, 2, 0));
  OP_TRY(op_expect_vector(call, 3, 1));
  if (call->op->operand_count > 4) OP_TRY(op_expect_vector(call, 4, 1));
  call->results[0] = call->results[1] = call->operands[0];
  return NULL;
}

// g = factor * (gradient + decay * parameter); v = momentum * v + g; p -= rate * (nesterov ? g + momentum * v : v).
static void momentum_step(const OpEvaluateCall *call, double factor, double decay) {
  const OpAttributes *a = &call->op->attributes;
  int64_t count = shape_elements(call->shapes[0]);
  bool active = call->op->operand_count < 5 || call->operands[4][0] > 0;
  double rate = call->operands[3][0];
  for (int64_t i = 0; i < count; i++) {
    double parameter = call->operands[0][i], velocity = call->operands[2][i];
    if (active) {
      double step = factor * (call->operands[1][i] + decay * parameter);
      velocity = a->momentum * velocity + step;
      parameter -= rate * (a->nesterov ? step + a->momentum * velocity : velocity);
    }
    call->results[0][i] = parameter;
    call->results[1][i] = velocity;
  }
}

const char *op_sgd_update_shape(OpShapeCall *call) { return update_shape(call); }

void op_sgd_update_evaluate(const OpEvaluateCall *call) { momentum_step(call, 1, call->op->attributes.weight_decay); }

const char *op_larc_update_shape(OpShapeCall *call) { return update_shape(call); }

void op_larc_update_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t count = shape_elements(call->shapes[0]);
  double parameter = 0, gradient = 0;
  for (int64_t i = 0; i < count; i++) {
    parameter += call->operands[0][i] * call->operands[0][i];
    gradient += call->operands[1][i] * call->operands[1][i];
  }
  parameter = sqrt(parameter);
  gradient = sqrt(gradient);
  // Without a norm to compare with, the published optimizer applies neither the ratio nor weight decay.
  if (parameter == 0 || gradient == 0) {
    momentum_step(call, 1, 0);
    return;
  }
  double ratio = a->trust * parameter / (gradient + a->weight_decay * parameter + a->epsilon);
  if (a->clip) ratio = fmin(ratio / call->operands[3][0], 1);
  momentum_step(call, ratio, a->weight_decay);
}

const char *op_normalize_rows_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  call->results[0] = call->operands[0];
  return NULL;
}

void op_normalize_rows_evaluate(const OpEvaluateCall *call) {
  int64_t width = call->shapes[0].size[1];
  for (int64_t r = 0; r < call->shapes[0].size[0]; r++) {
    const double *row = call->operands[0] + r * width;
    double squares = 0;
    for (int64_t i = 0; i < width; i++) squares += row[i] * row[i];
    double divisor = fmax(sqrt(squares), 1e-12);
    for (int64_t i = 0; i < width; i++) call->results[0][r * width + i] = row[i] / divisor;
  }
}
