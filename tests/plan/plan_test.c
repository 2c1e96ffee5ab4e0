// The planner on random graphs: the replay accepts every plan made and rejects every plan damaged.
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
  Schedule schedule = schedule_in_graph_order(arena, graph);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_plan_replays),
      cmocka_unit_test(damaged_plans_are_rejected),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
