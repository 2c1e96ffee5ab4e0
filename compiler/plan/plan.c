// Makes the plan: the graph's order is the schedule; lifetimes run from the making step to the last reader; results
// bound to a state are written straight into it where no later step reads the old content.
#include "compiler/plan/plan.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/place.h"

static uint64_t align_up(uint64_t bytes) { return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT; }

typedef struct Planner {
  Arena *arena;
  const Graph *graph;
  const PlanCosts *costs;
  Plan *plan;
  uint32_t *last_use;     // by ValueId: last step that reads it
  ValueId *stored_state;  // by ValueId: the state whose storage a result is written into, or VALUE_NONE
} Planner;

static bool lives_in_state(const Value *value) { return value->kind == VALUE_PARAMETER || value->kind == VALUE_STATE; }

static void schedule_steps(Planner *planner) {
  const Graph *graph = planner->graph;
  Plan *plan = planner->plan;
  plan->step_count = (uint32_t)graph->ops.count;
  plan->steps = arena_array(planner->arena, PlanStep, plan->step_count);
  plan->update_begin = plan->step_count;
  for (uint32_t step = 0; step < plan->step_count; step++) {
    const Op *op = graph_op(graph, step);
    plan->steps[step] = (PlanStep){.op = step, .time_ns = planner->costs->time_ns[step]};
    if (op->phase == PHASE_UPDATE && step < plan->update_begin) plan->update_begin = step;
    for (int i = 0; i < op->operand_count; i++) {
      planner->last_use[op->operands[i]] = step;
      if (plan->first_use[op->operands[i]] == OP_NONE) plan->first_use[op->operands[i]] = step;
    }
  }
  // The runtime reads outputs after the micro-step (or, without an update, after the last step).
  uint32_t micro_end = plan->update_begin ? plan->update_begin - 1 : 0;
  for (size_t i = 0; i < graph->outputs.count; i++) {
    ValueId value = graph->outputs.items[i].value;
    if (planner->last_use[value] < micro_end) planner->last_use[value] = micro_end;
  }
}

// Ops that a target must be able to do with a result lying on the operand of the same meaning.
static bool writes_in_place(OpKind kind) {
  return kind == OP_sgd_update || kind == OP_larc_update || kind == OP_running_update || kind == OP_accumulate ||
         kind == OP_queue_push || kind == OP_normalize_rows;
}

static bool on_operand_storage(const Planner *planner, const Op *op, ValueId state) {
  for (int i = 0; i < op->operand_count; i++) {
    if (op->operands[i] == state || planner->stored_state[op->operands[i]] == state) return true;
  }
  return false;
}

static void bind_states(Planner *planner) {
  const Graph *graph = planner->graph;
  for (size_t v = 0; v < graph->values.count; v++) planner->stored_state[v] = VALUE_NONE;
  for (ValueId state = 0; state < graph->values.count; state++) {
    const Value *value = graph_value(graph, state);
    if (!lives_in_state(value) || value->bound == VALUE_NONE) continue;
    const Value *result = graph_value(graph, value->bound);
    if (result->kind != VALUE_RESULT) BUG("state '%s' is bound to '%s', which no op makes", value->name, result->name);
    const Op *op = graph_op(graph, result->producer);
    if (planner->last_use[state] > result->producer) {
      BUG("state '%s' is read after '%s' has overwritten it", value->name, op->name);
    }
    if (on_operand_storage(planner, op, state) && !writes_in_place(op->kind)) {
      BUG("op '%s' (%s) cannot write state '%s' in place", op->name, op_kind_name(op->kind), value->name);
    }
    planner->stored_state[value->bound] = state;
  }
}

static void place_state(Planner *planner, const Plan *shared) {
  const Graph *graph = planner->graph;
  Plan *plan = planner->plan;
  for (ValueId v = 0; v < graph->values.count; v++) {
    const Value *value = graph_value(graph, v);
    if (!lives_in_state(value)) continue;
    plan->value_in_state[v] = true;
    if (shared) {
      ValueId same = graph_find_value(shared->graph, value->name);
      if (same == VALUE_NONE || !shared->value_in_state[same])
        BUG("no state '%s' in graph '%s'", value->name, shared->graph->name);
      plan->value_offsets[v] = shared->value_offsets[same];
    } else {
      plan->value_offsets[v] = plan->state_bytes;
      plan->state_bytes += align_up(planner->costs->value_bytes[v]);
    }
  }
  if (shared) plan->state_bytes = shared->state_bytes;
  for (ValueId v = 0; v < graph->values.count; v++) {
    if (planner->stored_state[v] == VALUE_NONE) continue;
    plan->value_in_state[v] = true;
    plan->value_offsets[v] = plan->value_offsets[planner->stored_state[v]];
  }
}

