// Runs the planner's stages on a graph.
#include "compiler/plan/strategy.h"

#include "compiler/base/bug.h"

const char *const plan_placement_names[PLACEMENT_COUNT] = {"optimal",   "none", "every",  "square_root",
                                                           "fairscale", "cuts", "random", "followed"};

// Bytes of the update phase: what it reads from before, and the scratch of its ops one at a time.
static int64_t update_need(const PlanProblem *problem) {
  const PlanBlocks *blocks = problem->blocks;
  const Graph *graph = problem->graph;
  int64_t lasting = 0, most = 0;
  if (plan_shards_any(problem->units->shards))
    lasting += (int64_t)plan_norms_bytes(graph) * (1 + problem->units->shards->count);
  for (int b = 0; b < blocks->count; b++) lasting += problem->chain.blocks[b].kept_gradient_bytes;
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    if (op->phase != PHASE_UPDATE) continue;
    const uint64_t *const *scratch = problem->costs->workspace_bytes;
    int64_t bytes = (int64_t)plan_align(scratch[RUN_FIRST][id]);
    if (bytes < (int64_t)plan_align(scratch[RUN_NORMS][id])) bytes = (int64_t)plan_align(scratch[RUN_NORMS][id]);
    for (int i = 0; i < op->result_count; i++) {
      if (!blocks->is_bound[op->results[i]]) bytes += (int64_t)plan_align(problem->costs->value_bytes[op->results[i]]);
    }
    if (bytes > most) most = bytes;
  }
  return lasting + most;
}

static void release_solver(void *solver) { chain_solver_release(solver); }

PlanProblem *plan_problem_make(Arena *arena, const PlanTask *task, const bool *in_pieces) {
  PlanBlocks *blocks = plan_blocks_make(arena, task->graph, task->costs, in_pieces);
  if (in_pieces && blocks->count > CHAIN_MAX_BLOCKS) return NULL;
  if (task->follows) plan_blocks_offer_as(blocks, task->follows->blocks);
  PlanProblem *problem = arena_new(arena, PlanProblem);
  *problem = (PlanProblem){
      .arena = arena, .graph = task->graph, .costs = task->costs, .in_pieces = in_pieces, .blocks = blocks};
  problem->units = plan_units_make(arena, blocks, task->machine, task->precision, task->shards);
  problem->norms_ns = plan_norms_ns(task->graph, task->machine);
  if (task->offload) plan_blocks_price_offload(blocks, task->machine);
  problem->chain = plan_blocks_chain(arena, blocks);
  plan_chain_add_units(&problem->chain, problem->units);
  const char *error = chain_check(&problem->chain, arena);
  if (error) BUG("the chain of '%s' is broken: %s", task->graph->name, error);
  problem->class = chain_full_class;
  problem->class.offload = task->offload;
  problem->chain.budget_bytes = CHAIN_MAX_BYTES;
  problem->solver = chain_solver_make(&problem->chain, &problem->class);
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
    case PLACEMENT_FOLLOWED: return *policy->operations;
    case PLACEMENT_OPTIMAL:
    case PLACEMENT_COUNT: break;
  }
  BUG("placement %d is no baseline", policy->placement);
}

uint64_t plan_problem_least(const PlanProblem *problem) {
  int64_t chain = problem->minimum_chain_bytes, update = problem->update_bytes;
  return (uint64_t)(chain > update ? chain : update);
}

// Sets what the schedule costs by the rules.
static void replay(PlanProblem *problem, PlanAnswer *answer) {
  const ChainOps *schedule = &answer->solution.schedule;
  const char *broken = chain_replay(&problem->chain, schedule->items, schedule->count, problem->arena, &answer->replay);
  if (broken) BUG("a schedule does not hold: %s", broken);
  answer->solution.cost_ns = answer->replay.cost_ns;
  answer->solution.peak_bytes = answer->replay.peak_bytes;
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
  replay(problem, &answer);
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
  const PlanUnit *unit = &weaver->problem->units->items[op->block];
  ChainResidency residency = op->kind == CHAIN_BACKWARD ? save_of(weaver, target)->residency : RESIDENCY_GATHER;
  if (!unit->parameter_bytes || residency == RESIDENCY_KEEP) return;
  bool share = residency == RESIDENCY_NODE_SHARE;
  add_entry(weaver, (ScheduleEntry){.kind = STEP_GATHER,
                                    .op = OP_NONE,
                                    .pass = pass,
                                    .block = op->block,
                                    .operation = (int)window,
                                    .node_share = share,
                                    .time_ns = share ? unit->node_gather_ns : unit->gather_ns});
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
  if (before && before->kind == CHAIN_BACKWARD && weaver->problem->units->items[before->block].gradient_bytes) {
    add_entry(weaver, (ScheduleEntry){.kind = STEP_REDUCE,
                                      .op = OP_NONE,
                                      .pass = pass,
                                      .block = before->block,
                                      .operation = (int)window,
                                      .time_ns = weaver->problem->units->items[before->block].reduce_ns});
  }
  if (before && before->kind == CHAIN_SAVE && before->offload) add_copy(weaver, window, STEP_OFFLOAD, before, pass);
  if (next && next->block != op->block) add_gather(weaver, window, window + 1, pass);
  if (next && next->kind == CHAIN_BACKWARD && save_of(weaver, window + 1)->offload)
    add_copy(weaver, window, STEP_FETCH, save_of(weaver, window + 1), pass);
}

