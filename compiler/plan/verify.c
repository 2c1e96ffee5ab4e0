// An independent check of a plan: replays the steps over the arena's bytes, remembering what each interval was last
// written with, and demands that every read finds its value whole; and so over the host's bytes, for what is offloaded.
// Lifetimes are not looked at, addresses alone are.
#include <string.h>

#include "compiler/plan/plan.h"

typedef struct Owned {
  uint64_t begin, end;
  uint32_t item;
} Owned;

typedef struct OwnedBytes {
  Owned *items;
  size_t count, capacity;
} OwnedBytes;

// A copy to the host or back that goes on until its operation ends.
typedef struct Copying {
  bool fetches;
  uint32_t item, source;  // of a fetch: the item whose copy it reads
} Copying;

typedef struct Replay {
  Arena *arena;
  const Plan *plan;
  OwnedBytes owned, on_host;
  struct {
    Copying *items;
    size_t count, capacity;
  } copying;
} Replay;

// Forgets whatever lay in begin..end: an interval that is touched at all no longer holds its value.
static void overwrite(OwnedBytes *bytes, uint64_t begin, uint64_t end) {
  size_t kept = 0;
  for (size_t i = 0; i < bytes->count; i++) {
    const Owned *owned = &bytes->items[i];
    if (owned->end <= begin || owned->begin >= end) bytes->items[kept++] = *owned;
  }
  bytes->count = kept;
}

static bool has_item(const OwnedBytes *bytes, uint32_t item) {
  for (size_t i = 0; i < bytes->count; i++) {
    if (bytes->items[i].item == item) return true;
  }
  return false;
}

static bool holds(const Replay *replay, uint32_t item) {
  return has_item(&replay->owned, item) || !replay->plan->items[item].bytes;
}

static const char *write_item(Replay *replay, uint32_t index, uint32_t step) {
  const Plan *plan = replay->plan;
  const PlanItem *item = &plan->items[index];
  if (item->offset % PLAN_ALIGNMENT) return arena_printf(replay->arena, "step %u writes at an unaligned address", step);
  if (item->offset + item->bytes > plan->arena_bytes)
    return arena_printf(replay->arena, "step %u writes beyond the arena", step);
  overwrite(&replay->owned, item->offset, item->offset + item->bytes);
  Owned owned = {item->offset, item->offset + item->bytes, index};
  if (item->bytes) arena_push(replay->arena, &replay->owned, Owned, owned);
  return NULL;
}

// ---- the host's memory ----

static const char *offload_item(Replay *replay, uint32_t index, uint32_t step) {
  const PlanItem *item = &replay->plan->items[index];
  if (item->host_offset == PLAN_NO_OFFSET || item->host_offset % PLAN_ALIGNMENT ||
      item->host_offset + item->bytes > replay->plan->host_bytes)
    return arena_printf(replay->arena, "step %u offloads to where the host has no room", step);
  Owned copy = {item->host_offset, item->host_offset + item->bytes, index};
  overwrite(&replay->on_host, copy.begin, copy.end);
  arena_push(replay->arena, &replay->on_host, Owned, copy);
  return NULL;
}

// The item whose copy lies, whole and landed, where `index` is fetched from; or PLAN_NO_ITEM.
static uint32_t find_copy(const Replay *replay, uint32_t index) {
  const PlanItem *wanted = &replay->plan->items[index];
  for (size_t i = 0; i < replay->on_host.count; i++) {
    const Owned *copy = &replay->on_host.items[i];
    const PlanItem *item = &replay->plan->items[copy->item];
    bool same = item->value == wanted->value && item->form == wanted->form && item->bytes == wanted->bytes;
    for (size_t c = 0; same && c < replay->copying.count; c++) same = replay->copying.items[c].item != copy->item;
    if (same && copy->begin == wanted->host_offset) return copy->item;
  }
  return PLAN_NO_ITEM;
}

static const char *begin_copies(Replay *replay, uint32_t number) {
  const Plan *plan = replay->plan;
  const PlanStep *step = &plan->steps[number];
  for (uint32_t i = 0; i < step->use_count; i++) {
    Copying copying = {step->kind == STEP_FETCH, plan->uses[step->use_begin + i].item, PLAN_NO_ITEM};
    if (!plan->items[copying.item].bytes) continue;
    if (copying.fetches) {
      copying.source = find_copy(replay, copying.item);
      if (copying.source == PLAN_NO_ITEM)
        return arena_printf(replay->arena, "step %u fetches what is not on the host", number);
    } else {
      const char *error = offload_item(replay, copying.item, number);
      if (error) return error;
    }
    arena_push(replay->arena, &replay->copying, Copying, copying);
  }
  return NULL;
}

