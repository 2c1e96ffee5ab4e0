// Save modes from a block's own ops. The results of its convolutions are the dear ones: every subset of them is a mode,
// what lies between is made again; besides, everything kept, and masks of ReLU results in place of remade ones. Each
// mode's bytes and times are measured on the very runs that it would execute.
#include "compiler/plan/modes.h"

#include <string.h>

#include "compiler/base/bug.h"

enum { MAX_GROUPS = 4 };

// Values of one layer over all size groups: they are kept or dropped together.
typedef struct LayerGroup {
  const char *name;  // without the block's own
  bool is_convolution;
  ValueIds values;
} LayerGroup;

typedef struct LayerGroups {
  LayerGroup *items;
  size_t count, capacity;
} LayerGroups;

static const char *local_name(const char *name, const char *block) {
  const char *found = strstr(name, block);
  if (!found) return name;
  const char *rest = found + strlen(block);
  return *rest == '.' ? rest + 1 : block;
}

static bool is_small(const Graph *graph, ValueId value) { return graph_value(graph, value)->shape.rank < 4; }

static bool is_convolution(const Graph *graph, ValueId value) {
  return plan_convolves(graph_op(graph, graph_value(graph, value)->producer));
}

static LayerGroups group_layers(Arena *arena, const PlanBlocks *blocks, int block, bool convolutions) {
  const Graph *graph = blocks->graph;
  const PlanBlock *b = &blocks->items[block];
  LayerGroups groups = {0};
  for (size_t i = 0; i < b->wanted.count; i++) {
    ValueId value = b->wanted.items[i];
    if (is_small(graph, value) || is_convolution(graph, value) != convolutions) continue;
    const char *name = local_name(graph_op(graph, graph_value(graph, value)->producer)->name, b->name);
    size_t at = 0;
    while (at < groups.count && strcmp(groups.items[at].name, name) != 0) at++;
    if (at == groups.count) {
      LayerGroup group = {.name = name, .is_convolution = convolutions};
      arena_push(arena, &groups, LayerGroup, group);
    }
    arena_push(arena, &groups.items[at].values, ValueId, value);
  }
  return groups;
}

static void keep_values(Arena *arena, SaveMode *mode, const ValueIds *values) {
  for (size_t i = 0; i < values->count; i++) arena_push(arena, &mode->kept, ValueId, values->items[i]);
}

static void keep_small(Arena *arena, const PlanBlocks *blocks, int block, SaveMode *mode) {
  const PlanBlock *b = &blocks->items[block];
  for (size_t i = 0; i < b->wanted.count; i++) {
    if (is_small(blocks->graph, b->wanted.items[i])) arena_push(arena, &mode->kept, ValueId, b->wanted.items[i]);
  }
}

// ReLU results that a fused BatchNorm backward reads for their signs, and that this mode does not keep.
static void mask_signs(Arena *arena, const PlanBlocks *blocks, int block, SaveMode *mode) {
  const PlanBlock *b = &blocks->items[block];
  for (size_t i = 0; i < b->backward.count; i++) {
    const Op *op = graph_op(blocks->graph, b->backward.items[i]);
    int sign = run_sign_operand(blocks->graph, op);
    if (sign < 0) continue;
    ValueId y = op->operands[sign];
    if (blocks->maker_of_value[y] != block || value_ids_have(&b->outputs, y) || value_ids_have(&mode->kept, y) ||
        !blocks->costs->mask_bytes[y])
      continue;
    arena_push(arena, &mode->masked, ValueId, y);
  }
}

static const char *subset_name(Arena *arena, const LayerGroups *groups, unsigned subset) {
  unsigned all = (1u << groups->count) - 1;
  if (subset == 0) return "input only";
  if (subset == all && groups->items[0].is_convolution) return "convolutions";
  const char *name = "keeps";
  for (size_t i = 0; i < groups->count; i++) {
    if (subset >> i & 1) name = arena_printf(arena, "%s %s", name, groups->items[i].name);
  }
  return name;
}

static SaveMode subset_mode(Arena *arena, const PlanBlocks *blocks, int block, const LayerGroups *groups,
                            unsigned subset) {
  SaveMode mode = {.name = subset_name(arena, groups, subset)};
  for (size_t i = 0; i < groups->count; i++) {
    if (subset >> i & 1) keep_values(arena, &mode, &groups->items[i].values);
  }
  if (subset) keep_small(arena, blocks, block, &mode);
  return mode;
}

// ---- measuring ----

typedef struct LocalItem {
  uint64_t bytes;
  size_t begin, end;
  ValueUse use;
} LocalItem;

