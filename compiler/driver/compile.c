// Runs the stages in order and checks each one's result.
#include "compiler/driver/compile.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "codegen/c/tuning.h"
#include "codegen/lowerings.h"
#include "compiler/base/bug.h"
#include "compiler/driver/compile_stages.h"
#include "compiler/driver/rehearsal.h"
#include "compiler/driver/tuning_file.h"
#include "runtime/data/source.h"
#include "runtime/device/inputs.h"

static ShardKind shards_from_spec(const Spec *spec) {
  ShardKind kind = SHARD_NONE;
  for (int i = 0; i < SHARD_KIND_COUNT; i++) {
    if (spec_is(spec, KEY_shard_parameters, shard_kind_names[i])) kind = (ShardKind)i;
  }
  return kind;
}

// Ranks that have one copy of the parameters, where the spec says it.
static int shard_group_from_spec(const Spec *spec) {
  return shards_from_spec(spec) == SHARD_HYBRID ? (int)spec_value(spec, KEY_shard_parameters)->number : 1;
}

static PlanCosts costs_of_lowering(const Lowering *lowering) {
  PlanCosts costs = {.value_bytes = lowering->value_bytes, .mask_bytes = lowering->mask_bytes};
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++)
    costs.workspace_bytes[variant] = lowering->workspace_bytes[variant];
  return costs;
}

static void verify_plan(const Plan *plan, Arena *arena) {
  const char *broken = plan_verify(plan, arena);
  if (broken) BUG("the plan of '%s' does not hold: %s", plan->graph->name, broken);
}

static uint64_t budget_of(const Spec *spec, const PlanMachine *machine) {
  const SpecValue *budget = spec_value(spec, KEY_checkpoint_budget);
  return budget->kind == SPEC_NUMBER ? (uint64_t)spec_integer(spec, KEY_checkpoint_budget) : machine->memory_bytes;
}

// `supervised.classes = auto`: as many as the pictures have labels, looked up with the trainer's own reader.
static bool count_classes(DiagList *diags, const Spec *spec, const SeerProgram *settings, int64_t *classes) {
  const SpecValue *value = spec_value(spec, KEY_supervised_classes);
  if (value->kind != SPEC_NAME) return true;
  SeerSource *source = NULL;
  if (seer_source_open(settings->pictures, settings->labels, &source) != SEER_OK) {
    const char *reason = seer_error();  // its first line; the note behind it is for a trainer's users
    diag_error(diags, value->span, "classes", "cannot count the classes of 'data.pictures': %.*s",
               (int)strcspn(reason, "\n"), reason);
    diag_note(diags, (SourceSpan){0}, "write the number of classes, or compile where the pictures are");
    seer_error_clear();
    return false;
  }
  *classes = seer_source_label_count(source);
  seer_source_close(source);
  return true;
}

// Targets gather parameters and make gradients in f32 where they lie, and narrows them there.
static PlanPrecision precision_from_spec(BuildTarget target, const Spec *spec) {
  int reduce_bytes = seer_format_bytes(reduce_format_from_spec(spec));
  return (PlanPrecision){.compute_bytes = target != TARGET_NONE ? 4 : 2,
                         .gradient_bytes = target != TARGET_NONE ? 4 : reduce_bytes,
                         .reduce_bytes = reduce_bytes};
}

static PlanPolicy policy_from_spec(Arena *arena, const Spec *spec, const PlanMachine *machine) {
  PlanPolicy policy = {.seed = (uint64_t)spec_integer(spec, KEY_checkpoint_seed),
                       .offload = spec_flag(spec, KEY_checkpoint_offload) && machine->host_bytes_per_second > 0};
  for (int i = 0; i < PLACEMENT_COUNT; i++) {
    if (spec_is(spec, KEY_checkpoint_placement, plan_placement_names[i])) policy.placement = (PlanPlacement)i;
  }
  const SpecValue *cuts = spec_value(spec, KEY_checkpoint_cuts);
  int64_t *numbers = arena_array(arena, int64_t, cuts->item_count + 1);
  for (int i = 0; i < cuts->item_count; i++) numbers[i] = (int64_t)cuts->items[i].number;
  policy.cuts = numbers;
  policy.cut_count = cuts->item_count;
  return policy;
}

