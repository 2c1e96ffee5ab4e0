// Runs the stages in order and checks each one's result.
#include "compiler/driver/compile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/driver/driver.h"
#include "compiler/passes/pipeline.h"
#include "runtime/data/source.h"

bool cpu_is_known(const char *cpu) {
  return strcmp(cpu, "x86-64") == 0 || strcmp(cpu, "x86-64-v3") == 0 || strcmp(cpu, "x86-64-v4") == 0;
}

const char *native_cpu(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return "x86-64-v4";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    return "x86-64-v3";
#endif
  return "x86-64";
}

static int lanes_of_cpu(const char *cpu) { return strcmp(cpu, "x86-64-v4") == 0 ? 16 : 8; }

// What target c cannot do yet is said before any work.
static bool check_limits(DiagList *diags, const Spec *spec) {
  size_t before = diags->error_count;
  if (!spec_is(spec, KEY_train_precision, "fp32")) {
    diag_error(diags, spec_span(spec, KEY_train_precision), "limitation", "seerc cannot yet train in '%s'",
               spec_text(spec, KEY_train_precision));
    diag_note(diags, (SourceSpan){0}, "use 'precision = fp32', or '-D train.precision=fp32' to look at the plan");
  }
  if (spec_integer(spec, KEY_cluster_nodes) * spec_integer(spec, KEY_cluster_ranks_per_node) != 1) {
    diag_error(diags, spec_span(spec, KEY_cluster_nodes), "limitation", "seerc cannot yet train on more than one rank");
    diag_note(diags, (SourceSpan){0},
              "use '-D cluster.nodes=1 -D cluster.ranks_per_node=1' and a batch that one rank can hold");
  }
  return diags->error_count == before;
}

// Multiply-adds take two operations at the machine's rate; every op moves its operands and results once.
static int64_t time_of_op(const Graph *graph, const Op *op, const uint64_t *value_bytes, const PlanMachine *machine) {
  uint64_t moved = 0;
  for (int i = 0; i < op->operand_count; i++) moved += value_bytes[op->operands[i]];
  for (int i = 0; i < op->result_count; i++) moved += value_bytes[op->results[i]];
  double compute = 2 * (double)op_macs(graph, op) / machine->flops_per_second,
         move = (double)moved / machine->bytes_per_second;
  return (int64_t)((compute > move ? compute : move) * 1e9 + 0.5);
}

static Plan *plan_of(Arena *arena, const Graph *graph, const Lowering *lowering, const PlanMachine *machine,
                     const Plan *state) {
  int64_t *time_ns = arena_array(arena, int64_t, graph->ops.count + 1);
  for (OpId op = 0; op < graph->ops.count; op++)
    time_ns[op] = time_of_op(graph, graph_op(graph, op), lowering->value_bytes, machine);
  PlanCosts costs = {lowering->value_bytes, lowering->workspace_bytes, time_ns};
  bug_set_stage("plan");
  Plan *plan = plan_make(arena, graph, &costs, state);
  const char *broken = plan_verify(plan, arena);
  if (broken) BUG("the plan of '%s' does not hold: %s", graph->name, broken);
  return plan;
}

