// An independent check of a plan: replays the steps over the arena's bytes, remembering which value last wrote each
// interval, and demands that every read finds its value whole.
#include <string.h>

#include "compiler/plan/plan.h"

typedef struct Owned {
  uint64_t begin, end;
  ValueId value;
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

static bool holds(const Replay *replay, ValueId value) {
  for (size_t i = 0; i < replay->owned.count; i++) {
    if (replay->owned.items[i].value == value) return true;
  }
  return false;
}

static const PlanItem *item_of(const Plan *plan, ValueId value, OpId op) {
  for (uint32_t i = 0; i < plan->item_count; i++) {
    if (plan->items[i].value == value && (value != VALUE_NONE || plan->items[i].op == op)) return &plan->items[i];
  }
  return NULL;
}

static const char *write_item(Replay *replay, const PlanItem *item, const Op *op) {
  const Plan *plan = replay->plan;
  if (item->offset % PLAN_ALIGNMENT)
    return arena_printf(replay->arena, "'%s' writes at an unaligned address", op->name);
  if (item->offset + item->bytes > plan->arena_bytes)
    return arena_printf(replay->arena, "'%s' writes beyond the arena", op->name);
  overwrite(replay, item->offset, item->offset + item->bytes);
  Owned owned = {item->offset, item->offset + item->bytes, item->value};
  if (item->value != VALUE_NONE && item->bytes) arena_push(replay->arena, &replay->owned, Owned, owned);
  return NULL;
}

static const char *check_reads(const Replay *replay, const Op *op, const char *when) {
  const Graph *graph = replay->plan->graph;
  for (int i = 0; i < op->operand_count; i++) {
    ValueId v = op->operands[i];
    if (graph_value(graph, v)->kind != VALUE_RESULT || replay->plan->value_in_state[v]) continue;
    if (!holds(replay, v)) {
      return arena_printf(replay->arena, "'%s' (%s) reads %%%u %s its results are written, but its bytes are gone",
                          op->name, op_kind_name(op->kind), v, when);
    }
  }
  return NULL;
}

const char *plan_verify(const Plan *plan, Arena *arena) {
  Replay replay = {.arena = arena, .plan = plan};
  if (plan->arena_bytes < plan->live_peak_bytes) return "the arena is smaller than the largest live sum";
  for (uint32_t step = 0; step < plan->step_count; step++) {
    const Op *op = graph_op(plan->graph, plan->steps[step].op);
    const char *error = check_reads(&replay, op, "before");
    for (int i = 0; !error && i < op->result_count; i++) {
      if (plan->value_in_state[op->results[i]]) continue;
      const PlanItem *item = item_of(plan, op->results[i], step);
      error = item ? write_item(&replay, item, op) : arena_printf(arena, "'%s' has a result without a place", op->name);
    }
    const PlanItem *workspace = error ? NULL : item_of(plan, VALUE_NONE, step);
    if (workspace) error = write_item(&replay, workspace, op);
    // Results and scratch must not have landed on operands, nor scratch on results.
    if (!error) error = check_reads(&replay, op, "while");
    for (int i = 0; !error && i < op->result_count; i++) {
      ValueId v = op->results[i];
      if (!plan->value_in_state[v] && !holds(&replay, v) && item_of(plan, v, step)->bytes) {
        error = arena_printf(arena, "results of '%s' overlap", op->name);
      }
    }
    if (error) return error;
  }
  for (size_t i = 0; i < plan->graph->outputs.count; i++) {
    ValueId v = plan->graph->outputs.items[i].value;
    if (plan->value_offsets[v] == PLAN_NO_OFFSET)
      return arena_printf(arena, "output '%s' has no place", plan->graph->outputs.items[i].name);
  }
  return NULL;
}
