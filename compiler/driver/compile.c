// Runs the stages in order and checks each one's result.
#include "compiler/driver/compile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/c/tuning.h"
#include "codegen/cuda/modules.h"
#include "codegen/lowerings.h"
#include "compiler/base/bug.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/tuning_file.h"
#include "compiler/driver/tuning_use.h"
#include "compiler/driver/worlds.h"
#include "compiler/passes/pipeline.h"
#include "runtime/data/decode.h"
#include "runtime/device/inputs.h"
#include "runtime/engine.h"
#include "runtime/monitor.h"

bool cpu_is_known(const char *cpu) {
  return strcmp(cpu, "x86-64") == 0 || strcmp(cpu, "x86-64-v3") == 0 || strcmp(cpu, "x86-64-v4") == 0 ||
         strcmp(cpu, "x86-64-v4+bf16") == 0;
}

const char *native_cpu(void) {
  const char *level = seer_cpu_level();
  return cpu_is_known(level) ? level : "x86-64";
}

const char *cpu_of_options(const CompileOptions *options) {
  return strcmp(options->cpu, "native") == 0 ? native_cpu() : options->cpu;
}

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

// Target c trains in fp32, and in bf16 where the machine is the one at hand. Anything else can be planned, not built.
static bool is_for_c(const Spec *spec) {
  return spec_is(spec, KEY_train_precision, "fp32") ||
         (spec_is(spec, KEY_train_precision, "bf16") && strcmp(spec_text(spec, KEY_cluster_machine), "this") == 0);
}

// What a compilation is for. None: it can be planned alone.
typedef enum BuildTarget { TARGET_NONE, TARGET_C, TARGET_CUDA } BuildTarget;

static BuildTarget target_of(const CompileOptions *options, const Spec *spec) {
  if (options->architectures) return TARGET_CUDA;
  return is_for_c(spec) ? TARGET_C : TARGET_NONE;
}

// What a GPU writes and does not write is by bytes, unless `options` say otherwise. Target c has all views.
static GraphTarget graph_target(const CompileOptions *options, BuildTarget target, const Spec *spec) {
  GraphTarget wanted = {.additions = target != TARGET_NONE,
                        .gradients_on_read = target == TARGET_C,
                        .scales_on_read = target == TARGET_CUDA,
                        .images = DATA_F32};
  if (target == TARGET_C) wanted.normalize_on_read = NORMALIZE_ALWAYS;
  if (target == TARGET_CUDA) wanted.normalize_on_read = options->normalize_on_read;
  if (target != TARGET_NONE && spec_is(spec, KEY_train_precision, "bf16")) wanted.images = DATA_BF16;
  if (target == TARGET_CUDA && spec_is(spec, KEY_train_precision, "fp16")) wanted.images = DATA_F16;
  return wanted;
}

static void cuda_lacks(DiagList *diags, const Spec *spec, SpecKey key, const char *what) {
  diag_error(diags, spec_span(spec, key), "limitation", "target cuda cannot yet %s", what);
}

static void check_cuda_limits(DiagList *diags, const Spec *spec) {
  if (spec_is(spec, KEY_train_precision, "fp32")) {
    cuda_lacks(diags, spec, KEY_train_precision, "train in 'fp32'");
    diag_note(diags, (SourceSpan){0}, "use 'precision = bf16' or 'fp16'");
  }
  if (spec_flag(spec, KEY_train_reproducible))
    cuda_lacks(diags, spec, KEY_train_reproducible, "train in slices that do not depend on the number of ranks");
}

