// The verifier: every rule that a graph keeps between passes. Takes any graph whose arrays are sound, however broken
// its content, and returns the first broken rule as text.
#include <string.h>

#include "compiler/graph/op.h"
#include "compiler/graph/text.h"

typedef struct Verifier {
  const Graph *graph;
  Arena *arena;
} Verifier;

static const char *value_label(Verifier *v, ValueId id) {
  const char *name = v->graph->values.items[id].name;
  return name ? name : arena_printf(v->arena, "%%%u", id);
}

static const char *verify_result(Verifier *v, ValueId id) {
  const Value *value = &v->graph->values.items[id];
  if (value->producer >= v->graph->ops.count)
    return arena_printf(v->arena, "result '%s' has no producer", value_label(v, id));
  const Op *op = &v->graph->ops.items[value->producer];
  if (value->result_index < 0 || value->result_index >= op->result_count || value->result_index >= MAX_RESULTS ||
      op->results[value->result_index] != id)
    return arena_printf(v->arena, "result '%s' is not among its producer's results", value_label(v, id));
  return NULL;
}

static const char *verify_binding(Verifier *v, ValueId id) {
  const Value *value = &v->graph->values.items[id];
  const char *label = value_label(v, id);
  if (value->kind != VALUE_STATE && value->kind != VALUE_PARAMETER)
    return arena_printf(v->arena, "'%s' is bound but neither state nor parameter", label);
  if (value->bound >= v->graph->values.count)
    return arena_printf(v->arena, "'%s' is bound to a value that does not exist", label);
  const Value *bound = &v->graph->values.items[value->bound];
  if (bound->kind != VALUE_RESULT) return arena_printf(v->arena, "'%s' is bound to what is not a result", label);
  if (!shape_equal(bound->shape, value->shape) || bound->type != value->type)
    return arena_printf(v->arena, "'%s' is bound to a value of another shape or type", label);
  return NULL;
}

static const char *verify_value(Verifier *v, ValueId id) {
  const Value *value = &v->graph->values.items[id];
  const char *label = value_label(v, id);
  if ((unsigned)value->kind > VALUE_RESULT) return arena_printf(v->arena, "value '%s' is of no known kind", label);
  if ((unsigned)value->type > DATA_F16) return arena_printf(v->arena, "value '%s' is of no known type", label);
  if ((unsigned)value->init > INIT_UNIFORM)
    return arena_printf(v->arena, "value '%s' has no known initialisation", label);
  if (!shape_valid(value->shape)) return arena_printf(v->arena, "value '%s' has a broken shape", label);
  if (value->bound != VALUE_NONE) OP_TRY(verify_binding(v, id));
  if (value->kind == VALUE_RESULT) return verify_result(v, id);
  if (value->producer != OP_NONE) return arena_printf(v->arena, "value '%s' is not a result but has a producer", label);
  if (!value->name || !value->name[0]) return arena_printf(v->arena, "value %s has no name", label);
  if (value->kind == VALUE_SCALAR && (value->type != DATA_F32 || value->shape.rank != 1 || value->shape.size[0] != 1))
    return arena_printf(v->arena, "scalar '%s' is not f32 [1]", label);
  if (value->kind == VALUE_PARAMETER && value->type != DATA_F32)
    return arena_printf(v->arena, "parameter '%s' is not f32", label);
  return NULL;
}

// Names are unique: an open-addressed set of the names seen.
static const char *verify_names(Verifier *v) {
  size_t count = v->graph->values.count, capacity = 16;
  while (capacity < 2 * count) capacity *= 2;
  const char **seen = arena_array(v->arena, const char *, capacity);
  for (size_t i = 0; i < count; i++) {
    const char *name = v->graph->values.items[i].name;
    if (!name) continue;
    uint64_t hash = 1469598103934665603u;
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t slot = (size_t)hash & (capacity - 1);
    for (; seen[slot]; slot = (slot + 1) & (capacity - 1)) {
      if (strcmp(seen[slot], name) == 0) return arena_printf(v->arena, "two values are named '%s'", name);
    }
    seen[slot] = name;
  }
  return NULL;
}

