// Runs the planner's stages on a graph.
#include "compiler/plan/strategy.h"

#include "compiler/base/bug.h"

const char *const plan_placement_names[PLACEMENT_COUNT] = {"optimal",   "none", "every", "square_root",
                                                           "fairscale", "cuts", "random"};

// Bytes of the update phase: what it reads from before, and the scratch of its ops one at a time.
static int64_t update_need(const PlanProblem *problem) {
  const PlanBlocks *blocks = problem->blocks;
  const Graph *graph = problem->graph;
  int64_t lasting = 0, most = 0;
  for (int b = 0; b < blocks->count; b++) lasting += problem->chain.blocks[b].kept_gradient_bytes;
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    if (op->phase != PHASE_UPDATE) continue;
    int64_t bytes = (int64_t)plan_align(problem->costs->workspace_bytes[RUN_FIRST][id]);
    for (int i = 0; i < op->result_count; i++) {
      if (!blocks->is_bound[op->results[i]]) bytes += (int64_t)plan_align(problem->costs->value_bytes[op->results[i]]);
    }
    if (bytes > most) most = bytes;
  }
  return lasting + most;
}

static void release_solver(void *solver) { chain_solver_release(solver); }

PlanProblem *plan_problem_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const PlanMachine *machine,
                               PlanPrecision precision, bool sharded, bool offload) {
  PlanProblem *problem = arena_new(arena, PlanProblem);
  *problem = (PlanProblem){.arena = arena, .graph = graph, .costs = costs, .sharded = sharded};
  problem->blocks = plan_blocks_make(arena, graph, costs);
  problem->gathers = plan_gathers_make(arena, problem->blocks, machine, precision, sharded);
  if (offload) plan_blocks_price_offload(problem->blocks, machine);
  problem->chain = plan_blocks_chain(arena, problem->blocks);
  plan_chain_add_gathers(&problem->chain, problem->gathers);
  const char *error = chain_check(&problem->chain, arena);
  if (error) BUG("the chain of '%s' is broken: %s", graph->name, error);
  ChainClass class = chain_full_class;
  class.offload = offload;
  problem->chain.budget_bytes = CHAIN_MAX_BYTES;
  problem->solver = chain_solver_make(&problem->chain, &class);
  arena_at_release(arena, release_solver, problem->solver);
  problem->minimum_chain_bytes = chain_minimum_budget(problem->solver, &problem->minimum_set_by);
  problem->update_bytes = update_need(problem);
  return problem;
}

static ChainOps cut_segments(PlanProblem *problem, const PlanPolicy *policy) {
  Segments segments = {.begins = arena_array(problem->arena, int, policy->cut_count + 1),
                       .recomputed = arena_array(problem->arena, bool, policy->cut_count + 1)};
  segments.count = 1;
  segments.recomputed[0] = policy->cut_count > 0;
  for (int i = 0; i < policy->cut_count; i++) {
    if (policy->cuts[i] >= problem->chain.block_count) break;
    segments.begins[segments.count] = (int)policy->cuts[i];
    segments.recomputed[segments.count++] = i + 1 < policy->cut_count;
  }
  return baseline_segments(problem->arena, &problem->chain, &segments);
}

static ChainOps baseline(PlanProblem *problem, const PlanPolicy *policy) {
  Arena *arena = problem->arena;
  const Chain *chain = &problem->chain;
  switch (policy->placement) {
    case PLACEMENT_NONE: return baseline_none(arena, chain);
    case PLACEMENT_EVERY: return baseline_every(arena, chain);
    case PLACEMENT_SQUARE_ROOT: return baseline_square_root(arena, chain);
    case PLACEMENT_FAIRSCALE: return baseline_fairscale(arena, chain, policy->cut_count ? policy->cut_count : 3);
    case PLACEMENT_CUTS: return cut_segments(problem, policy);
    case PLACEMENT_RANDOM: return chain_random_schedule(arena, chain, policy->seed);
    case PLACEMENT_OPTIMAL:
    case PLACEMENT_COUNT: break;
  }
  BUG("placement %d is no baseline", policy->placement);
}

PlanAnswer plan_problem_solve(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes) {
  PlanAnswer answer = {0};
  int64_t budget = arena_bytes < (uint64_t)CHAIN_MAX_BYTES ? (int64_t)arena_bytes : CHAIN_MAX_BYTES;
  if (policy->placement == PLACEMENT_OPTIMAL) {
    if (budget < problem->minimum_chain_bytes) return answer;
    answer.solution = chain_solve(problem->solver, problem->arena, budget);
    if (!answer.solution.feasible) return answer;
  } else {
    answer.solution.schedule = baseline(problem, policy);
    answer.solution.feasible = true;
  }
  const char *broken = chain_replay(&problem->chain, answer.solution.schedule.items, answer.solution.schedule.count,
                                    problem->arena, &answer.replay);
  if (broken) BUG("the placement '%s' does not hold: %s", plan_placement_names[policy->placement], broken);
  answer.solution.cost_ns = answer.replay.cost_ns;
  answer.solution.peak_bytes = answer.replay.peak_bytes;
  answer.fits = answer.replay.peak_bytes <= budget && problem->update_bytes <= budget;
  return answer;
}