typedef struct Local {
  Arena *arena;
  const PlanBlocks *blocks;
  const Schedule *schedule;
  struct {
    LocalItem *items;
    size_t count, capacity;
  } items;
} Local;

static uint64_t bytes_of_use(const PlanBlocks *blocks, ValueUse use) {
  const PlanCosts *costs = blocks->costs;
  return plan_align(use.form == FORM_MASK ? costs->mask_bytes[use.value] : costs->value_bytes[use.value]);
}

static uint64_t bytes_of_values(const PlanBlocks *blocks, const ValueIds *values) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < values->count; i++) bytes += bytes_of_use(blocks, (ValueUse){values->items[i], FORM_WHOLE});
  return bytes;
}

static void begin_item(Local *local, ValueUse use, size_t begin, size_t end) {
  LocalItem item = {bytes_of_use(local->blocks, use), begin, end, use};
  arena_push(local->arena, &local->items, LocalItem, item);
}

static LocalItem *newest_item(Local *local, ValueUse use) {
  for (size_t i = local->items.count; i-- > 0;) {
    LocalItem *item = &local->items.items[i];
    if (item->use.value == use.value && item->use.form == use.form) return item;
  }
  return NULL;
}

static void follow_run(Local *local, size_t at) {
  const PlanBlocks *blocks = local->blocks;
  const ScheduleEntry *entry = &local->schedule->items[at];
  ValueUses reads = run_reads(blocks->graph, entry->op, entry->variant);
  for (int i = 0; i < reads.count; i++) {
    LocalItem *item = newest_item(local, reads.items[i]);
    if (item && item->end < at) item->end = at;
  }
  ValueUses writes = run_writes(blocks->graph, entry->op, entry->variant);
  for (int i = 0; i < writes.count; i++) {
    ValueId value = writes.items[i].value;
    if (blocks->is_bound[value]) continue;  // lies in the state
    begin_item(local, writes.items[i], at, blocks->is_lasting[value] ? local->schedule->count : at);
  }
}

static int64_t peak_between(const Local *local, size_t begin, size_t end) {
  const PlanBlocks *blocks = local->blocks;
  uint64_t peak = 0;
  for (size_t at = begin; at < end; at++) {
    const ScheduleEntry *entry = &local->schedule->items[at];
    uint64_t live = plan_align(blocks->costs->workspace_bytes[entry->variant][entry->op]);
    for (size_t i = 0; i < local->items.count; i++) {
      const LocalItem *item = &local->items.items[i];
      if (item->begin <= at && at <= item->end) live += item->bytes;
    }
    if (live > peak) peak = live;
  }
  return (int64_t)peak;
}

static int64_t time_between(const Local *local, size_t begin, size_t end, bool again_only) {
  int64_t time_ns = 0;
  for (size_t at = begin; at < end; at++) {
    const ScheduleEntry *entry = &local->schedule->items[at];
    if (again_only && entry->variant != RUN_AGAIN) continue;
    time_ns += local->blocks->costs->time_ns[entry->variant][entry->op];
  }
  return time_ns;
}

static void extend_values(Local *local, const ValueIds *values, size_t end) {
  for (size_t i = 0; i < values->count; i++) {
    LocalItem *item = newest_item(local, (ValueUse){values->items[i], FORM_WHOLE});
    if (item && item->end < end) item->end = end;
  }
}

static int64_t lasting_bytes(const PlanBlocks *blocks, int block) {
  const Graph *graph = blocks->graph;
  int64_t bytes = 0;
  for (ValueId v = 0; v < graph->values.count; v++) {
    if (blocks->maker_of_value[v] == block && blocks->is_lasting[v] && !blocks->is_bound[v])
      bytes += (int64_t)bytes_of_use(blocks, (ValueUse){v, FORM_WHOLE});
  }
  return bytes;
}

typedef struct Boundary {
  int64_t input, output, gradient, gradient_below, lasting, statistics;
} Boundary;

static Boundary boundary_of(const PlanBlocks *blocks, int block) {
  const PlanBlock *b = &blocks->items[block];
  return (Boundary){
      .input = (int64_t)bytes_of_values(blocks, &b->inputs),
      .output = (int64_t)bytes_of_values(blocks, &b->outputs),
      .gradient = (int64_t)bytes_of_values(blocks, &b->gradients),
      .gradient_below = block > 0 ? (int64_t)bytes_of_values(blocks, &blocks->items[block - 1].gradients) : 0,
      .lasting = lasting_bytes(blocks, block),
      .statistics = (int64_t)bytes_of_values(blocks, &b->statistics)};
}

