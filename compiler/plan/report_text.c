// The plan for people: a summary that fits a screen, one block's alternatives, budget against time, other placements.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/plan/report.h"

enum { BAR_WIDTH = 30 };

void report_write_bytes(Writer *out, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 5; unit++) bytes /= 1024;
  writer_printf(out, unit && bytes < 100 ? "%7.2f %-3s" : unit ? "%7.1f %-3s" : "%7.0f %-3s", bytes, units[unit]);
}

void report_write_time(Writer *out, double time_ns) {
  static const char *const units[] = {"ns", "us", "ms", "s"};
  int unit = 0;
  for (; time_ns >= 1000 && unit < 3; unit++) time_ns /= 1000;
  writer_printf(out, time_ns < 10 ? "%.3f %s" : time_ns < 100 ? "%.2f %s" : "%.1f %s", time_ns, units[unit]);
}

void report_write_minimum_cause(const PlanReport *report, Writer *out) {
  const PlanProblem *problem = plan_alternatives_smallest(report->alternatives);
  const ChainOp *op = &problem->minimum_set_by;
  switch (report_minimum_cause(report)) {
    case MINIMUM_BY_EVALUATION: writer_text(out, "the batch of 'evaluation'"); break;
    case MINIMUM_BY_UPDATE: writer_text(out, "the 'update'"); break;
    case MINIMUM_BY_OPERATION:
      writer_printf(out, "the %s of '%s'", op->kind == CHAIN_BACKWARD ? "backward" : "forward",
                    problem->blocks->items[op->block].name);
      break;
  }
}

static double share_of(double part, double whole) { return whole > 0 ? part / whole : 0; }

static void print_bar(Writer *out, double share) {
  int length = (int)(share * BAR_WIDTH + 0.5);
  for (int i = 0; i < length && i < BAR_WIDTH; i++) writer_text(out, "#");
}

static void print_head(const PlanReport *report, Writer *out) {
  static const char *const kept[SHARD_KIND_COUNT] = {"parameters whole", "parameters whole, gradients sharded",
                                                     "parameters sharded", "parameters sharded in groups of"};
  const PlanModel *model = &report->model;
  const PlanMachine *machine = &report->machine;
  writer_printf(out, "%s: %s, %.4g M parameters in the trunk, %.4g M in all", model->name, model->family,
                (double)model->parameters_trunk * 1e-6, (double)model->parameters_total * 1e-6);
  for (int i = 0; i < model->size_count; i++)
    writer_printf(out, "%s %d px %.4g GMAC", i ? "," : ";", model->sizes[i], (double)model->macs[i] * 1e-9);
  writer_printf(out, "\n'%s'", machine->name);
  const PlanShards *shards = report->problem->units->shards;
  if (machine->ranks > 1)
    writer_printf(out, ", %d nodes of %d ranks, %s", machine->nodes, machine->ranks_per_node, kept[shards->kind]);
  if (shards->kind == SHARD_HYBRID) writer_printf(out, " %d", shards->group);
  writer_printf(out, "; %" PRId64 " pictures a step", report->images_per_step);
  if (report->micro_steps > 1) writer_printf(out, " in %" PRId64 " micro-steps", report->micro_steps);
  if (report->vector_pictures && report->vector_fill < 1)
    writer_printf(out, "; vectors of %d pictures are %.0f %% full", report->vector_pictures, 100 * report->vector_fill);
  if (report->tuning)
    writer_printf(out, "; tuned by '%s', %d parameters differ from the defaults", report->tuning,
                  report->tuning_changes - (int)report->layer_choices.count);
  if (report->slices > 1) writer_printf(out, "; %d slices a rank, each with an arena of its own", report->slices);
  writer_text(out, "\n");
}

static void print_bytes(Writer *out, const char *label, uint64_t bytes) {
  writer_printf(out, "  %-14s", label);
  report_write_bytes(out, (double)bytes);
  writer_printf(out, " %16" PRIu64 "  ", bytes);
}

static void print_bytes_row(Writer *out, const char *label, uint64_t bytes, uint64_t whole) {
  print_bytes(out, label, bytes);
  print_bar(out, share_of((double)bytes, (double)whole));
  writer_text(out, "\n");
}

