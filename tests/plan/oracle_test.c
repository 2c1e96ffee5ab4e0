// The planner against independent judges (oracle.h): `oracle_test quick` for seconds, `oracle_test full` for a minute,
// `oracle_test long` for all chains, `oracle_test long CELL INDEX` for one, as a failure names it.
// What must be true: the solver's cost is the class optimum at every budget, its schedule replays to the bytes and
// nanoseconds that it claims, and its bound is never above what any schedule reaches. Prints counts, and how far
// the class is from all schedules.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/plan/chain_instances.h"
#include "tests/plan/oracle.h"

static bool quick = true;
static int thinned = 1;  // of the chains of a long run, one in so many
#define UNLIMITED CHAIN_MAX_BYTES

// A family of instances, and how many of them.
typedef struct Cell {
  const char *name;
  ChainFamily family;
  int min_blocks, max_blocks, max_modes;
  bool parameters, offload, extras, dear_forward, search;
  int quick_count, long_count;
} Cell;

static const Cell cells[] = {
    {"random, bare", CHAINS_RANDOM, 1, 4, 3, false, false, false, false, true, 60, 2500},
    {"random, bare, longer", CHAINS_RANDOM, 5, 6, 2, false, false, false, false, true, 15, 600},
    {"random, bare, many modes", CHAINS_RANDOM, 3, 6, 6, false, false, false, false, false, 10, 500},
    {"random, parameters", CHAINS_RANDOM, 1, 4, 3, true, false, false, false, true, 40, 2000},
    {"random, parameters, longer", CHAINS_RANDOM, 5, 6, 2, true, false, false, false, true, 6, 150},
    {"random, offload", CHAINS_RANDOM, 2, 5, 3, false, true, false, false, false, 25, 1000},
    {"random, parameters, offload", CHAINS_RANDOM, 2, 4, 3, true, true, false, false, false, 12, 500},
    {"random, all, extras", CHAINS_RANDOM, 2, 4, 4, true, true, true, false, false, 12, 500},
    {"random, dear forwards", CHAINS_RANDOM, 1, 4, 3, true, false, false, true, true, 12, 500},
    {"regnet, bare", CHAINS_REGNET, 1, 5, 3, false, false, false, false, true, 40, 1500},
    {"regnet, bare, longer", CHAINS_REGNET, 6, 6, 2, false, false, false, false, true, 8, 300},
    {"regnet, bare, many modes", CHAINS_REGNET, 5, 6, 6, false, false, false, false, false, 8, 300},
    {"regnet, parameters", CHAINS_REGNET, 2, 4, 3, true, false, false, false, true, 20, 800},
    {"regnet, parameters, longer", CHAINS_REGNET, 5, 6, 2, true, false, false, false, true, 4, 80},
    {"regnet, parameters, offload", CHAINS_REGNET, 3, 5, 3, true, true, false, false, false, 6, 200},
    {"regnet, all, extras", CHAINS_REGNET, 3, 5, 4, true, true, true, false, false, 6, 200},
    {"random, all, long", CHAINS_RANDOM, 7, 10, 3, true, true, false, false, false, 2, 50},
    {"regnet, all, long", CHAINS_REGNET, 8, 12, 4, true, true, false, false, false, 1, 20},
};
enum { CELL_COUNT = sizeof cells / sizeof *cells };

static ChainRecipe recipe_of(const Cell *cell, int index) {
  static const int64_t scales[] = {4, 12, 60, 1000, 100000000};
  TestRandom random = {(uint64_t)(cell - cells) * 1000003 + (uint64_t)index};
  for (int i = 0; i < 3; i++) test_random_below(&random, 2);
  ChainRecipe recipe = {.seed = (uint64_t)(cell - cells) << 32 | (uint64_t)index, .family = cell->family};
  recipe.block_count = cell->min_blocks + (int)test_random_below(&random, cell->max_blocks - cell->min_blocks + 1);
  recipe.mode_count = 1 + (int)test_random_below(&random, cell->max_modes);
  recipe.scale = scales[test_random_below(&random, 5)];
  if (cell->family == CHAINS_REGNET && recipe.scale < 60) recipe.scale *= 16;
  recipe.parameters = cell->parameters;
  recipe.node_share = cell->parameters && test_random_below(&random, 2);
  recipe.offload = cell->offload;
  recipe.extras = cell->extras;
  recipe.dear_forward = cell->dear_forward;
  recipe.last_gradient = test_random_below(&random, 2);
  return recipe;
}