// Bytes of what the mode keeps, values and masks, lasting ones aside.
static int64_t saved_bytes(const PlanBlocks *blocks, int block, const SaveMode *mode) {
  int64_t bytes = (int64_t)bytes_of_values(blocks, &blocks->items[block].outputs);
  for (size_t i = 0; i < mode->kept.count; i++) {
    if (!blocks->is_lasting[mode->kept.items[i]])
      bytes += (int64_t)bytes_of_use(blocks, (ValueUse){mode->kept.items[i], FORM_WHOLE});
  }
  for (size_t i = 0; i < mode->masked.count; i++)
    bytes += (int64_t)bytes_of_use(blocks, (ValueUse){mode->masked.items[i], FORM_MASK});
  return bytes;
}

static Local follow(Arena *arena, const PlanBlocks *blocks, const Schedule *schedule, int block, bool again,
                    bool with_inputs, size_t backward_begin) {
  const PlanBlock *b = &blocks->items[block];
  Local local = {.arena = arena, .blocks = blocks, .schedule = schedule};
  for (size_t i = 0; with_inputs && i < b->inputs.count; i++)
    begin_item(&local, (ValueUse){b->inputs.items[i], FORM_WHOLE}, 0, 0);
  for (size_t i = 0; again && i < b->statistics.count; i++)
    begin_item(&local, (ValueUse){b->statistics.items[i], FORM_WHOLE}, 0, 0);
  for (size_t at = 0; at < schedule->count; at++) {
    for (size_t i = 0; at == backward_begin && i < b->gradients.count; i++)
      begin_item(&local, (ValueUse){b->gradients.items[i], FORM_WHOLE}, at, at);
    follow_run(&local, at);
  }
  return local;
}

// Peak of a forward that keeps `mode` (NULL: nothing but the output) beyond what it keeps, the input held by others or
// ending inside it. The larger of the first run's and a later one's.
static int64_t forward_transient(Arena *arena, const PlanBlocks *blocks, int block, const SaveMode *mode, bool loose) {
  Boundary boundary = boundary_of(blocks, block);
  int64_t peak = INT64_MIN;
  for (int again = 0; again < 2; again++) {
    Schedule schedule = {0};
    plan_blocks_forward(arena, blocks, block, again, mode, &schedule);
    Local local = follow(arena, blocks, &schedule, block, again, loose, SIZE_MAX);
    extend_values(&local, &blocks->items[block].outputs, schedule.count);
    extend_values(&local, &blocks->items[block].statistics, schedule.count);
    if (mode) extend_values(&local, &mode->kept, schedule.count);
    for (size_t i = 0; mode && i < mode->masked.count; i++)
      newest_item(&local, (ValueUse){mode->masked.items[i], FORM_MASK})->end = schedule.count;
    int64_t found = peak_between(&local, 0, schedule.count);
    if (found > peak) peak = found;
  }
  int64_t counted = (mode ? saved_bytes(blocks, block, mode) : boundary.output) + (loose ? boundary.input : 0);
  return peak - counted - boundary.statistics;
}

static void measure_mode(Arena *arena, const PlanBlocks *blocks, int block, SaveMode *mode) {
  const PlanBlock *b = &blocks->items[block];
  Boundary boundary = boundary_of(blocks, block);
  Schedule schedule = {0};
  plan_blocks_forward(arena, blocks, block, false, mode, &schedule);
  size_t middle = schedule.count;
  plan_blocks_backward(arena, blocks, block, mode, &schedule);
  Local local = follow(arena, blocks, &schedule, block, false, false, middle);
  extend_values(&local, &b->outputs, middle);
  if (block > 0) extend_values(&local, &blocks->items[block - 1].gradients, schedule.count);
  int64_t saved = saved_bytes(blocks, block, mode);
  int64_t loose = forward_transient(arena, blocks, block, mode, true);
  mode->costs = (ChainMode){.name = mode->name,
                            .saved_bytes = saved,
                            .forward_ns = time_between(&local, 0, middle, false),
                            .backward_ns = time_between(&local, middle, schedule.count, false),
                            .forward_transient_bytes = forward_transient(arena, blocks, block, mode, false),
                            .backward_transient_bytes = peak_between(&local, middle, schedule.count) -
                                                        (boundary.gradient + saved + boundary.gradient_below +
                                                         boundary.lasting + boundary.statistics),
                            .offload_ns = -1};
  mode->costs.loose_transient_bytes =
      loose < mode->costs.forward_transient_bytes ? loose : mode->costs.forward_transient_bytes;
  mode->recompute_ns = time_between(&local, middle, schedule.count, true);
}

