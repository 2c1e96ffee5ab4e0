// The planner on random graphs, with values that wait in the host's memory: the replay accepts every plan made and
// rejects every plan damaged.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compiler/plan/plan.h"

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((random_state >> 33) % limit);
}

static ValueId add(Graph *graph, ValueId a, ValueId b, OpPhase phase) {
  return graph_add_op1(graph, (Op){.kind = OP_add,
                                   .phase = phase,
                                   .operand_count = 2,
                                   .operands = {a, b},
                                   .name = "add",
                                   .block = 0,
                                   .size_group = -1});
}

// A random graph of additions with one parameter updated at the end.
static Graph *random_graph(Arena *arena) {
  Graph *graph = graph_make(arena, "random");
  graph->block_names = arena_array(arena, const char *, 1);
  graph->block_names[0] = "only";
  graph->block_count = 1;
  Shape shape = {2, {4, 1 + random_below(60)}};
  ValueId parameter = graph_add_parameter(graph, "w", shape, INIT_ZERO, 0, (SourceSpan){0});
  ValueId velocity = graph_add_state(graph, "w.velocity", DATA_F32, shape, INIT_ZERO, 0);
  ValueId rate = graph_add_scalar(graph, "learning_rate");
  ValueId made[60] = {parameter};
  int count = 1;
  for (int i = 0, ops = 3 + (int)random_below(50); i < ops; i++) {
    made[count] = add(graph, made[random_below((uint32_t)count)], made[random_below((uint32_t)count)],
                      i < ops / 2 ? PHASE_FORWARD : PHASE_BACKWARD);
    count++;
  }
  graph_add_output(graph, "loss", made[1]);
  OpId update = graph_add_op(graph, (Op){.kind = OP_sgd_update,
                                         .phase = PHASE_UPDATE,
                                         .operand_count = 4,
                                         .operands = {parameter, made[count - 1], velocity, rate},
                                         .name = "update",
                                         .block = -1,
                                         .size_group = -1});
  graph_bind(graph, parameter, graph_op(graph, update)->results[0]);
  graph_bind(graph, velocity, graph_op(graph, update)->results[1]);
  return graph;
}

// Operations of a few runs each.
enum { OPERATION_RUNS = 3, MAX_OPERATIONS = 32 };

typedef struct Moves {
  ValueUse items[64];
  int count;
} Moves;

// The operation in which `value`, made in operation `made`, can be fetched: the one before it is read again, after it
// has lain idle; or -1.
static int find_idle_end(const Schedule *runs, const Graph *graph, ValueId value, int made) {
  for (size_t i = 0; i < runs->count; i++) {
    const ScheduleEntry *run = &runs->items[i];
    const Op *op = graph_op(graph, run->op);
    if (op->phase == PHASE_UPDATE || run->operation <= made + 1) continue;
    for (int o = 0; o < op->operand_count; o++) {
      if (op->operands[o] == value) return run->operation >= made + 3 ? run->operation - 1 : -1;
    }
  }
  return -1;
}

static void add_copy(Arena *arena, Schedule *schedule, StepKind kind, int operation, const Moves *moves) {
  ScheduleEntry entry = {.kind = kind,
                         .op = OP_NONE,
                         .block = -1,
                         .operation = operation,
                         .moved = moves->items,
                         .moved_count = moves->count};
  if (moves->count) arena_push(arena, schedule, ScheduleEntry, entry);
}

// In graph's order, with copies to the host and back in front of operations.
static Schedule schedule_with_copies(Arena *arena, const Graph *graph) {
  Schedule runs = schedule_in_graph_order(arena, graph), schedule = {0};
  Moves *offloads = arena_array(arena, Moves, MAX_OPERATIONS), *fetches = arena_array(arena, Moves, MAX_OPERATIONS);
  for (size_t i = 0; i < runs.count; i++) {
    if (runs.items[i].pass != PASS_UPDATE) runs.items[i].operation = (int)i / OPERATION_RUNS;
  }
  for (size_t i = 0; i < runs.count; i++) {
    const ScheduleEntry *run = &runs.items[i];
    if (run->pass == PASS_UPDATE || random_below(3) == 0) continue;
    ValueUse use = {graph_op(graph, run->op)->results[0], FORM_WHOLE};
    int end = find_idle_end(&runs, graph, use.value, run->operation);
    if (end < 0) continue;
    offloads[run->operation + 1].items[offloads[run->operation + 1].count++] = use;
    fetches[end].items[fetches[end].count++] = use;
  }
  for (size_t i = 0; i < runs.count; i++) {
    int operation = runs.items[i].operation;
    if (operation >= 0 && i % OPERATION_RUNS == 0) {
      add_copy(arena, &schedule, STEP_OFFLOAD, operation, &offloads[operation]);
      add_copy(arena, &schedule, STEP_FETCH, operation, &fetches[operation]);
    }
    arena_push(arena, &schedule, ScheduleEntry, runs.items[i]);
  }
  return schedule;
}

