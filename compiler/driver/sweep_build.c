// See sweep_build.h. A trainer is built under another name and renamed, when what its plan says is written: where there
// is one, it is whole.
#define _XOPEN_SOURCE 700
#include "compiler/driver/sweep_build.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/launch_files.h"
#include "compiler/driver/run_make.h"
#include "compiler/driver/sweep_folder.h"
#include "compiler/driver/trainer_build.h"
#include "compiler/driver/tuning_use.h"
#include "compiler/plan/report.h"

typedef struct SweepBuild {
  Sweep *sweep;
  SweepVariant *variant;
  Arena *arena;         // of one variant
  const char *sources;  // absolute
} SweepBuild;

static int write_failed(const SweepBuild *build, const char *path, int error) {
  return driver_fail(EXIT_MACHINE, "output", arena_printf(build->arena, "cannot write '%s': %s", path, strerror(error)),
                     "free some space; the same command goes on");
}

static int file_save(const SweepBuild *build, const char *name, Writer *out) {
  const char *path = sweep_path(build->sweep, build->variant, name);
  int error = writer_save(out, path);
  writer_release(out);
  return error ? write_failed(build, path, error) : EXIT_DONE;
}

// It stays without a trainer; the sweep goes on.
static int refuse(const SweepBuild *build, Writer *messages) {
  SweepVariant *variant = build->variant;
  fprintf(stderr, "%s cannot be built:\n%s", variant->name, messages->text);
  int code = file_save(build, "error", messages);
  if (code == EXIT_DONE) sweep_variant_look(build->sweep, variant);
  return code;
}

static double macs_of_views(const Compiled *compiled) {
  const PlanModel *model = &compiled->report.model;
  const SeerViews *views = &compiled->trainer.settings.views;
  double macs = 0;
  for (int group = 0; group < views->size_group_count; group++) {
    for (int i = 0; i < model->size_count; i++) {
      if (model->sizes[i] != views->size_groups[group].size) continue;
      macs += (double)model->macs[i] * views->size_groups[group].crops;
      break;
    }
  }
  return macs;
}

static int describe(const SweepBuild *build, const Compiled *compiled) {
  Writer out = {0};
  const PlanModel *model = &compiled->report.model;
  writer_printf(&out, "{\"parameters_trunk\": %lld, \"parameters\": %lld, \"macs\": %.1f, \"peak_bytes\": %llu, ",
                (long long)model->parameters_trunk, (long long)model->parameters_total, macs_of_views(compiled),
                (unsigned long long)report_peak_bytes(&compiled->report));
  LaunchPlan launch = launch_plan_make(build->sweep->invocation, compiled);
  writer_printf(&out, "\"nodes\": %d, \"ranks_per_node\": %d, \"threads\": %d, ", launch.nodes, launch.ranks_per_node,
                launch.threads);
  writer_printf(&out, "\"node_bytes\": %llu, \"stop_seconds\": %lld}\n", (unsigned long long)launch.node_bytes,
                (long long)launch.stop_seconds);
  return file_save(build, "built.json", &out);
}

static int trainer_make(const SweepBuild *build, Compiled *compiled) {
  Sweep *sweep = build->sweep;
  Invocation invocation = *sweep->invocation;
  invocation.arena = build->arena;
  const char *trainer = sweep_path(sweep, build->variant, "trainer");
  const char *part = sweep_path(sweep, build->variant, "trainer.part"), *refusal = NULL;
  char folder[PATH_MAX];
  if (!realpath(sweep_path(sweep, build->variant, ""), folder)) return write_failed(build, trainer, errno);
  compiled->trainer.keep_same = true;
  unlink(part);
  int code = trainer_build(&invocation, &compiled->trainer, build->sources,
                           arena_printf(build->arena, "%s/trainer.part", folder), &refusal);
  if (sweep_signals) return SEER_STOPPED;
  if (refusal || code == EXIT_BUG) {
    Writer messages = {0};
    writer_printf(&messages, "error: %s\n", refusal ? refusal : "its sources cannot be compiled");
    return refuse(build, &messages);
  }
  if (code == EXIT_DONE) code = describe(build, compiled);
  if (code == EXIT_DONE && rename(part, trainer) != 0) code = write_failed(build, trainer, errno);
  if (code == EXIT_DONE) unlink(sweep_path(sweep, build->variant, "error"));
  return code;
}

static int variant_build(const SweepBuild *build) {
  Sweep *sweep = build->sweep;
  SweepVariant *variant = build->variant;
  Invocation invocation = *sweep->invocation;
  invocation.arena = build->arena;
  const char *cpu = option_text(&invocation, "cpu");
  CompileOptions options = {.cpu = cpu ? cpu : "native"};
  int code = target_choose(&invocation, &options);
  if (code != EXIT_DONE) return code;
  LoadedSpec loaded = driver_load_with(&invocation, invocation.files[0], variant->defines, variant->define_count);
  Compiled compiled;
  bool good =
      loaded.spec && spec_require_model(loaded.spec, loaded.diags) && tuning_choose(&invocation, &loaded, &options) &&
      compile_spec(build->arena, loaded.sources, loaded.diags, loaded.spec, invocation.library, &options, &compiled);
  if (good) return trainer_make(build, &compiled);
  Writer messages = {0};
  diag_print(loaded.diags, &messages, false);
  return refuse(build, &messages);
}

static const char *sources_make(const Sweep *sweep, int *code) {
  const char *folder = sweep_path(sweep, NULL, "build");
  char absolute[PATH_MAX];
  remove_folder(folder);  // what a killed sweep was writing
  if (realpath(sweep->folder, absolute)) return arena_printf(sweep->arena, "%s/build", absolute);
  *code = driver_fail(EXIT_MACHINE, "output",
                      arena_printf(sweep->arena, "cannot use '%s': %s", sweep->folder, strerror(errno)), NULL);
  return NULL;
}

static bool needs_trainer(const SweepVariant *variant) {
  return variant->defines && !variant->built && variant->state != SWEEP_DONE;
}

int sweep_build(Sweep *sweep) {
  int code = EXIT_DONE, wanted = 0, at = 0;
  for (int i = 0; i < sweep->variant_count; i++) wanted += needs_trainer(&sweep->variants[i]);
  const char *sources = wanted ? sources_make(sweep, &code) : NULL;
  for (int i = 0; i < sweep->variant_count && code == EXIT_DONE && !sweep_signals; i++) {
    SweepVariant *variant = &sweep->variants[i];
    if (!needs_trainer(variant)) continue;
    fprintf(stderr, "building %d of %d: %s\n", ++at, wanted, variant->name);
    SweepBuild build = {sweep, variant, arena_make("variant"), sources};
    code = variant_build(&build);
    arena_release(build.arena);
    if (code == EXIT_DONE) sweep_variant_look(sweep, variant);
  }
  if (sources) remove_folder(sources);
  return sweep_signals ? SEER_STOPPED : code;
}