static void finish_reductions(Weaver *weaver) {
  size_t last = weaver->operations->count - 1;
  const ChainOp *op = operation_at(weaver, last);
  if (op->kind != CHAIN_BACKWARD || !weaver->problem->units->items[op->block].gradient_bytes) return;
  add_entry(weaver, (ScheduleEntry){.kind = STEP_REDUCE,
                                    .op = OP_NONE,
                                    .pass = PASS_BACKWARD,
                                    .block = op->block,
                                    .operation = (int)last,
                                    .time_ns = weaver->problem->units->items[op->block].reduce_ns});
}

static ScheduleEntry update_entry(StepKind kind, int block, int64_t time_ns) {
  return (ScheduleEntry){
      .kind = kind, .op = OP_NONE, .pass = PASS_UPDATE, .block = block, .operation = -1, .time_ns = time_ns};
}

// Of parts: first the norms of all, in one message.
static void begin_update(Weaver *weaver, size_t first) {
  const Graph *graph = weaver->problem->graph;
  bool any = false;
  for (size_t i = first; plan_shards_any(weaver->problem->units->shards) && i < weaver->runs->count; i++) {
    ScheduleEntry entry = weaver->runs->items[i];
    if (!run_needs_norms(graph_op(graph, entry.op)->kind)) continue;
    entry.variant = RUN_NORMS;
    add_entry(weaver, entry);
    any = true;
  }
  if (any) add_entry(weaver, update_entry(STEP_NORMS, -1, weaver->problem->norms_ns));
}

// Parameters of several ranks, each of which has updated another part.
static void finish_update(Weaver *weaver) {
  const PlanUnits *units = weaver->problem->units;
  for (int b = 0; b < units->count; b++) {
    if (units->items[b].refresh_sent_bytes) add_entry(weaver, update_entry(STEP_GATHER, b, units->items[b].refresh_ns));
  }
}

static Schedule weave_traffic(PlanProblem *problem, const ChainOps *operations, Schedule *runs) {
  Weaver weaver = {.problem = problem, .operations = operations, .runs = runs};
  int window = -1;
  for (size_t i = 0; i < runs->count; i++) {
    const ScheduleEntry *entry = &runs->items[i];
    if (entry->operation != window && window >= 0 && entry->operation < 0) finish_reductions(&weaver);
    if (entry->operation != window && entry->operation >= 0)
      add_traffic(&weaver, (size_t)entry->operation, entry->pass);
    if (entry->pass == PASS_UPDATE && (i == 0 || runs->items[i - 1].pass != PASS_UPDATE)) begin_update(&weaver, i);
    window = entry->operation;
    add_entry(&weaver, *entry);
  }
  finish_update(&weaver);
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
                           plan_shards_any(problem->units->shards) ? problem->units : NULL);
  check_account(answer);
}

// The chain with bytes kept free in every operation of a block, for gaps that placing leaves between buffers.
static Chain chain_with_reserve(Arena *arena, const Chain *chain, const int64_t *reserve) {
  Chain reserved = *chain;
  reserved.blocks = arena_array(arena, ChainBlock, chain->block_count);
  for (int b = 0; b < chain->block_count; b++) {
    ChainBlock *block = &reserved.blocks[b];
    *block = chain->blocks[b];
    block->modes = arena_array(arena, ChainMode, block->mode_count);
    block->forward_only_transient_bytes += reserve[b];
    block->forward_only_loose_transient_bytes += reserve[b];
    for (int m = 0; m < block->mode_count; m++) {
      block->modes[m] = chain->blocks[b].modes[m];
      block->modes[m].forward_transient_bytes += reserve[b];
      block->modes[m].loose_transient_bytes += reserve[b];
      block->modes[m].backward_transient_bytes += reserve[b];
    }
  }
  return reserved;
}