static Plan *plan_of(Arena *arena, const Graph *graph) {
  uint64_t *value_bytes = arena_array(arena, uint64_t, graph->values.count),
           *workspace = arena_array(arena, uint64_t, graph->ops.count);
  int64_t *time_ns = arena_array(arena, int64_t, graph->ops.count);
  for (size_t v = 0; v < graph->values.count; v++)
    value_bytes[v] = 4 * (uint64_t)shape_elements(graph->values.items[v].shape);
  for (size_t op = 0; op < graph->ops.count; op++) workspace[op] = random_below(2) ? 0 : random_below(3000);
  PlanCosts costs = {.value_bytes = value_bytes, .mask_bytes = value_bytes};
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) {
    costs.workspace_bytes[variant] = workspace;
    costs.time_ns[variant] = time_ns;
  }
  Schedule schedule = schedule_with_copies(arena, graph);
  return plan_make(arena, graph, &costs, &schedule, NULL, NULL);
}

static void every_plan_replays(void **state) {
  (void)state;
  for (int trial = 0; trial < 200; trial++) {
    Arena *arena = arena_make("test");
    Plan *plan = plan_of(arena, random_graph(arena));
    const char *error = plan_verify(plan, arena);
    if (error) fail_msg("%s", error);
    assert_true(plan->value_in_state[plan->graph->values.items[0].bound]);
    assert_int_equal(plan->value_offsets[plan->graph->values.items[0].bound], plan->value_offsets[0]);
    arena_release(arena);
  }
}

// Moving one item onto another that is live with it must be seen.
static void damaged_plans_are_rejected(void **state) {
  (void)state;
  int damaged = 0;
  for (int trial = 0; trial < 200; trial++) {
    Arena *arena = arena_make("test");
    Plan *plan = plan_of(arena, random_graph(arena));
    uint32_t a = random_below(plan->item_count), b = random_below(plan->item_count);
    PlanItem *x = &plan->items[a], *y = &plan->items[b];
    bool clash = a != b && x->begin <= y->end && y->begin <= x->end && x->bytes && y->bytes && x->value != VALUE_NONE &&
                 y->value != VALUE_NONE && x->offset != y->offset;
    // A value that nobody reads may be lost without harm.
    if (clash && plan->first_use[x->value] != OP_NONE && plan->first_use[y->value] != OP_NONE) {
      x->offset = y->offset;
      assert_non_null(plan_verify(plan, arena));
      damaged++;
    }
    arena_release(arena);
  }
  assert_true(damaged > 10);
}

// What comes back from another place than it went to, or has none, must be seen.
static void damaged_copies_are_rejected(void **state) {
  (void)state;
  int damaged = 0;
  for (int trial = 0; trial < 200; trial++) {
    Arena *arena = arena_make("test");
    Plan *plan = plan_of(arena, random_graph(arena));
    for (uint32_t i = 0; i < plan->item_count; i++) {
      PlanItem *item = &plan->items[i];
      if (item->host_offset == PLAN_NO_OFFSET) continue;
      uint64_t offset = item->host_offset;
      item->host_offset = offset ? offset - PLAN_ALIGNMENT : PLAN_ALIGNMENT;
      assert_non_null(plan_verify(plan, arena));
      item->host_offset = offset;
      damaged++;
    }
    assert_null(plan_verify(plan, arena));
    if (plan->host_bytes) {
      plan->host_bytes -= PLAN_ALIGNMENT;
      assert_non_null(plan_verify(plan, arena));
    }
    arena_release(arena);
  }
  assert_true(damaged > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_plan_replays),
      cmocka_unit_test(damaged_plans_are_rejected),
      cmocka_unit_test(damaged_copies_are_rejected),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
