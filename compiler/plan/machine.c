// Costs from a machine's description.
#include "compiler/plan/machine.h"

#include <string.h>

static double larger(double a, double b) { return a > b ? a : b; }

static Network network_of(const PlanMachine *machine) {
  return (Network){.exchange = machine->exchange,
                   .start_seconds = machine->latency_seconds,
                   .node = {machine->node_bytes_per_second, machine->node_latency_seconds},
                   .between = {machine->link_bytes_per_second, machine->link_latency_seconds}};
}

static Circle all_ranks(const PlanMachine *machine) { return circle_of(machine->ranks, 1, machine->ranks_per_node); }

static double uses_bytes(const ValueUses *uses, const uint64_t *value_bytes) {
  double bytes = 0;
  for (int i = 0; i < uses->count; i++)
    bytes += (double)value_bytes[uses->items[i].value] / (uses->items[i].form == FORM_MASK ? 16 : 1);
  return bytes;
}

double plan_run_bytes(const Graph *graph, OpId op, RunVariant variant, const uint64_t *value_bytes) {
  ValueUses reads = run_reads(graph, op, variant), writes = run_writes(graph, op, variant);
  return uses_bytes(&reads, value_bytes) + uses_bytes(&writes, value_bytes);
}

int64_t plan_run_macs(const Graph *graph, OpId op, RunVariant variant) {
  return variant == RUN_MASK ? 0 : op_macs(graph, graph_op(graph, op));
}

double plan_core_share(const PlanMachine *machine) {
  if (!machine->cores) return 1;
  int threads = machine->cores / machine->ranks_per_node;
  double own = threads ? threads : (double)machine->cores / machine->ranks_per_node;
  return own / machine->rated_cores;
}

static double work_seconds(const PlanMachine *machine, RateWork work, double share) {
  if (machine->rates && machine->rates->items[work.kind].known) return rate_seconds(machine->rates, work, share);
  double computing = work.flops / (machine->flops_per_second * machine->efficiency);
  return larger(computing, work.bytes / machine->bytes_per_second) / share;
}

static int64_t run_time_ns(const Graph *graph, OpId id, RunVariant variant, const uint64_t *value_bytes,
                           const PlanMachine *machine) {
  double share = plan_core_share(machine);
  double seconds = work_seconds(machine, rate_work(graph, id, variant, value_bytes), share);
  const RateWork look = rate_look(graph, id, value_bytes);
  if (look.bytes > 0 && machine->rates && machine->rates->items[look.kind].known)
    seconds += rate_seconds(machine->rates, look, share);
  return (int64_t)(seconds * 1e9 + 0.5);
}

static bool normalizes(OpKind kind) {
  return kind == OP_conv2d_statistics || kind == OP_batch_norm || kind == OP_batch_norm_backward ||
         kind == OP_batch_norm_relu_backward || kind == OP_batch_norm_sums || kind == OP_batch_norm_relu_sums;
}

static int64_t last_extent(const Graph *graph, ValueId value) {
  Shape shape = graph_value(graph, value)->shape;
  return shape.size[shape.rank - 1];
}

// Two numbers for each channel, in whole vectors of 16; forward, processors send count, mean and spread, in double.
static uint64_t statistics_bytes(const Graph *graph, const Op *op, const PlanMachine *machine) {
  uint64_t channels = (uint64_t)last_extent(graph, op->results[1]);
  bool forward = op->kind == OP_conv2d_statistics || op->kind == OP_batch_norm;
  if (forward && machine->exchange == EXCHANGE_MPI) return 3 * channels * sizeof(double);
  return 2 * ((channels + 15) / 16 * 16) * sizeof(float);
}

