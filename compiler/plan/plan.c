// Makes the plan from a schedule: lifetimes run from the making step to the last reader before the value is made anew;
// results bound to a state are written straight into it where no later step reads the old content.
#include "compiler/plan/plan.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/place.h"

const char *const plan_item_kind_names[ITEM_KIND_COUNT] = {"activations", "gradients", "gathered", "update",
                                                           "workspace"};

uint64_t plan_align(uint64_t bytes) { return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT; }

// A value that waits in the host's memory: the item it is copied from, and the one that it comes back to.
typedef struct HostCopy {
  uint32_t offloaded, fetched;  // fetched: PLAN_NO_ITEM until it is
  uint32_t begin, end;          // in the host's memory in steps begin..end, both included
} HostCopy;

typedef struct Planner {
  Arena *arena;
  const Graph *graph;
  const PlanCosts *costs;
  const Schedule *schedule;
  const PlanUnits *units;  // NULL: everything is whole
  Plan *plan;
  uint32_t *last_read;      // by ValueId: last step that reads what is no result
  uint32_t *maker;          // by ValueId: the step that made it last, UINT32_MAX: none
  ValueId *stored_state;    // by ValueId: the state whose storage a result is written into, or VALUE_NONE
  uint32_t *current;        // by ValueId and form: the item that holds it now
  uint32_t *gathered;       // by block: the item with its parameters, or PLAN_NO_ITEM
  uint32_t *last_forward;   // by block: the step that ran it forward last
  uint32_t *flat_gradient;  // by block: the item with its gradient on the way to the ranks
  uint32_t *window_end;     // by step: the last step of its chain operation
  struct {
    PlanItem *items;
    size_t count, capacity;
  } items;
  struct {
    PlanUse *items;
    size_t count, capacity;
  } uses;
  struct {
    HostCopy *items;
    size_t count, capacity;
  } copies;
} Planner;

static bool lives_in_state(const Value *value) { return value->kind == VALUE_PARAMETER || value->kind == VALUE_STATE; }

static int64_t sync_time(const PlanCosts *costs, const ScheduleEntry *entry) {
  bool alone = entry->variant == RUN_AGAIN || entry->variant == RUN_MASK;
  return costs->sync_ns && !alone ? costs->sync_ns[entry->op] : 0;
}

static void list_steps(Planner *planner) {
  const Graph *graph = planner->graph;
  Plan *plan = planner->plan;
  plan->step_count = (uint32_t)planner->schedule->count;
  plan->steps = arena_array(planner->arena, PlanStep, plan->step_count + 1);
  plan->update_begin = plan->step_count;
  planner->window_end = arena_array(planner->arena, uint32_t, plan->step_count + 1);
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const ScheduleEntry *entry = &planner->schedule->items[i];
    plan->steps[i] = (PlanStep){
        .kind = entry->kind,
        .op = entry->op,
        .variant = entry->variant,
        .pass = entry->pass,
        .block = entry->block,
        .operation = entry->operation,
        .node_share = entry->node_share,
        .time_ns = entry->kind == STEP_RUN ? planner->costs->time_ns[entry->variant][entry->op] : entry->time_ns,
        .sync_ns = entry->kind == STEP_RUN ? sync_time(planner->costs, entry) : 0,
        .workspace = PLAN_NO_ITEM};
    if (entry->pass == PASS_UPDATE && i < plan->update_begin) plan->update_begin = i;
    if (entry->kind != STEP_RUN) continue;
    const Op *op = graph_op(graph, entry->op);
    for (int j = 0; j < op->operand_count; j++) {
      planner->last_read[op->operands[j]] = i;
      if (plan->first_use[op->operands[j]] == OP_NONE) plan->first_use[op->operands[j]] = entry->op;
    }
    ValueUses writes = run_writes(graph, entry->op, entry->variant);
    for (int j = 0; j < writes.count; j++) {
      if (writes.items[j].form == FORM_WHOLE) planner->maker[writes.items[j].value] = i;
    }
  }
  for (uint32_t i = plan->step_count; i-- > 0;) {
    bool same = i + 1 < plan->step_count && plan->steps[i].operation >= 0 &&
                plan->steps[i].operation == plan->steps[i + 1].operation;
    planner->window_end[i] = same ? planner->window_end[i + 1] : i;
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
    if (planner->last_read[state] > planner->maker[value->bound]) {
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
      plan->state_bytes += plan_align(planner->costs->value_bytes[v]);
    }
  }
  if (shared) plan->state_bytes = shared->state_bytes;
  for (ValueId v = 0; v < graph->values.count; v++) {
    if (planner->stored_state[v] == VALUE_NONE) continue;
    plan->value_in_state[v] = true;
    plan->value_offsets[v] = plan->value_offsets[planner->stored_state[v]];
  }
}