static const char *verify_operands(Verifier *v, OpId id, const char *label) {
  const Op *op = &v->graph->ops.items[id];
  for (int i = 0; i < op->operand_count; i++) {
    if (op->operands[i] >= v->graph->values.count)
      return arena_printf(v->arena, "%s: operand %d does not exist", label, i);
    const Value *value = &v->graph->values.items[op->operands[i]];
    if (value->kind == VALUE_RESULT && value->producer >= id)
      return arena_printf(v->arena, "%s: operand %d is used before it is made", label, i);
  }
  return NULL;
}

static const char *verify_results(Verifier *v, OpId id, const char *label) {
  const Op *op = &v->graph->ops.items[id];
  OpShapeCall call;
  const char *error = op_infer(v->graph, op, &call);
  if (error) return arena_printf(v->arena, "%s: %s", label, error);
  for (int i = 0; i < op->result_count; i++) {
    if (op->results[i] >= v->graph->values.count)
      return arena_printf(v->arena, "%s: result %d does not exist", label, i);
    const Value *value = &v->graph->values.items[op->results[i]];
    if (value->kind != VALUE_RESULT || value->producer != id || value->result_index != i)
      return arena_printf(v->arena, "%s: result %d belongs to another op", label, i);
    DataType type = op_result_type(v->graph, op, call.results[i]);
    if (value->type != type || !shape_equal(value->shape, call.results[i]))
      return arena_printf(v->arena, "%s: result %d should be %s %s", label, i, data_type_words[type],
                          shape_text(v->arena, call.results[i]));
  }
  return NULL;
}

static const char *verify_op(Verifier *v, OpId id) {
  const Op *op = &v->graph->ops.items[id];
  if ((unsigned)op->kind >= OP_KIND_COUNT) return arena_printf(v->arena, "op %u is of no known kind", id);
  const OpInfo *info = op_info(op->kind);
  const char *label = arena_printf(v->arena, "op %u '%s' (%s)", id, info->name, op->name ? op->name : "");
  if (op->operand_count < info->operands || op->operand_count > info->operands + info->optional ||
      op->operand_count > MAX_OPERANDS)
    return arena_printf(v->arena, "%s: has %d operands", label, op->operand_count);
  if (op->result_count != info->results) return arena_printf(v->arena, "%s: has %d results", label, op->result_count);
  if ((unsigned)op->phase > PHASE_UPDATE) return arena_printf(v->arena, "%s: is of no known phase", label);
  if (id && op->phase < v->graph->ops.items[id - 1].phase)
    return arena_printf(v->arena, "%s: its phase is before that of the op before it", label);
  if (op->block < -1 || op->block >= v->graph->block_count)
    return arena_printf(v->arena, "%s: block %d does not exist", label, op->block);
  if (op->size_group < -1) return arena_printf(v->arena, "%s: size group %d", label, op->size_group);
  OP_TRY(verify_operands(v, id, label));
  return verify_results(v, id, label);
}

static const char *verify_outputs(Verifier *v) {
  const GraphOutputs *outputs = &v->graph->outputs;
  for (size_t i = 0; i < outputs->count; i++) {
    if (outputs->items[i].value >= v->graph->values.count)
      return arena_printf(v->arena, "output '%s' does not exist", outputs->items[i].name);
    for (size_t j = 0; j < i; j++) {
      if (strcmp(outputs->items[i].name, outputs->items[j].name) == 0)
        return arena_printf(v->arena, "two outputs are named '%s'", outputs->items[i].name);
    }
  }
  return NULL;
}

const char *graph_verify(const Graph *graph, Arena *arena) {
  Verifier v = {graph, arena};
  if (graph->image_type == DATA_U8 || graph->image_type == DATA_I32) return "images are neither f32, bf16 nor f16";
  for (int i = 0; i < graph->block_count; i++) {
    if (!graph->block_names || !graph->block_names[i]) return arena_printf(arena, "block %d has no name", i);
  }
  for (ValueId i = 0; i < graph->values.count; i++) OP_TRY(verify_value(&v, i));
  OP_TRY(verify_names(&v));
  for (OpId i = 0; i < graph->ops.count; i++) OP_TRY(verify_op(&v, i));
  return verify_outputs(&v);
}