// Mostly the full class; now and then one of the baselines.
static ChainClass class_of(int index) {
  ChainClass class = {.holes = true, .offload = true, .residency = true};
  if (index % 8 == 5) class.holes = false;
  if (index % 8 == 6) class.residency = false;
  if (index % 16 == 7) class.offload = false;
  if (index % 32 == 15) class.only_modes = 1;
  return class;
}

// The chain at work, and what is asked for alone: all when it is NULL.
static const Cell *current_cell;
static int current_index;
static const char *only_cell;
static int only_index;

static void fail_on(const Chain *chain, const ChainClass *class, int64_t budget_bytes, const char *what) {
  if (current_cell) printf("oracle_test long '%s' %d\n", current_cell->name, current_index);
  printf("class: holes %d, offload %d, residency %d, only_modes %d\n", class->holes, class->offload, class->residency,
         class->only_modes);
  chain_print_json(chain, budget_bytes, stdout);
  fflush(stdout);
  fail_msg("%s", what);
}

// The two forms of the class oracle find the same front.
static void composed_fronts_equal_exhaustion(void **state) {
  (void)state;
  static const struct {
    int blocks, modes;
    bool parameters, offload;
  } sizes[] = {{1, 3, true, false},  {2, 3, true, true},  {3, 2, true, true}, {3, 3, true, false}, {4, 2, false, true},
               {4, 3, false, false}, {4, 1, true, false}, {4, 1, true, true}, {4, 1, false, true}};
  int64_t schedules = 0, instances = 0;
  for (int i = 0; i < (quick ? 36 : 900 / thinned); i++) {
    Arena *arena = arena_make("test");
    int size = i % (int)(sizeof sizes / sizeof *sizes);
    ChainRecipe recipe = {.seed = 77000 + (uint64_t)i,
                          .family = i % 2 ? CHAINS_REGNET : CHAINS_RANDOM,
                          .block_count = sizes[size].blocks,
                          .mode_count = sizes[size].modes,
                          .scale = i % 3 ? 20 : 1000,
                          .parameters = sizes[size].parameters,
                          .node_share = i % 4 != 0 && sizes[size].blocks < 4,
                          .offload = sizes[size].offload,
                          .last_gradient = i % 5 < 3,
                          .extras = i % 7 == 0};
    const Chain *chain = chain_instance(arena, &recipe);
    ChainClass class = class_of(i);
    const char *fault = NULL;
    int64_t count = 0;
    OracleFront composed = oracle_class_front(arena, chain, &class, &fault);
    OracleFront naive = oracle_naive_front(arena, chain, &class, &count);
    if (fault) fail_on(chain, &class, 0, fault);
    bool same =
        composed.count == naive.count && memcmp(composed.items, naive.items, naive.count * sizeof(OraclePoint)) == 0;
    if (!same) fail_on(chain, &class, 0, "the composed front is not the exhaustive one");
    schedules += count;
    instances++;
    arena_release(arena);
  }
  printf("  %" PRId64 " chains, %" PRId64 " schedules written out one by one\n", instances, schedules);
}

typedef struct Tally {
  int64_t instances, budgets, feasible, agreements;
  int64_t searched, gapped, waited, below_class, given_up;
  double worst_gap, sum_gap, worst_wait_gap;
} Tally;

static void tally_add(Tally *sum, const Tally *more) {
  sum->instances += more->instances;
  sum->budgets += more->budgets;
  sum->feasible += more->feasible;
  sum->agreements += more->agreements;
  sum->searched += more->searched;
  sum->gapped += more->gapped;
  sum->waited += more->waited;
  sum->below_class += more->below_class;
  sum->given_up += more->given_up;
  sum->sum_gap += more->sum_gap;
  if (more->worst_gap > sum->worst_gap) sum->worst_gap = more->worst_gap;
  if (more->worst_wait_gap > sum->worst_wait_gap) sum->worst_wait_gap = more->worst_wait_gap;
}