// ---- items ----

static uint32_t add_item(Planner *planner, PlanItem item) {
  item.host_offset = PLAN_NO_OFFSET;
  arena_push(planner->arena, &planner->items, PlanItem, item);
  return (uint32_t)planner->items.count - 1;
}

static void add_use(Planner *planner, uint32_t step, uint32_t item, bool written) {
  PlanUse use = {item, written};
  arena_push(planner->arena, &planner->uses, PlanUse, use);
  planner->plan->steps[step].use_count++;
  if (planner->items.items[item].end < step) planner->items.items[item].end = step;
}

static PlanItemKind kind_of_phase(OpPhase phase) {
  return phase == PHASE_FORWARD ? ITEM_ACTIVATION : phase == PHASE_BACKWARD ? ITEM_GRADIENT : ITEM_UPDATE;
}

static void read_value(Planner *planner, uint32_t step, ValueUse use) {
  if (graph_value(planner->graph, use.value)->kind != VALUE_RESULT || planner->plan->value_in_state[use.value]) return;
  uint32_t item = planner->current[use.value * FORM_COUNT + use.form];
  if (item == PLAN_NO_ITEM) BUG("step %u reads value %u, which is not in memory", step, use.value);
  add_use(planner, step, item, false);
}

static void write_value(Planner *planner, uint32_t step, ValueUse use) {
  const PlanCosts *costs = planner->costs;
  if (planner->plan->value_in_state[use.value]) return;
  const Op *op = graph_op(planner->graph, graph_value(planner->graph, use.value)->producer);
  uint64_t bytes = use.form == FORM_MASK ? costs->mask_bytes[use.value] : costs->value_bytes[use.value];
  uint32_t item = add_item(planner, (PlanItem){.kind = kind_of_phase(op->phase),
                                               .value = use.value,
                                               .form = use.form,
                                               .block = planner->plan->steps[step].block,
                                               .bytes = plan_align(bytes),
                                               .begin = step,
                                               .end = step});
  planner->current[use.value * FORM_COUNT + use.form] = item;
  add_use(planner, step, item, true);
}

static uint32_t add_buffer(Planner *planner, uint32_t step, uint32_t end, int block, uint64_t bytes) {
  return add_item(planner, (PlanItem){.kind = ITEM_GATHERED,
                                      .value = VALUE_NONE,
                                      .block = block,
                                      .bytes = plan_align(bytes),
                                      .begin = step,
                                      .end = end});
}

// Every run of a block reads its gathered parameters; each backward may write into its gradients.
static void use_unit(Planner *planner, uint32_t step, const ScheduleEntry *entry) {
  const PlanUnit *unit = &planner->units->items[entry->block];
  if (unit->parameter_bytes) {
    if (planner->gathered[entry->block] == PLAN_NO_ITEM)
      BUG("step %u runs block %d without its parameters", step, entry->block);
    add_use(planner, step, planner->gathered[entry->block], false);
    if (entry->pass != PASS_BACKWARD) planner->last_forward[entry->block] = step;
  }
  if (entry->pass != PASS_BACKWARD || !unit->gradient_bytes) return;
  if (planner->flat_gradient[entry->block] == PLAN_NO_ITEM)
    planner->flat_gradient[entry->block] = add_buffer(planner, step, step, entry->block, unit->gradient_bytes);
  add_use(planner, step, planner->flat_gradient[entry->block], true);
}

static void use_norms(Planner *planner, uint32_t step) {
  bool written = planner->schedule->items[step].variant == RUN_NORMS;
  uint64_t bytes = plan_norms_bytes(planner->graph) * (1 + (uint64_t)planner->units->shards->count);
  if (planner->plan->norms == PLAN_NO_ITEM)
    planner->plan->norms = add_item(
        planner,
        (PlanItem){.kind = ITEM_UPDATE, .value = VALUE_NONE, .block = -1, .bytes = bytes, .begin = step, .end = step});
  add_use(planner, step, planner->plan->norms, written);
}

