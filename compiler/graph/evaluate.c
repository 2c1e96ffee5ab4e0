// The oracle: runs a graph in double precision, op by op, in stored order. Slow, simple, and the judge of every pass,
// kernel and emitted program.
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

static void evaluate_op(const Graph *graph, const Op *op, Arena *arena, double **tensors) {
  OpEvaluateCall call = {.op = op};
  for (int i = 0; i < op->operand_count; i++) {
    call.shapes[i] = graph_value(graph, op->operands[i])->shape;
    call.operands[i] = tensors[op->operands[i]];
    if (!call.operands[i]) BUG("op '%s' (%s): operand %d has no tensor", op_kind_name(op->kind), op->name, i);
  }
  for (int i = 0; i < op->result_count; i++) {
    call.result_shapes[i] = graph_value(graph, op->results[i])->shape;
    tensors[op->results[i]] = arena_array(arena, double, shape_elements(call.result_shapes[i]));
    call.results[i] = tensors[op->results[i]];
  }
  call.scratch = arena_make("one op's evaluation");
  op_info(op->kind)->evaluate(&call);
  arena_release(call.scratch);
}

void graph_evaluate_phases(const Graph *graph, Arena *arena, double **tensors, OpPhase first, OpPhase last) {
  for (size_t i = 0; i < graph->ops.count; i++) {
    const Op *op = &graph->ops.items[i];
    if (op->phase >= first && op->phase <= last) evaluate_op(graph, op, arena, tensors);
  }
}

void graph_evaluate(const Graph *graph, Arena *arena, double **tensors) {
  graph_evaluate_phases(graph, arena, tensors, PHASE_FORWARD, PHASE_UPDATE);
}

void graph_take_bindings(const Graph *graph, double **tensors, OpPhase phase) {
  for (size_t i = 0; i < graph->values.count; i++) {
    const Value *value = &graph->values.items[i];
    if (value->bound == VALUE_NONE) continue;
    const Value *bound = graph_value(graph, value->bound);
    if (bound->kind != VALUE_RESULT || graph_op(graph, bound->producer)->phase != phase) continue;
    memcpy(tensors[i], tensors[value->bound], sizeof(double) * (size_t)shape_elements(value->shape));
  }
}

double **graph_make_tensors(const Graph *graph, Arena *arena) {
  double **tensors = arena_array(arena, double *, graph->values.count + 1);
  for (size_t i = 0; i < graph->values.count; i++) {
    const Value *value = &graph->values.items[i];
    if (value->kind != VALUE_RESULT) tensors[i] = arena_array(arena, double, shape_elements(value->shape));
  }
  return tensors;
}