// Both ends of a copy must have stayed what they were.
static const char *end_copies(Replay *replay, uint32_t number) {
  for (size_t i = 0; i < replay->copying.count; i++) {
    const Copying *copying = &replay->copying.items[i];
    uint32_t on_host = copying->fetches ? copying->source : copying->item;
    if (!holds(replay, copying->item) || !has_item(&replay->on_host, on_host))
      return arena_printf(replay->arena, "a copy that ends before step %u was overwritten on its way", number);
  }
  replay->copying.count = 0;
  return NULL;
}

static bool is_coming(const Replay *replay, uint32_t item) {
  for (size_t i = 0; i < replay->copying.count; i++) {
    if (replay->copying.items[i].fetches && replay->copying.items[i].item == item) return true;
  }
  return false;
}

// ---- steps ----

// What the step's op reads by the graph's own word must lie where the plan says.
static const char *check_reads(const Replay *replay, uint32_t number, const char *when) {
  const Plan *plan = replay->plan;
  const PlanStep *step = &plan->steps[number];
  ValueUses reads = run_reads(plan->graph, step->op, step->variant);
  for (int i = 0; i < reads.count; i++) {
    ValueUse read = reads.items[i];
    if (graph_value(plan->graph, read.value)->kind != VALUE_RESULT || plan->value_in_state[read.value]) continue;
    uint32_t item = plan_find_use(plan, number, read.value, read.form);
    if (item == PLAN_NO_ITEM) return arena_printf(replay->arena, "step %u reads %%%u from nowhere", number, read.value);
    if (!holds(replay, item)) {
      const Op *op = graph_op(plan->graph, step->op);
      return arena_printf(replay->arena, "'%s' (%s) reads %%%u %s its results are written, but its bytes are gone",
                          op->name, op_kind_name(op->kind), read.value, when);
    }
  }
  return NULL;
}

static const char *check_results(const Replay *replay, uint32_t number) {
  const Plan *plan = replay->plan;
  const PlanStep *step = &plan->steps[number];
  ValueUses writes = run_writes(plan->graph, step->op, step->variant);
  for (int i = 0; i < writes.count; i++) {
    if (plan->value_in_state[writes.items[i].value]) continue;
    uint32_t item = plan_find_use(plan, number, writes.items[i].value, writes.items[i].form);
    const Op *op = graph_op(plan->graph, step->op);
    if (item == PLAN_NO_ITEM) return arena_printf(replay->arena, "'%s' has a result without a place", op->name);
    if (!holds(replay, item)) return arena_printf(replay->arena, "results of '%s' overlap", op->name);
  }
  return NULL;
}

static const char *replay_step(Replay *replay, uint32_t number) {
  const Plan *plan = replay->plan;
  const PlanStep *step = &plan->steps[number];
  const char *error = step->kind == STEP_RUN ? check_reads(replay, number, "before") : NULL;
  for (uint32_t i = 0; !error && i < step->use_count; i++) {
    const PlanUse *use = &plan->uses[step->use_begin + i];
    if (use->written) error = write_item(replay, use->item, number);
    if (!use->written && !holds(replay, use->item))
      error = arena_printf(replay->arena, "step %u reads what is gone", number);
    if (!error && is_coming(replay, use->item))
      error = arena_printf(replay->arena, "step %u uses what is on its way from the host", number);
  }
  if (!error && (step->kind == STEP_OFFLOAD || step->kind == STEP_FETCH)) error = begin_copies(replay, number);
  if (!error && step->workspace != PLAN_NO_ITEM) error = write_item(replay, step->workspace, number);
  if (error || step->kind != STEP_RUN) return error;
  // Results and scratch must not have landed on operands, nor scratch on results.
  error = check_reads(replay, number, "while");
  return error ? error : check_results(replay, number);
}

static bool holds_value(const Replay *replay, ValueId value) {
  for (size_t i = 0; i < replay->owned.count; i++) {
    const PlanItem *item = &replay->plan->items[replay->owned.items[i].item];
    if (item->value == value && item->form == FORM_WHOLE) return true;
  }
  return replay->plan->value_in_state[value];
}

// The runtime reads the outputs when the micro-step is done.
static const char *check_outputs(const Replay *replay) {
  const Graph *graph = replay->plan->graph;
  for (size_t i = 0; i < graph->outputs.count; i++) {
    if (!holds_value(replay, graph->outputs.items[i].value))
      return arena_printf(replay->arena, "output '%s' is gone when it is read", graph->outputs.items[i].name);
  }
  return NULL;
}

const char *plan_verify(const Plan *plan, Arena *arena) {
  Replay replay = {.arena = arena, .plan = plan};
  if (plan->arena_bytes < plan->live_peak_bytes) return "the arena is smaller than the largest live sum";
  const char *error = NULL;
  for (uint32_t step = 0; !error && step < plan->step_count; step++) {
    bool begins = step && plan->steps[step].operation != plan->steps[step - 1].operation;
    if (begins) error = end_copies(&replay, step);
    if (!error && step == plan->update_begin) error = check_outputs(&replay);
    if (!error) error = replay_step(&replay, step);
  }
  return error || plan->update_begin < plan->step_count ? error : check_outputs(&replay);
}
