// Drops ops whose results nobody needs.
//
// Requires  nothing.
// Keeps     inputs, parameters, states, scalars, outputs, bindings, and the order of what stays.
// Changes   removes ops that neither an output nor a binding depends on; results are numbered anew.
#include "compiler/passes/passes.h"

Graph *dead_code_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  (void)options;
  bool *live = arena_array(arena, bool, graph->values.count + 1);
  for (size_t i = 0; i < graph->outputs.count; i++) live[graph->outputs.items[i].value] = true;
  for (size_t i = 0; i < graph->values.count; i++) {
    if (graph->values.items[i].bound != VALUE_NONE) live[graph->values.items[i].bound] = true;
  }
  bool *kept = arena_array(arena, bool, graph->ops.count + 1);
  for (OpId i = (OpId)graph->ops.count; i-- > 0;) {
    const Op *op = graph_op(graph, i);
    for (int j = 0; j < op->result_count; j++) kept[i] |= live[op->results[j]];
    for (int j = 0; kept[i] && j < op->operand_count; j++) live[op->operands[j]] = true;
  }
  ValueId *map;
  Graph *target = graph_copy_start(arena, graph, &map);
  for (OpId i = 0; i < graph->ops.count; i++) {
    if (kept[i]) graph_copy_op(target, graph, i, map);
  }
  graph_copy_finish(target, graph, map);
  return target;
}