// A mean over all ranks, of whole numbers: each rank sums its share of all ranks', and hands out the mean. With NCCL
// both ways are direct; MPI gathers as it sees fit.
static int average_traffic(const PlanMachine *machine, uint64_t elements, int sent_bytes,
                           OpTraffic traffic[MAX_OP_TRAFFIC]) {
  uint64_t ranks = (uint64_t)machine->ranks, share = ((elements + ranks - 1) / ranks + 15) / 16 * 16;
  if (machine->exchange == EXCHANGE_BEST) {
    traffic[0] = (OpTraffic){COLLECTIVE_REDUCE, all_ranks(machine), elements * (uint64_t)sent_bytes, 1};
    return 1;
  }
  CollectiveKind back = machine->exchange == EXCHANGE_NCCL ? COLLECTIVE_EXCHANGE : COLLECTIVE_GATHER;
  traffic[0] = (OpTraffic){COLLECTIVE_EXCHANGE, all_ranks(machine), share * (uint64_t)sent_bytes, 1};
  traffic[1] = (OpTraffic){back, all_ranks(machine), share * sizeof(float), 1};
  return 2;
}

// Statistics that are gathered and summed by each rank itself; at best they would be summed on their way.
static OpTraffic statistics_traffic(const PlanMachine *machine, Circle circle, uint64_t bytes, int times) {
  CollectiveKind kind = machine->exchange == EXCHANGE_BEST ? COLLECTIVE_REDUCE : COLLECTIVE_GATHER;
  return (OpTraffic){kind, circle, bytes, times};
}

int plan_op_traffic(const Graph *graph, OpId id, const PlanMachine *machine, PlanPrecision precision,
                    const PlanShards *shards, OpTraffic traffic[MAX_OP_TRAFFIC]) {
  const Op *op = graph_op(graph, id);
  if (machine->ranks < 2) return 0;
  if (normalizes(op->kind)) {
    if (machine->norm_ranks < 2) return 0;
    Circle circle = circle_of(machine->norm_ranks, 1, machine->ranks_per_node);
    traffic[0] = statistics_traffic(machine, circle, statistics_bytes(graph, op, machine), 1);
    return 1;
  }
  if (op->kind == OP_sinkhorn) {
    uint64_t bytes = (uint64_t)last_extent(graph, op->operands[0]) * sizeof(float);
    traffic[0] = statistics_traffic(machine, all_ranks(machine), bytes, op->attributes.iterations);
    return 1;
  }
  uint64_t elements = op->operand_count ? (uint64_t)shape_elements(graph_value(graph, op->operands[0])->shape) : 0;
  if (op->kind == OP_running_update && machine->norm_ranks < machine->ranks)
    return average_traffic(machine, elements, sizeof(float), traffic);
  if (rate_is_update(op->kind) && !plan_shards_any(shards))
    return average_traffic(machine, elements, precision.reduce_bytes, traffic);
  return 0;
}

double plan_op_sent_bytes(const OpTraffic *traffic) {
  double ranks = traffic->circle.ranks, bytes = (double)traffic->bytes * traffic->times;
  return traffic->kind == COLLECTIVE_REDUCE ? 2 * bytes * (ranks - 1) / ranks : bytes * (ranks - 1);
}

// What has come from all ranks is read once.
static double folded_bytes(const OpTraffic *traffic) {
  return traffic->kind == COLLECTIVE_REDUCE ? 0 : (double)traffic->bytes * traffic->circle.ranks;
}

static int64_t sync_time_ns(const Graph *graph, OpId op, const PlanMachine *machine, PlanPrecision precision,
                            const PlanShards *shards) {
  OpTraffic traffic[MAX_OP_TRAFFIC];
  Network network = network_of(machine);
  int64_t time_ns = 0;
  int count = plan_op_traffic(graph, op, machine, precision, shards, traffic);
  for (int i = 0; i < count; i++) {
    const OpTraffic *one = &traffic[i];
    int64_t once = collective_ns(&network, one->circle, one->kind, one->bytes, NULL);
    time_ns += one->times * (once + (int64_t)(folded_bytes(one) / machine->bytes_per_second * 1e9 + 0.5));
  }
  return time_ns;
}