static void print_memory(const PlanReport *report, Writer *out) {
  const Plan *plan = report->train;
  StateBytes state = report_state_bytes(plan);
  uint64_t peak = report_peak_bytes(report);
  writer_text(out, "\nmemory of one rank                      bytes\n");
  print_bytes_row(out, "parameters", state.parameters, peak);
  print_bytes_row(out, "velocities", state.velocities, peak);
  print_bytes_row(out, "statistics", state.statistics, peak);
  for (int i = 0; i < ITEM_KIND_COUNT; i++) {
    uint64_t bytes = plan->peak_by_kind[i] * (uint64_t)report->slices;
    if (bytes) print_bytes_row(out, plan_item_kind_names[i], bytes, peak);
  }
  if (report_gap_bytes(report)) print_bytes_row(out, "gaps", report_gap_bytes(report), peak);
  if (report_evaluation_bytes(report)) print_bytes_row(out, "evaluation", report_evaluation_bytes(report), peak);
  if (report->ring_bytes) print_bytes_row(out, "loader", report->ring_bytes, peak);
  if (report->snapshot_bytes) print_bytes_row(out, "snapshot", report->snapshot_bytes, peak);
  print_bytes_row(out, "peak", peak, 0);
  print_bytes_row(out, "budget", report->budget_bytes, 0);
  print_bytes(out, "least", report_minimum_bytes(report));
  writer_text(out, "set by ");
  report_write_minimum_cause(report, out);
  writer_text(out, "\n");
  if (plan->host_bytes) print_bytes_row(out, "on the host", plan->host_bytes, 0);
  uint64_t outside = 0;
  for (int i = 0; i < report->outside_count; i++) outside += report->outside[i].bytes;
  if (outside) print_bytes_row(out, "outside, most", outside, 0);
  const PlanStep *step = &plan->steps[plan->peak_step];
  writer_printf(out, "  %s is %s the largest sum of live bytes, reached in '%s' (%s)\n",
                report->slices > 1 ? "each arena" : "the arena", report_gap_bytes(report) == 0 ? "exactly" : "above",
                report_step_name(report, step),
                step->kind == STEP_RUN ? step_pass_name(step->pass) : step_kind_name(step->kind));
}

static bool same_choice(const BlockChoice *a, const BlockChoice *b) {
  return strcmp(a->mode->name, b->mode->name) == 0 && a->residency == b->residency && a->offload == b->offload &&
         a->forwards == b->forwards;
}

// Neighbours of one stage that are treated alike share a line.
static void print_modes(const PlanReport *report, Writer *out) {
  const PlanBlocks *blocks = report->problem->blocks;
  writer_text(out, "\n  blocks                    saved mode                      forwards parameters\n");
  for (int b = 0; b < blocks->count;) {
    BlockChoice choice = report_choice(report, b);
    int64_t saved = 0;
    int end = b;
    for (; end < blocks->count && blocks->items[end].stage == blocks->items[b].stage; end++) {
      BlockChoice other = report_choice(report, end);
      if (!same_choice(&choice, &other)) break;
      saved += other.mode->costs.saved_bytes;
    }
    char range[64];
    const char *first = blocks->items[b].name, *last = blocks->items[end - 1].name;
    snprintf(range, sizeof range, end - b > 1 ? "%s to %s" : "%s", first, last);
    writer_printf(out, "  %-21s", range);
    report_write_bytes(out, (double)saved);
    writer_printf(out, " %-30s %5d %s%s\n", choice.mode->name, choice.forwards, report_residency_name(report, &choice),
                  choice.offload ? ", offloaded" : "");
    b = end;
  }
}

static void print_proof(const PlanReport *report, Writer *out) {
  const ChainSolution *solution = &report->answer.solution;
  if (report->rehearsed) {
    const PlanReport *full = report->rehearsed;
    writer_printf(out, "\nrehearsal of %d ranks with %.4g M parameters: each of its %u steps is here\n",
                  full->machine.ranks, (double)full->model.parameters_total * 1e-6, full->train->step_count);
    return;
  }
  if (report->policy.placement != PLACEMENT_OPTIMAL) {
    writer_printf(out, "\nplacement '%s', as asked for\n", plan_placement_names[report->policy.placement]);
    return;
  }
  if (solution->optimal_in_class) {
    writer_text(out, "\nproven optimal in its class");
  } else {
    writer_printf(out, "\nno schedule of its class is more than %.2f %% faster",
                  100 * (share_of((double)solution->cost_ns, (double)solution->class_bound_ns) - 1));
  }
  writer_printf(out, "; no schedule at all is more than %.2f %% faster\n",
                100 * (share_of((double)solution->cost_ns, (double)solution->lower_bound_ns) - 1));
}