static double share(int64_t part, int64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

static void print_tally(const char *name, const Tally *tally) {
  printf("  %-28s %6" PRId64 " chains %7" PRId64 " budgets (%" PRId64 " feasible) %7" PRId64 " agree\n", name,
         tally->instances, tally->budgets, tally->feasible, tally->agreements);
  if (tally->searched + tally->given_up > 0) {
    printf("    of all schedules: %" PRId64 " searched (%" PRId64 " given up), class dearer in %.2f %%, mean %.4f %%, ",
           tally->searched, tally->given_up, share(tally->gapped, tally->searched),
           tally->searched ? 100 * tally->sum_gap / (double)tally->searched : 0);
    printf("largest %.1f %%\n", 100 * tally->worst_gap);
    printf("    waiting helps in %.2f %%, largest %.1f %%; %" PRId64 " fit below the class\n",
           share(tally->waited, tally->searched), 100 * tally->worst_wait_gap, tally->below_class);
  }
  fflush(stdout);
}

typedef struct Case {
  Arena *arena;
  const Chain *chain;
  ChainClass class;
  OracleFront front;
  ChainSolver *solver;
  TestRandom random;
  bool thorough;
  Tally tally;
} Case;

static void case_fail(const Case *test, int64_t budget_bytes, const char *what, int64_t theirs, int64_t ours) {
  printf("the planner says %" PRId64 ", the oracle %" PRId64 "\n", theirs, ours);
  fail_on(test->chain, &test->class, budget_bytes, what);
}

static void check_replays(const Case *test, int64_t budget_bytes, const ChainSolution *solution) {
  OracleReplay replay;
  ChainReplay theirs;
  const ChainOps *ops = &solution->schedule;
  const char *fault = oracle_replay(test->chain, ops->items, ops->count, &replay);
  if (fault) fail_on(test->chain, &test->class, budget_bytes, fault);
  if (replay.cost_ns != solution->cost_ns)
    case_fail(test, budget_bytes, "cost of the replay", solution->cost_ns, replay.cost_ns);
  if (replay.peak_bytes != solution->peak_bytes)
    case_fail(test, budget_bytes, "peak of the replay", solution->peak_bytes, replay.peak_bytes);
  fault = chain_replay(test->chain, ops->items, ops->count, test->arena, &theirs);
  if (fault) fail_on(test->chain, &test->class, budget_bytes, fault);
  if (theirs.cost_ns != replay.cost_ns)
    case_fail(test, budget_bytes, "cost of chain_replay", theirs.cost_ns, replay.cost_ns);
  if (theirs.peak_bytes != replay.peak_bytes)
    case_fail(test, budget_bytes, "peak of chain_replay", theirs.peak_bytes, replay.peak_bytes);
}

static void check_budget(Case *test, int64_t budget_bytes) {
  ChainSolution solution = chain_solve(test->solver, test->arena, budget_bytes);
  int64_t best = oracle_front_cost(&test->front, budget_bytes);
  const ChainBlock *first = &test->chain->blocks[0];
  test->tally.budgets++;
  if (solution.feasible != (best != CHAIN_INFEASIBLE))
    case_fail(test, budget_bytes, "feasible", solution.feasible, best != CHAIN_INFEASIBLE);
  if (solution.feasible) {
    test->tally.feasible++;
    if (solution.cost_ns != best) case_fail(test, budget_bytes, "cost", solution.cost_ns, best);
    if (solution.peak_bytes > budget_bytes)
      case_fail(test, budget_bytes, "peak above the budget", solution.peak_bytes, budget_bytes);
    if (!solution.optimal_in_class) case_fail(test, budget_bytes, "optimal_in_class", 0, 1);
    if (solution.class_bound_ns != best) case_fail(test, budget_bytes, "class bound", solution.class_bound_ns, best);
    if (solution.lower_bound_ns > best) case_fail(test, budget_bytes, "lower bound", solution.lower_bound_ns, best);
    bool ask_again = test->tally.budgets % 16 == 0;  // it takes most of the time of small chains
    if (ask_again && solution.lower_bound_ns != chain_lower_bound(test->chain, budget_bytes))
      case_fail(test, budget_bytes, "chain_lower_bound", chain_lower_bound(test->chain, budget_bytes),
                solution.lower_bound_ns);
    if (solution.boundary_ns != first->gather_ns + first->reduce_ns)
      case_fail(test, budget_bytes, "boundary", solution.boundary_ns, first->gather_ns + first->reduce_ns);
    check_replays(test, budget_bytes, &solution);
  }
  test->tally.agreements++;
}

// Breakpoints, just below, between, beyond both ends; in a shuffled order, so that what the solver keeps from one
// budget must serve larger and smaller ones. One chain in eight is asked at every breakpoint (or 14 of them).
static void check_budgets(Case *test) {
  enum { LIMIT = 48 };
  int64_t budgets[LIMIT];
  int count = 0;
  const OracleFront *front = &test->front;
  int64_t lowest = front->items[0].peak_bytes;
  budgets[count++] = lowest;
  budgets[count++] = lowest - 1;
  budgets[count++] = test_random_below(&test->random, lowest + 1);
  budgets[count++] = UNLIMITED;
  size_t step = 1 + front->count / (test->thorough ? 14 : 1);
  for (size_t i = 1 + (size_t)test_random_below(&test->random, (int64_t)step); i < front->count; i += step) {
    int64_t peak = front->items[i].peak_bytes,
            beyond = i + 1 < front->count ? front->items[i + 1].peak_bytes : 2 * peak;
    budgets[count++] = peak;
    budgets[count++] = peak - 1;
    budgets[count++] = peak + test_random_below(&test->random, beyond - peak + 1);
  }
  for (int i = count - 1; i > 0; i--) {
    int j = (int)test_random_below(&test->random, i + 1);
    int64_t swap = budgets[i];
    budgets[i] = budgets[j];
    budgets[j] = swap;
  }
  for (int i = 0; i < count; i++) check_budget(test, budgets[i]);
}

static void note_gap(Case *test, int64_t class_ns, int64_t found_ns, int64_t waiting_ns) {
  test->tally.searched++;
  if (class_ns == CHAIN_INFEASIBLE) {
    test->tally.below_class += found_ns != CHAIN_INFEASIBLE;
    return;
  }
  double gap = found_ns > 0 ? (double)class_ns / (double)found_ns - 1 : 0;
  test->tally.gapped += found_ns < class_ns;
  test->tally.sum_gap += gap;
  if (gap > test->tally.worst_gap) test->tally.worst_gap = gap;
  test->tally.waited += waiting_ns < found_ns;
  double wait_gap = waiting_ns > 0 ? (double)found_ns / (double)waiting_ns - 1 : 0;
  if (wait_gap > test->tally.worst_wait_gap) test->tally.worst_wait_gap = wait_gap;
}

static void check_found(const Case *test, int64_t budget_bytes, const OracleFound *found) {
  OracleReplay replay;
  if (found->op_count == 0) return;
  const char *fault = oracle_replay(test->chain, found->ops, found->op_count, &replay);
  if (fault) fail_on(test->chain, &test->class, budget_bytes, fault);
  if (replay.cost_ns != found->cost_ns || replay.peak_bytes > budget_bytes)
    fail_on(test->chain, &test->class, budget_bytes, "the search differs from its replay");
}

// The best of all schedules at this budget against the class and against the planner's bound.
static void check_bound(Case *test, int64_t budget_bytes) {
  int64_t class_ns = oracle_front_cost(&test->front, budget_bytes);
  OracleSearch ask = {.chain = test->chain, .budget_bytes = budget_bytes, .below_ns = class_ns, .state_limit = 200000};
  OracleFound found = oracle_search(test->arena, &ask);
  ask.below_ns = found.cost_ns;
  ask.waits = true;
  OracleFound waiting = oracle_search(test->arena, &ask);
  if (!found.finished || !waiting.finished) {
    test->tally.given_up++;
    return;
  }
  check_found(test, budget_bytes, &found);
  check_found(test, budget_bytes, &waiting);
  note_gap(test, class_ns, found.cost_ns, waiting.cost_ns);
  if (waiting.cost_ns == CHAIN_INFEASIBLE) return;
  int64_t bound = chain_lower_bound(test->chain, budget_bytes);
  if (bound > waiting.cost_ns) case_fail(test, budget_bytes, "lower bound above a schedule", bound, waiting.cost_ns);
}

static void check_bounds(Case *test) {
  const OracleFront *front = &test->front;
  if (test->thorough) check_bound(test, front->items[0].peak_bytes - 1);
  check_bound(test, front->items[0].peak_bytes);
  if (front->count > 1) {
    size_t at = 1 + (size_t)test_random_below(&test->random, (int64_t)front->count - 1);
    check_bound(test, front->items[at].peak_bytes - test_random_below(&test->random, 2));
  }
}

static void check_minimum(Case *test) {
  ChainOp set_by;
  int64_t minimum = chain_minimum_budget(test->solver, &set_by), lowest = test->front.items[0].peak_bytes;
  if (minimum != lowest) case_fail(test, lowest, "minimum budget", minimum, lowest);
  assert_in_range(set_by.block, 0, test->chain->block_count - 1);
}

static Tally check_instance(const ChainRecipe *recipe, ChainClass class, bool search) {
  Case test = {.arena = arena_make("test"), .class = class, .random = {recipe->seed}};
  test.thorough = recipe->seed % 8 == 0;
  test.chain = chain_instance(test.arena, recipe);
  const char *fault = chain_check(test.chain, test.arena);
  if (fault) fail_on(test.chain, &class, 0, fault);
  test.front = oracle_class_front(test.arena, test.chain, &class, &fault);
  if (fault) fail_on(test.chain, &class, 0, fault);
  test.solver = chain_solver_make(test.chain, &class);
  // Asked first or last: the answer must not depend on what was solved before.
  if (recipe->seed % 2) check_minimum(&test);
  check_budgets(&test);
  check_minimum(&test);
  if (search && class.holes && class.residency && class.only_modes == 0) check_bounds(&test);
  test.tally.instances = 1;
  chain_solver_release(test.solver);
  arena_release(test.arena);
  return test.tally;
}

static void the_solver_finds_the_class_optimum(void **state) {
  (void)state;
  Tally total = {0};
  for (const Cell *cell = cells; cell < cells + CELL_COUNT; cell++) {
    Tally sum = {0};
    if (only_cell && strcmp(only_cell, cell->name) != 0) continue;
    for (int i = 0; i < (quick ? cell->quick_count : (cell->long_count + thinned - 1) / thinned); i++) {
      if (only_cell && i != only_index) continue;
      current_cell = cell;
      current_index = i;
      ChainRecipe recipe = recipe_of(cell, i);
      Tally tally = check_instance(&recipe, class_of(i), cell->search);
      tally_add(&sum, &tally);
    }
    print_tally(cell->name, &sum);
    tally_add(&total, &sum);
  }
  print_tally("together", &total);
  current_cell = NULL;
  assert_int_equal(total.agreements, total.budgets);
  assert_true(quick || only_cell || total.instances >= 10000 / thinned);
}

// The bound for all schedules at small chains whose gathers matter, many more of them than the solver is asked about.
static void no_schedule_is_below_the_bound(void **state) {
  (void)state;
  Tally sum = {0};
  for (int i = 0; i < (quick ? 100 : 3000 / thinned); i++) {
    ChainRecipe recipe = {.seed = 900000 + (uint64_t)i,
                          .family = i % 3 ? CHAINS_RANDOM : CHAINS_REGNET,
                          .block_count = 2 + i % 3,
                          .mode_count = 1 + i % 2,
                          .scale = i % 3 == 0 ? 60
                                   : i % 2    ? 6
                                              : 40,
                          .parameters = true,
                          .node_share = i % 4 == 0,
                          .dear_forward = i % 5 == 0,
                          .last_gradient = i % 2};
    Case test = {.arena = arena_make("test"), .class = class_of(0), .random = {recipe.seed}};
    test.chain = chain_instance(test.arena, &recipe);
    const char *fault = NULL;
    test.front = oracle_class_front(test.arena, test.chain, &test.class, &fault);
    if (fault) fail_on(test.chain, &test.class, 0, fault);
    check_bound(&test, test.front.items[test.front.count - 1].peak_bytes);
    check_bounds(&test);
    test.tally.instances = 1;
    tally_add(&sum, &test.tally);
    arena_release(test.arena);
  }
  print_tally("bounds", &sum);
}

// A larger budget never costs more, at each of many budgets of a chain of twelve blocks.
static void cost_never_rises_with_the_budget(void **state) {
  (void)state;
  int count = quick ? 100 : 1000;
  Arena *arena = arena_make("test");
  ChainRecipe recipe = {.seed = 4242, .family = CHAINS_REGNET, .block_count = 12, .mode_count = 3, .scale = 100000};
  recipe.parameters = recipe.last_gradient = true;
  const Chain *chain = chain_instance(arena, &recipe);
  ChainClass class = class_of(0);
  ChainSolver *solver = chain_solver_make(chain, &class);
  const char *fault = NULL;
  OracleFront front = oracle_class_front(arena, chain, &class, &fault);
  if (fault) fail_on(chain, &class, 0, fault);
  int64_t lowest = chain_minimum_budget(solver, &(ChainOp){0}), last_ns = CHAIN_INFEASIBLE, distinct = 0;
  int64_t highest = chain_solve(solver, arena, UNLIMITED).peak_bytes;
  assert_false(chain_solve(solver, arena, lowest - 1).feasible);
  for (int i = 0; i <= count; i++) {
    int64_t budget = lowest + (highest - lowest) / count * i;
    Arena *scratch = arena_make("budget");
    ChainSolution solution = chain_solve(solver, scratch, budget);
    Case test = {.arena = scratch, .chain = chain, .class = class};
    if (!solution.feasible || solution.peak_bytes > budget || !solution.optimal_in_class)
      fail_on(chain, &class, budget, "no plan, or a plan beyond its budget");
    if (solution.cost_ns > last_ns) case_fail(&test, budget, "cost rises with the budget", solution.cost_ns, last_ns);
    int64_t best = oracle_front_cost(&front, budget);
    if (solution.cost_ns != best) case_fail(&test, budget, "cost", solution.cost_ns, best);
    check_replays(&test, budget, &solution);
    distinct += solution.cost_ns != last_ns;
    last_ns = solution.cost_ns;
    arena_release(scratch);
  }
  printf("  %d budgets, %" PRId64 " different costs\n", count + 1, distinct);
  assert_true(distinct > 5);
  chain_solver_release(solver);
  arena_release(arena);
}

int main(int argc, char **argv) {
  quick = argc == 2 && strcmp(argv[1], "quick") == 0;
  thinned = argc == 2 && strcmp(argv[1], "full") == 0 ? 6 : 1;
  if (!quick && thinned == 1 && ((argc != 2 && argc != 4) || strcmp(argv[1], "long") != 0)) {
    fprintf(stderr, "usage: oracle_test quick|full|long [CELL INDEX]\n");
    return 2;
  }
  if (argc == 4) {
    only_cell = argv[2];
    only_index = (int)strtol(argv[3], NULL, 10);
    const struct CMUnitTest one[] = {cmocka_unit_test(the_solver_finds_the_class_optimum)};
    return cmocka_run_group_tests(one, NULL, NULL);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(composed_fronts_equal_exhaustion),
      cmocka_unit_test(the_solver_finds_the_class_optimum),
      cmocka_unit_test(no_schedule_is_below_the_bound),
      cmocka_unit_test(cost_never_rises_with_the_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