static PlanItemKind kind_of_phase(OpPhase phase) {
  return phase == PHASE_FORWARD ? ITEM_ACTIVATION : phase == PHASE_BACKWARD ? ITEM_GRADIENT : ITEM_UPDATE;
}

static void list_items(Planner *planner) {
  const Graph *graph = planner->graph;
  Plan *plan = planner->plan;
  plan->items = arena_array(planner->arena, PlanItem, graph->values.count + graph->ops.count);
  for (OpId step = 0; step < graph->ops.count; step++) {
    const Op *op = graph_op(graph, step);
    for (int i = 0; i < op->result_count; i++) {
      ValueId v = op->results[i];
      if (plan->value_in_state[v]) continue;
      uint32_t end = planner->last_use[v] > step ? planner->last_use[v] : step;
      plan->items[plan->item_count++] = (PlanItem){.kind = kind_of_phase(op->phase),
                                                   .value = v,
                                                   .op = step,
                                                   .bytes = align_up(planner->costs->value_bytes[v]),
                                                   .begin = step,
                                                   .end = end};
    }
    if (planner->costs->workspace_bytes[step]) {
      plan->items[plan->item_count++] = (PlanItem){.kind = ITEM_WORKSPACE,
                                                   .value = VALUE_NONE,
                                                   .op = step,
                                                   .bytes = align_up(planner->costs->workspace_bytes[step]),
                                                   .begin = step,
                                                   .end = step};
    }
  }
}

static void measure_live_bytes(Plan *plan) {
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    for (uint32_t step = item->begin; step <= item->end; step++) plan->steps[step].live_bytes += item->bytes;
  }
  for (uint32_t step = 0; step < plan->step_count; step++) {
    if (plan->steps[step].live_bytes > plan->live_peak_bytes) {
      plan->live_peak_bytes = plan->steps[step].live_bytes;
      plan->peak_step = step;
    }
  }
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    if (item->begin <= plan->peak_step && plan->peak_step <= item->end) plan->peak_by_kind[item->kind] += item->bytes;
  }
}

Plan *plan_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const Plan *state) {
  Plan *plan = arena_new(arena, Plan);
  Planner planner = {.arena = arena,
                     .graph = graph,
                     .costs = costs,
                     .plan = plan,
                     .last_use = arena_array(arena, uint32_t, graph->values.count + 1),
                     .stored_state = arena_array(arena, ValueId, graph->values.count + 1)};
  plan->graph = graph;
  plan->value_offsets = arena_array(arena, uint64_t, graph->values.count + 1);
  plan->value_in_state = arena_array(arena, bool, graph->values.count + 1);
  plan->workspace_offsets = arena_array(arena, uint64_t, graph->ops.count + 1);
  plan->first_use = arena_array(arena, OpId, graph->values.count + 1);
  memset(plan->first_use, 0xFF, graph->values.count * sizeof *plan->first_use);
  memset(plan->value_offsets, 0xFF, graph->values.count * sizeof *plan->value_offsets);
  memset(plan->workspace_offsets, 0xFF, graph->ops.count * sizeof *plan->workspace_offsets);
  schedule_steps(&planner);
  bind_states(&planner);
  place_state(&planner, state);
  list_items(&planner);
  measure_live_bytes(plan);
  plan->arena_bytes = place_items(arena, plan->items, plan->item_count, plan->live_peak_bytes, plan->peak_step);
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    if (item->value == VALUE_NONE) {
      plan->workspace_offsets[item->op] = item->offset;
    } else {
      plan->value_offsets[item->value] = item->offset;
    }
  }
  return plan;
}

void plan_print(const Plan *plan, Writer *out) {
  writer_printf(out, "plan %s: state %llu bytes, arena %llu bytes, largest live sum %llu bytes at step %u\n",
                plan->graph->name, (unsigned long long)plan->state_bytes, (unsigned long long)plan->arena_bytes,
                (unsigned long long)plan->live_peak_bytes, plan->peak_step);
  for (uint32_t step = 0; step < plan->step_count; step++) {
    const Op *op = graph_op(plan->graph, plan->steps[step].op);
    if (step == plan->update_begin) writer_text(out, "update:\n");
    writer_printf(out, "%6u %-34s %-28s live %llu", step, op->name, op_kind_name(op->kind),
                  (unsigned long long)plan->steps[step].live_bytes);
    for (int i = 0; i < op->result_count; i++) {
      ValueId v = op->results[i];
      writer_printf(out, " %%%u@%s+%llu", v, plan->value_in_state[v] ? "state" : "arena",
                    (unsigned long long)plan->value_offsets[v]);
    }
    if (plan->workspace_offsets[step] != PLAN_NO_OFFSET) {
      writer_printf(out, " workspace@arena+%llu", (unsigned long long)plan->workspace_offsets[step]);
    }
    writer_text(out, "\n");
  }
}
