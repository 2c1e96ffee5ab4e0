// See op_reference.h.
#include "tests/cuda/op_reference.h"

#include <string.h>

#include "compiler/graph/op.h"
#include "runtime/narrow.h"

static bool multiplies_weights(OpKind kind) {
  return kind == OP_conv2d || kind == OP_conv2d_statistics || kind == OP_conv2d_backward_input;
}
static bool begins_backward(OpKind kind) {
  return kind == OP_swapped_prediction_backward || kind == OP_softmax_cross_entropy_backward;
}
static bool updates(OpKind kind) { return kind == OP_sgd_update || kind == OP_larc_update; }

static const double *scaled(Arena *arena, const double *from, int64_t count, double factor) {
  double *to = arena_array(arena, double, count);
  for (int64_t i = 0; i < count; i++) to[i] = from[i] * factor;
  return to;
}

static const double *rounded(Arena *arena, const double *from, int64_t count, DataType type) {
  SeerFormat format = type == DATA_F16 ? SEER_FP16 : SEER_BF16;
  double *to = arena_array(arena, double, count);
  for (int64_t i = 0; i < count; i++) to[i] = (double)seer_widen(format, seer_narrow(format, (float)from[i]));
  return to;
}

static Shape shape_of(const Graph *graph, ValueId value) { return graph_value(graph, value)->shape; }

void reference_evaluate(const Graph *graph, const Op *op, Arena *arena, const double *const *operands,
                        double loss_scale, double **results) {
  OpEvaluateCall call = {.op = op, .scratch = arena};
  for (int i = 0; i < op->operand_count; i++) {
    call.shapes[i] = shape_of(graph, op->operands[i]);
    call.operands[i] = operands[i];
  }
  int64_t count = shape_elements(call.shapes[op->operand_count > 1]);
  if (multiplies_weights(op->kind)) call.operands[1] = rounded(arena, operands[1], count, graph->image_type);
  if (updates(op->kind)) call.operands[1] = scaled(arena, operands[1], count, 1 / loss_scale);
  for (int i = 0; i < op->result_count; i++) {
    call.result_shapes[i] = shape_of(graph, op->results[i]);
    call.results[i] = results[i] = arena_array(arena, double, shape_elements(call.result_shapes[i]));
  }
  op_info(op->kind)->evaluate(&call);
  for (int64_t i = 0; begins_backward(op->kind) && i < shape_elements(call.result_shapes[0]); i++)
    results[0][i] *= loss_scale;
}

// Statistics are those of what BatchNorm will read.
void reference_evaluate_stored(const Graph *graph, const Op *op, Arena *arena, const double *stored, double **results) {
  if (op->kind != OP_conv2d_statistics) return;
  Shape by_channel = shape_of(graph, op->results[1]);
  const double *zeros = arena_array(arena, double, shape_elements(by_channel));
  OpEvaluateCall call = {.op = op,
                         .scratch = arena,
                         .operands = {stored, zeros, zeros},
                         .shapes = {shape_of(graph, op->results[0]), by_channel, by_channel},
                         .result_shapes = {shape_of(graph, op->results[0]), by_channel, by_channel}};
  for (int i = 0; i < 3; i++) call.results[i] = arena_array(arena, double, shape_elements(call.result_shapes[i]));
  op_info(OP_batch_norm)->evaluate(&call);
  for (int i = 1; i < 3; i++) results[i] = call.results[i];
}

// Elements are moved, or left out, as they are.
static bool moves(const Op *op, int result) {
  switch (op->kind) {
    case OP_relu:
    case OP_relu_backward:
    case OP_concat_rows:
    case OP_slice_rows:
    case OP_pad_rows:
    case OP_queue_push: return true;
    case OP_batch_norm_relu_backward: return result == 3;
    default: return false;
  }
}

// In 16 bits, of one rounding to nearest: half a unit of the last of 8 or 11 bits at most, a quarter on average. In 32,
// of sums: of products in single precision, most of all of the gradient of weights, over all pixels; of Sinkhorn's
// exponents, which are numbers up to 50 before they are powers.
double reference_limit(const Graph *graph, const Op *op, int result) {
  DataType type = graph_value(graph, op->results[result])->type;
  if (moves(op, result)) return 0;
  if (type == DATA_BF16) return 2.4e-3;
  if (type == DATA_F16) return 3e-4;
  return op->kind == OP_conv2d_backward_weight || op->kind == OP_sinkhorn ? 1e-6 : 4e-7;
}