static Program *program_of(Arena *arena, const Graph *graph, const Lowering *lowering, const Plan *plan) {
  bug_set_stage("program");
  Program *program = program_make(arena, graph, lowering, plan);
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

static int64_t flops_of_step(const Graph *graph, int64_t micro_steps) {
  int64_t macs = 0;
  for (OpId op = 0; op < graph->ops.count; op++) macs += op_macs(graph, graph_op(graph, op));
  return 2 * macs * micro_steps;
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

static PlanModel model_of(const RegNetShape *shape, const Spec *spec, const SeerProgram *settings, const Graph *train,
                          const Graph *features) {
  PlanModel model = {
      .name = settings->name, .family = spec_text(spec, KEY_model_family), .stage_count = shape->stage_count};
  for (int i = 0; i < shape->stage_count; i++) {
    model.depths[i] = shape->stages[i].depth;
    model.widths[i] = shape->stages[i].width;
    model.group_widths[i] = shape->stages[i].group_width;
  }
  int64_t pictures = settings->batch / settings->accumulate;
  for (int i = 0; i < settings->views.size_group_count; i++) {
    const SeerSizeGroup *group = &settings->views.size_groups[i];
    add_size(&model, group->size, trunk_macs(train, i, pictures * group->crops));
  }
  add_size(&model, settings->evaluate_size, trunk_macs(features, 0, settings->evaluate_batch));
  count_parameters(train, &model);
  return model;
}

static bool check_budget(DiagList *diags, const Spec *spec, const PlanReport *report) {
  if (report_fits(report)) return true;
  SpecKey key =
      spec_value(spec, KEY_checkpoint_budget)->kind == SPEC_NUMBER ? KEY_checkpoint_budget : KEY_cluster_machine;
  const Op *peak = graph_op(report->train->graph, report->train->steps[report->train->peak_step].op);
  diag_error(diags, spec_span(spec, key), "budget",
             "the plan needs %" PRIu64 " bytes and the budget is %" PRIu64 " bytes", report_peak_bytes(report),
             report->budget_bytes);
  diag_note(diags, (SourceSpan){0},
            "the smallest budget that would do is %" PRIu64 " bytes; the state takes %" PRIu64 ", the arena %" PRIu64
            ", set by '%s'",
            report_peak_bytes(report), report->train->state_bytes, report_arena_bytes(report), peak->name);
  diag_note(diags, (SourceSpan){0}, "a smaller 'train.batch', or a larger 'train.accumulate', lowers the arena");
  return false;
}

static uint64_t budget_of(const Spec *spec, const PlanMachine *machine) {
  const SpecValue *budget = spec_value(spec, KEY_checkpoint_budget);
  return budget->kind == SPEC_NUMBER ? (uint64_t)spec_integer(spec, KEY_checkpoint_budget) : machine->memory_bytes;
}

static const char *spec_text_of(Arena *arena, const Spec *spec) {
  Writer out = {0};
  spec_print(spec, &out);
  const char *text = arena_string(arena, out.text, out.size);
  writer_release(&out);
  return text;
}

static const char *plan_json_of(Arena *arena, const PlanReport *report) {
  Writer out = {0};
  report_print_json(report, &out);
  const char *text = arena_string(arena, out.text, out.size);
  writer_release(&out);
  return text;
}

// `supervised.classes = auto`: as many as the pictures have labels, looked up with the trainer's own reader.
static bool count_classes(DiagList *diags, const Spec *spec, SeerProgram *settings, int64_t *classes) {
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
  settings->classes = (int)*classes;
  seer_source_close(source);
  return true;
}

bool compile_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                  const CompileOptions *options, Compiled *compiled) {
  *compiled = (Compiled){.spec = spec};
  PlanMachine machine;
  if (!check_limits(diags, spec) || !machine_from_spec(arena, sources, diags, spec, library, &machine)) return false;
  const char *cpu = strcmp(options->cpu, "native") == 0 ? native_cpu() : options->cpu;
  int lanes = lanes_of_cpu(cpu);
  SeerProgram settings = settings_from_spec(arena, spec);

  int64_t classes = 0;
  if (!count_classes(diags, spec, &settings, &classes)) return false;
  ModelOptions model;
  PassWatch watch = {options->hook, options->hook_data};
  if (!model_options_from_spec(arena, spec, classes, MODEL_TRAIN, diags, &model)) return false;
  Graph *train = training_graph(arena, spec, classes, diags, watch);
  Graph *features = train ? features_graph(arena, spec, diags, (PassWatch){0}) : NULL;
  if (!features) return false;
  bug_set_stage("lower");
  Lowering *train_lowering = lower_for_c(arena, train, lanes), *features_lowering = lower_for_c(arena, features, lanes);
  Plan *train_plan = plan_of(arena, train, train_lowering, &machine, NULL);
  Plan *features_plan = plan_of(arena, features, features_lowering, &machine, train_plan);
  compiled->train_graph = train;
  compiled->features_graph = features;
  compiled->train_plan = train_plan;
  compiled->features_plan = features_plan;
  compiled->report = (PlanReport){.model = model_of(&model.shape, spec, &settings, train, features),
                                  .machine = machine,
                                  .train = train_plan,
                                  .features = features_plan,
                                  .images_per_step = settings.batch,
                                  .micro_steps = settings.accumulate,
                                  .budget_bytes = budget_of(spec, &machine),
                                  .ring_bytes = settings.ring_bytes,
                                  .flops_per_step = flops_of_step(train, settings.accumulate)};
  if (!check_budget(diags, spec, &compiled->report)) return false;

  settings.seer_version = SEER_VERSION;
  settings.cpu = cpu;
  settings.spec_text = spec_text_of(arena, spec);
  settings.plan_json = plan_json_of(arena, &compiled->report);
  settings.feature_width = (int)compiled->report.model.widths[compiled->report.model.stage_count - 1];
  compiled->trainer = (Trainer){.train = program_of(arena, train, train_lowering, train_plan),
                                .features = program_of(arena, features, features_lowering, features_plan),
                                .sources = sources,
                                .settings = settings,
                                .lanes = lanes,
                                .sanitize = options->sanitize};
  bug_set_stage(NULL);
  return true;
}

int driver_compile(Invocation *invocation, PassHook *hook, void *hook_data, Compiled *compiled, DiagList **diags) {
  const char *cpu = option_text(invocation, "cpu");
  if (cpu && strcmp(cpu, "native") != 0 && !cpu_is_known(cpu)) {
    return usage_error(invocation, "unknown processor '%s': native, x86-64, x86-64-v3 and x86-64-v4 are known", cpu);
  }
  CompileOptions options = {.cpu = cpu ? cpu : "native",
                            .sanitize = option_is_set(invocation, "sanitize"),
                            .hook = hook,
                            .hook_data = hook_data};
  LoadedSpec loaded = driver_load(invocation, invocation->files[0]);
  *diags = loaded.diags;
  if (loaded.spec && spec_require_model(loaded.spec, loaded.diags))
    compile_spec(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &options, compiled);
  return driver_report(invocation, loaded.diags);
}