static void run_op(Planner *planner, uint32_t step, const ScheduleEntry *entry) {
  ValueUses reads = run_reads(planner->graph, entry->op, entry->variant);
  for (int i = 0; i < reads.count; i++) read_value(planner, step, reads.items[i]);
  ValueUses writes = run_writes(planner->graph, entry->op, entry->variant);
  for (int i = 0; i < writes.count; i++) write_value(planner, step, writes.items[i]);
  uint64_t scratch = planner->costs->workspace_bytes[entry->variant][entry->op];
  if (scratch) {
    planner->plan->steps[step].workspace = add_item(planner, (PlanItem){.kind = ITEM_WORKSPACE,
                                                                        .value = VALUE_NONE,
                                                                        .block = entry->block,
                                                                        .bytes = plan_align(scratch),
                                                                        .begin = step,
                                                                        .end = step});
  }
  if (planner->units && entry->block >= 0) use_unit(planner, step, entry);
  if (planner->units && run_needs_norms(graph_op(planner->graph, entry->op)->kind)) use_norms(planner, step);
}

// The copy is in flight until its operation ends, and takes both its places so long.
static void offload_value(Planner *planner, uint32_t step, ValueUse use) {
  read_value(planner, step, use);
  HostCopy copy = {planner->current[use.value * FORM_COUNT + use.form], PLAN_NO_ITEM, step, planner->window_end[step]};
  if (copy.offloaded == PLAN_NO_ITEM) BUG("step %u offloads value %u, which is not in the arena", step, use.value);
  PlanItem *item = &planner->items.items[copy.offloaded];
  if (item->end < copy.end) item->end = copy.end;
  arena_push(planner->arena, &planner->copies, HostCopy, copy);
}

static void fetch_value(Planner *planner, uint32_t step, ValueUse use) {
  write_value(planner, step, use);
  for (size_t i = planner->copies.count; i-- > 0;) {
    HostCopy *copy = &planner->copies.items[i];
    const PlanItem *item = &planner->items.items[copy->offloaded];
    if (item->value != use.value || item->form != use.form) continue;
    copy->fetched = planner->current[use.value * FORM_COUNT + use.form];
    copy->end = planner->window_end[step];
    return;
  }
  BUG("step %u fetches value %u, which was not offloaded", step, use.value);
}

static void move_values(Planner *planner, uint32_t step, const ScheduleEntry *entry) {
  for (int i = 0; i < entry->moved_count; i++) {
    if (entry->kind == STEP_FETCH)
      fetch_value(planner, step, entry->moved[i]);
    else
      offload_value(planner, step, entry->moved[i]);
  }
}

// Between a save and the operation in front of its backward the node's share of the parameters stays.
static void add_share(Planner *planner, uint32_t step, const ScheduleEntry *entry) {
  uint32_t begin = planner->window_end[planner->last_forward[entry->block]] + 1;
  add_buffer(planner, begin, planner->window_end[step], entry->block,
             planner->units->items[entry->block].node_share_bytes);
}

static void take_step(Planner *planner, uint32_t step) {
  const ScheduleEntry *entry = &planner->schedule->items[step];
  planner->plan->steps[step].use_begin = (uint32_t)planner->uses.count;
  switch (entry->kind) {
    case STEP_RUN: run_op(planner, step, entry); break;
    case STEP_GATHER:
      if (entry->pass == PASS_UPDATE) break;  // from part to part of the state
      if (entry->node_share) add_share(planner, step, entry);
      planner->gathered[entry->block] = add_buffer(planner, step, planner->window_end[step], entry->block,
                                                   planner->units->items[entry->block].parameter_bytes);
      add_use(planner, step, planner->gathered[entry->block], true);
      break;
    case STEP_REDUCE: {
      // In flight until the operation behind the backward ends.
      PlanItem *item = &planner->items.items[planner->flat_gradient[entry->block]];
      item->end = planner->window_end[step];
      add_use(planner, step, planner->flat_gradient[entry->block], false);
      break;
    }
    case STEP_OFFLOAD:
    case STEP_FETCH: move_values(planner, step, entry); break;
    case STEP_NORMS: add_use(planner, step, planner->plan->norms, true); break;
  }
}