static void lower_graphs(Planning *planning, const Compilation *compilation) {
  Arena *arena = planning->arena;
  int norm_ranks = (int)norm_ranks_from_spec(planning->world->step);
  SeerFormat reduce = reduce_format_from_spec(planning->spec);
  const Graph *train = planning->train, *features = planning->features;
  const KernelTuning *tuning = &compilation->tuning;
  const CudaTuning *gpu_tuning = &compilation->gpu_tuning;
  if (planning->target == TARGET_CUDA) {
    planning->train_lowering = lower_for_cuda(arena, train, gpu_tuning, norm_ranks, reduce, planning->train_shards);
    planning->features_lowering = lower_for_cuda(arena, features, gpu_tuning, 1, SEER_FP32, planning->features_shards);
  } else {
    planning->train_lowering = lower_for_c(arena, train, tuning, norm_ranks, reduce, planning->train_shards);
    planning->features_lowering = lower_for_c(arena, features, tuning, 1, SEER_FP32, planning->features_shards);
  }
}

// No target can yet, so no rehearsal does.
static bool can_share_by_node(const Planning *planning) {
  return planning->target == TARGET_NONE && !spec_rehearses(planning->spec);
}

static void make_costs(Planning *planning, const Compilation *compilation) {
  Arena *arena = planning->arena;
  const Spec *spec = planning->spec;
  PlanPrecision precision = precision_from_spec(planning->target, spec);
  planning->train_costs = arena_new(arena, PlanCosts);
  planning->features_costs = arena_new(arena, PlanCosts);
  int ranks = (int)rank_count_from_spec(planning->world->step);
  planning->train_shards = plan_shards_make(arena, planning->train, shards_from_spec(spec), ranks,
                                            shard_group_from_spec(spec), can_share_by_node(planning));
  planning->features_shards = plan_shards_make(arena, planning->features, SHARD_NONE, 1, 1, false);
  if (planning->target != TARGET_NONE) {
    lower_graphs(planning, compilation);
    *planning->train_costs = costs_of_lowering(planning->train_lowering);
    *planning->features_costs = costs_of_lowering(planning->features_lowering);
  } else {
    *planning->train_costs = plan_costs_dense(arena, planning->train, precision, planning->train_shards);
    *planning->features_costs = plan_costs_dense(arena, planning->features, precision, planning->features_shards);
  }
  plan_costs_time(arena, planning->train, &planning->machine, precision, planning->train_shards, planning->train_costs);
  plan_costs_time(arena, planning->features, &planning->machine, precision, planning->features_shards,
                  planning->features_costs);
}

// A rehearsal takes the steps of what it rehearses, one by one.
static void follow_original(const Planning *original, PlanTask *task, PlanReport *report) {
  task->follows = original->report->problem;
  report->policy.placement = PLACEMENT_FOLLOWED;
  report->policy.operations = &original->report->answer.solution.schedule;
  report->rehearsed = original->report;
}

// Solves, places and checks; the report's plan stays NULL when nothing fits.
static void make_plans(const Compilation *compilation, Planning *planning, PlanReport *report) {
  Arena *arena = planning->arena;
  const Spec *spec = planning->spec;
  bug_set_stage("plan");
  report->policy = planning->policy;
  PlanTask task = {.graph = planning->train,
                   .costs = planning->train_costs,
                   .machine = &planning->machine,
                   .precision = precision_from_spec(planning->target, spec),
                   .shards = planning->train_shards,
                   .offload = planning->policy.offload};
  const Planning *original = planning->world->use == WORLD_ASKED ? compilation->original : NULL;
  if (original) follow_original(original, &task, report);
  report->alternatives = plan_alternatives_make(arena, &task, spec_is(spec, KEY_shard_unit, "block"));
  Schedule in_order = schedule_in_graph_order(arena, planning->train);
  // Where states and parameters lie does not depend on checkpoints.
  const Plan *state = plan_place_state(arena, planning->train, planning->train_costs, &in_order);
  planning->state = state;
  report->state_bytes = state->state_bytes;
  if (!plan_shards_any(planning->train_shards)) {
    Schedule features = schedule_in_graph_order(arena, planning->features);
    report->features = plan_make(arena, planning->features, planning->features_costs, &features, state, NULL);
    verify_plan(report->features, arena);
  }
  report->answer = plan_alternatives_fit(report->alternatives, &report->policy,
                                         report_arena_budget(report, report->budget_bytes), &report->problem);
  report->train = report->answer.plan;
  if (report->train) verify_plan(report->train, arena);
  if (!original || !report->train) return;
  const char *broken = rehearsal_verify(arena, original->report->train, report->train);
  if (broken) BUG("the rehearsal is not of the whole cluster's plan: %s", broken);
}

static void show_curve(int done, int of) {
  fprintf(stderr, "\rplan %d of %d ", done, of);
  if (done == of) fprintf(stderr, "\r%*s\r", 40, "");
}

bool world_trains(const Planning *planning) {
  return planning->world->use != WORLD_EVALUATES && report_fits(planning->report);
}