// ---- traffic between the operations' steps ----

typedef struct Weaver {
  PlanProblem *problem;
  const ChainOps *operations;
  Schedule *runs, woven;
} Weaver;

static void add_entry(Weaver *weaver, ScheduleEntry entry) {
  arena_push(weaver->problem->arena, &weaver->woven, ScheduleEntry, entry);
}

static const ChainOp *operation_at(const Weaver *weaver, size_t index) {
  return index < weaver->operations->count ? &weaver->operations->items[index] : NULL;
}

// The save that an operation's backward goes with.
static const ChainOp *save_of(const Weaver *weaver, size_t backward) {
  const ChainOp *op = &weaver->operations->items[backward];
  for (size_t i = backward; i-- > 0;) {
    const ChainOp *other = &weaver->operations->items[i];
    if (other->block == op->block && other->kind == CHAIN_SAVE) return other;
  }
  BUG("a backward without a save");
}

static void add_gather(Weaver *weaver, size_t window, size_t target, StepPass pass) {
  const ChainOp *op = operation_at(weaver, target);
  const PlanGather *gather = &weaver->problem->gathers[op->block];
  ChainResidency residency = op->kind == CHAIN_BACKWARD ? save_of(weaver, target)->residency : RESIDENCY_GATHER;
  if (!gather->parameter_bytes || residency == RESIDENCY_KEEP) return;
  bool share = residency == RESIDENCY_NODE_SHARE;
  add_entry(weaver, (ScheduleEntry){.kind = STEP_GATHER,
                                    .op = OP_NONE,
                                    .pass = pass,
                                    .block = op->block,
                                    .operation = (int)window,
                                    .node_share = share,
                                    .time_ns = share ? gather->node_gather_ns : gather->gather_ns});
}

static void add_copy(Weaver *weaver, size_t window, StepKind kind, const ChainOp *save, StepPass pass) {
  const PlanBlock *block = &weaver->problem->blocks->items[save->block];
  const SaveMode *mode = &block->modes[block->offered[save->mode]];
  int count = (int)(mode->kept.count + mode->masked.count), n = 0;
  ValueUse *moved = arena_array(weaver->problem->arena, ValueUse, count + 1);
  for (size_t i = 0; i < mode->kept.count; i++) moved[n++] = (ValueUse){mode->kept.items[i], FORM_WHOLE};
  for (size_t i = 0; i < mode->masked.count; i++) moved[n++] = (ValueUse){mode->masked.items[i], FORM_MASK};
  add_entry(weaver, (ScheduleEntry){.kind = kind,
                                    .op = OP_NONE,
                                    .pass = pass,
                                    .block = save->block,
                                    .operation = (int)window,
                                    .moved = moved,
                                    .moved_count = count,
                                    .time_ns = mode->costs.offload_ns});
}

// What is in flight while operation `window` runs is issued in front of its first step.
static void add_traffic(Weaver *weaver, size_t window, StepPass pass) {
  const ChainOp *op = operation_at(weaver, window), *next = operation_at(weaver, window + 1);
  const ChainOp *before = window ? operation_at(weaver, window - 1) : NULL;
  if (window == 0) add_gather(weaver, window, window, pass);
  if (before && before->kind == CHAIN_BACKWARD && weaver->problem->gathers[before->block].gradient_bytes) {
    add_entry(weaver, (ScheduleEntry){.kind = STEP_REDUCE,
                                      .op = OP_NONE,
                                      .pass = pass,
                                      .block = before->block,
                                      .operation = (int)window,
                                      .time_ns = weaver->problem->gathers[before->block].reduce_ns});
  }
  if (before && before->kind == CHAIN_SAVE && before->offload) add_copy(weaver, window, STEP_OFFLOAD, before, pass);
  if (next && next->block != op->block) add_gather(weaver, window, window + 1, pass);
  if (next && next->kind == CHAIN_BACKWARD && save_of(weaver, window + 1)->offload)
    add_copy(weaver, window, STEP_FETCH, save_of(weaver, window + 1), pass);
}

static void finish_reductions(Weaver *weaver) {
  size_t last = weaver->operations->count - 1;
  const ChainOp *op = operation_at(weaver, last);
  if (op->kind != CHAIN_BACKWARD || !weaver->problem->gathers[op->block].gradient_bytes) return;
  add_entry(weaver, (ScheduleEntry){.kind = STEP_REDUCE,
                                    .op = OP_NONE,
                                    .pass = PASS_BACKWARD,
                                    .block = op->block,
                                    .operation = (int)last,
                                    .time_ns = weaver->problem->gathers[op->block].reduce_ns});
}