// Replaces the schedule by the cheapest that keeps `reserve_bytes` free in all operations but those of blocks that
// cannot spare them within the budget. False when there is none.
static bool reserve_room(PlanProblem *problem, PlanAnswer *answer, int64_t budget, int64_t reserve_bytes) {
  int64_t *reserve = arena_array(problem->arena, int64_t, problem->chain.block_count);
  for (int b = 0; b < problem->chain.block_count; b++) reserve[b] = reserve_bytes;
  for (;;) {
    Chain chain = chain_with_reserve(problem->arena, &problem->chain, reserve);
    ChainSolver *solver = chain_solver_make(&chain, &problem->class);
    ChainOp set_by;
    int64_t excess = chain_minimum_budget(solver, &set_by) - budget;
    ChainSolution solution = {0};
    if (excess <= 0) solution = chain_solve(solver, problem->arena, budget);
    chain_solver_release(solver);
    if (excess > 0) {
      if (!reserve[set_by.block]) return false;
      reserve[set_by.block] = reserve[set_by.block] > excess ? reserve[set_by.block] - excess : 0;
      continue;
    }
    if (!solution.feasible) return false;
    answer->solution.schedule = solution.schedule;
    replay(problem, answer);
    answer->solution.optimal_in_class = answer->solution.cost_ns == answer->solution.class_bound_ns;
    return true;
  }
}

static bool same_operations(const ChainOps *a, const ChainOps *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const ChainOp *x = &a->items[i], *y = &b->items[i];
    if (x->kind != y->kind || x->block != y->block || x->mode != y->mode || x->residency != y->residency ||
        x->offload != y->offload)
      return false;
  }
  return true;
}

static uint64_t gap_of(const PlanAnswer *answer) { return answer->plan->arena_bytes - answer->plan->live_peak_bytes; }

static PlanAnswer solve_and_place(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes) {
  PlanAnswer answer = plan_problem_solve(problem, policy, arena_bytes);
  if (answer.solution.feasible) plan_problem_place(problem, &answer);
  return answer;
}

// Where placing has left a gap that does not fit, takes schedules that leave room for it, more and more; the smallest
// arena wins.
static PlanAnswer with_room(PlanProblem *problem, const PlanAnswer *placed, uint64_t arena_bytes) {
  enum { MAX_TRIES = 5 };
  PlanAnswer best = *placed, answer = *placed;
  int64_t reserve = (int64_t)gap_of(placed) / 2;
  for (int i = 0; i < MAX_TRIES && best.plan->arena_bytes > arena_bytes && reserve; i++, reserve *= 2) {
    ChainOps last = answer.solution.schedule;
    if (!reserve_room(problem, &answer, (int64_t)arena_bytes, reserve)) break;
    if (same_operations(&answer.solution.schedule, &last)) continue;
    plan_problem_place(problem, &answer);
    if (answer.plan->arena_bytes < best.plan->arena_bytes) best = answer;
  }
  return best;
}

// The least account of the class, placed. How long that step takes is of no matter: the solver may soon give up.
static const PlanAnswer *smallest_step(PlanProblem *problem) {
  enum { OPTION_LIMIT = 500000 };
  if (problem->smallest) return problem->smallest;
  PlanPolicy optimal = {.placement = PLACEMENT_OPTIMAL};
  PlanProblem hasty = *problem;
  hasty.class.option_limit = OPTION_LIMIT;
  hasty.class.coarse = true;
  hasty.solver = chain_solver_make(&hasty.chain, &hasty.class);
  uint64_t least = plan_problem_least(problem);
  PlanAnswer answer = solve_and_place(&hasty, &optimal, least);
  chain_solver_release(hasty.solver);
  if (!answer.plan) BUG("the smallest budget fits nothing");
  answer = with_room(&hasty, &answer, least);
  if (answer.plan->arena_bytes > least) plan_place_thoroughly(answer.plan, problem->arena);
  problem->smallest = arena_new(problem->arena, PlanAnswer);
  *problem->smallest = answer;
  return problem->smallest;
}

uint64_t plan_problem_minimum(PlanProblem *problem) {
  uint64_t placed = smallest_step(problem)->plan->arena_bytes, account = plan_problem_least(problem);
  return placed > account ? placed : account;
}

PlanAnswer plan_problem_fit(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes, bool close_gaps) {
  bool optimal = policy->placement == PLACEMENT_OPTIMAL;
  if (optimal && arena_bytes < plan_problem_minimum(problem)) return (PlanAnswer){0};
  PlanAnswer answer = solve_and_place(problem, policy, arena_bytes);
  if (gap_of(&answer) && (close_gaps || answer.plan->arena_bytes > arena_bytes))
    plan_place_thoroughly(answer.plan, problem->arena);
  if (optimal) answer = with_room(problem, &answer, arena_bytes);
  if (!optimal || answer.plan->arena_bytes <= arena_bytes) return answer;
  PlanAnswer smallest = *smallest_step(problem);
  smallest.solution.class_bound_ns = answer.solution.class_bound_ns;
  smallest.solution.lower_bound_ns = answer.solution.lower_bound_ns;
  smallest.solution.optimal_in_class = smallest.solution.cost_ns == smallest.solution.class_bound_ns;
  return smallest;
}