static bool check_world(const Compilation *compilation, const Planning *planning, bool declared) {
  if (planning->world->use != WORLD_ASKED || check_fits(compilation->diags, planning->spec, planning->report))
    return true;
  if (!declared)
    diag_note(compilation->diags, spec_span(planning->spec, KEY_cluster_worlds), "this is the plan of %lld rank%s",
              (long long)planning->world->ranks, planning->world->ranks == 1 ? "" : "s");
  return false;
}

// The processor's memory is the host's.
static bool check_offload(DiagList *diags, const Planning *planning) {
  if (planning->target != TARGET_C || !world_trains(planning) || !planning->report->train->host_bytes) return true;
  diag_error(diags, spec_span(planning->spec, KEY_checkpoint_offload), "limitation",
             "target c cannot offload: it computes in the host's memory, and the plan for '%s' moves %" PRIu64
             " bytes there",
             planning->machine.name, planning->report->train->host_bytes);
  diag_note(diags, (SourceSpan){0}, "use 'checkpoint.offload = no', or build with --target=cuda:ARCHITECTURE");
  return false;
}

// What a GPU's memory has besides state and arena, in the place of pictures loaded ahead.
static uint64_t gpu_input_bytes(const Planning *planning, bool trains) {
  bool evaluates = planning->world->ranks == 1;
  bool has_units = trains && plan_shards_any(planning->train_shards);
  int tensors = tensor_count(planning->train);
  return seer_inputs_place(&planning->settings, trains, evaluates, tensors, has_units).size_bytes;
}

// From a world's spec to its report. `watch` is for the declared world, the one that commands speak of.
static bool plan_world(const Compilation *compilation, const World *world, PassWatch watch, PlanReport *report,
                       Planning *planning) {
  Arena *arena = compilation->arena;
  const Spec *spec = world->spec;
  BuildTarget target = target_of(compilation->options, spec, &compilation->machine);
  *planning = (Planning){.arena = arena, .spec = spec, .world = world, .target = target, .report = report};
  planning->machine = compilation->machine;
  planning->cluster = compilation->cluster;
  machine_set_ranks(spec, &planning->machine);
  planning->settings = settings_from_spec(arena, spec);
  if (compilation->classes) planning->settings.classes = (int)compilation->classes;
  ModelOptions model;
  if (!model_options_from_spec(arena, spec, compilation->classes, MODEL_TRAIN, compilation->diags, &model))
    return false;
  GraphTarget wanted = graph_target(compilation->options, target, spec);
  if (compilation->original) wanted.shrink = (int)spec_integer(spec, KEY_model_shrink);
  planning->train = training_graph(arena, world->step, compilation->classes, wanted, compilation->diags, watch);
  if (planning->train)
    planning->features =
        features_graph(arena, spec, compilation->classes, wanted, compilation->diags, (PassWatch){0});
  if (!planning->features) return false;
  if (compilation->original &&
      !rehearsal_check_graph(compilation->diags, spec, compilation->original->train, planning->train))
    return false;
  planning->policy = policy_from_spec(arena, spec, &planning->machine);
  bug_set_stage("lower");
  make_costs(planning, compilation);
  uint64_t snapshot_bytes = snapshot_bytes_from_spec(arena, spec, planning->train, planning->train_shards);
  planning->settings.snapshot_bytes = spec_flag(spec, KEY_save_asynchronous) ? snapshot_bytes : 0;
  cluster_set_run(spec, snapshot_bytes, &planning->cluster);
  const SeerProgram *settings = &planning->settings;
  *report =
      (PlanReport){.model = model_of(&model.shape, world->step, settings, planning->train, planning->features),
                   .machine = planning->machine,
                   .precision = precision_from_spec(target, spec),
                   .images_per_step = settings->batch,
                   .micro_steps = settings->accumulate,
                   .slices = seer_rank_slices(settings),
                   .budget_bytes = budget_of(spec, &planning->machine),
                   .ring_bytes = target == TARGET_CUDA ? gpu_input_bytes(planning, world->use != WORLD_EVALUATES) : 0};
  if (target == TARGET_C) {
    report->ring_bytes = settings->ring_bytes;
    report->snapshot_bytes = settings->snapshot_bytes;
    report->tuning = compilation->options->tuning_name;
    report->tuning_changes = compilation->options->tuning ? tuning_changes(compilation->options->tuning) : 0;
    report->vector_pictures = (int)compilation->tuning.lanes;
    report->vector_fill = vector_fill(world->step, settings, planning->train, (int)compilation->tuning.lanes);
  }
  if (target == TARGET_CUDA) {
    report->layers = layer_uses_list(arena, planning->train);
    report->layer_choices = compilation->gpu_tuning.layers;
    report->library_bytes = CUDA_LIBRARY_BYTES;
  }
  if (target == TARGET_CUDA && compilation->options->gpu_tuning) {
    report->tuning = compilation->options->gpu_tuning_name;
    report->tuning_changes = tuning_changes(compilation->options->gpu_tuning);
  }
  list_outside(report, settings);
  make_plans(compilation, planning, report);
  // One that cannot train in its budget still evaluates.
  if (target == TARGET_CUDA) report->ring_bytes = gpu_input_bytes(planning, world_trains(planning));
  return true;
}

