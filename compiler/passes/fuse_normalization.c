// Fuses BatchNorm with its neighbours, as the targets run it: statistics come with the convolution, the affine map
// takes residual and ReLU along, and the backward masks dy by ReLU on the way.
//
// Requires  nothing; patterns that do not fit stay as they are.
// Keeps     every value that others read, to rounding; BatchNorm whose input is not a convolution's (the head's).
// Changes   conv2d + batch_norm -> conv2d_statistics + batch_normalize;
//           batch_normalize (+ add) + relu -> batch_normalize with residual and relu;
//           relu_backward + batch_norm_backward -> batch_norm_relu_backward, whose masked dy feeds the residual path.
#include "compiler/base/bug.h"
#include "compiler/passes/passes.h"

typedef struct Fusion {
  const Graph *source;
  Graph *graph;
  ValueId *map;
  int *uses;         // by value: operands, bindings and outputs that name it
  OpId *norm;        // by conv2d: its batch_norm; by relu_backward: its batch_norm_backward; else OP_NONE
  OpId *affine;      // by relu: the batch_norm or batch_normalize that takes it along
  bool *absorbed;    // by op: emitted as part of another
} Fusion;

static void count_uses(Fusion *f) {
  const Graph *source = f->source;
  for (OpId i = 0; i < source->ops.count; i++) {
    const Op *op = graph_op(source, i);
    for (int j = 0; j < op->operand_count; j++) f->uses[op->operands[j]]++;
  }
  for (size_t i = 0; i < source->outputs.count; i++) f->uses[source->outputs.items[i].value]++;
  for (size_t i = 0; i < source->values.count; i++) {
    if (source->values.items[i].bound != VALUE_NONE) f->uses[source->values.items[i].bound]++;
  }
}

// The op that made a value, if it is of this kind.
static OpId made_by(const Graph *graph, ValueId value, OpKind kind) {
  OpId producer = graph_value(graph, value)->producer;
  return producer != OP_NONE && graph_op(graph, producer)->kind == kind ? producer : OP_NONE;
}

// A BatchNorm in front of `value` whose affine map nobody else reads: batch_normalize as it is, or a batch_norm that a
// convolution takes the statistics from.
static OpId sole_affine(const Fusion *f, ValueId value) {
  if (f->uses[value] != 1) return OP_NONE;
  OpId id = made_by(f->source, value, OP_batch_normalize);
  if (id != OP_NONE) {
    const Op *op = graph_op(f->source, id);
    return op->operand_count == 5 && !op->attributes.relu ? id : OP_NONE;
  }
  id = made_by(f->source, value, OP_batch_norm);
  if (id == OP_NONE || graph_op(f->source, id)->results[0] != value) return OP_NONE;
  OpId conv = made_by(f->source, graph_op(f->source, id)->operands[0], OP_conv2d);
  return conv != OP_NONE && f->norm[conv] == id ? id : OP_NONE;
}

static void match_statistics(Fusion *f) {
  for (OpId i = 0; i < f->source->ops.count; i++) {
    const Op *op = graph_op(f->source, i);
    f->norm[i] = f->affine[i] = OP_NONE;
    if (op->kind != OP_batch_norm) continue;
    OpId conv = made_by(f->source, op->operands[0], OP_conv2d);
    if (conv != OP_NONE && f->norm[conv] == OP_NONE) f->norm[conv] = i;
  }
}

static void match_relu(Fusion *f, OpId id) {
  const Op *relu = graph_op(f->source, id);
  OpId affine = sole_affine(f, relu->operands[0]);
  if (affine == OP_NONE && f->uses[relu->operands[0]] == 1) {
    OpId add = made_by(f->source, relu->operands[0], OP_add);
    for (int j = 0; add != OP_NONE && affine == OP_NONE && j < 2; j++)
      affine = sole_affine(f, graph_op(f->source, add)->operands[j]);
    if (affine != OP_NONE) f->absorbed[add] = true;
  }
  if (affine == OP_NONE) return;
  f->affine[id] = affine;
  f->absorbed[affine] = true;
}

// The first batch_norm_backward behind a relu_backward, if its BatchNorm follows a convolution.
static void match_backward(Fusion *f, OpId id) {
  const Op *op = graph_op(f->source, id);
  OpId mask = made_by(f->source, op->operands[0], OP_relu_backward);
  if (mask == OP_NONE || f->norm[mask] != OP_NONE || f->absorbed[mask]) return;
  if (made_by(f->source, op->operands[1], OP_conv2d) == OP_NONE) return;
  // The fused op stands where the mask stood: all else it reads must be there already.
  for (int j = 1; j < 5; j++) {
    OpId producer = graph_value(f->source, op->operands[j])->producer;
    if (producer != OP_NONE && producer >= mask) return;
  }
  f->norm[mask] = id;
  f->absorbed[id] = true;
}

