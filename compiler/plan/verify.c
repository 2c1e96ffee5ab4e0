// An independent check of a plan: replays the steps over the arena's bytes, remembering what each interval was last
// written with, and demands that every read finds its value whole. Lifetimes are not looked at, addresses alone are.
#include <string.h>

#include "compiler/plan/plan.h"

typedef struct Owned {
  uint64_t begin, end;
  uint32_t item;
} Owned;

typedef struct Replay {
  Arena *arena;
  const Plan *plan;
  struct {
    Owned *items;
    size_t count, capacity;
  } owned;
} Replay;

// Forgets whatever lay in begin..end: an interval that is touched at all no longer holds its value.
static void overwrite(Replay *replay, uint64_t begin, uint64_t end) {
  size_t kept = 0;
  for (size_t i = 0; i < replay->owned.count; i++) {
    const Owned *owned = &replay->owned.items[i];
    if (owned->end <= begin || owned->begin >= end) replay->owned.items[kept++] = *owned;
  }
  replay->owned.count = kept;
}

static bool holds(const Replay *replay, uint32_t item) {
  for (size_t i = 0; i < replay->owned.count; i++) {
    if (replay->owned.items[i].item == item) return true;
  }
  return !replay->plan->items[item].bytes;
}

static const char *write_item(Replay *replay, uint32_t index, uint32_t step) {
  const Plan *plan = replay->plan;
  const PlanItem *item = &plan->items[index];
  if (item->offset % PLAN_ALIGNMENT) return arena_printf(replay->arena, "step %u writes at an unaligned address", step);
  if (item->offset + item->bytes > plan->arena_bytes)
    return arena_printf(replay->arena, "step %u writes beyond the arena", step);
  overwrite(replay, item->offset, item->offset + item->bytes);
  Owned owned = {item->offset, item->offset + item->bytes, index};
  if (item->bytes) arena_push(replay->arena, &replay->owned, Owned, owned);
  return NULL;
}

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
  }
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
    if (step == plan->update_begin) error = check_outputs(&replay);
    if (!error) error = replay_step(&replay, step);
  }
  return error || plan->update_begin < plan->step_count ? error : check_outputs(&replay);
}