static bool compile_worlds(const Compilation *compilation, const Worlds *worlds, Compiled *compiled) {
  const CompileOptions *options = compilation->options;
  Planning *plannings = arena_array(compilation->arena, Planning, worlds->count);
  for (int i = 0; i < worlds->count; i++) {
    PlanReport *report = i ? arena_new(compilation->arena, PlanReport) : &compiled->report;
    PassWatch watch = {i ? NULL : options->hook, options->hook_data};
    if (!plan_world(compilation, &worlds->items[i], watch, report, &plannings[i])) return false;
    if (i == 0) {
      compiled->train_graph = plannings[0].train;
      compiled->features_graph = plannings[0].features;
      compiled->train_plan = report->train;
      compiled->features_plan = report->features;
      compiled->cluster = plannings[0].cluster;
    }
    if (!check_world(compilation, &plannings[i], i == 0)) return false;
    if (!options->plan_only && !check_offload(compilation->diags, &plannings[i])) return false;
    if (options->curve && world_trains(&plannings[i]))
      report_add_curve(report, isatty(STDERR_FILENO) ? show_curve : NULL);
  }
  list_worlds(compilation->arena, plannings, worlds->count);
  if (plannings[0].train_lowering && !options->plan_only)
    finish_trainer(compilation, plannings, worlds->count, compiled);
  return true;
}

// Plans what is rehearsed, and gives the spec of the rehearsal; NULL after an error.
static const Spec *rehearse(Compilation *compilation, const Spec *spec) {
  Arena *arena = compilation->arena;
  World *world = arena_new(arena, World);
  *world = (World){.ranks = rank_count_from_spec(spec), .use = WORLD_ASKED, .spec = spec, .step = spec};
  Planning *original = arena_new(arena, Planning);
  if (!plan_world(compilation, world, (PassWatch){0}, arena_new(arena, PlanReport), original)) return NULL;
  if (!check_world(compilation, original, true)) return NULL;
  if (!compilation->options->plan_only && !check_offload(compilation->diags, original)) return NULL;
  ModelOptions model;
  if (!model_options_from_spec(arena, spec, compilation->classes, MODEL_TRAIN, compilation->diags, &model)) return NULL;
  compilation->original = original;
  return rehearsal_spec(arena, spec, &model.shape);
}

bool compile_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                  const CompileOptions *options, Compiled *compiled) {
  *compiled = (Compiled){.spec = spec};
  Compilation compilation = {.arena = arena, .sources = sources, .diags = diags, .options = options};
  if (!machine_from_spec(arena, sources, diags, spec, library, &compilation.machine, &compilation.cluster))
    return false;
  BuildTarget target = target_of(options, spec, &compilation.machine);
  Worlds worlds = worlds_from_spec(arena, spec, options->plan_only && target == TARGET_NONE);
  bool checked = !options->plan_only || target == TARGET_CUDA;
  if (checked && !check_limits(diags, target, worlds_largest(&worlds)->spec)) return false;
  compilation.cpu = cpu_of_options(options);
  // Only what computes in bf16 needs a processor that does.
  bool narrow = target == TARGET_C && graph_target(options, target, spec).images == DATA_BF16;
  bool chosen = strcmp(options->cpu, "native") != 0;
  if (!narrow && !chosen && strcmp(compilation.cpu, "x86-64-v4+bf16") == 0) compilation.cpu = "x86-64-v4";
  TuningSet usual = tuning_usual(c_tuning_table(lanes_of_cpu(compilation.cpu)));
  compilation.tuning = c_tuning(options->tuning ? options->tuning : &usual);
  compilation.gpu_tuning = cuda_tuning(options->gpu_tuning);
  compilation.tuning.images_bf16 = narrow;
  SeerProgram settings = settings_from_spec(arena, spec);
  if (!count_classes(diags, spec, &settings, &compilation.classes)) return false;
  compilation.monitor = settings.monitor;
  if (!references_from_spec(arena, diags, spec, &compilation.monitor)) return false;
  if (spec_rehearses(spec)) {
    spec = rehearse(&compilation, spec);
    if (!spec) return false;
    worlds = worlds_from_spec(arena, spec, options->plan_only && target == TARGET_NONE);
  }
  if (!compile_worlds(&compilation, &worlds, compiled)) return false;
  bug_set_stage(NULL);
  return true;
}
