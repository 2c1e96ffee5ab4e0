// The table of ops, built from ops.def, and the helpers that their rules share.
// Every op has a shape rule and an evaluator; the lists of op.h say which have a gradient and a cost.
#include <stdarg.h>
#include <stdio.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

#define GRADIENT_ROW(name) [OP_##name] = op_##name##_gradient,
#define MACS_ROW(name) [OP_##name] = op_##name##_macs,
static OpGradientRule *const gradients[OP_KIND_COUNT] = {DIFFERENTIABLE_OPS(GRADIENT_ROW)};
static OpMacsRule *const macs[OP_KIND_COUNT] = {OPS_WITH_MACS(MACS_ROW)};

const OpInfo *op_info(OpKind kind) {
  static OpInfo table[OP_KIND_COUNT] = {
#define OP(name, operands, optional, results, summary) \
  {#name, operands, optional, results, summary, op_##name##_shape, op_##name##_evaluate, NULL, NULL},
#include "compiler/graph/ops.def"
#undef OP
  };
  if ((unsigned)kind >= OP_KIND_COUNT) BUG("op kind %d does not exist", (int)kind);
  OpInfo *info = &table[kind];
  info->gradient = gradients[kind];
  info->macs = macs[kind];
  return info;
}

const char *op_kind_name(OpKind kind) { return op_info(kind)->name; }

static DataType operand_type(OpKind kind, int operand) {
  if (kind == OP_normalize_images) return DATA_U8;
  if ((kind == OP_softmax_cross_entropy || kind == OP_softmax_cross_entropy_backward) && operand == 1) return DATA_I32;
  return DATA_F32;
}

// Images keep their type; weights and their gradients, of rank 4 too, are f32.
DataType op_result_type(const Graph *graph, const Op *op, Shape shape) {
  if (shape.rank < 4 || op->kind == OP_conv2d_backward_weight) return DATA_F32;
  if (op->kind == OP_normalize_images || op->kind == OP_pool_average_backward) return graph->image_type;
  bool known = op->operand_count && op->operands[0] < graph->values.count;
  return known ? graph->values.items[op->operands[0]].type : DATA_F32;
}

static bool operand_fits(const Graph *graph, OpKind kind, int operand, const Value *value) {
  if (value->type == operand_type(kind, operand)) return true;
  bool narrow = value->type == DATA_BF16 || value->type == DATA_F16;
  return narrow && graph->image_type == value->type && value->shape.rank == 4 &&
         operand_type(kind, operand) == DATA_F32;
}

const char *op_infer(const Graph *graph, const Op *op, OpShapeCall *call) {
  const OpInfo *info = op_info(op->kind);
  *call = (OpShapeCall){.arena = graph->arena, .op = op};
  if (op->operand_count < info->operands || op->operand_count > info->operands + info->optional)
    return op_fail(call, "takes %d to %d operands, not %d", info->operands, info->operands + info->optional,
                   op->operand_count);
  for (int i = 0; i < op->operand_count; i++) {
    const Value *value = graph_value(graph, op->operands[i]);
    if (!operand_fits(graph, op->kind, i, value)) return op_fail(call, "operand %d is of the wrong type", i);
    call->operands[i] = value->shape;
  }
  OP_TRY(info->shape(call));
  for (int i = 0; i < info->results; i++) {
    if (!shape_valid(call->results[i]))
      return op_fail(call, "result %d of shape %s is too large", i, shape_text(call->arena, call->results[i]));
  }
  return NULL;
}

int64_t op_macs(const Graph *graph, const Op *op) {
  const OpInfo *info = op_info(op->kind);
  if (!info->macs) return 0;
  OpShapeCall call;
  const char *error = op_infer(graph, op, &call);
  if (error) BUG("op '%s' (%s): %s", info->name, op->name ? op->name : "", error);
  return info->macs(&call);
}

const char *op_fail(OpShapeCall *call, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *text = arena_vprintf(call->arena, format, arguments);
  va_end(arguments);
  return text;
}

const char *shape_text(Arena *arena, Shape shape) {
  char text[128] = "[";
  int length = 1;
  for (int i = 0; i < shape.rank && i < MAX_RANK; i++)
    length += snprintf(text + length, sizeof text - (size_t)length, "%s%lld", i ? "," : "", (long long)shape.size[i]);
  return arena_printf(arena, "%s]", text);
}

const char *op_expect_rank(OpShapeCall *call, int operand, int rank) {
  if (call->operands[operand].rank == rank) return NULL;
  return op_fail(call, "operand %d of shape %s should have rank %d", operand,
                 shape_text(call->arena, call->operands[operand]), rank);
}

const char *op_expect_same(OpShapeCall *call, int operand, int other) {
  if (shape_equal(call->operands[operand], call->operands[other])) return NULL;
  return op_fail(call, "operand %d of shape %s should have the shape of operand %d, %s", operand,
                 shape_text(call->arena, call->operands[operand]), other,
                 shape_text(call->arena, call->operands[other]));
}

const char *op_expect_vector(OpShapeCall *call, int operand, int64_t size) {
  Shape shape = call->operands[operand];
  if (shape.rank == 1 && shape.size[0] == size) return NULL;
  return op_fail(call, "operand %d of shape %s should be [%lld]", operand, shape_text(call->arena, shape),
                 (long long)size);
}

Op op_backward_of(const Op *forward, OpKind kind) {
  return (Op){.kind = kind, .phase = PHASE_BACKWARD, .attributes = forward->attributes, .name = forward->name,
              .block = forward->block, .size_group = forward->size_group, .span = forward->span};
}

int64_t multiply_checked(int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) BUG("%lld * %lld overflows", (long long)a, (long long)b);
  return product;
}
