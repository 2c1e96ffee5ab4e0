// Ops that change shape: average pooling over the image, and rows of matrices joined, cut out and padded.
#include <limits.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

const char *op_pool_average_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 4));
  if (call->op->operand_count > 1) OP_TRY(op_expect_factors(call, 1, 3, shape_last(call->operands[0])));
  call->results[0] = shape_make(2, call->operands[0].size[0], call->operands[0].size[3], 0, 0);
  return NULL;
}

void op_pool_average_evaluate(const OpEvaluateCall *call) {
  Shape x = call->shapes[0];
  const double *seen = call->op->operand_count > 1 ? op_seen_normalized(call, 0, 1, -1) : call->operands[0];
  int64_t pixels = x.size[1] * x.size[2], channels = x.size[3];
  for (int64_t row = 0; row < x.size[0] * pixels; row++) {
    double *y = call->results[0] + row / pixels * channels;
    for (int64_t c = 0; c < channels; c++) y[c] += seen[row * channels + c] / (double)pixels;
  }
}

void op_pool_average_gradient(OpGradientCall *call) {
  Op op = op_backward_of(&call->op, OP_pool_average_backward);
  Shape x = graph_value(call->graph, call->op.operands[0])->shape;
  if (x.size[1] > INT_MAX || x.size[2] > INT_MAX) BUG("an image of %s pixels", shape_text(call->graph->arena, x));
  op.attributes.begin = (int)x.size[1];
  op.attributes.end = (int)x.size[2];
  op.operand_count = 1;
  op.operands[0] = call->result_gradients[0];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

const char *op_pool_average_backward_shape(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 2));
  if (a->begin < 1 || a->end < 1) return op_fail(call, "height and width are unset");
  call->results[0] = shape_make(4, call->operands[0].size[0], a->begin, a->end, call->operands[0].size[1]);
  return NULL;
}

void op_pool_average_backward_evaluate(const OpEvaluateCall *call) {
  Shape y = call->result_shapes[0];
  int64_t pixels = y.size[1] * y.size[2], channels = y.size[3];
  for (int64_t row = 0; row < y.size[0] * pixels; row++) {
    const double *dy = call->operands[0] + row / pixels * channels;
    for (int64_t c = 0; c < channels; c++) call->results[0][row * channels + c] = dy[c] / (double)pixels;
  }
}

const char *op_concat_rows_shape(OpShapeCall *call) {
  int64_t rows = 0;
  for (int i = 0; i < call->op->operand_count; i++) {
    OP_TRY(op_expect_rank(call, i, 2));
    if (call->operands[i].size[1] != call->operands[0].size[1]) return op_fail(call, "operand %d differs in width", i);
    rows += call->operands[i].size[0];
  }
  call->results[0] = shape_make(2, rows, call->operands[0].size[1], 0, 0);
  return NULL;
}

void op_concat_rows_evaluate(const OpEvaluateCall *call) {
  double *out = call->results[0];
  for (int i = 0; i < call->op->operand_count; i++) {
    int64_t count = shape_elements(call->shapes[i]);
    memcpy(out, call->operands[i], sizeof(double) * (size_t)count);
    out += count;
  }
}

// One slice for each input, in that input's size group: there matrices enter the target's image layout again.
void op_concat_rows_gradient(OpGradientCall *call) {
  int64_t begin = 0;
  for (int i = 0; i < call->op.operand_count; i++) {
    const Value *input = graph_value(call->graph, call->op.operands[i]);
    int64_t end = begin + input->shape.size[0];
    if (end > INT_MAX) BUG("%lld rows", (long long)end);
    if (call->wanted[i]) {
      Op op = op_backward_of(&call->op, OP_slice_rows);
      op.size_group = input->kind == VALUE_RESULT ? graph_op(call->graph, input->producer)->size_group : -1;
      op.attributes.begin = (int)begin;
      op.attributes.end = (int)end;
      op.operand_count = 1;
      op.operands[0] = call->result_gradients[0];
      call->operand_gradients[i] = graph_add_op1(call->graph, op);
    }
    begin = end;
  }
}

static const char *expect_row_range(OpShapeCall *call, int64_t rows) {
  const OpAttributes *a = &call->op->attributes;
  if (a->begin >= 0 && a->begin < a->end && a->end <= rows) return NULL;
  return op_fail(call, "rows %d..%d are not in 0..%lld", a->begin, a->end, (long long)rows);
}

const char *op_slice_rows_shape(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(expect_row_range(call, call->operands[0].size[0]));
  call->results[0] = shape_make(2, a->end - a->begin, call->operands[0].size[1], 0, 0);
  return NULL;
}

void op_slice_rows_evaluate(const OpEvaluateCall *call) {
  memcpy(call->results[0], call->operands[0] + call->op->attributes.begin * call->shapes[0].size[1],
         sizeof(double) * (size_t)shape_elements(call->result_shapes[0]));
}

void op_slice_rows_gradient(OpGradientCall *call) {
  Op op = op_backward_of(&call->op, OP_pad_rows);
  op.operand_count = 2;
  op.operands[0] = call->result_gradients[0], op.operands[1] = call->op.operands[0];
  call->operand_gradients[0] = graph_add_op1(call->graph, op);
}

const char *op_pad_rows_shape(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(op_expect_rank(call, 1, 2));
  OP_TRY(expect_row_range(call, call->operands[1].size[0]));
  if (call->operands[0].size[0] != a->end - a->begin || call->operands[0].size[1] != call->operands[1].size[1])
    return op_fail(call, "rows %s do not fit rows %d..%d of %s", shape_text(call->arena, call->operands[0]), a->begin,
                   a->end, shape_text(call->arena, call->operands[1]));
  call->results[0] = call->operands[1];
  return NULL;
}

void op_pad_rows_evaluate(const OpEvaluateCall *call) {
  memcpy(call->results[0] + call->op->attributes.begin * call->shapes[1].size[1], call->operands[0],
         sizeof(double) * (size_t)shape_elements(call->shapes[0]));
}