static Op placed_like(const Op *op, OpKind kind, OpAttributes attributes) {
  return (Op){.kind = kind, .phase = op->phase, .attributes = attributes, .name = op->name, .block = op->block,
              .size_group = op->size_group, .span = op->span};
}

static void map_result(Fusion *f, ValueId old, ValueId made) {
  f->map[old] = made;
  const char *name = graph_value(f->source, old)->name;
  if (name) graph_name_value(f->graph, made, name);
}

static void emit_statistics(Fusion *f, OpId id) {
  const Op *conv = graph_op(f->source, id), *norm = graph_op(f->source, f->norm[id]);
  Op op = placed_like(conv, OP_conv2d_statistics, conv->attributes);
  op.operand_count = 2;
  for (int j = 0; j < 2; j++) op.operands[j] = f->map[conv->operands[j]];
  Op made = *graph_op(f->graph, graph_add_op(f->graph, op));
  map_result(f, conv->results[0], made.results[0]);
  map_result(f, norm->results[1], made.results[1]);
  map_result(f, norm->results[2], made.results[2]);
}

// The affine map of a batch_norm or batch_normalize, with what it takes along.
static void emit_affine(Fusion *f, OpId id, ValueId residual, bool relu, ValueId result) {
  const Op *norm = graph_op(f->source, id);
  bool training = norm->kind == OP_batch_norm;
  Op op = placed_like(norm, OP_batch_normalize, norm->attributes);
  op.attributes.relu = relu;
  for (int j = 0; j < 3; j++) op.operands[j] = f->map[norm->operands[j]];
  for (int j = 0; j < 2; j++) op.operands[3 + j] = f->map[training ? norm->results[1 + j] : norm->operands[3 + j]];
  op.operands[5] = residual == VALUE_NONE ? VALUE_NONE : f->map[residual];
  op.operand_count = residual == VALUE_NONE ? 5 : 6;
  map_result(f, result, graph_add_op1(f->graph, op));
}

static void emit_relu(Fusion *f, OpId id) {
  const Op *relu = graph_op(f->source, id);
  ValueId residual = VALUE_NONE, affine = graph_op(f->source, f->affine[id])->results[0];
  if (affine != relu->operands[0]) {
    const Op *add = graph_op(f->source, made_by(f->source, relu->operands[0], OP_add));
    residual = add->operands[add->operands[0] == affine ? 1 : 0];
  }
  emit_affine(f, f->affine[id], residual, true, relu->results[0]);
}

static void emit_backward(Fusion *f, OpId id) {
  const Op *mask = graph_op(f->source, id), *norm = graph_op(f->source, f->norm[id]);
  Op op = placed_like(norm, OP_batch_norm_relu_backward, norm->attributes);
  ValueId operands[] = {mask->operands[0], mask->operands[1], norm->operands[1], norm->operands[2], norm->operands[3],
                        norm->operands[4]};
  op.operand_count = 6;
  for (int j = 0; j < 6; j++) op.operands[j] = f->map[operands[j]];
  Op made = *graph_op(f->graph, graph_add_op(f->graph, op));
  for (int j = 0; j < 3; j++) map_result(f, norm->results[j], made.results[j]);
  map_result(f, mask->results[0], made.results[3]);
}

static void emit_op(Fusion *f, OpId id) {
  const Op *op = graph_op(f->source, id);
  if (f->absorbed[id]) return;
  if (op->kind == OP_conv2d && f->norm[id] != OP_NONE) {
    emit_statistics(f, id);
  } else if (op->kind == OP_batch_norm && made_by(f->source, op->operands[0], OP_conv2d) != OP_NONE &&
             f->norm[made_by(f->source, op->operands[0], OP_conv2d)] == id) {
    emit_affine(f, id, VALUE_NONE, false, op->results[0]);
  } else if (op->kind == OP_relu && f->affine[id] != OP_NONE) {
    emit_relu(f, id);
  } else if (op->kind == OP_relu_backward && f->norm[id] != OP_NONE) {
    emit_backward(f, id);
  } else {
    graph_copy_op(f->graph, f->source, id, f->map);
  }
}

Graph *fuse_normalization_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  (void)options;
  size_t ops = graph->ops.count + 1;
  Fusion f = {.source = graph, .uses = arena_array(arena, int, graph->values.count + 1),
              .norm = arena_array(arena, OpId, ops), .affine = arena_array(arena, OpId, ops),
              .absorbed = arena_array(arena, bool, ops)};
  f.graph = graph_copy_start(arena, graph, &f.map);
  count_uses(&f);
  match_statistics(&f);
  for (OpId i = 0; i < graph->ops.count; i++) {
    OpKind kind = graph_op(graph, i)->kind;
    if (kind == OP_relu) match_relu(&f, i);
    if (kind == OP_batch_norm_backward) match_backward(&f, i);
  }
  for (OpId i = 0; i < graph->ops.count; i++) emit_op(&f, i);
  graph_copy_finish(f.graph, graph, f.map);
  return f.graph;
}