// What more memory would buy, from the same solver; and whether less than a GiB buys as much.
static void print_offer(PlanReport *report, const StepTimes *times, Writer *out) {
  const uint64_t slices = (uint64_t)report->slices, more = ((uint64_t)1 << 30) / slices;
  if (report->policy.placement != PLACEMENT_OPTIMAL) return;
  uint64_t arena = report_arena_budget(report, report->budget_bytes);
  PlanAnswer richer = plan_problem_solve(report->problem, &report->policy, arena + more);
  int64_t saved = times->step_ns - report_time_with(report, times, &richer);
  if (saved > 0) {
    richer = plan_problem_fit(report->problem, &report->policy, arena + more, true);
    saved = times->step_ns - report_time_with(report, times, &richer);
  }
  if (saved <= 0) {
    writer_printf(out, "one more GiB would buy nothing%s\n",
                  report->answer.solution.optimal_in_class ? "" : " that was found");
    return;
  }
  writer_text(out, "one more GiB would save ");
  report_write_time(out, (double)saved);
  writer_printf(out, " a step (%.2f %%)", 100 * share_of((double)saved, (double)times->step_ns));
  if (richer.plan->arena_bytes > arena && richer.plan->arena_bytes - arena < more - (more >> 4)) {
    writer_text(out, ", and of it ");
    report_write_bytes(out, (double)(slices * (richer.plan->arena_bytes - arena)));
    writer_text(out, " would do");
  }
  writer_text(out, "\n");
}

// Of one library.
static void print_layers_by(const PlanReport *report, LayerMaker maker, Writer *out) {
  bool any = false;
  for (size_t i = 0; i < report->layers.count; i++) {
    const LayerUse *use = &report->layers.items[i];
    if (layer_choices_find(&report->layer_choices, &use->shape) != maker) continue;
    if (!any) {
      writer_printf(out, "\nby %s", layer_maker_titles[maker]);
      int64_t version = report->layer_choices.versions[maker];
      if (version) writer_text(out, " ");
      if (version) layer_version_print(version, out);
      writer_text(out, ", each with ");
      report_write_bytes(out, (double)report->library_bytes);
      writer_text(out, " of the arena to work in\n");
      any = true;
    }
    writer_text(out, "  ");
    layer_shape_print(&use->shape, out);
    writer_printf(out, ": %d, the first in '%s'\n", use->count, use->first);
  }
}

static void print_layers(const PlanReport *report, Writer *out) {
  size_t used = 0;
  for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++)
    print_layers_by(report, (LayerMaker)maker, out);
  for (size_t i = 0; i < report->layers.count; i++)
    used += layer_choices_find(&report->layer_choices, &report->layers.items[i].shape) != LAYER_BY_SEER;
  if (used < report->layer_choices.count)
    writer_printf(out, "\n%zu of the tuning's %zu layers are not in this step: their shapes are others\n",
                  report->layer_choices.count - used, report->layer_choices.count);
}

static void print_worlds(const PlanReport *report, Writer *out) {
  if (report->world_count < 2) return;
  writer_text(out, "\nranks that can be started, memory of each, time of a step\n");
  for (int i = 0; i < report->world_count; i++) {
    const PlanWorld *world = &report->worlds[i];
    writer_printf(out, "  %-14d", world->ranks);
    report_write_bytes(out, (double)world->peak_bytes);
    writer_printf(out, " %16" PRIu64 "  ", world->peak_bytes);
    if (world->trains)
      report_write_time(out, (double)world->step_ns);
    else
      writer_text(out, "evaluates only");
    if (world->minimum_bytes > report->budget_bytes)
      writer_printf(out, ": training takes %" PRIu64 " or more", world->minimum_bytes);
    writer_text(out, "\n");
  }
}

