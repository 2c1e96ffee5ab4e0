// What the printers share: sums over the plan, the simulation of its streams, the curve of budgets.
#include "compiler/plan/report.h"

#include <string.h>

#include "compiler/base/bug.h"

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t features_arena(const PlanReport *report) {
  return report->features ? report->features->arena_bytes : 0;
}

// What all slices of the rank need, where each needs so many.
static uint64_t of_slices(const PlanReport *report, uint64_t bytes) { return bytes * (uint64_t)report->slices; }

uint64_t report_arena_bytes(const PlanReport *report) {
  return larger(report->train ? of_slices(report, report->train->arena_bytes) : 0, features_arena(report));
}

uint64_t report_fixed_bytes(const PlanReport *report) {
  return report->state_bytes + report->ring_bytes + report->snapshot_bytes;
}

uint64_t report_peak_bytes(const PlanReport *report) { return report_fixed_bytes(report) + report_arena_bytes(report); }

static uint64_t least_training(const PlanReport *report) {
  return of_slices(report, plan_problem_minimum(plan_alternatives_smallest(report->alternatives)));
}

uint64_t report_minimum_bytes(const PlanReport *report) {
  uint64_t training = least_training(report);
  return report_fixed_bytes(report) + larger(training, features_arena(report));
}

MinimumCause report_minimum_cause(const PlanReport *report) {
  const PlanProblem *problem = plan_alternatives_smallest(report->alternatives);
  if (features_arena(report) > least_training(report)) return MINIMUM_BY_EVALUATION;
  return problem->update_bytes > problem->minimum_chain_bytes ? MINIMUM_BY_UPDATE : MINIMUM_BY_OPERATION;
}

uint64_t report_gap_bytes(const PlanReport *report) {
  return of_slices(report, report->train->arena_bytes - report->train->live_peak_bytes);
}

uint64_t report_evaluation_bytes(const PlanReport *report) {
  return report_arena_bytes(report) - of_slices(report, report->train->arena_bytes);
}

uint64_t report_arena_budget(const PlanReport *report, uint64_t budget_bytes) {
  uint64_t fixed = report_fixed_bytes(report);
  return budget_bytes > fixed ? (budget_bytes - fixed) / (uint64_t)report->slices : 0;
}

bool report_fits(const PlanReport *report) {
  return report->answer.fits && report_peak_bytes(report) <= report->budget_bytes;
}

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), suffix_length = strlen(suffix);
  return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

