// Reverse-mode differentiation of output "loss".
//
// Requires  an output "loss" of shape [1] made by a loss op; no gradients yet.
// Keeps     every op and value.
// Changes   appends PHASE_BACKWARD ops; the gradient of parameter NAME is the value "NAME.gradient".
#include "compiler/base/bug.h"
#include "compiler/graph/op.h"
#include "compiler/passes/passes.h"

typedef struct Differentiator {
  Graph *graph;
  bool *needed;        // by value: does it depend on a parameter through ops that have gradients
  ValueId *gradients;  // by value of the forward graph: the sum so far, or VALUE_NONE
} Differentiator;

static void find_needed(Differentiator *d) {
  const Graph *graph = d->graph;
  for (ValueId i = 0; i < graph->values.count; i++) d->needed[i] = graph_value(graph, i)->kind == VALUE_PARAMETER;
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    bool needed = false;
    for (int j = 0; j < op->operand_count; j++) needed |= d->needed[op->operands[j]];
    needed &= op_info(op->kind)->gradient != NULL;
    for (int j = 0; j < op->result_count; j++) d->needed[op->results[j]] = needed;
  }
}

// Sums are made as soon as there are two terms, so that few wait at a time.
static void add_gradient(Differentiator *d, const Op *forward, ValueId value, ValueId gradient) {
  ValueId *sum = &d->gradients[value];
  if (*sum == VALUE_NONE) {
    *sum = gradient;
    return;
  }
  const Value *target = graph_value(d->graph, value);
  Op op = op_backward_of(forward, OP_add);
  op.attributes = (OpAttributes){0};
  op.size_group = target->kind == VALUE_RESULT ? graph_op(d->graph, target->producer)->size_group : -1;
  op.operand_count = 2;
  op.operands[0] = *sum;
  op.operands[1] = gradient;
  *sum = graph_add_op1(d->graph, op);
}

static void differentiate_op(Differentiator *d, OpId id, ValueId loss) {
  OpGradientCall call = {.graph = d->graph, .op = *graph_op(d->graph, id)};
  bool reached = call.op.results[0] == loss, wanted = false;
  for (int i = 0; i < MAX_RESULTS; i++) {
    call.result_gradients[i] = i < call.op.result_count ? d->gradients[call.op.results[i]] : VALUE_NONE;
    reached |= call.result_gradients[i] != VALUE_NONE;
  }
  for (int i = 0; i < MAX_OPERANDS; i++) {
    call.operand_gradients[i] = VALUE_NONE;
    call.wanted[i] = i < call.op.operand_count && d->needed[call.op.operands[i]];
    wanted |= call.wanted[i];
  }
  const OpInfo *info = op_info(call.op.kind);
  if (!reached || !wanted || !info->gradient) return;
  info->gradient(&call);
  for (int i = 0; i < call.op.operand_count; i++) {
    if (call.wanted[i] && call.operand_gradients[i] != VALUE_NONE)
      add_gradient(d, &call.op, call.op.operands[i], call.operand_gradients[i]);
  }
}

Graph *differentiate_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  (void)options;
  Graph *target = graph_copy(arena, graph);
  size_t values = target->values.count;
  OpId ops = (OpId)target->ops.count;
  ValueId loss = graph_find_output(target, "loss");
  if (loss == VALUE_NONE) BUG("graph '%s' has no output 'loss'", graph->name);
  OpKind kind = graph_op(target, graph_value(target, loss)->producer)->kind;
  if (kind != OP_swapped_prediction && kind != OP_softmax_cross_entropy)
    BUG("the loss is made by '%s', which is not a loss op", op_kind_name(kind));
  Differentiator d = {target, arena_array(arena, bool, values), arena_array(arena, ValueId, values)};
  find_needed(&d);
  for (size_t i = 0; i < values; i++) d.gradients[i] = VALUE_NONE;
  for (OpId i = ops; i-- > 0;) {
    if (graph_op(target, i)->phase == PHASE_FORWARD) differentiate_op(&d, i, loss);
  }
  for (ValueId i = 0; i < values; i++) {
    const Value *value = graph_value(target, i);
    if (value->kind == VALUE_PARAMETER && d.gradients[i] != VALUE_NONE)
      graph_name_value(target, d.gradients[i], arena_printf(arena, "%s.gradient", value->name));
  }
  return target;
}
