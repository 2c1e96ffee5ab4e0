// Costs from a machine's description.
#include "compiler/plan/machine.h"

#include <string.h>

static double larger(double a, double b) { return a > b ? a : b; }

static bool waits_for_ranks(const Op *op) {
  return op->kind == OP_conv2d_statistics || op->kind == OP_batch_norm || op->kind == OP_batch_norm_backward ||
         op->kind == OP_batch_norm_relu_backward || op->kind == OP_sinkhorn;
}

static int64_t run_time_ns(const Graph *graph, OpId id, RunVariant variant, const uint64_t *value_bytes,
                           const PlanMachine *machine) {
  const Op *op = graph_op(graph, id);
  ValueUses reads = run_reads(graph, id, variant), writes = run_writes(graph, id, variant);
  double moved = 0;
  for (int i = 0; i < reads.count; i++)
    moved += (double)value_bytes[reads.items[i].value] / (reads.items[i].form == FORM_MASK ? 16 : 1);
  for (int i = 0; i < writes.count; i++)
    moved += (double)value_bytes[writes.items[i].value] / (writes.items[i].form == FORM_MASK ? 16 : 1);
  double macs = variant == RUN_MASK ? 0 : (double)op_macs(graph, op);
  double seconds =
      larger(2 * macs / (machine->flops_per_second * machine->efficiency), moved / machine->bytes_per_second);
  return (int64_t)(seconds * 1e9 + 0.5);
}

static bool is_optimizer(OpKind kind) { return kind == OP_sgd_update || kind == OP_larc_update; }

// Of whole parameters, each gradient is averaged over all ranks before its update: every rank sends and receives it
// nearly twice, once in shares to be summed, once as shares of the mean.
static double sync_seconds(const Graph *graph, const Op *op, const PlanMachine *machine, bool sharded) {
  if (waits_for_ranks(op)) return machine->latency_seconds;
  if (sharded || !is_optimizer(op->kind)) return 0;
  double bytes = 4.0 * (double)shape_elements(graph_value(graph, op->operands[0])->shape);
  double bandwidth = machine->nodes > 1 ? machine->link_bytes_per_second : machine->node_bytes_per_second;
  double share = (double)(machine->ranks - 1) / machine->ranks;
  return 2 * machine->latency_seconds + (bandwidth > 0 ? 2 * share * bytes / bandwidth : 0);
}

void plan_costs_time(Arena *arena, const Graph *graph, const PlanMachine *machine, bool sharded, PlanCosts *costs) {
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) {
    if (variant == RUN_AGAIN) continue;
    int64_t *time_ns = arena_array(arena, int64_t, graph->ops.count + 1);
    for (OpId op = 0; op < graph->ops.count; op++)
      time_ns[op] = run_time_ns(graph, op, (RunVariant)variant, costs->value_bytes, machine);
    costs->time_ns[variant] = time_ns;
  }
  // What only a first run writes are statistics: too little to tell the times apart.
  costs->time_ns[RUN_AGAIN] = costs->time_ns[RUN_FIRST];
  int64_t *sync_ns = arena_array(arena, int64_t, graph->ops.count + 1);
  for (OpId op = 0; machine->ranks > 1 && op < graph->ops.count; op++)
    sync_ns[op] = (int64_t)(sync_seconds(graph, graph_op(graph, op), machine, sharded) * 1e9 + 0.5);
  costs->sync_ns = sync_ns;
}

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), suffix_length = strlen(suffix);
  return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

static bool is_optimizer_state(const Value *value) {
  return value->kind == VALUE_PARAMETER || (value->kind == VALUE_STATE && (has_suffix(value->name, ".velocity") ||
                                                                           has_suffix(value->name, ".accumulator")));
}

// Images, and what squeeze-and-excitation makes of them, are in compute precision; head and losses in f32.
static bool is_image(const Graph *graph, const Value *value) {
  if (value->producer == OP_NONE) return false;
  return value->shape.rank == 4 || (value->shape.rank == 2 && graph_op(graph, value->producer)->size_group >= 0);
}

static bool is_positive_part(const Graph *graph, const Value *value) {
  if (value->producer == OP_NONE || value->shape.rank < 4) return false;
  const Op *op = graph_op(graph, value->producer);
  return op->kind == OP_relu || (op->kind == OP_batch_normalize && op->attributes.relu);
}