// The state by kind, padding counted with the tensor before it.
StateBytes report_state_bytes(const Plan *plan) {
  StateBytes bytes = {0};
  uint64_t *last = NULL, last_offset = 0;
  for (ValueId v = 0; v < plan->graph->values.count; v++) {
    const Value *value = graph_value(plan->graph, v);
    if (value->kind != VALUE_PARAMETER && value->kind != VALUE_STATE) continue;
    if (last) *last += plan->value_offsets[v] - last_offset;
    last_offset = plan->value_offsets[v];
    last = value->kind == VALUE_PARAMETER         ? &bytes.parameters
           : has_suffix(value->name, ".velocity") ? &bytes.velocities
                                                  : &bytes.statistics;
  }
  if (last) *last += plan->state_bytes - last_offset;
  return bytes;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

PlanStream report_stream(StepKind kind) {
  switch (kind) {
    case STEP_RUN: return STREAM_COMPUTE;
    case STEP_GATHER:
    case STEP_REDUCE:
    case STEP_NORMS: return STREAM_NETWORK;
    case STEP_OFFLOAD: return STREAM_TO_HOST;
    case STEP_FETCH: return STREAM_FROM_HOST;
  }
  BUG("step kind %d has no stream", kind);
}

int report_step_ranks(const PlanReport *report, const PlanStep *step) {
  const PlanShards *shards = report->problem->units->shards;
  if (step->kind == STEP_REDUCE || step->kind == STEP_NORMS) return report->machine.ranks;
  if (step->kind != STEP_GATHER) return 1;
  if (step->node_share) return report->machine.ranks_per_node;
  return step->pass == PASS_UPDATE ? plan_shards_groups(shards) : shards->group;
}

double report_step_bytes(const PlanReport *report, const PlanStep *step) {
  const PlanMachine *machine = &report->machine;
  if (step->kind == STEP_OFFLOAD || step->kind == STEP_FETCH)
    return (double)step->time_ns * 1e-9 * machine->host_bytes_per_second;
  if (step->kind == STEP_NORMS) return (double)plan_norms_bytes(report->train->graph) * (machine->ranks - 1);
  const PlanUnit *unit = &report->problem->units->items[step->block];
  if (step->kind == STEP_REDUCE) return (double)unit->reduce_sent_bytes;
  if (step->pass == PASS_UPDATE) return (double)unit->refresh_sent_bytes;
  if (step->node_share) return (double)unit->node_share_bytes * (machine->ranks_per_node - 1);
  return (double)unit->gather_sent_bytes;
}

int report_step_traffic(const PlanReport *report, const PlanStep *step, OpTraffic traffic[MAX_OP_TRAFFIC]) {
  if (!step->sync_ns) return 0;
  return plan_op_traffic(report->train->graph, step->op, &report->machine, report->precision,
                         report->problem->units->shards, traffic);
}

// Where the streams stand within an operation. A sync stops them all, so it is kept apart.
typedef struct Window {
  int64_t clock[STREAM_STATISTICS], sync;
} Window;

static int64_t window_end(const Window *window) {
  int64_t end = 0;
  for (int i = 0; i < STREAM_STATISTICS; i++) end = later(end, window->clock[i]);
  return end + window->sync;
}

static Window window_at(int64_t begin) {
  Window window = {.sync = 0};
  for (int i = 0; i < STREAM_STATISTICS; i++) window.clock[i] = begin;
  return window;
}

static int64_t chain_step_ns(const PlanReport *report) {
  const Chain *chain = &report->problem->chain;
  return report->answer.solution.cost_ns + chain_boundary_ns(chain);
}

int64_t report_simulate(const PlanReport *report) {
  const Plan *plan = report->train;
  Window window = window_at(0);
  int64_t sync = 0;
  int operation = -1;
  for (uint32_t i = 0; i < plan->update_begin; i++) {
    PlanStep *step = &plan->steps[i];
    if (step->operation != operation || operation < 0) {
      window = window_at(window_end(&window));
      operation = step->operation;
    }
    // The first gather hides behind nothing; the last reduction waits for its backward.
    if (i + 1 == plan->update_begin && step->kind == STEP_REDUCE) window = window_at(window_end(&window));
    int64_t *clock = &window.clock[report_stream(step->kind)];
    step->start_ns = *clock + (step->kind == STEP_RUN ? window.sync : 0);
    *clock += step->time_ns;
    window.sync += step->sync_ns;
    sync += step->sync_ns;
    if (i == 0 && step->kind == STEP_GATHER) window = window_at(*clock);
  }
  int64_t micro = window_end(&window), time_ns = micro;
  if (micro != chain_step_ns(report) + sync)
    BUG("the streams take %lld ns, the chain's account is %lld ns", (long long)micro,
        (long long)(chain_step_ns(report) + sync));
  for (uint32_t i = plan->update_begin; i < plan->step_count; i++) {
    plan->steps[i].start_ns = time_ns;
    time_ns += plan->steps[i].time_ns + plan->steps[i].sync_ns;
  }
  return micro;
}

static void add_run(const Plan *plan, const PlanStep *step, StepTimes *times) {
  int64_t macs = plan_run_macs(plan->graph, step->op, step->variant);
  bool again = step->variant == RUN_AGAIN;
  times->macs += macs;
  if (again) times->macs_again += macs;
  if (step->pass == PASS_BACKWARD) {
    *(again ? &times->remade_ns : &times->backward_ns) += step->time_ns;
  } else {
    *(step->pass == PASS_REFORWARD ? &times->reforward_ns : &times->forward_ns) += step->time_ns;
  }
}

// Everything but the update happens in every micro-step, and in every slice; slices wait for other ranks together.
StepTimes report_times(const PlanReport *report) {
  const Plan *plan = report->train;
  StepTimes times = {0};
  int64_t slice = report_simulate(report), sync = 0, count = report->micro_steps * report->slices;
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const PlanStep *step = &plan->steps[i];
    if (step->pass == PASS_UPDATE) {
      times.update_ns += step->time_ns + step->sync_ns;
      continue;
    }
    sync += step->sync_ns;
    switch (step->kind) {
      case STEP_RUN: add_run(plan, step, &times); break;
      case STEP_GATHER:
      case STEP_NORMS:
      case STEP_REDUCE: times.network_ns += step->time_ns; break;
      case STEP_OFFLOAD:
      case STEP_FETCH: times.host_copy_ns += step->time_ns; break;
    }
  }
  int64_t busy = times.forward_ns + times.reforward_ns + times.backward_ns + times.remade_ns;
  int64_t waits = sync * report->micro_steps;
  times.exposed_ns = (slice - sync - busy) * count + waits;
  times.step_ns = (slice - sync) * count + waits + times.update_ns;
  int64_t *const repeated[] = {&times.forward_ns, &times.reforward_ns, &times.backward_ns, &times.remade_ns,
                               &times.network_ns, &times.host_copy_ns, &times.macs,        &times.macs_again};
  for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++) *repeated[i] *= count;
  return times;
}