// A fetched value is written during a whole operation, and a gather lands during one: both are live to its end anyway,
// since the operation behind it reads them.
static void list_items(Planner *planner) {
  Plan *plan = planner->plan;
  size_t slots = planner->graph->values.count * FORM_COUNT;
  planner->current = arena_array(planner->arena, uint32_t, slots + 1);
  memset(planner->current, 0xFF, slots * sizeof *planner->current);
  for (uint32_t step = 0; step < plan->step_count; step++) take_step(planner, step);
  // The runtime reads outputs after the micro-step (or, without an update, after the last step).
  uint32_t micro_end = plan->update_begin ? plan->update_begin - 1 : 0;
  for (size_t i = 0; i < planner->graph->outputs.count; i++) {
    uint32_t item = planner->current[planner->graph->outputs.items[i].value * FORM_COUNT];
    if (item != PLAN_NO_ITEM && planner->items.items[item].end < micro_end) planner->items.items[item].end = micro_end;
  }
  plan->items = planner->items.items;
  plan->item_count = (uint32_t)planner->items.count;
  plan->uses = planner->uses.items;
}

static void measure_live_bytes(Planner *planner) {
  Plan *plan = planner->plan;
  int64_t *change = arena_array(planner->arena, int64_t, plan->step_count + 1);
  for (uint32_t i = 0; i < plan->item_count; i++) {
    change[plan->items[i].begin] += (int64_t)plan->items[i].bytes;
    change[plan->items[i].end + 1] -= (int64_t)plan->items[i].bytes;
  }
  int64_t live = 0;
  for (uint32_t step = 0; step < plan->step_count; step++) {
    live += change[step];
    plan->steps[step].live_bytes = (uint64_t)live;
    if (plan->steps[step].live_bytes <= plan->live_peak_bytes) continue;
    plan->live_peak_bytes = plan->steps[step].live_bytes;
    plan->peak_step = step;
  }
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    if (item->begin <= plan->peak_step && plan->peak_step <= item->end) plan->peak_by_kind[item->kind] += item->bytes;
  }
}

static void *filled(Arena *arena, size_t count, size_t size) {
  void *memory = arena_alloc(arena, (count + 1) * size);
  memset(memory, 0xFF, count * size);
  return memory;
}

static Planner planner_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const Schedule *schedule,
                            int block_count) {
  size_t values = graph->values.count, blocks = (size_t)block_count;
  Planner planner = {.arena = arena,
                     .graph = graph,
                     .costs = costs,
                     .schedule = schedule,
                     .plan = arena_new(arena, Plan),
                     .last_read = arena_array(arena, uint32_t, values + 1),
                     .maker = filled(arena, values, sizeof(uint32_t)),
                     .stored_state = arena_array(arena, ValueId, values + 1),
                     .gathered = filled(arena, blocks, sizeof(uint32_t)),
                     .last_forward = arena_array(arena, uint32_t, blocks + 1),
                     .flat_gradient = filled(arena, blocks, sizeof(uint32_t))};
  planner.plan->graph = graph;
  planner.plan->norms = PLAN_NO_ITEM;
  planner.plan->value_offsets = filled(arena, values, sizeof(uint64_t));
  planner.plan->value_in_state = arena_array(arena, bool, values + 1);
  planner.plan->first_use = filled(arena, values, sizeof(OpId));
  return planner;
}

const Plan *plan_place_state(Arena *arena, const Graph *graph, const PlanCosts *costs, const Schedule *schedule) {
  Planner planner = planner_make(arena, graph, costs, schedule, 0);
  list_steps(&planner);
  bind_states(&planner);
  place_state(&planner, NULL);
  return planner.plan;
}

static void place_items(Arena *arena, Plan *plan, PlaceEffort effort) {
  PlaceBuffer *buffers = arena_array(arena, PlaceBuffer, plan->item_count + 1);
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    buffers[i] = (PlaceBuffer){.bytes = item->bytes, .begin = item->begin, .end = item->end};
  }
  plan->arena_bytes = place_buffers(arena, buffers, plan->item_count, PLAN_ALIGNMENT, effort);
  for (uint32_t i = 0; i < plan->item_count; i++) {
    PlanItem *item = &plan->items[i];
    item->offset = buffers[i].offset;
    if (item->value != VALUE_NONE && item->form == FORM_WHOLE) plan->value_offsets[item->value] = item->offset;
  }
}

