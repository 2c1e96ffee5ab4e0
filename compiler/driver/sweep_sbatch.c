// See sweep_sbatch.h. An array has one size: what the largest of its variants needs.
#include "compiler/driver/sweep_sbatch.h"

#include <stdio.h>
#include <string.h>

#include "compiler/driver/launch_files.h"
#include "compiler/driver/sweep_run.h"

static LaunchTask task_of(Sweep *sweep, int index) {
  const SweepVariant *variant = &sweep->variants[index];
  // The run's folder and its threads are given by what every job does.
  char **options = sweep_trainer_options(sweep, variant, "");
  int kept = 0;
  for (int i = 0; options[i]; i++) {
    bool general = strcmp(options[i], "train") == 0 || strcmp(options[i], "--resume") == 0 ||
                   strncmp(options[i], "--out=", 6) == 0 || strncmp(options[i], "--threads=", 10) == 0;
    if (!general) options[kept++] = options[i];
  }
  options[kept] = NULL;
  return (LaunchTask){index, variant->folder, options};
}

// Of all that run; false after an error.
static bool plan_join(const Sweep *sweep, LaunchPlan *plan) {
  const SweepVariant *first = NULL;
  *plan = (LaunchPlan){.name = sweep->program, .trainer = sweep->program};
  for (int i = 0; i < sweep->variant_count; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    const SweepPlan *own = &variant->plan;
    if (!sweep_variant_runs(variant)) continue;
    if (first && (own->nodes != first->plan.nodes || own->ranks_per_node != first->plan.ranks_per_node)) {
      driver_fail(EXIT_INPUT, "sbatch",
                  arena_printf(sweep->arena, "seerc cannot yet write one array for %d ranks ('%s') and %d ('%s')",
                               first->plan.ranks, first->name, own->ranks, variant->name),
                  "sweep each number of ranks in a folder of its own: -D cluster.nodes=N -o DIR");
      return false;
    }
    if (!first) first = variant;
    plan->nodes = own->nodes;
    plan->ranks_per_node = own->ranks_per_node;
    plan->threads = sweep->threads ? sweep->threads : own->threads;
    if (own->node_bytes > plan->node_bytes) plan->node_bytes = own->node_bytes;
    if (own->stop_seconds > plan->stop_seconds) plan->stop_seconds = own->stop_seconds;
  }
  return true;
}

int sweep_sbatch_write(Sweep *sweep) {
  LaunchTask *tasks = arena_array(sweep->arena, LaunchTask, sweep->variant_count + 1);
  LaunchArray array = {.folder = sweep->folder, .tasks = tasks, .at_once = sweep->jobs};
  LaunchPlan plan;
  if (!plan_join(sweep, &plan)) return EXIT_INPUT;
  for (int i = 0; i < sweep->variant_count; i++) {
    if (sweep_variant_runs(&sweep->variants[i])) tasks[array.count++] = task_of(sweep, i);
  }
  if (!array.count) return EXIT_DONE;
  Writer out = {0};
  print_sweep_sbatch(&plan, &array, &out);
  const char *path = sweep_path(sweep, NULL, "sweep.sbatch");
  int error = writer_save(&out, path);
  writer_release(&out);
  if (error)
    return driver_fail(EXIT_MACHINE, "output",
                       arena_printf(sweep->arena, "cannot write '%s': %s", path, strerror(error)),
                       "free some space, or choose another folder with '-o'");
  fprintf(stderr, "%d tasks: sbatch %s, then: seerc sweep --collect %s\n", array.count, path, sweep->folder);
  return EXIT_DONE;
}