void report_print(const PlanReport *report, Writer *out) {
  print_head(report, out);
  print_memory(report, out);
  print_modes(report, out);
}

void report_print_proof(PlanReport *report, Writer *out) {
  StepTimes times = report_times(report);
  print_proof(report, out);
  print_offer(report, &times, out);
  print_layers(report, out);
  print_worlds(report, out);
}

// ---- why ----

static int find_block(const PlanBlocks *blocks, const char *name) {
  for (int b = 0; b < blocks->count; b++) {
    if (strcmp(blocks->items[b].name, name) == 0) return b;
  }
  return -1;
}

// The best step in which this block has that mode and the others are free: solved again, in a chain where it has no
// other.
static PlanAnswer solve_with_mode(PlanReport *report, int block, const ChainMode *mode) {
  PlanProblem *problem = report->problem;
  PlanProblem forced = *problem;
  forced.chain.blocks = arena_array(problem->arena, ChainBlock, problem->chain.block_count);
  memcpy(forced.chain.blocks, problem->chain.blocks, (size_t)problem->chain.block_count * sizeof *forced.chain.blocks);
  ChainMode *only = arena_new(problem->arena, ChainMode);
  *only = *mode;
  forced.chain.blocks[block].modes = only;
  forced.chain.blocks[block].mode_count = 1;
  ChainClass class = chain_full_class;
  class.offload = report->policy.offload;
  forced.solver = chain_solver_make(&forced.chain, &class);
  forced.minimum_chain_bytes = chain_minimum_budget(forced.solver, NULL);
  PlanPolicy optimal = {.placement = PLACEMENT_OPTIMAL, .offload = report->policy.offload};
  PlanAnswer answer = plan_problem_solve(&forced, &optimal, report_arena_budget(report, report->budget_bytes));
  chain_solver_release(forced.solver);
  return answer;
}

static void print_alternative(PlanReport *report, int block, const SaveMode *mode, bool chosen, Writer *out) {
  writer_printf(out, "%s %-30s", chosen ? "*" : " ", mode->name);
  report_write_bytes(out, (double)mode->costs.saved_bytes);
  writer_text(out, " ");
  report_write_bytes(out, (double)(mode->costs.saved_bytes + mode->costs.backward_transient_bytes));
  char number[32];
  Writer text = {0};
  report_write_time(&text, (double)(mode->costs.forward_ns + mode->costs.backward_ns));
  snprintf(number, sizeof number, "%s", text.text);
  writer_release(&text);
  writer_printf(out, " %12s  ", number);
  PlanAnswer answer = solve_with_mode(report, block, &mode->costs);
  if (!answer.fits) {
    writer_text(out, "does not fit\n");
    return;
  }
  int64_t more = (answer.solution.cost_ns - report->answer.solution.cost_ns) * report->micro_steps * report->slices;
  writer_text(out, more < 0 ? "-" : "+");
  report_write_time(out, (double)(more < 0 ? -more : more));
  writer_printf(out, " a step%s\n", mode->dominated ? " (another mode is no worse in anything)" : "");
}

bool report_print_why(PlanReport *report, const char *name, Writer *out) {
  const PlanBlocks *blocks = report->problem->blocks;
  int block = find_block(blocks, name);
  if (block < 0) {
    for (int b = 0; b < blocks->count; b++) writer_printf(out, "%s%s", b ? ", " : "", blocks->items[b].name);
    return false;
  }
  const PlanBlock *b = &blocks->items[block];
  BlockChoice choice = report_choice(report, block);
  writer_printf(out, "%s: saved as '%s', its forward runs %d time%s, parameters: %s%s\n\n", b->name, choice.mode->name,
                choice.forwards, choice.forwards == 1 ? "" : "s", report_residency_name(report, &choice),
                choice.offload ? ", offloaded" : "");
  writer_text(
      out,
      "  mode                               saved    in backward  forth and back  the whole step, rest at its best\n");
  for (int k = 0; k < b->mode_count; k++)
    print_alternative(report, block, &b->modes[k], &b->modes[k] == choice.mode, out);
  return true;
}

// ---- budget against time ----