static bool check_limits(DiagList *diags, BuildTarget target, const Spec *spec) {
  size_t before = diags->error_count;
  if (target == TARGET_CUDA) check_cuda_limits(diags, spec);
  if (target == TARGET_NONE) {
    diag_error(diags, spec_span(spec, KEY_train_precision), "limitation", "seerc cannot yet train in '%s' on '%s'",
               spec_text(spec, KEY_train_precision), spec_text(spec, KEY_cluster_machine));
    diag_note(diags, (SourceSpan){0},
              "use 'precision = fp32', or 'bf16' on the machine 'this'; `seerc plan` plans other precisions, too");
  }
  return diags->error_count == before;
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

static Program *program_of(Arena *arena, const Graph *graph, const Lowering *lowering, const Plan *plan,
                           const char *const *unit_names) {
  bug_set_stage("program");
  Program *program = program_make(arena, graph, lowering, plan, unit_names);
  const char *broken = program_verify(program, arena);
  if (broken) BUG("the program of '%s' does not hold: %s", graph->name, broken);
  return program;
}

static bool is_trunk(const char *name) {
  return strncmp(name, "stem.", 5) == 0 || strncmp(name, "trunk_output.", 13) == 0;
}

static void count_parameters(const Graph *graph, PlanModel *model) {
  for (size_t v = 0; v < graph->values.count; v++) {
    const Value *value = &graph->values.items[v];
    if (value->kind != VALUE_PARAMETER) continue;
    int64_t count = shape_elements(value->shape);
    model->parameters_total += count;
    if (is_trunk(value->name)) model->parameters_trunk += count;
  }
}

// Multiply-adds of one picture's forward through the trunk, for one size group of a graph.
static int64_t trunk_macs(const Graph *graph, int size_group, int64_t images) {
  int64_t macs = 0;
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    if (op->phase == PHASE_FORWARD && op->size_group == size_group) macs += op_macs(graph, op);
  }
  return macs / images;
}

static void add_size(PlanModel *model, int size, int64_t macs) {
  for (int i = 0; i < model->size_count; i++) {
    if (model->sizes[i] == size) return;
  }
  model->sizes[model->size_count] = size;
  model->macs[model->size_count++] = macs;
}

static int64_t pictures_of_micro_step(const Spec *spec) {
  return spec_integer(spec, KEY_train_batch) / spec_integer(spec, KEY_train_accumulate) / rank_count_from_spec(spec);
}

static PlanModel model_of(const RegNetShape *shape, const Spec *spec, const SeerProgram *settings, const Graph *train,
                          const Graph *features) {
  PlanModel model = {
      .name = settings->name, .family = spec_text(spec, KEY_model_family), .stage_count = shape->stage_count};
  for (int i = 0; i < shape->stage_count; i++) {
    model.depths[i] = shape->stages[i].depth;
    model.widths[i] = shape->stages[i].width;
    model.group_widths[i] = shape->stages[i].group_width;
  }
  int64_t pictures = pictures_of_micro_step(spec);
  for (int i = 0; i < settings->views.size_group_count; i++) {
    const SeerSizeGroup *group = &settings->views.size_groups[i];
    add_size(&model, group->size, trunk_macs(train, i, pictures * group->crops));
  }
  add_size(&model, settings->evaluate_size, trunk_macs(features, 0, settings->evaluate_batch));
  count_parameters(train, &model);
  return model;
}

// Pictures are the vectors of target c, and what they leave free of the last one is computed all the same.
static double vector_fill(const Spec *spec, const SeerProgram *settings, const Graph *train, int lanes) {
  double used = 0, taken = 0;
  for (int i = 0; i < settings->views.size_group_count; i++) {
    int64_t pictures = pictures_of_micro_step(spec) * settings->views.size_groups[i].crops;
    double macs = (double)trunk_macs(train, i, pictures);  // of one
    used += macs * (double)pictures;
    taken += macs * (double)((pictures + lanes - 1) / lanes * lanes);
  }
  return taken > 0 ? used / taken : 1;
}

static bool check_budget(DiagList *diags, const Spec *spec, const PlanReport *report) {
  if (report_fits(report)) return true;
  SpecKey key =
      spec_value(spec, KEY_checkpoint_budget)->kind == SPEC_NUMBER ? KEY_checkpoint_budget : KEY_cluster_machine;
  bool asked = report->policy.placement != PLACEMENT_OPTIMAL;
  uint64_t needed = asked && report->train ? report_peak_bytes(report) : report_minimum_bytes(report);
  diag_error(diags, spec_span(spec, key), "budget",
             "the plan needs %" PRIu64 " bytes and the budget is %" PRIu64 " bytes", needed, report->budget_bytes);
  if (asked)
    diag_note(diags, spec_span(spec, KEY_checkpoint_placement),
              "the placement '%s' takes what it takes; 'placement = optimal' fits into less",
              plan_placement_names[report->policy.placement]);
  Writer cause = {0};
  report_write_minimum_cause(report, &cause);
  diag_note(diags, (SourceSpan){0},
            "the smallest budget that would do is %" PRIu64 " bytes: %" PRIu64 " of state, %" PRIu64
            " of pictures loaded ahead, %" PRIu64 " of a snapshot being written, and at least %" PRIu64
            " of arena, set by %s",
            report_minimum_bytes(report), report->state_bytes, report->ring_bytes, report->snapshot_bytes,
            report_minimum_bytes(report) - report_fixed_bytes(report), cause.text);
  writer_release(&cause);
  diag_note(diags, (SourceSpan){0},
            report_minimum_cause(report) == MINIMUM_BY_EVALUATION
                ? "a smaller 'evaluate.batch' or 'evaluate.size' lowers the arena"
                : "a smaller 'train.batch', or a larger 'train.accumulate', lowers the arena");
  return false;
}