BlockChoice report_choice(const PlanReport *report, int block) {
  const ChainOps *ops = &report->answer.solution.schedule;
  const PlanBlock *b = &report->problem->blocks->items[block];
  BlockChoice choice = {0};
  for (size_t i = 0; i < ops->count; i++) {
    const ChainOp *op = &ops->items[i];
    if (op->block != block || op->kind == CHAIN_BACKWARD) continue;
    choice.forwards++;
    if (op->kind != CHAIN_SAVE) continue;
    choice.mode = &b->modes[b->offered[op->mode]];
    choice.residency = op->residency;
    choice.offload = op->offload;
  }
  return choice;
}

const char *report_block_name(const PlanReport *report, const PlanStep *step) {
  return step->block >= 0 ? report->problem->blocks->items[step->block].name : "update";
}

const char *report_step_name(const PlanReport *report, const PlanStep *step) {
  return step->kind == STEP_RUN ? graph_op(report->train->graph, step->op)->name : report_block_name(report, step);
}

const char *report_residency_name(const PlanReport *report, const BlockChoice *choice) {
  static const char *const names[RESIDENCY_COUNT] = {"gather", "node_share", "keep"};
  return plan_shards_gather(report->problem->units->shards) ? names[choice->residency] : "keep";
}

// The step's time with another answer: what surrounds the chain stays as it is.
int64_t report_time_with(const PlanReport *report, const StepTimes *times, const PlanAnswer *answer) {
  int64_t difference = answer->solution.cost_ns - report->answer.solution.cost_ns;
  return times->step_ns + difference * report->micro_steps * report->slices;
}

uint64_t report_peak_with(const PlanReport *report, const PlanAnswer *answer) {
  uint64_t step = larger((uint64_t)answer->solution.peak_bytes, (uint64_t)report->problem->update_bytes);
  if (answer->plan) step = answer->plan->arena_bytes;
  return report_fixed_bytes(report) + larger(of_slices(report, step), features_arena(report));
}

// In the units that the plan has; where these do not fit, in the smallest.
static bool curve_point(PlanReport *report, uint64_t budget, const StepTimes *times, CurvePoint *point) {
  uint64_t arena = report_arena_budget(report, budget);
  PlanProblem *problem = report->problem;
  if (arena < plan_problem_minimum(problem)) problem = plan_alternatives_smallest(report->alternatives);
  PlanAnswer answer = plan_problem_fit(problem, &report->policy, arena, false);
  if (!answer.fits) return false;
  *point = (CurvePoint){budget, report_peak_with(report, &answer), report_time_with(report, times, &answer)};
  return true;
}

// What fits into less fits: where a search without proof has found nothing better, the plan of the budget before stays.
static void add_point(PlanReport *report, CurvePoint point) {
  const CurvePoint *last = report->curve_count ? &report->curve[report->curve_count - 1] : NULL;
  if (last && last->time_ns < point.time_ns) point = (CurvePoint){point.budget_bytes, last->peak_bytes, last->time_ns};
  report->curve[report->curve_count++] = point;
}

void report_add_curve(PlanReport *report, CurveWatch *watch) {
  StepTimes times = report_times(report);
  PlanPolicy policy = report->policy;
  report->policy.placement = PLACEMENT_OPTIMAL;
  uint64_t least = report_minimum_bytes(report), most = least;
  PlanAnswer all = plan_problem_solve(report->problem, &report->policy, UINT64_MAX);
  if (all.fits) most = report_fixed_bytes(report) + of_slices(report, (uint64_t)all.solution.peak_bytes);
  // Denser where memory is short: there it matters.
  for (int i = 0; i < REPORT_CURVE_POINTS; i++) {
    double share = (double)i / (REPORT_CURVE_POINTS - 1);
    uint64_t budget = most > least ? least + (uint64_t)((double)(most - least) * share * share) : least;
    if (i == REPORT_CURVE_POINTS - 1) budget = most > least ? most : least;
    CurvePoint point;
    if (curve_point(report, budget, &times, &point)) add_point(report, point);
    if (watch) watch(i + 1, REPORT_CURVE_POINTS);
  }
  report->policy = policy;
}
