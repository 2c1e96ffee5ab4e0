// Cuts values into parts; see shard.h.
#include "compiler/plan/shard.h"

#include "compiler/base/bug.h"

const char *const shard_kind_names[SHARD_KIND_COUNT] = {"none", "gradients", "full", "hybrid"};

enum { PART_ELEMENTS = 16 };  // a part is so many elements, or several times as many: a whole number of vectors

static uint64_t round_up(uint64_t number, uint64_t unit) { return (number + unit - 1) / unit * unit; }

// Rows that are kept at length 1 are never cut: then a part is whole rows, too.
static uint64_t part_of(const Value *parameter, uint64_t ranks) {
  uint64_t elements = (uint64_t)shape_elements(parameter->shape), unit = PART_ELEMENTS;
  uint64_t row = parameter->normalize_rows_at_start ? elements / (uint64_t)parameter->shape.size[0] : 1;
  while (unit % row) unit += PART_ELEMENTS;
  return round_up((elements + ranks - 1) / ranks, unit);
}

typedef struct Sharing {
  const Graph *graph;
  bool any;
  uint64_t *part;
  bool *kept, *in_unit;
} Sharing;

static void share_value(Sharing *sharing, ValueId value, uint64_t part, bool kept) {
  sharing->part[value] = part;
  sharing->kept[value] = kept;
}

static void share_named(Sharing *sharing, Arena *scratch, const Value *parameter, const char *suffix, uint64_t part) {
  ValueId value = graph_find_value(sharing->graph, arena_printf(scratch, "%s.%s", parameter->name, suffix));
  if (value != VALUE_NONE) share_value(sharing, value, part, sharing->any);
}

// What an update makes is cut as what it updates; so is what accumulates.
static void share_results(Sharing *sharing) {
  for (OpId id = 0; id < sharing->graph->ops.count; id++) {
    const Op *op = graph_op(sharing->graph, id);
    bool updates = op->kind == OP_accumulate || op->phase == PHASE_UPDATE;
    if (!updates || !op->operand_count || !sharing->part[op->operands[0]]) continue;
    for (int i = 0; i < op->result_count; i++)
      share_value(sharing, op->results[i], sharing->part[op->operands[0]], sharing->any);
    if (op->kind == OP_accumulate) sharing->in_unit[op->operands[1]] = sharing->any;
  }
}

const PlanShards *plan_shards_make(Arena *arena, const Graph *graph, ShardKind kind, int ranks, int group,
                                   bool by_node) {
  if (ranks < 2) kind = SHARD_NONE;
  if (kind != SHARD_HYBRID) group = kind == SHARD_FULL ? ranks : 1;
  if (ranks % group) BUG("%d ranks in groups of %d", ranks, group);
  Sharing sharing = {.graph = graph,
                     .any = kind != SHARD_NONE,
                     .part = arena_array(arena, uint64_t, graph->values.count + 1),
                     .kept = arena_array(arena, bool, graph->values.count + 1),
                     .in_unit = arena_array(arena, bool, graph->values.count + 1)};
  Arena *scratch = arena_make("sharing values out");
  for (ValueId v = 0; v < graph->values.count; v++) {
    const Value *value = graph_value(graph, v);
    if (value->kind != VALUE_PARAMETER) continue;
    uint64_t part = part_of(value, (uint64_t)ranks);
    share_value(&sharing, v, part, kind != SHARD_NONE && group > 1);
    share_named(&sharing, scratch, value, "velocity", part);
    share_named(&sharing, scratch, value, "accumulator", part);
    share_named(&sharing, scratch, value, "gradient", part);
  }
  share_results(&sharing);
  arena_release(scratch);
  PlanShards *shards = arena_new(arena, PlanShards);
  *shards = (PlanShards){.kind = kind,
                         .count = ranks,
                         .group = group,
                         .by_node = by_node,
                         .part = sharing.part,
                         .kept = sharing.kept,
                         .in_unit = sharing.in_unit};
  return shards;
}

uint64_t plan_shards_kept(const PlanShards *shards, const Graph *graph, ValueId value) {
  const Value *v = graph_value(graph, value);
  if (shards->in_unit[value]) return 0;
  if (plan_shards_any(shards) && v->kind == VALUE_PARAMETER)
    return shards->part[value] * (uint64_t)plan_shards_groups(shards);
  return shards->kept[value] ? shards->part[value] : (uint64_t)shape_elements(v->shape);
}

PlanCut plan_shards_cut(const PlanShards *shards, const Graph *graph, ValueId value) {
  if (!shards->kept[value]) return (PlanCut){0};
  bool parameter = graph_value(graph, value)->kind == VALUE_PARAMETER;
  return (PlanCut){.shards = parameter ? shards->group : shards->count,
                   .part = plan_shards_kept(shards, graph, value),
                   .chunk = shards->part[value]};
}