static void place_on_host(Planner *planner) {
  Plan *plan = planner->plan;
  uint32_t count = (uint32_t)planner->copies.count;
  PlaceBuffer *buffers = arena_array(planner->arena, PlaceBuffer, count + 1);
  for (uint32_t i = 0; i < count; i++) {
    const HostCopy *copy = &planner->copies.items[i];
    buffers[i] = (PlaceBuffer){.bytes = plan->items[copy->offloaded].bytes, .begin = copy->begin, .end = copy->end};
  }
  plan->host_bytes = count ? place_buffers(planner->arena, buffers, count, PLAN_ALIGNMENT, PLACE_USUAL) : 0;
  for (uint32_t i = 0; i < count; i++) {
    const HostCopy *copy = &planner->copies.items[i];
    plan->items[copy->offloaded].host_offset = buffers[i].offset;
    if (copy->fetched != PLAN_NO_ITEM) plan->items[copy->fetched].host_offset = buffers[i].offset;
  }
}

Plan *plan_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const Schedule *schedule, const Plan *state,
                const PlanUnits *units) {
  Planner planner = planner_make(arena, graph, costs, schedule, units ? units->count : 0);
  Plan *plan = planner.plan;
  planner.units = plan->units = units;
  list_steps(&planner);
  bind_states(&planner);
  place_state(&planner, state);
  list_items(&planner);
  measure_live_bytes(&planner);
  place_items(arena, plan, PLACE_USUAL);
  place_on_host(&planner);
  return plan;
}

void plan_place_thoroughly(Plan *plan, Arena *arena) { place_items(arena, plan, PLACE_THOROUGH); }

uint32_t plan_find_use(const Plan *plan, uint32_t step, ValueId value, ValueForm form) {
  const PlanStep *s = &plan->steps[step];
  // The newest: a step that reads and writes a value means what it writes.
  for (uint32_t i = s->use_count; i-- > 0;) {
    const PlanItem *item = &plan->items[plan->uses[s->use_begin + i].item];
    if (item->value == value && item->form == form) return plan->uses[s->use_begin + i].item;
  }
  return PLAN_NO_ITEM;
}

uint32_t plan_find_unit(const Plan *plan, uint32_t step, bool written) {
  const PlanStep *s = &plan->steps[step];
  for (uint32_t i = 0; i < s->use_count; i++) {
    const PlanUse *use = &plan->uses[s->use_begin + i];
    if (plan->items[use->item].kind == ITEM_GATHERED && use->written == written) return use->item;
  }
  return PLAN_NO_ITEM;
}

uint64_t plan_norms_bytes(const Graph *graph) {
  uint64_t count = 0;
  for (OpId op = 0; op < graph->ops.count; op++) count += run_needs_norms(graph_op(graph, op)->kind);
  return plan_align(count * 2 * sizeof(double));
}

static void print_step(const Plan *plan, uint32_t number, Writer *out) {
  const PlanStep *step = &plan->steps[number];
  if (step->kind == STEP_RUN) {
    const Op *op = graph_op(plan->graph, step->op);
    writer_printf(out, "%6u %-9s %-34s %-28s live %llu", number, step_pass_name(step->pass), op->name,
                  op_kind_name(op->kind), (unsigned long long)step->live_bytes);
    if (step->variant != RUN_FIRST) writer_printf(out, " %s", run_variant_name(step->variant));
  } else {
    writer_printf(out, "%6u %-9s block %d live %llu", number, step_kind_name(step->kind), step->block,
                  (unsigned long long)step->live_bytes);
  }
  for (uint32_t i = 0; i < step->use_count; i++) {
    const PlanUse *use = &plan->uses[step->use_begin + i];
    const PlanItem *item = &plan->items[use->item];
    bool copied = step->kind == STEP_OFFLOAD || step->kind == STEP_FETCH;
    if (use->written || copied) writer_printf(out, " #%u@%llu", use->item, (unsigned long long)item->offset);
    if (copied) writer_printf(out, " host@%llu", (unsigned long long)item->host_offset);
  }
  if (step->workspace != PLAN_NO_ITEM)
    writer_printf(out, " workspace@%llu", (unsigned long long)plan->items[step->workspace].offset);
  writer_text(out, "\n");
}

void plan_print(const Plan *plan, Writer *out) {
  writer_printf(out, "plan %s: state %llu bytes, arena %llu bytes, largest live sum %llu bytes at step %u\n",
                plan->graph->name, (unsigned long long)plan->state_bytes, (unsigned long long)plan->arena_bytes,
                (unsigned long long)plan->live_peak_bytes, plan->peak_step);
  if (plan->host_bytes) writer_printf(out, "on the host %llu bytes\n", (unsigned long long)plan->host_bytes);
  for (uint32_t step = 0; step < plan->step_count; step++) {
    if (step == plan->update_begin) writer_text(out, "update:\n");
    print_step(plan, step, out);
  }
}