PlanCosts plan_costs_dense(Arena *arena, const Graph *graph, PlanPrecision precision, int shards) {
  size_t count = graph->values.count;
  uint64_t *bytes = arena_array(arena, uint64_t, count + 1), *masks = arena_array(arena, uint64_t, count + 1);
  for (ValueId v = 0; v < count; v++) {
    const Value *value = graph_value(graph, v);
    uint64_t elements = (uint64_t)shape_elements(value->shape);
    bool gradient = value->kind == VALUE_RESULT && value->name && has_suffix(value->name, ".gradient");
    int element = value->type == DATA_F32 && is_image(graph, value) && !gradient ? precision.compute_bytes
                                                                                 : (int)data_type_bytes(value->type);
    bytes[v] = elements * (uint64_t)element;
    if (is_optimizer_state(value)) bytes[v] = (elements + (uint64_t)shards - 1) / (uint64_t)shards * 4;
    if (gradient && shards > 1) bytes[v] = 0;
    if (is_positive_part(graph, value)) masks[v] = (elements + 7) / 8;
  }
  PlanCosts costs = {.value_bytes = bytes, .mask_bytes = masks};
  const uint64_t *none = arena_array(arena, uint64_t, graph->ops.count + 1);
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) costs.workspace_bytes[variant] = none;
  return costs;
}

// ---- parameters on their way ----

static uint64_t *parameters_by_block(Arena *arena, const PlanBlocks *blocks) {
  const Graph *graph = blocks->graph;
  uint64_t *parameters = arena_array(arena, uint64_t, blocks->count + 1);
  bool *seen = arena_array(arena, bool, graph->values.count + 1);
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    for (int i = 0; op->phase == PHASE_FORWARD && i < op->operand_count; i++) {
      const Value *value = graph_value(graph, op->operands[i]);
      if (value->kind != VALUE_PARAMETER || seen[op->operands[i]]) continue;
      seen[op->operands[i]] = true;
      parameters[blocks->block_of_op[id]] += (uint64_t)shape_elements(value->shape);
    }
  }
  return parameters;
}

static int64_t traffic_ns(uint64_t bytes, int ranks, double bytes_per_second, double latency_seconds) {
  double seconds = (double)bytes * (ranks - 1) / ranks / bytes_per_second + latency_seconds;
  return (int64_t)(seconds * 1e9 + 0.5);
}

PlanGather *plan_gathers_make(Arena *arena, const PlanBlocks *blocks, const PlanMachine *machine,
                              PlanPrecision precision, bool sharded) {
  PlanGather *gathers = arena_array(arena, PlanGather, blocks->count);
  const uint64_t *parameters = parameters_by_block(arena, blocks);
  for (int b = 0; b < blocks->count; b++) {
    PlanGather *gather = &gathers[b];
    gather->parameters = parameters[b];
    gather->node_gather_ns = -1;
    if (!sharded || machine->ranks < 2) continue;
    gather->parameter_bytes = plan_align(parameters[b] * (uint64_t)precision.compute_bytes);
    gather->gradient_bytes = plan_align(parameters[b] * (uint64_t)precision.reduce_bytes);
    gather->gather_ns =
        traffic_ns(gather->parameter_bytes, machine->ranks, machine->link_bytes_per_second, machine->latency_seconds);
    gather->reduce_ns =
        traffic_ns(gather->gradient_bytes, machine->ranks, machine->link_bytes_per_second, machine->latency_seconds);
    if (machine->nodes < 2 || machine->ranks_per_node < 2) continue;
    uint64_t ranks = (uint64_t)machine->ranks_per_node;
    gather->node_share_bytes = plan_align((gather->parameter_bytes + ranks - 1) / ranks);
    gather->node_gather_ns = traffic_ns(gather->parameter_bytes, machine->ranks_per_node,
                                        machine->node_bytes_per_second, machine->latency_seconds);
  }
  return gathers;
}

void plan_blocks_price_offload(PlanBlocks *blocks, const PlanMachine *machine) {
  if (machine->host_bytes_per_second <= 0) return;
  for (int b = 0; b + 1 < blocks->count; b++) {
    int64_t output = plan_block_output_bytes(blocks, b);
    for (int k = 0; k < blocks->items[b].mode_count; k++) {
      ChainMode *costs = &blocks->items[b].modes[k].costs;
      double bytes = (double)(costs->saved_bytes - output);
      if (bytes > 0) costs->offload_ns = (int64_t)(bytes / machine->host_bytes_per_second * 1e9 + 0.5);
    }
  }
}

void plan_chain_add_gathers(Chain *chain, const PlanGather *gathers) {
  for (int b = 0; b < chain->block_count; b++) {
    ChainBlock *block = &chain->blocks[b];
    const PlanGather *gather = &gathers[b];
    block->parameter_bytes = (int64_t)gather->parameter_bytes;
    block->gradient_bytes = (int64_t)gather->gradient_bytes;
    block->gather_ns = gather->gather_ns;
    block->reduce_ns = gather->reduce_ns;
    block->node_share_bytes = (int64_t)gather->node_share_bytes;
    block->node_gather_ns = gather->node_gather_ns;
  }
}