int64_t plan_norms_ns(const Graph *graph, const PlanMachine *machine) {
  Network network = network_of(machine);
  return collective_ns(&network, all_ranks(machine), COLLECTIVE_GATHER, plan_norms_bytes(graph), NULL);
}

void plan_costs_time(Arena *arena, const Graph *graph, const PlanMachine *machine, PlanPrecision precision,
                     const PlanShards *shards, PlanCosts *costs) {
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
  for (OpId op = 0; op < graph->ops.count; op++) sync_ns[op] = sync_time_ns(graph, op, machine, precision, shards);
  costs->sync_ns = sync_ns;
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

PlanCosts plan_costs_dense(Arena *arena, const Graph *graph, PlanPrecision precision, const PlanShards *shards) {
  size_t count = graph->values.count;
  uint64_t *bytes = arena_array(arena, uint64_t, count + 1), *masks = arena_array(arena, uint64_t, count + 1);
  for (ValueId v = 0; v < count; v++) {
    const Value *value = graph_value(graph, v);
    uint64_t elements = (uint64_t)shape_elements(value->shape);
    bool image = value->type == DATA_F32 && !shards->part[v] && is_image(graph, value);
    int element = image ? precision.compute_bytes : (int)data_type_bytes(value->type);
    bytes[v] = plan_shards_kept(shards, graph, v) * (uint64_t)element;
    if (is_positive_part(graph, value)) masks[v] = (elements + 7) / 8;
  }
  PlanCosts costs = {.value_bytes = bytes, .mask_bytes = masks};
  const uint64_t *none = arena_array(arena, uint64_t, graph->ops.count + 1);
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) costs.workspace_bytes[variant] = none;
  return costs;
}

// ---- parameters on their way ----

// Adds a parameter and its gradient to their block's unit. Whole values lie one behind the other: parameters in compute
// precision, their gradients in a buffer of their own.
static void add_tensor(Arena *arena, PlanUnits *units, PlanUnit *unit, PlanUnitTensor tensor, PlanPrecision precision) {
  ValueId parameter = tensor.parameter, gradient = tensor.gradient;
  arena_push(arena, &unit->tensors, PlanUnitTensor, tensor);
  uint64_t part = units->shards->part[parameter], whole = part * (uint64_t)units->shards->count;
  unit->parameters += (uint64_t)shape_elements(graph_value(units->graph, parameter)->shape);
  unit->part_elements += part;
  if (!plan_shards_any(units->shards)) return;
  if (plan_shards_gather(units->shards)) {
    units->offsets[parameter] = unit->parameter_bytes;
    unit->parameter_bytes += plan_align(whole * (uint64_t)precision.compute_bytes);
  }
  if (gradient == VALUE_NONE) return;
  units->offsets[gradient] = unit->gradient_bytes;
  unit->gradient_bytes += plan_align(whole * (uint64_t)precision.gradient_bytes);
}

static void list_parameters(Arena *arena, PlanUnits *units, const PlanBlocks *blocks, PlanPrecision precision) {
  const Graph *graph = units->graph;
  bool *seen = arena_array(arena, bool, graph->values.count + 1);
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    for (int i = 0; op->phase == PHASE_FORWARD && i < op->operand_count; i++) {
      const Value *value = graph_value(graph, op->operands[i]);
      if (value->kind != VALUE_PARAMETER || seen[op->operands[i]]) continue;
      seen[op->operands[i]] = true;
      PlanUnitTensor tensor = {op->operands[i],
                               graph_find_value(graph, arena_printf(arena, "%s.gradient", value->name))};
      add_tensor(arena, units, &units->items[blocks->block_of_op[id]], tensor, precision);
    }
  }
}

