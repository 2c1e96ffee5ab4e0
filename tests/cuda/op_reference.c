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

// ---- views ----

// Operands of an op that sees x through factors and, if `scale` is one, a scale; factors 0: there is no view.
typedef struct Sight {
  int x, factors, scale;
} Sight;

static Sight sight_of(const Op *op) {
  Sight sight = {0};
  switch (op->kind) {
    case OP_conv2d:
    case OP_conv2d_statistics: sight = (Sight){0, 2, 3}; break;
    case OP_conv2d_backward_weight: sight = (Sight){0, 3, 4}; break;
    case OP_pool_average: sight = (Sight){0, 1, MAX_OPERANDS}; break;
    case OP_scale_channels: sight = (Sight){0, 2, MAX_OPERANDS}; break;
    case OP_scale_gradient: sight = (Sight){1, 2, MAX_OPERANDS}; break;
    default: break;
  }
  return sight.factors < op->operand_count ? sight : (Sight){0};
}

static const double *constant(Arena *arena, int64_t count, double number) {
  double *to = arena_array(arena, double, count);
  for (int64_t i = 0; i < count; i++) to[i] = number;
  return to;
}

static int64_t count_of(const OpEvaluateCall *call, int operand) { return shape_elements(call->shapes[operand]); }

// x as it is seen, behind a view that changes nothing.
static void see(OpEvaluateCall *call, DataType type) {
  Sight sight = sight_of(call->op);
  if (!sight.factors) return;
  int64_t count = count_of(call, sight.x), channels = shape_last(call->shapes[sight.x]);
  const double *seen = op_seen_normalized(call, sight.x, sight.factors, -1);
  seen = rounded(call->scratch, seen, count, type);
  double *nothing = arena_array(call->scratch, double, 3 * channels);
  for (int64_t c = 0; c < channels; c++) nothing[channels + c] = 1;
  if (sight.scale < call->op->operand_count) {
    double *scaled_too = arena_array(call->scratch, double, count);
    int64_t image = count / call->shapes[sight.x].size[0];
    for (int64_t i = 0; i < count; i++)
      scaled_too[i] = seen[i] * call->operands[sight.scale][i / image * channels + i % channels];
    seen = rounded(call->scratch, scaled_too, count, type);
    call->operands[sight.scale] = constant(call->scratch, count_of(call, sight.scale), 1);
  }
  call->operands[sight.x] = seen;
  call->operands[sight.factors] = nothing;
}

// The gradient of what squeeze-and-excitation scaled and pooled, whose two parts would have been stored, too.
static void see_gradient(OpEvaluateCall *call, DataType type) {
  enum { SCALE = 6, POOLED = 7 };
  if (call->op->kind != OP_batch_norm_relu_backward || call->op->operand_count <= POOLED) return;
  int64_t count = count_of(call, 0), channels = shape_last(call->shapes[0]), image = count / call->shapes[0].size[0];
  double *parts[2];
  for (int part = 0; part < 2; part++) {
    parts[part] = arena_array(call->scratch, double, count);
    for (int64_t i = 0; i < count; i++) {
      int64_t at = i / image * channels + i % channels;
      parts[part][i] = part == 0 ? call->operands[0][i] * call->operands[SCALE][at]
                                 : call->operands[POOLED][at] * (double)channels / (double)image;
    }
  }
  const double *scaled_part = rounded(call->scratch, parts[0], count, type);
  const double *pooled_part = rounded(call->scratch, parts[1], count, type);
  for (int64_t i = 0; i < count; i++) parts[0][i] = scaled_part[i] + pooled_part[i];
  call->operands[0] = rounded(call->scratch, parts[0], count, type);
  call->operands[SCALE] = constant(call->scratch, count_of(call, SCALE), 1);
  call->operands[POOLED] = constant(call->scratch, count_of(call, POOLED), 0);
}

// Kernels have factors as a line, x * factor + shift: that of a mean of 0.
static void make_line(const Op *op, Shape shape, double *factors) {
  if (op->kind != OP_normalization_factors) return;
  for (int64_t c = 0, channels = shape_last(shape); c < channels; c++) {
    factors[2 * channels + c] -= factors[c] * factors[channels + c];
    factors[c] = 0;
  }
}

// ---- results ----

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
  see(&call, graph->image_type);
  see_gradient(&call, graph->image_type);
  op_info(op->kind)->evaluate(&call);
  make_line(op, call.result_shapes[0], results[0]);
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
