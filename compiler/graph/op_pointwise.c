// Pointwise ops: relu, sigmoid, add, scale, and the channel scaling of squeeze-and-excitation, with their gradients.
#include <math.h>

#include "compiler/graph/op.h"

static const char *same_as_first(OpShapeCall *call) {
  for (int i = 1; i < call->op->operand_count; i++) OP_TRY(op_expect_same(call, i, 0));
  call->results[0] = call->operands[0];
  return NULL;
}

// The gradient of y = f(x) by an op (dy, y) -> dx.
static void gradient_from_result(OpGradientCall *call, OpKind kind) {
  Op op = op_backward_of(&call->op, kind);
  op.operand_count = 2;
  op.operands[0] = call->result_gradients[0], op.operands[1] = call->op.results[0];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

#define EACH(call, i) for (int64_t i = 0, i##_count = shape_elements((call)->shapes[0]); i < i##_count; i++)

const char *op_relu_shape(OpShapeCall *call) { return same_as_first(call); }

void op_relu_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) call->results[0][i] = call->operands[0][i] > 0 ? call->operands[0][i] : 0;
}

void op_relu_gradient(OpGradientCall *call) { gradient_from_result(call, OP_relu_backward); }

const char *op_relu_backward_shape(OpShapeCall *call) { return same_as_first(call); }

void op_relu_backward_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) call->results[0][i] = call->operands[1][i] > 0 ? call->operands[0][i] : 0;
}

const char *op_sigmoid_shape(OpShapeCall *call) { return same_as_first(call); }

void op_sigmoid_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) call->results[0][i] = 1 / (1 + exp(-call->operands[0][i]));
}

void op_sigmoid_gradient(OpGradientCall *call) { gradient_from_result(call, OP_sigmoid_backward); }

const char *op_sigmoid_backward_shape(OpShapeCall *call) { return same_as_first(call); }

void op_sigmoid_backward_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) {
    double y = call->operands[1][i];
    call->results[0][i] = call->operands[0][i] * y * (1 - y);
  }
}

const char *op_add_shape(OpShapeCall *call) { return same_as_first(call); }

void op_add_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) call->results[0][i] = call->operands[0][i] + call->operands[1][i];
}

void op_add_gradient(OpGradientCall *call) {
  call->operand_gradients[0] = call->operand_gradients[1] = call->result_gradients[0];
}

const char *op_scale_shape(OpShapeCall *call) { return same_as_first(call); }

void op_scale_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) call->results[0][i] = call->operands[0][i] * call->op->attributes.scale;
}

void op_scale_gradient(OpGradientCall *call) {
  Op op = op_backward_of(&call->op, OP_scale);
  op.operand_count = 1;
  op.operands[0] = call->result_gradients[0];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

static const char *expect_image_channels(OpShapeCall *call, int x_operand, int s_operand) {
  OP_TRY(op_expect_rank(call, x_operand, 4));
  Shape x = call->operands[x_operand], s = call->operands[s_operand];
  if (s.rank == 2 && s.size[0] == x.size[0] && s.size[1] == x.size[3]) return NULL;
  return op_fail(call, "scales %s do not fit images %s", shape_text(call->arena, s), shape_text(call->arena, x));
}

const char *op_scale_channels_shape(OpShapeCall *call) {
  OP_TRY(expect_image_channels(call, 0, 1));
  if (call->op->operand_count > 2) OP_TRY(op_expect_factors(call, 2, 3, shape_last(call->operands[0])));
  call->results[0] = call->operands[0];
  return NULL;
}

// Where the scale of element i of an image tensor lies in [N,C].
static int64_t scale_index(Shape x, int64_t i) {
  return i / (x.size[1] * x.size[2] * x.size[3]) * x.size[3] + i % x.size[3];
}

void op_scale_channels_evaluate(const OpEvaluateCall *call) {
  const double *x = call->op->operand_count > 2 ? op_seen_normalized(call, 0, 2, -1) : call->operands[0];
  EACH(call, i) call->results[0][i] = x[i] * call->operands[1][scale_index(call->shapes[0], i)];
}

void op_scale_channels_gradient(OpGradientCall *call) {
  Op op = op_backward_of(&call->op, OP_scale_channels_backward);
  op.operand_count = 3;
  op.operands[0] = call->result_gradients[0];
  for (int i = 0; i < 2; i++) op.operands[1 + i] = call->op.operands[i];
  const Op *made = graph_op(call->graph, graph_add_op(call->graph, op));
  for (int i = 0; i < 2; i++) call->operand_gradients[i] = made->results[i];
}

const char *op_scale_channels_backward_shape(OpShapeCall *call) {
  OP_TRY(op_expect_same(call, 0, 1));
  OP_TRY(expect_image_channels(call, 1, 2));
  call->results[0] = call->operands[1];
  call->results[1] = call->operands[2];
  return NULL;
}

void op_scale_channels_backward_evaluate(const OpEvaluateCall *call) {
  EACH(call, i) {
    int64_t s = scale_index(call->shapes[0], i);
    call->results[0][i] = call->operands[0][i] * call->operands[2][s];
    call->results[1][s] += call->operands[0][i] * call->operands[1][i];
  }
}