static uint64_t budget_of(const Spec *spec, const PlanMachine *machine) {
  const SpecValue *budget = spec_value(spec, KEY_checkpoint_budget);
  return budget->kind == SPEC_NUMBER ? (uint64_t)spec_integer(spec, KEY_checkpoint_budget) : machine->memory_bytes;
}

// One piece; the emitter cuts it.
static SeerPieces pieces_of(Arena *arena, Writer *out) {
  const char **pieces = arena_array(arena, const char *, 2);
  pieces[0] = arena_string(arena, out->text, out->size);
  pieces[1] = NULL;
  writer_release(out);
  return pieces;
}

static SeerPieces spec_text_of(Arena *arena, const Spec *spec) {
  Writer out = {0};
  spec_print(spec, &out);
  return pieces_of(arena, &out);
}

static SeerPieces plan_json_of(Arena *arena, const PlanReport *report) {
  Writer out = {0};
  report_print_json(report, &out);
  return pieces_of(arena, &out);
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

// Everything of one world's compilation on its way from the spec to the plan.
typedef struct Planning {
  Arena *arena;
  const Spec *spec;
  const World *world;
  BuildTarget target;
  SeerProgram settings;
  const Graph *train, *features;
  const PlanShards *train_shards, *features_shards;
  PlanCosts *train_costs, *features_costs;
  Lowering *train_lowering, *features_lowering;  // NULL: no target builds it yet
  PlanMachine machine;
  PlanPolicy policy;
  const Plan *state;  // where states and parameters lie
  PlanReport *report;
} Planning;

static void lower_graphs(Planning *planning, const KernelTuning *tuning) {
  Arena *arena = planning->arena;
  int norm_ranks = (int)norm_ranks_from_spec(planning->world->step);
  SeerFormat reduce = reduce_format_from_spec(planning->spec);
  const Graph *train = planning->train, *features = planning->features;
  if (planning->target == TARGET_CUDA) {
    planning->train_lowering = lower_for_cuda(arena, train, norm_ranks, reduce, planning->train_shards);
    planning->features_lowering = lower_for_cuda(arena, features, 1, SEER_FP32, planning->features_shards);
  } else {
    planning->train_lowering = lower_for_c(arena, train, tuning, norm_ranks, reduce, planning->train_shards);
    planning->features_lowering = lower_for_c(arena, features, tuning, 1, SEER_FP32, planning->features_shards);
  }
}

static void make_costs(Planning *planning, const KernelTuning *tuning) {
  Arena *arena = planning->arena;
  const Spec *spec = planning->spec;
  PlanPrecision precision = precision_from_spec(planning->target, spec);
  planning->train_costs = arena_new(arena, PlanCosts);
  planning->features_costs = arena_new(arena, PlanCosts);
  int ranks = (int)rank_count_from_spec(planning->world->step);
  planning->train_shards = plan_shards_make(arena, planning->train, shards_from_spec(spec), ranks,
                                            shard_group_from_spec(spec), planning->target == TARGET_NONE);
  planning->features_shards = plan_shards_make(arena, planning->features, SHARD_NONE, 1, 1, false);
  if (planning->target != TARGET_NONE) {
    lower_graphs(planning, tuning);
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

// Solves, places and checks; the report's plan stays NULL when nothing fits.
static void make_plans(Planning *planning, PlanReport *report) {
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
}

// What lies outside the four blocks of memory, at most, with as many threads as this machine has cores where the spec
// leaves their number open.
static void list_outside(PlanReport *report, const SeerProgram *settings) {
  enum { STACK_BYTES = 1 << 20, PROGRAM_BYTES = 48 << 20 };
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  uint64_t threads = cores > 0 ? (uint64_t)cores : 1;
  uint64_t decoders = settings->decode_threads > 0 ? (uint64_t)settings->decode_threads : threads;
  PlanOutside *outside = report->outside;
  outside[report->outside_count++] = (PlanOutside){
      "program", "code, libraries, the lists of tensors and launches, files while they are written", PROGRAM_BYTES};
  outside[report->outside_count++] =
      (PlanOutside){"stacks", "1 MiB touched by each thread that computes, decodes or writes a snapshot",
                    (threads + decoders + (uint64_t)report->slices) * STACK_BYTES};
  uint64_t picture = (uint64_t)settings->max_pixels * SEER_DECODE_BYTES_A_PIXEL;
  outside[report->outside_count++] =
      (PlanOutside){"decoding",
                    "for each decoding thread a picture of data.max_pixels: its file, decoded, turned upright, and "
                    "what the image libraries hold",
                    decoders * picture};
  if (settings->monitor.column_count > 0)
    outside[report->outside_count++] =
        (PlanOutside){"monitor", "what is counted of the data, on rank 0, where nearly every picture is another",
                      seer_monitor_bytes(settings->monitor.column_count)};
}

static const char *const *block_names(Arena *arena, const PlanBlocks *blocks) {
  const char **names = arena_array(arena, const char *, blocks->count + 1);
  for (int b = 0; b < blocks->count; b++) names[b] = blocks->items[b].name;
  return names;
}

static void show_curve(int done, int of) {
  fprintf(stderr, "\rplan %d of %d ", done, of);
  if (done == of) fprintf(stderr, "\r%*s\r", 40, "");
}

// What all worlds of a compilation have in common.
typedef struct Compilation {
  Arena *arena;
  SourceMap *sources;
  DiagList *diags;
  const CompileOptions *options;
  const char *cpu;
  KernelTuning tuning;
  PlanMachine machine;  // of the declared world
  int64_t classes;
  SeerMonitorRule monitor;
} Compilation;

// The world of one rank is always there: it can evaluate where it cannot train.
static bool world_trains(const Planning *planning) {
  return planning->world->use != WORLD_EVALUATES && report_fits(planning->report);
}

static bool check_world(const Compilation *compilation, const Planning *planning, bool declared) {
  if (planning->world->use != WORLD_ASKED || check_budget(compilation->diags, planning->spec, planning->report))
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
  BuildTarget target = target_of(compilation->options, spec);
  *planning = (Planning){.arena = arena, .spec = spec, .world = world, .target = target, .report = report};
  planning->machine = compilation->machine;
  machine_set_ranks(spec, &planning->machine);
  planning->settings = settings_from_spec(arena, spec);
  if (compilation->classes) planning->settings.classes = (int)compilation->classes;
  ModelOptions model;
  if (!model_options_from_spec(arena, spec, compilation->classes, MODEL_TRAIN, compilation->diags, &model))
    return false;
  GraphTarget wanted = graph_target(compilation->options, target, spec);
  planning->train =
      training_graph(arena, world->step, compilation->classes, wanted, compilation->diags, watch);
  if (planning->train) planning->features = features_graph(arena, spec, wanted, compilation->diags, (PassWatch){0});
  if (!planning->features) return false;
  planning->policy = policy_from_spec(arena, spec, &planning->machine);
  bug_set_stage("lower");
  make_costs(planning, &compilation->tuning);
  planning->settings.snapshot_bytes = snapshot_bytes_from_spec(arena, spec, planning->train, planning->train_shards);
  const SeerProgram *settings = &planning->settings;
  *report = (PlanReport){.model = model_of(&model.shape, world->step, settings, planning->train, planning->features),
                         .machine = planning->machine,
                         .images_per_step = settings->batch,
                         .micro_steps = settings->accumulate,
                         .slices = seer_rank_slices(settings),
                         .budget_bytes = budget_of(spec, &planning->machine),
                         .ring_bytes =
                             target == TARGET_CUDA ? gpu_input_bytes(planning, world->use != WORLD_EVALUATES) : 0};
  if (target == TARGET_C) {
    report->ring_bytes = settings->ring_bytes;
    report->snapshot_bytes = settings->snapshot_bytes;
    report->tuning = compilation->options->tuning_name;
    report->tuning_changes = tuning_changes(&compilation->tuning);
    report->vector_pictures = (int)compilation->tuning.lanes;
    report->vector_fill = vector_fill(world->step, settings, planning->train, (int)compilation->tuning.lanes);
  }
  list_outside(report, settings);
  make_plans(planning, report);
  // One that cannot train in its budget still evaluates.
  if (target == TARGET_CUDA) report->ring_bytes = gpu_input_bytes(planning, world_trains(planning));
  return true;
}

// Every report tells of all worlds.
static void list_worlds(Arena *arena, const Planning *plannings, int count) {
  PlanWorld *worlds = arena_array(arena, PlanWorld, count);
  for (int i = 0; i < count; i++) {
    const PlanReport *report = plannings[i].report;
    bool trains = world_trains(&plannings[i]);
    worlds[i] = (PlanWorld){.ranks = report->machine.ranks,
                            .trains = trains,
                            .peak_bytes = report_peak_bytes(report),
                            .minimum_bytes = report_minimum_bytes(report),
                            .step_ns = trains ? report_times(report).step_ns : 0};
  }
  for (int i = 0; i < count; i++) {
    plannings[i].report->worlds = worlds;
    plannings[i].report->world_count = count;
  }
}

static TrainerWorld trainer_world(const Planning *planning, bool declared, Program **train) {
  Arena *arena = planning->arena;
  const PlanReport *report = planning->report;
  TrainerWorld world = {.prefix = "",
                        .ranks = report->machine.ranks,
                        .state = planning->state,
                        .state_bytes = report->state_bytes,
                        .arena_bytes = report_arena_bytes(report),
                        .slice_bytes = report->train ? report->train->arena_bytes : 0,
                        .ring_bytes = planning->settings.ring_bytes,
                        .snapshot_bytes = planning->settings.snapshot_bytes,
                        .input_bytes = planning->target == TARGET_CUDA ? report->ring_bytes : 0,
                        .host_bytes = world_trains(planning) ? report->train->host_bytes : 0};
  if (!declared) world.prefix = arena_printf(arena, "ranks%d_", report->machine.ranks);
  if (world.ranks == 1)
    world.features = program_of(arena, planning->features, planning->features_lowering, report->features, NULL);
  if (world_trains(planning)) {
    *train = program_of(arena, planning->train, planning->train_lowering, report->train,
                        block_names(arena, report->problem->blocks));
    world.plan_json = plan_json_of(arena, report);
  } else if (!report_fits(report)) {
    world.minimum_bytes = report_minimum_bytes(report);
    world.budget_bytes = report->budget_bytes;
  }
  return world;
}

// The worlds of a reproducible trainer run one step: where their plans agree on its addresses, it is compiled once.
static void share_steps(Arena *arena, TrainerWorld *worlds, Program *const *trains, int count) {
  const char **texts = arena_array(arena, const char *, count);
  for (int i = 0; i < count; i++) {
    if (!trains[i]) continue;
    Writer out = {0};
    program_print(trains[i], &out);
    texts[i] = arena_string(arena, out.text, out.size);
    writer_release(&out);
    int same = 0;
    while (same < i && (!texts[same] || strcmp(texts[same], texts[i]) != 0)) same++;
    worlds[i].train = trains[same];
  }
  for (int i = 0; i < count; i++) {
    if (worlds[i].train == trains[i] && trains[i]) program_add_prefix(trains[i], worlds[i].prefix);
  }
}

static void finish_trainer(const Compilation *compilation, const Planning *plannings, int count, Compiled *compiled) {
  Arena *arena = compilation->arena;
  TrainerWorld *worlds = arena_array(arena, TrainerWorld, count);
  Program **trains = arena_array(arena, Program *, count);
  for (int i = 0; i < count; i++) worlds[i] = trainer_world(&plannings[i], i == 0, &trains[i]);
  share_steps(arena, worlds, trains, count);
  SeerProgram settings = plannings[0].settings;
  settings.monitor = compilation->monitor;
  const PlanModel *model = &compiled->report.model;
  settings.seer_version = SEER_VERSION;
  settings.cpu = compilation->cpu;
  settings.tuning = compilation->options->tuning_name ? compilation->options->tuning_name : "default";
  settings.spec_text = spec_text_of(arena, plannings[0].spec);
  settings.plan_page = embedded_page;
  settings.feature_width = (int)model->widths[model->stage_count - 1];
  settings.scales_loss = plannings[0].train->image_type == DATA_F16;
  compiled->trainer = (Trainer){.worlds = worlds,
                                .world_count = count,
                                .sources = compilation->sources,
                                .settings = settings,
                                .tuning = compilation->tuning,
                                .sanitize = compilation->options->sanitize};
  if (plannings[0].target != TARGET_CUDA) return;
  CudaModules *modules = cuda_modules_make(arena, &compiled->trainer, plannings[0].train->image_type);
  modules->architectures = compilation->options->architectures;
  modules->architecture_count = compilation->options->architecture_count;
  compiled->trainer.modules = modules;
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

bool compile_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                  const CompileOptions *options, Compiled *compiled) {
  *compiled = (Compiled){.spec = spec};
  Compilation compilation = {.arena = arena, .sources = sources, .diags = diags, .options = options};
  BuildTarget target = target_of(options, spec);
  Worlds worlds = worlds_from_spec(arena, spec, options->plan_only && target == TARGET_NONE);
  bool checked = !options->plan_only || target == TARGET_CUDA;
  if (checked && !check_limits(diags, target, worlds_largest(&worlds)->spec)) return false;
  if (!machine_from_spec(arena, sources, diags, spec, library, &compilation.machine)) return false;
  compilation.cpu = cpu_of_options(options);
  // Only what computes in bf16 needs a processor that does.
  bool narrow = target == TARGET_C && graph_target(options, target, spec).images == DATA_BF16;
  bool chosen = strcmp(options->cpu, "native") != 0;
  if (!narrow && !chosen && strcmp(compilation.cpu, "x86-64-v4+bf16") == 0) compilation.cpu = "x86-64-v4";
  compilation.tuning = options->tuning ? *options->tuning : tuning_default(lanes_of_cpu(compilation.cpu));
  compilation.tuning.images_bf16 = narrow;
  SeerProgram settings = settings_from_spec(arena, spec);
  if (!count_classes(diags, spec, &settings, &compilation.classes)) return false;
  compilation.monitor = settings.monitor;
  if (!references_from_spec(arena, diags, spec, &compilation.monitor)) return false;
  if (!compile_worlds(&compilation, &worlds, compiled)) return false;
  bug_set_stage(NULL);
  return true;
}

// Of the same spec, for the processor of a machine like this one: in bf16 where that is asked for and it has that.
static void compile_carried(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                            const CompileOptions *options, Compiled *compiled) {
  Spec *own = arena_new(arena, Spec);
  *own = *spec;
  own->values[KEY_cluster_machine].text = "this";
  if (!spec_is(spec, KEY_train_precision, "bf16") || strcmp(cpu_of_options(options), "x86-64-v4+bf16") != 0)
    own->values[KEY_train_precision].text = "fp32";
  CompileOptions of_processor = *options;
  of_processor.architectures = NULL;
  of_processor.hook = NULL;
  Compiled *carried = arena_new(arena, Compiled);
  if (compile_spec(arena, sources, diags, own, library, &of_processor, carried))
    compiled->trainer.carried = &carried->trainer;
  else
    diag_note(diags, (SourceSpan){0}, "this is the trainer for the processor, which 'c' of --target asks for");
}

int cpu_check(const Invocation *invocation) {
  const char *cpu = option_text(invocation, "cpu");
  if (!cpu || strcmp(cpu, "native") == 0 || cpu_is_known(cpu)) return EXIT_DONE;
  return usage_error(invocation,
                     "unknown processor '%s': native, x86-64, x86-64-v3, x86-64-v4 and x86-64-v4+bf16 are known", cpu);
}

// The tests' GPU: as sm_80, or as sm_90a.
static bool architecture_is_simulated(const char *name) {
  return strcmp(name, "simulated") == 0 || strcmp(name, "simulated_sm_90a") == 0;
}

// An architecture is sm_ and a number, with or without a letter; or the tests' simulated GPU.
static bool architecture_is_known(const char *name) {
  size_t digits = strncmp(name, "sm_", 3) == 0 ? strspn(name + 3, "0123456789") : 0;
  const char *rest = name + 3 + digits;
  return (digits >= 2 && (!*rest || strcmp(rest, "a") == 0)) || architecture_is_simulated(name);
}

// Splits "cuda:sm_90a,sm_80", and adds PTX for what comes after the oldest.
static int target_choose(const Invocation *invocation, CompileOptions *options) {
  const char *target = option_text(invocation, "target");
  Arena *arena = invocation->arena;
  if (!target || strcmp(target, "c") == 0) return EXIT_DONE;
  if (strncmp(target, "cuda:", 5) != 0 || !target[5])
    return usage_error(invocation, "unknown target '%s': c and cuda:ARCHITECTURE,... are known", target);
  const char **names = arena_array(arena, const char *, strlen(target) + 1);
  int count = 0;
  long oldest = 0;
  for (const char *at = target + 5; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    names[count] = arena_string(arena, at, strcspn(at, ","));
    if (strcmp(names[count], "c") == 0) {
      options->carries = true;
      continue;
    }
    if (!architecture_is_known(names[count]))
      return usage_error(invocation, "unknown architecture '%s': sm_80, sm_90a and the like are known", names[count]);
    if (architecture_is_simulated(names[count++])) continue;
    long number = strtol(names[count - 1] + 3, NULL, 10);
    if (number < 80)
      return usage_error(invocation, "architecture '%s' has no tensor cores for bf16: sm_80 is the oldest",
                         names[count - 1]);
    if (!oldest || number < oldest) oldest = number;
  }
  if (!count) return usage_error(invocation, "'--target=%s' names no architecture: sm_80, sm_90a", target);
  if (oldest) names[count++] = arena_printf(arena, "compute_%ld", oldest);
  options->architectures = names;
  options->architecture_count = count;
  return EXIT_DONE;
}

static int views_choose(const Invocation *invocation, CompileOptions *options) {
  static const char *const names[] = {
      [NORMALIZE_NEVER] = "never", [NORMALIZE_WHERE_IT_PAYS] = "where-it-pays", [NORMALIZE_ALWAYS] = "always"};
  const char *name = option_text(invocation, "normalize-on-read");
  options->normalize_on_read = NORMALIZE_WHERE_IT_PAYS;
  if (!name) return EXIT_DONE;
  if (!options->architectures) return usage_error(invocation, "'--normalize-on-read' is not of target c");
  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
    if (strcmp(name, names[i]) != 0) continue;
    options->normalize_on_read = (NormalizeOnRead)i;
    return EXIT_DONE;
  }
  return usage_error(invocation, "'--normalize-on-read' is where-it-pays, always or never, not '%s'", name);
}

int driver_compile(Invocation *invocation, PassHook *hook, void *hook_data, Compiled *compiled, DiagList **diags) {
  if (cpu_check(invocation) != EXIT_DONE) return EXIT_USAGE;
  const char *cpu = option_text(invocation, "cpu");
  bool plan = strcmp(invocation->command->name, "plan") == 0;
  CompileOptions options = {.cpu = cpu ? cpu : "native",
                            .sanitize = option_is_set(invocation, "sanitize"),
                            .plan_only = plan,
                            .curve = !plan || option_is_set(invocation, "html") || option_is_set(invocation, "sweep") ||
                                     option_is_set(invocation, "svg"),
                            .hook = hook,
                            .hook_data = hook_data};
  if (target_choose(invocation, &options) != EXIT_DONE || views_choose(invocation, &options) != EXIT_DONE)
    return EXIT_USAGE;
  LoadedSpec loaded = driver_load(invocation, invocation->files[0]);
  *diags = loaded.diags;
  bool good = loaded.spec && spec_require_model(loaded.spec, loaded.diags) &&
              tuning_choose(invocation, &loaded, &options) &&
              compile_spec(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &options,
                           compiled);
  if (good && options.carries && strcmp(invocation->command->name, "build") == 0)
    compile_carried(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &options,
                    compiled);
  return driver_report(invocation, loaded.diags);
}