void report_print_sweep(const PlanReport *report, Writer *out) {
  int64_t best = report->curve_count ? report->curve[report->curve_count - 1].time_ns : 0;
  writer_text(out, "      budget         bytes            peak        step    above the fastest\n");
  for (int i = 0; i < report->curve_count; i++) {
    const CurvePoint *point = &report->curve[i];
    report_write_bytes(out, (double)point->budget_bytes);
    writer_printf(out, " %15" PRIu64 " %15" PRIu64 "  ", point->budget_bytes, point->peak_bytes);
    report_write_time(out, (double)point->time_ns);
    double above = share_of((double)(point->time_ns - best), (double)best);
    writer_printf(out, "  %6.2f %%  ", 100 * above);
    print_bar(out, above);
    writer_text(out, "\n");
  }
}

// ---- comparison ----

static void print_compared(const PlanReport *report, const char *label, const PlanAnswer *answer,
                           const StepTimes *times, Writer *out) {
  if (!answer->solution.feasible) {
    writer_printf(out, "  %-34s does not fit\n", label);
    return;
  }
  const ChainReplay *replay = &answer->replay;
  double least = (double)(replay->compute_ns - replay->recompute_ns);
  writer_printf(out, "  %-34s", label);
  uint64_t peak = report_peak_with(report, answer);
  report_write_bytes(out, (double)peak);
  writer_printf(out, " %14" PRIu64 "  %7.2f %%   ", peak, 100 * share_of((double)replay->recompute_ns, least));
  report_write_time(out, (double)report_time_with(report, times, answer));
  writer_printf(out, "  %s\n", answer->fits ? "" : "over the budget");
}

static PlanAnswer solve_as_rotor(PlanReport *report, uint64_t arena_bytes) {
  PlanProblem plain = *plan_alternatives_whole(report->alternatives);
  ChainClass class = {.only_modes = 1, .option_limit = chain_full_class.option_limit};
  plain.solver = chain_solver_make(&plain.chain, &class);
  plain.minimum_chain_bytes = chain_minimum_budget(plain.solver, NULL);
  PlanAnswer answer = plan_problem_solve(&plain, &(PlanPolicy){.placement = PLACEMENT_OPTIMAL}, arena_bytes);
  chain_solver_release(plain.solver);
  return answer;
}

// A recipe's cuts may be for a deeper network.
static bool has_cuts(const PlanReport *report) {
  const PlanPolicy *policy = &report->policy;
  return policy->cut_count &&
         policy->cuts[policy->cut_count - 1] < plan_alternatives_whole(report->alternatives)->chain.block_count;
}

void report_print_compare(PlanReport *report, Writer *out) {
  uint64_t arena = report_arena_budget(report, report->budget_bytes);
  StepTimes times = report_times(report);
  writer_printf(out, "budget of one rank: ");
  report_write_bytes(out, (double)report->budget_bytes);
  writer_printf(out, " %" PRIu64 ", of which ", report->budget_bytes);
  report_write_bytes(out, (double)(report->budget_bytes - arena * (uint64_t)report->slices));
  writer_text(out, " are taken whatever the placement\n");
  writer_text(out, "  placement                          peak of the rank         extra compute  step\n");
  static const struct {
    const char *label;
    PlanPlacement placement;
  } rows[] = {{"no checkpoints", PLACEMENT_NONE},
              {"every block", PLACEMENT_EVERY},
              {"square root (Chen et al.)", PLACEMENT_SQUARE_ROOT},
              {"FairScale's rule", PLACEMENT_FAIRSCALE},
              {"the spec's cuts", PLACEMENT_CUTS}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    PlanPolicy policy = report->policy;
    policy.placement = rows[i].placement;
    if (policy.placement == PLACEMENT_CUTS && !has_cuts(report)) continue;
    PlanAnswer answer = plan_problem_solve(plan_alternatives_whole(report->alternatives), &policy, arena);
    print_compared(report, rows[i].label, &answer, &times, out);
  }
  PlanAnswer rotor = solve_as_rotor(report, arena);
  print_compared(report, "rotor, persistent", &rotor, &times, out);
  PlanPolicy optimal = report->policy;
  optimal.placement = PLACEMENT_OPTIMAL;
  PlanProblem *problem;
  PlanAnswer ours = plan_alternatives_fit(report->alternatives, &optimal, arena, &problem);
  print_compared(report, "seer", &ours, &times, out);
}
