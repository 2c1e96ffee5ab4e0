// Windows are the report's: an operation of the chain with what travels beside it, the first gather, the last
// reduction; see replay.h.
#include "compiler/simulate/replay.h"

#include "compiler/base/bug.h"

typedef struct Window {
  uint32_t begin, end;                 // steps
  int64_t busy_ns[STREAM_STATISTICS];  // by stream
} Window;

static int64_t window_ns(const Window *window) {
  int64_t longest = 0;
  for (int i = 0; i < STREAM_STATISTICS; i++) {
    if (window->busy_ns[i] > longest) longest = window->busy_ns[i];
  }
  return longest;
}

static bool is_last_reduction(const Plan *plan, uint32_t step) {
  return step + 1 == plan->update_begin && plan->steps[step].kind == STEP_REDUCE;
}

// Each step of the update is a window of its own, as nothing goes on beside it.
static bool window_ends(const Plan *plan, uint32_t begin, uint32_t step) {
  const PlanStep *first = &plan->steps[begin], *next = &plan->steps[step];
  if (begin == 0 && first->kind == STEP_GATHER) return true;
  return first->operation < 0 || next->operation != first->operation || is_last_reduction(plan, step);
}

static bool window_next(const Plan *plan, Window *window) {
  *window = (Window){.begin = window->end, .end = window->end};
  if (window->begin >= plan->step_count) return false;
  do {
    const PlanStep *step = &plan->steps[window->end++];
    window->busy_ns[report_stream(step->kind)] += step->time_ns;
  } while (window->end < plan->step_count && !window_ends(plan, window->begin, window->end));
  return true;
}

// How often a step happens in a whole step: slices wait for other ranks together.
static int64_t repeats(const PlanReport *report, uint32_t step, bool is_sync) {
  if (step >= report->train->update_begin) return 1;
  return report->micro_steps * (is_sync ? 1 : report->slices);
}

// ---- what is exposed ----

static TrafficKind kind_of_op(OpKind kind) {
  switch (kind) {
    case OP_sinkhorn: return TRAFFIC_SINKHORN;
    case OP_sgd_update:
    case OP_larc_update: return TRAFFIC_REDUCE;
    default: return TRAFFIC_NORM;
  }
}

static TrafficKind kind_of_step(const PlanStep *step) {
  switch (step->kind) {
    case STEP_GATHER: return step->pass == PASS_UPDATE ? TRAFFIC_UPDATE : TRAFFIC_GATHER;
    case STEP_REDUCE: return TRAFFIC_REDUCE;
    case STEP_OFFLOAD: return TRAFFIC_TO_HOST;
    case STEP_FETCH: return TRAFFIC_FROM_HOST;
    case STEP_NORMS: return TRAFFIC_UPDATE;
    case STEP_RUN: break;
  }
  BUG("a computation does not travel");
}

static void add_sync(const PlanReport *report, const PlanStep *step, int64_t times, Simulation *simulation) {
  OpTraffic traffic[MAX_OP_TRAFFIC];
  Traffic *kind = &simulation->traffic[kind_of_op(graph_op(report->train->graph, step->op)->kind)];
  int count = report_step_traffic(report, step, traffic);
  kind->busy_ns += times * step->sync_ns;
  kind->exposed_ns += times * step->sync_ns;
  for (int i = 0; i < count; i++) {
    kind->count += times * traffic[i].times;
    kind->bytes += (double)times * plan_op_sent_bytes(&traffic[i]);
  }
}

static void add_run(const PlanStep *step, int64_t times, Simulation *simulation) {
  int64_t time_ns = times * step->time_ns;
  bool again = step->pass == PASS_REFORWARD || (step->pass == PASS_BACKWARD && step->variant == RUN_AGAIN);
  if (step->pass == PASS_UPDATE)
    simulation->update_ns += time_ns;
  else
    *(again                         ? &simulation->again_ns
      : step->pass == PASS_BACKWARD ? &simulation->backward_ns
                                    : &simulation->forward_ns) += time_ns;
}

// The computation waits for the stream that takes longest; where that has several things to do, for each in proportion.
static void expose(const PlanReport *report, const Window *window, Simulation *simulation) {
  int64_t wait = window_ns(window) - window->busy_ns[STREAM_COMPUTE], left = wait, busy = 0;
  int slowest = STREAM_NETWORK;
  if (wait <= 0) return;
  for (int i = 0; i < STREAM_STATISTICS; i++) {
    if (i != STREAM_COMPUTE && window->busy_ns[i] > busy) busy = window->busy_ns[slowest = i];
  }
  Traffic *last = NULL;
  for (uint32_t i = window->begin; i < window->end; i++) {
    const PlanStep *step = &report->train->steps[i];
    if (step->kind == STEP_RUN || (int)report_stream(step->kind) != slowest) continue;
    int64_t share = (int64_t)((double)wait * (double)step->time_ns / (double)busy);
    last = &simulation->traffic[kind_of_step(step)];
    last->exposed_ns += share * repeats(report, i, false);
    left -= share;
  }
  if (last) last->exposed_ns += left * repeats(report, window->begin, false);
}