static bool no_worse(const ChainMode *a, const ChainMode *b) {
  return a->saved_bytes <= b->saved_bytes && a->forward_ns <= b->forward_ns && a->backward_ns <= b->backward_ns &&
         a->saved_bytes + a->forward_transient_bytes <= b->saved_bytes + b->forward_transient_bytes &&
         a->saved_bytes + a->loose_transient_bytes <= b->saved_bytes + b->loose_transient_bytes &&
         a->saved_bytes + a->backward_transient_bytes <= b->saved_bytes + b->backward_transient_bytes;
}

static void offer_modes(Arena *arena, PlanBlock *block) {
  block->offered = arena_array(arena, int, block->mode_count);
  for (int k = 0; k < block->mode_count; k++) {
    SaveMode *mode = &block->modes[k];
    for (int other = 0; other < block->mode_count && !mode->dominated; other++) {
      const ChainMode *costs = &block->modes[other].costs;
      if (other == k || !no_worse(costs, &mode->costs)) continue;
      mode->dominated = !no_worse(&mode->costs, costs) || other < k;
    }
    if (!mode->dominated) block->offered[block->offered_count++] = k;
  }
}

void save_modes_list(Arena *arena, PlanBlocks *blocks, int block) {
  PlanBlock *b = &blocks->items[block];
  LayerGroups groups = group_layers(arena, blocks, block, true);
  // A block with few convolutions chooses among its other images as well.
  LayerGroups others = group_layers(arena, blocks, block, false);
  for (size_t i = 0; groups.count < 3 && i < others.count; i++) arena_push(arena, &groups, LayerGroup, others.items[i]);
  bool last = block + 1 == blocks->count;
  if (groups.count > MAX_GROUPS && !last) BUG("block '%s' has %zu layers to choose from", b->name, groups.count);
  b->modes = arena_array(arena, SaveMode, (1u << MAX_GROUPS) + 2);
  SaveMode *everything = &b->modes[b->mode_count++];
  everything->name = "everything";
  keep_values(arena, everything, &b->wanted);
  unsigned all = last ? 0 : (1u << groups.count) - 1;
  if (all) {
    SaveMode masks = subset_mode(arena, blocks, block, &groups, all);
    masks.name = arena_printf(arena, "%s, masks", masks.name);
    mask_signs(arena, blocks, block, &masks);
    if (masks.masked.count) b->modes[b->mode_count++] = masks;
  }
  for (unsigned subset = all + 1; !last && subset-- > 0;) {
    SaveMode mode = subset_mode(arena, blocks, block, &groups, subset);
    // Where a block wants nothing else, all its convolutions are everything.
    if (!subset || mode.kept.count < everything->kept.count) b->modes[b->mode_count++] = mode;
  }
  for (int k = 0; k < b->mode_count; k++) measure_mode(arena, blocks, block, &b->modes[k]);
  offer_modes(arena, b);
}

ChainBlock save_modes_chain_block(Arena *arena, const PlanBlocks *blocks, int block) {
  const PlanBlock *b = &blocks->items[block];
  Boundary boundary = boundary_of(blocks, block);
  Schedule forward = {0};
  plan_blocks_forward(arena, blocks, block, false, NULL, &forward);
  Local local = {.arena = arena, .blocks = blocks, .schedule = &forward};
  int64_t transient = forward_transient(arena, blocks, block, NULL, false),
          loose = forward_transient(arena, blocks, block, NULL, true);
  ChainBlock result = {.name = b->name,
                       .output_bytes = boundary.output,
                       .output_gradient_bytes = boundary.gradient,
                       .forward_only_ns = time_between(&local, 0, forward.count, false),
                       .forward_only_transient_bytes = transient,
                       .forward_only_loose_transient_bytes = loose < transient ? loose : transient,
                       .modes = arena_array(arena, ChainMode, b->offered_count),
                       .mode_count = b->offered_count,
                       .node_gather_ns = -1,
                       .statistics_bytes = boundary.statistics,
                       .kept_gradient_bytes = boundary.lasting};
  for (int k = 0; k < b->offered_count; k++) result.modes[k] = b->modes[b->offered[k]].costs;
  return result;
}

int64_t plan_block_output_bytes(const PlanBlocks *blocks, int block) {
  return (int64_t)bytes_of_values(blocks, &blocks->items[block].outputs);
}
