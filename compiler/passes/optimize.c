// Appends the optimizer: SGD with momentum or LARC for every parameter that has a gradient.
//
// Requires  gradients named NAME.gradient; nothing bound to a parameter.
// Keeps     forward and backward ops and their order.
// Changes   adds states NAME.velocity, and, with accumulate > 1, NAME.accumulator with an `accumulate` op right after
//           the gradient; appends PHASE_UPDATE ops and binds their results. Parameters that start as unit rows
//           (prototypes) are updated only while "prototypes_active" is set, and are made unit rows again.
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/passes/passes.h"

typedef struct Optimizer {
  const OptimizerOptions *options;
  const Graph *source;
  Graph *graph;
  ValueId *map;
  ValueId *parameters;  // by value of the source: the parameter whose gradient it is, or VALUE_NONE
  ValueId *gradients;   // by parameter of the source: the gradient, or its mean over micro-steps, in the new graph
} Optimizer;

// Finds each parameter's gradient by name, in one pass over values: NAME.gradient follows no particular order.
static void find_gradients(Optimizer *o) {
  const Graph *source = o->source;
  const char *suffix = ".gradient";
  for (ValueId i = 0; i < source->values.count; i++) {
    const char *name = graph_value(source, i)->name;
    if (graph_value(source, i)->kind != VALUE_RESULT || !name) continue;
    size_t length = strlen(name), tail = strlen(suffix);
    if (length <= tail || strcmp(name + length - tail, suffix) != 0) continue;
    ValueId parameter = graph_find_value(source, arena_string(o->graph->arena, name, length - tail));
    if (parameter == VALUE_NONE) BUG("'%s' is the gradient of nothing", name);
    o->parameters[i] = parameter;
  }
}

static void accumulate_gradient(Optimizer *o, ValueId parameter, const Op *maker) {
  const Value *value = graph_value(o->source, parameter);
  Arena *arena = o->graph->arena;
  if (o->options->accumulate <= 1) return;
  ValueId state = graph_add_state(o->graph, arena_printf(arena, "%s.accumulator", value->name), DATA_F32, value->shape,
                                  INIT_ZERO, 0);
  Op op = {.kind = OP_accumulate, .phase = PHASE_BACKWARD, .operand_count = 3, .name = maker->name,
           .block = maker->block, .size_group = -1, .span = o->options->span};
  op.operands[0] = state;
  op.operands[1] = o->gradients[parameter];
  op.operands[2] = graph_add_scalar(o->graph, "accumulate_restart");
  op.attributes.scale = 1.0 / o->options->accumulate;
  o->gradients[parameter] = graph_add_op1(o->graph, op);
  graph_bind(o->graph, state, o->gradients[parameter]);
}

static void copy_ops(Optimizer *o) {
  for (OpId i = 0; i < o->source->ops.count; i++) {
    const Op *op = graph_op(o->source, i);
    graph_copy_op(o->graph, o->source, i, o->map);
    for (int j = 0; j < op->result_count; j++) {
      ValueId parameter = o->parameters[op->results[j]];
      if (parameter == VALUE_NONE) continue;
      o->gradients[parameter] = o->map[op->results[j]];
      accumulate_gradient(o, parameter, op);
    }
  }
}

static OpAttributes update_attributes(const OptimizerOptions *options, bool plain) {
  OpAttributes a = {.momentum = options->momentum, .nesterov = options->nesterov};
  if (plain) return a;
  a.weight_decay = options->weight_decay;
  if (options->kind == OPTIMIZER_SGD) return a;
  a.trust = options->trust;
  a.epsilon = options->epsilon;
  a.clip = options->clip;
  return a;
}

static void update_parameter(Optimizer *o, ValueId old, int block) {
  Graph *graph = o->graph;
  const OptimizerOptions *options = o->options;
  Value parameter = *graph_value(o->source, old);
  if (parameter.bound != VALUE_NONE) BUG("'%s' is updated already", parameter.name);
  bool plain = !options->decay_norm_and_bias && parameter.shape.rank == 1;
  ValueId velocity = graph_add_state(graph, arena_printf(graph->arena, "%s.velocity", parameter.name), DATA_F32,
                                     parameter.shape, INIT_ZERO, 0);
  Op op = {.kind = plain || options->kind == OPTIMIZER_SGD ? OP_sgd_update : OP_larc_update, .phase = PHASE_UPDATE,
           .operand_count = 4, .name = parameter.name, .block = block, .size_group = -1, .span = options->span,
           .attributes = update_attributes(options, plain)};
  op.operands[0] = o->map[old];
  op.operands[1] = o->gradients[old];
  op.operands[2] = velocity;
  op.operands[3] = graph_add_scalar(graph, "learning_rate");
  if (parameter.normalize_rows_at_start) op.operands[op.operand_count++] = graph_add_scalar(graph, "prototypes_active");
  Op made = *graph_op(graph, graph_add_op(graph, op));
  ValueId updated = made.results[0];
  if (parameter.normalize_rows_at_start) {
    Op unit = {.kind = OP_normalize_rows, .phase = PHASE_UPDATE, .operand_count = 1, .name = parameter.name,
               .block = block, .size_group = -1, .span = parameter.span};
    unit.operands[0] = updated;
    updated = graph_add_op1(graph, unit);
  }
  graph_bind(graph, o->map[old], updated);
  graph_bind(graph, velocity, made.results[1]);
}

// The block of the first op that reads a value.
static int *find_blocks(Arena *arena, const Graph *graph) {
  int *blocks = arena_array(arena, int, graph->values.count + 1);
  for (size_t i = 0; i < graph->values.count; i++) blocks[i] = -1;
  for (OpId i = (OpId)graph->ops.count; i-- > 0;) {
    const Op *op = graph_op(graph, i);
    for (int j = 0; j < op->operand_count; j++) blocks[op->operands[j]] = op->block;
  }
  return blocks;
}

Graph *optimize_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  size_t count = graph->values.count;
  Optimizer o = {.options = &options->optimizer, .source = graph};
  o.graph = graph_copy_start(arena, graph, &o.map);
  o.parameters = arena_array(arena, ValueId, count + 1);
  o.gradients = arena_array(arena, ValueId, count + 1);
  for (size_t i = 0; i < count; i++) o.parameters[i] = o.gradients[i] = VALUE_NONE;
  find_gradients(&o);
  copy_ops(&o);
  graph_copy_finish(o.graph, graph, o.map);
  const int *blocks = find_blocks(arena, graph);
  for (ValueId i = 0; i < count; i++) {
    if (o.gradients[i] != VALUE_NONE) update_parameter(&o, i, blocks[i]);
  }
  return o.graph;
}