// Parts of one copy of the parameters, or of what its ranks have updated. MPI sends them to each rank that wants them.
static int64_t gather_ns(const PlanMachine *machine, Circle circle, uint64_t part_bytes) {
  Network network = network_of(machine);
  CollectiveKind kind = machine->exchange == EXCHANGE_MPI ? COLLECTIVE_EXCHANGE : COLLECTIVE_GATHER;
  return collective_ns(&network, circle, kind, part_bytes, NULL);
}

// Trainers send each rank its part of every gradient, to be summed in the order of ranks; at best sums travel.
static int64_t reduce_ns(const PlanMachine *machine, uint64_t part_bytes) {
  Network network = network_of(machine);
  CollectiveKind kind = machine->exchange == EXCHANGE_BEST ? COLLECTIVE_SCATTER : COLLECTIVE_EXCHANGE;
  return collective_ns(&network, all_ranks(machine), kind, part_bytes, NULL);
}

static void time_unit(PlanUnit *unit, const PlanMachine *machine, const PlanShards *shards, PlanPrecision precision) {
  int groups = plan_shards_groups(shards), per_node = machine->ranks_per_node;
  uint64_t kept_bytes = (uint64_t)groups * unit->part_elements * (uint64_t)precision.compute_bytes;
  if (plan_shards_gather(shards)) {
    unit->gather_sent_bytes = ((uint64_t)shards->group - 1) * kept_bytes;
    unit->gather_ns = gather_ns(machine, circle_of(shards->group, 1, per_node), kept_bytes);
  }
  if (groups > 1) {
    uint64_t part_bytes = unit->part_elements * sizeof(float);
    unit->refresh_sent_bytes = ((uint64_t)groups - 1) * part_bytes;
    unit->refresh_ns = gather_ns(machine, circle_of(groups, shards->group, per_node), part_bytes);
  }
  uint64_t reduced_bytes = unit->part_elements * (uint64_t)precision.reduce_bytes;
  unit->reduce_sent_bytes = ((uint64_t)shards->count - 1) * reduced_bytes;
  unit->reduce_ns = reduce_ns(machine, reduced_bytes);
  bool full = shards->kind == SHARD_FULL;
  if (!full || !shards->by_node || machine->nodes < 2 || per_node < 2) return;
  uint64_t share_bytes = (unit->parameter_bytes + (uint64_t)per_node - 1) / (uint64_t)per_node;
  unit->node_share_bytes = plan_align(share_bytes);
  unit->node_gather_ns = gather_ns(machine, circle_of(per_node, 1, per_node), share_bytes);
}

PlanUnits *plan_units_make(Arena *arena, const PlanBlocks *blocks, const PlanMachine *machine, PlanPrecision precision,
                           const PlanShards *shards) {
  const Graph *graph = blocks->graph;
  PlanUnits *units = arena_new(arena, PlanUnits);
  *units = (PlanUnits){.graph = graph,
                       .shards = shards,
                       .items = arena_array(arena, PlanUnit, blocks->count),
                       .count = blocks->count,
                       .offsets = arena_array(arena, uint64_t, graph->values.count + 1)};
  memset(units->offsets, 0xFF, graph->values.count * sizeof *units->offsets);
  list_parameters(arena, units, blocks, precision);
  for (int b = 0; b < blocks->count; b++) {
    units->items[b].node_gather_ns = -1;
    if (plan_shards_any(shards) && units->items[b].part_elements)
      time_unit(&units->items[b], machine, shards, precision);
  }
  return units;
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

void plan_chain_add_units(Chain *chain, const PlanUnits *units) {
  for (int b = 0; b < chain->block_count; b++) {
    ChainBlock *block = &chain->blocks[b];
    const PlanUnit *unit = &units->items[b];
    block->parameter_bytes = (int64_t)unit->parameter_bytes;
    block->gradient_bytes = (int64_t)unit->gradient_bytes;
    block->gather_ns = unit->gather_ns;
    block->reduce_ns = unit->reduce_ns;
    block->node_share_bytes = (int64_t)unit->node_share_bytes;
    block->node_gather_ns = unit->node_gather_ns;
  }
}
