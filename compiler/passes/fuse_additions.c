// Lets the convolution that makes a gradient of its input add the other gradient that it is a sum with.
//
// Requires  nothing; a sum of what convolutions did not make, or that is made too early, stays as it is.
// Keeps     every value that others read, to rounding.
// Changes   conv2d_backward_input + add -> conv2d_backward_input with an addend.
#include "compiler/passes/passes.h"

static int *count_readers(Arena *arena, const Graph *graph) {
  int *readers = arena_array(arena, int, graph->values.count + 1);
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    for (int j = 0; j < op->operand_count; j++) readers[op->operands[j]]++;
  }
  for (size_t i = 0; i < graph->outputs.count; i++) readers[graph->outputs.items[i].value]++;
  for (size_t i = 0; i < graph->values.count; i++) {
    if (graph->values.items[i].bound != VALUE_NONE) readers[graph->values.items[i].bound]++;
  }
  return readers;
}

// The convolution that can make an add: it makes one operand for it alone, and the other is at hand before.
static OpId maker_of(const Graph *graph, const Op *add, const int *readers, const OpId *adding) {
  for (int j = 0; j < 2; j++) {
    OpId conv = graph_value(graph, add->operands[j])->producer;
    OpId other = graph_value(graph, add->operands[1 - j])->producer;
    if (conv == OP_NONE || readers[add->operands[j]] != 1 || (other != OP_NONE && other >= conv)) continue;
    const Op *op = graph_op(graph, conv);
    if (op->kind == OP_conv2d_backward_input && !op->attributes.adds && adding[conv] == OP_NONE) return conv;
  }
  return OP_NONE;
}

// The convolution with the addend in the place of x, which it has for its shape alone.
static void emit_sum(Graph *target, const Graph *source, OpId conv, OpId sum, ValueId *map) {
  const Op *old = graph_op(source, conv), *add = graph_op(source, sum);
  Op op = *old;
  op.operand_count = op.attributes.gradient ? 4 : 2;
  for (int i = 0; i < op.operand_count; i++) op.operands[i] = map[old->operands[i]];
  op.operands[op.operand_count++] = map[add->operands[add->operands[0] == old->results[0] ? 1 : 0]];
  op.attributes.adds = true;
  ValueId made = graph_add_op1(target, op);
  map[old->results[0]] = map[add->results[0]] = made;
  const char *name = graph_value(source, add->results[0])->name;
  if (name) graph_name_value(target, made, name);
}

Graph *fuse_additions_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  if (!options->target.additions) return graph_copy(arena, graph);
  ValueId *map;
  Graph *target = graph_copy_start(arena, graph, &map);
  const int *readers = count_readers(arena, graph);
  OpId *adding = arena_array(arena, OpId, graph->ops.count + 1);  // by conv2d_backward_input: the add that it makes
  bool *absorbed = arena_array(arena, bool, graph->ops.count + 1);
  for (OpId i = 0; i < graph->ops.count; i++) adding[i] = OP_NONE;
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    OpId maker = op->kind == OP_add ? maker_of(graph, op, readers, adding) : OP_NONE;
    if (maker == OP_NONE) continue;
    adding[maker] = i;
    absorbed[i] = true;
  }
  for (OpId i = 0; i < graph->ops.count; i++) {
    if (adding[i] != OP_NONE) {
      emit_sum(target, graph, i, adding[i], map);
    } else if (!absorbed[i]) {
      graph_copy_op(target, graph, i, map);
    }
  }
  graph_copy_finish(target, graph, map);
  return target;
}
