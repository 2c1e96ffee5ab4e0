// Building graphs: values, ops with inferred shapes, bindings, outputs; and copying them for passes.
// Everything lives in the graph's arena. Broken rules are BUGs: the caller is the compiler.
#include "compiler/graph/graph.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

Graph *graph_make(Arena *arena, const char *name) {
  Graph *graph = arena_new(arena, Graph);
  graph->arena = arena;
  graph->name = name;
  return graph;
}

static ValueId add_value(Graph *graph, Value value) {
  if (!shape_valid(value.shape))
    BUG("value '%s' cannot have the shape %s", value.name ? value.name : "", shape_text(graph->arena, value.shape));
  if (graph->values.count >= VALUE_NONE) BUG("too many values");
  arena_push(graph->arena, &graph->values, Value, value);
  return (ValueId)(graph->values.count - 1);
}

ValueId graph_add_input(Graph *graph, const char *name, DataType type, Shape shape) {
  return add_value(graph, (Value){.name = name, .kind = VALUE_INPUT, .type = type, .shape = shape,
                                  .producer = OP_NONE, .bound = VALUE_NONE});
}

ValueId graph_add_scalar(Graph *graph, const char *name) {
  ValueId found = graph_find_value(graph, name);
  if (found != VALUE_NONE) return found;
  return add_value(graph, (Value){.name = name, .kind = VALUE_SCALAR, .type = DATA_F32,
                                  .shape = shape_make(1, 1, 0, 0, 0), .producer = OP_NONE, .bound = VALUE_NONE});
}

ValueId graph_add_parameter(Graph *graph, const char *name, Shape shape, InitKind init, double init_a,
                            SourceSpan span) {
  return add_value(graph, (Value){.name = name, .kind = VALUE_PARAMETER, .type = DATA_F32, .shape = shape,
                                  .producer = OP_NONE, .bound = VALUE_NONE, .init = init, .init_a = init_a,
                                  .span = span});
}

ValueId graph_add_state(Graph *graph, const char *name, DataType type, Shape shape, InitKind init, double init_a) {
  return add_value(graph, (Value){.name = name, .kind = VALUE_STATE, .type = type, .shape = shape,
                                  .producer = OP_NONE, .bound = VALUE_NONE, .init = init, .init_a = init_a});
}

OpId graph_add_op(Graph *graph, Op op) {
  const OpInfo *info = op_info(op.kind);
  for (int i = 0; i < op.operand_count; i++) {
    if (op.operands[i] >= graph->values.count) BUG("op '%s': operand %d does not exist", info->name, i);
  }
  OpShapeCall call;
  const char *error = op_infer(graph, &op, &call);
  if (error) BUG("op '%s' (%s): %s", info->name, op.name ? op.name : "", error);
  OpId id = (OpId)graph->ops.count;
  op.result_count = info->results;
  for (int i = 0; i < MAX_OPERANDS; i++) {
    if (i >= op.operand_count) op.operands[i] = VALUE_NONE;
  }
  for (int i = 0; i < MAX_RESULTS; i++) {
    op.results[i] = i >= op.result_count ? VALUE_NONE
                                         : add_value(graph, (Value){.kind = VALUE_RESULT, .shape = call.results[i],
                                                                    .type = op_result_type(graph, &op, call.results[i]),
                                                                    .producer = id,
                                                                    .result_index = i, .bound = VALUE_NONE,
                                                                    .span = op.span});
  }
  arena_push(graph->arena, &graph->ops, Op, op);
  return id;
}

ValueId graph_add_op1(Graph *graph, Op op) {
  OpId id = graph_add_op(graph, op);
  return graph->ops.items[id].results[0];
}

void graph_bind(Graph *graph, ValueId state, ValueId result) {
  if (state >= graph->values.count || result >= graph->values.count) BUG("binding of a value that does not exist");
  Value *value = &graph->values.items[state];
  if (value->kind != VALUE_STATE && value->kind != VALUE_PARAMETER) BUG("only states and parameters can be bound");
  if (!shape_equal(value->shape, graph->values.items[result].shape))
    BUG("'%s' of shape %s cannot take a value of shape %s", value->name, shape_text(graph->arena, value->shape),
        shape_text(graph->arena, graph->values.items[result].shape));
  value->bound = result;
}

void graph_name_value(Graph *graph, ValueId value, const char *name) {
  if (value >= graph->values.count) BUG("value %u does not exist", value);
  graph->values.items[value].name = name;
}