static Schedule weave_traffic(PlanProblem *problem, const ChainOps *operations, Schedule *runs) {
  Weaver weaver = {.problem = problem, .operations = operations, .runs = runs};
  int window = -1;
  for (size_t i = 0; i < runs->count; i++) {
    const ScheduleEntry *entry = &runs->items[i];
    if (entry->operation != window && window >= 0 && entry->operation < 0) finish_reductions(&weaver);
    if (entry->operation != window && entry->operation >= 0)
      add_traffic(&weaver, (size_t)entry->operation, entry->pass);
    window = entry->operation;
    add_entry(&weaver, *entry);
  }
  return weaver.woven;
}

// The chain's account of an operation must cover every byte that is live in its steps: the solver's budget is the
// plan's.
static void check_account(const PlanAnswer *answer) {
  for (uint32_t i = 0; i < answer->plan->step_count; i++) {
    const PlanStep *step = &answer->plan->steps[i];
    if (step->operation < 0) continue;
    int64_t counted = answer->replay.op_bytes[step->operation];
    if ((int64_t)step->live_bytes > counted)
      BUG("step %u has %llu live bytes, operation %d was counted %lld", i, (unsigned long long)step->live_bytes,
          step->operation, (long long)counted);
  }
}

void plan_problem_place(PlanProblem *problem, PlanAnswer *answer) {
  Schedule runs = plan_blocks_schedule(problem->arena, problem->blocks, &answer->solution.schedule);
  answer->schedule = weave_traffic(problem, &answer->solution.schedule, &runs);
  answer->plan = plan_make(problem->arena, problem->graph, problem->costs, &answer->schedule, NULL,
                           problem->sharded ? problem->gathers : NULL, problem->blocks->count);
  check_account(answer);
}

// Solves and places; where placing leaves a gap that does not fit, the gap is taken off the budget and the checkpoints
// are chosen again. Without a plan when that comes to nothing.
static PlanAnswer try_fit(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes) {
  enum { MAX_TRIES = 4 };
  uint64_t budget = arena_bytes;
  for (int i = 0; i < MAX_TRIES; i++) {
    PlanAnswer answer = plan_problem_solve(problem, policy, budget);
    if (!answer.solution.feasible) break;
    plan_problem_place(problem, &answer);
    if (answer.plan->arena_bytes <= arena_bytes || policy->placement != PLACEMENT_OPTIMAL) return answer;
    uint64_t gap = answer.plan->arena_bytes - answer.plan->live_peak_bytes;
    if (gap == 0 || gap >= budget) break;
    budget -= gap;
  }
  return (PlanAnswer){0};
}

// From the least account of the class, then downwards from what placing that takes.
static const PlanAnswer *smallest_step(PlanProblem *problem) {
  enum { MAX_TRIES = 8 };
  if (problem->smallest) return problem->smallest;
  PlanPolicy optimal = {.placement = PLACEMENT_OPTIMAL};
  int64_t chain = problem->minimum_chain_bytes, update = problem->update_bytes;
  uint64_t account = (uint64_t)(chain > update ? chain : update);
  PlanAnswer answer = plan_problem_solve(problem, &optimal, account);
  if (!answer.solution.feasible) BUG("the smallest budget fits nothing");
  plan_problem_place(problem, &answer);
  for (int i = 0; i < MAX_TRIES && answer.plan->arena_bytes > account; i++) {
    PlanAnswer smaller = try_fit(problem, &optimal, answer.plan->arena_bytes - PLAN_ALIGNMENT);
    if (!smaller.plan) break;
    answer = smaller;
  }
  problem->smallest = arena_new(problem->arena, PlanAnswer);
  *problem->smallest = answer;
  return problem->smallest;
}

uint64_t plan_problem_minimum(PlanProblem *problem) {
  uint64_t placed = smallest_step(problem)->plan->arena_bytes;
  int64_t chain = problem->minimum_chain_bytes, update = problem->update_bytes;
  uint64_t account = (uint64_t)(chain > update ? chain : update);
  return placed > account ? placed : account;
}

PlanAnswer plan_problem_fit(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes) {
  if (policy->placement != PLACEMENT_OPTIMAL) return try_fit(problem, policy, arena_bytes);
  if (arena_bytes < plan_problem_minimum(problem)) return (PlanAnswer){0};
  PlanAnswer answer = try_fit(problem, policy, arena_bytes);
  if (answer.plan) return answer;
  answer = *smallest_step(problem);
  answer.solution.optimal_in_class = false;
  return answer;
}