void replay_step(const PlanReport *report, Simulation *simulation) {
  const Plan *plan = report->train;
  for (Window window = {0}; window_next(plan, &window);) {
    expose(report, &window, simulation);
    for (uint32_t i = window.begin; i < window.end; i++) {
      const PlanStep *step = &plan->steps[i];
      int64_t times = repeats(report, i, false);
      if (step->kind == STEP_RUN) {
        add_run(step, times, simulation);
        if (step->sync_ns) add_sync(report, step, repeats(report, i, true), simulation);
        continue;
      }
      Traffic *traffic = &simulation->traffic[kind_of_step(step)];
      traffic->count += times;
      traffic->busy_ns += times * step->time_ns;
      traffic->bytes += (double)times * report_step_bytes(report, step);
    }
  }
}

// ---- ranks that compute unevenly ----

enum { MAX_CIRCLE_SIZES = 8 };

// Since all ranks were together: computed time, and what groups that have waited for each other have come to.
typedef struct Walk {
  const PlanReport *report;
  const Spread *spread;
  double all_ns, own_ns;  // since then; since the last collective of any kind
  GroupMoments groups;
  int group_ranks;   // 0: no group has waited
  uint32_t window;   // at hand
  uint32_t waiting;  // first window with a computation since then
  double *computed;  // by window: of these
  double *slowest;   // by window: of the slowest rank, up to when all were together
  struct {
    int ranks;
    GroupMoments moments;
  } known[MAX_CIRCLE_SIZES];
  int known_count;
} Walk;

static GroupMoments moments_of(Walk *walk, int ranks) {
  for (int i = 0; i < walk->known_count; i++) {
    if (walk->known[i].ranks == ranks) return walk->known[i].moments;
  }
  GroupMoments moments = spread_largest_of_group(walk->spread, ranks);
  if (walk->known_count < MAX_CIRCLE_SIZES) {
    walk->known[walk->known_count].ranks = ranks;
    walk->known[walk->known_count++].moments = moments;
  }
  return moments;
}

static void moments_add(Moments *sum, const Moments *factor, double time_ns) {
  sum->mean += factor->mean * time_ns;
  sum->variance += factor->variance * time_ns * time_ns;
}

static void group_meets(Walk *walk, int ranks) {
  GroupMoments factor = moments_of(walk, ranks);
  if (ranks > walk->group_ranks) {
    walk->group_ranks = ranks;
    walk->groups.slow_share = factor.slow_share;
  }
  moments_add(&walk->groups.even, &factor.even, walk->own_ns);
  moments_add(&walk->groups.slow, &factor.slow, walk->own_ns);
  walk->own_ns = 0;
}

static void all_meet(Walk *walk) {
  if (walk->all_ns > 0) {
    int ranks = walk->report->machine.ranks;
    // The last stretch is every rank's own; within a group its slowest counts.
    group_meets(walk, walk->group_ranks ? walk->group_ranks : ranks);
    double latest = spread_latest(&walk->groups, (double)ranks / walk->group_ranks);
    for (uint32_t i = walk->waiting; i <= walk->window; i++) {
      walk->slowest[i] += walk->computed[i] * latest / walk->all_ns;
      walk->computed[i] = 0;
    }
  }
  walk->all_ns = walk->own_ns = 0;
  walk->groups = (GroupMoments){0};
  walk->group_ranks = 0;
  walk->waiting = walk->window;
}

static void ranks_meet(Walk *walk, int ranks) {
  if (ranks >= walk->report->machine.ranks)
    all_meet(walk);
  else if (ranks > 1)
    group_meets(walk, ranks);
}

static void walk_step(Walk *walk, const PlanStep *step) {
  if (step->kind != STEP_RUN) {
    ranks_meet(walk, report_step_ranks(walk->report, step));
    return;
  }
  walk->all_ns += (double)step->time_ns;
  walk->own_ns += (double)step->time_ns;
  walk->computed[walk->window] += (double)step->time_ns;
  OpTraffic traffic[MAX_OP_TRAFFIC];
  int count = report_step_traffic(walk->report, step, traffic);
  for (int i = 0; i < count; i++) ranks_meet(walk, traffic[i].circle.ranks);
}

// What is hidden behind a computation may hide behind a slower one, too.
int64_t replay_stragglers(const PlanReport *report, const Spread *spread) {
  const Plan *plan = report->train;
  Arena *arena = report->problem->arena;
  if (report->machine.ranks < 2 || spread_is_none(spread)) return 0;
  Walk walk = {.report = report,
               .spread = spread,
               .computed = arena_array(arena, double, plan->step_count + 2),
               .slowest = arena_array(arena, double, plan->step_count + 2)};
  for (Window window = {0}; window_next(plan, &window); walk.window++) {
    for (uint32_t i = window.begin; i < window.end; i++) walk_step(&walk, &plan->steps[i]);
    // The loss is agreed on before the update, and the step's end after it.
    if (window.end == plan->update_begin || window.end == plan->step_count) all_meet(&walk);
  }
  double more = 0;
  uint32_t index = 0;
  for (Window window = {0}; window_next(plan, &window); index++) {
    int64_t usual = window_ns(&window);
    double slow = walk.slowest[index] - (double)usual;
    if (slow > 0) more += slow * (double)repeats(report, window.begin, false);
  }
  return (int64_t)(more + 0.5);
}