void graph_add_output(Graph *graph, const char *name, ValueId value) {
  arena_push(graph->arena, &graph->outputs, GraphOutput, (GraphOutput){name, value});
}

const Value *graph_value(const Graph *graph, ValueId value) {
  if (value >= graph->values.count) BUG("value %u does not exist", value);
  return &graph->values.items[value];
}

const Op *graph_op(const Graph *graph, OpId op) {
  if (op >= graph->ops.count) BUG("op %u does not exist", op);
  return &graph->ops.items[op];
}

ValueId graph_find_value(const Graph *graph, const char *name) {
  for (size_t i = 0; i < graph->values.count; i++) {
    const char *own = graph->values.items[i].name;
    if (own && strcmp(own, name) == 0) return (ValueId)i;
  }
  return VALUE_NONE;
}

ValueId graph_find_output(const Graph *graph, const char *name) {
  for (size_t i = 0; i < graph->outputs.count; i++) {
    if (strcmp(graph->outputs.items[i].name, name) == 0) return graph->outputs.items[i].value;
  }
  return VALUE_NONE;
}

Graph *graph_copy_start(Arena *arena, const Graph *source, ValueId **map) {
  Graph *target = graph_make(arena, source->name);
  target->block_count = source->block_count;
  target->block_names = source->block_names;
  target->image_type = source->image_type;
  *map = arena_array(arena, ValueId, source->values.count + 1);
  for (size_t i = 0; i < source->values.count; i++) {
    Value value = source->values.items[i];
    value.bound = VALUE_NONE;
    (*map)[i] = value.kind == VALUE_RESULT ? VALUE_NONE : add_value(target, value);
  }
  return target;
}

OpId graph_copy_op(Graph *target, const Graph *source, OpId op, ValueId *map) {
  Op copy = *graph_op(source, op);
  for (int i = 0; i < copy.operand_count; i++) {
    copy.operands[i] = map[copy.operands[i]];
    if (copy.operands[i] == VALUE_NONE) BUG("op '%s' (%s) reads a value that was dropped", op_kind_name(copy.kind),
                                            copy.name ? copy.name : "");
  }
  OpId id = graph_add_op(target, copy);
  const Op *made = graph_op(target, id);
  for (int i = 0; i < made->result_count; i++) {
    ValueId old = source->ops.items[op].results[i];
    map[old] = made->results[i];
    target->values.items[made->results[i]].name = source->values.items[old].name;
  }
  return id;
}

void graph_copy_finish(Graph *target, const Graph *source, const ValueId *map) {
  for (size_t i = 0; i < source->values.count; i++) {
    ValueId bound = source->values.items[i].bound;
    if (bound != VALUE_NONE) graph_bind(target, map[i], map[bound]);
  }
  for (size_t i = 0; i < source->outputs.count; i++) {
    GraphOutput output = source->outputs.items[i];
    if (map[output.value] == VALUE_NONE) BUG("output '%s' was dropped", output.name);
    graph_add_output(target, output.name, map[output.value]);
  }
}

Graph *graph_copy(Arena *arena, const Graph *source) {
  ValueId *map;
  Graph *target = graph_copy_start(arena, source, &map);
  for (OpId i = 0; i < source->ops.count; i++) graph_copy_op(target, source, i, map);
  graph_copy_finish(target, source, map);
  return target;
}

Shape shape_make(int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
  Shape shape = {.rank = rank};
  int64_t sizes[MAX_RANK] = {a, b, c, d};
  for (int i = 0; i < rank && i < MAX_RANK; i++) shape.size[i] = sizes[i];
  return shape;
}

bool shape_valid(Shape shape) {
  if (shape.rank < 1 || shape.rank > MAX_RANK) return false;
  int64_t elements = 1;
  for (int i = 0; i < shape.rank; i++) {
    if (shape.size[i] < 1 || __builtin_mul_overflow(elements, shape.size[i], &elements)) return false;
  }
  return elements <= (int64_t)1 << 59;
}

int64_t shape_elements(Shape shape) {
  int64_t elements = 1;
  for (int i = 0; i < shape.rank; i++) elements = multiply_checked(elements, shape.size[i]);
  return elements;
}

bool shape_equal(Shape a, Shape b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++) {
    if (a.size[i] != b.size[i]) return false;
  }
  return true;
}

int64_t data_type_bytes(DataType type) { return type == DATA_U8 ? 1 : type == DATA_BF16 || type == DATA_F16 ? 2 : 4; }
