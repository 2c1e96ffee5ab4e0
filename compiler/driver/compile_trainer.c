// From the plans of all worlds to the trainer: programs, texts, modules for GPUs.
#include <string.h>

#include "codegen/cuda/modules.h"
#include "compiler/base/bug.h"
#include "compiler/driver/compile_stages.h"

static Program *program_of(Arena *arena, const Graph *graph, const Lowering *lowering, const Plan *plan,
                           const char *const *unit_names) {
  bug_set_stage("program");
  Program *program = program_make(arena, graph, lowering, plan, unit_names);
  const char *broken = program_verify(program, arena);
  if (broken) BUG("the program of '%s' does not hold: %s", graph->name, broken);
  return program;
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

static SeerPieces plan_json_of(Arena *arena, const Planning *planning) {
  Writer out = {0};
  plan_print_json(planning->report, &planning->cluster, &out);
  return pieces_of(arena, &out);
}

static const char *const *block_names(Arena *arena, const PlanBlocks *blocks) {
  const char **names = arena_array(arena, const char *, blocks->count + 1);
  for (int b = 0; b < blocks->count; b++) names[b] = blocks->items[b].name;
  return names;
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
    world.plan_json = plan_json_of(arena, planning);
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

void finish_trainer(const Compilation *compilation, const Planning *plannings, int count, Compiled *compiled) {
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
  bool of_gpus = plannings[0].target == TARGET_CUDA;
  const char *tuning = of_gpus ? compilation->options->gpu_tuning_name : compilation->options->tuning_name;
  settings.tuning = tuning ? tuning : "default";
  settings.spec_text = spec_text_of(arena, compiled->spec);
  settings.plan_page = embedded_page;
  settings.feature_width = (int)model->widths[model->stage_count - 1];
  settings.scales_loss = plannings[0].train->image_type == DATA_F16;
  compiled->trainer = (Trainer){.worlds = worlds,
                                .world_count = count,
                                .sources = compilation->sources,
                                .settings = settings,
                                .tuning = compilation->tuning,
                                .reader = compilation->options->reader,
                                .sanitize = compilation->options->sanitize};
  if (!of_gpus) return;
  CudaModules *modules = cuda_modules_make(arena, &compiled->trainer, plannings[0].train->image_type);
  modules->architectures = compilation->options->architectures;
  modules->architecture_count = compilation->options->architecture_count;
  memcpy(modules->library_versions, compilation->gpu_tuning.layers.versions, sizeof modules->library_versions);
  compiled->trainer.modules = modules;
}
