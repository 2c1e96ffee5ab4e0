// seerc sweep: variants of a spec, each built and trained briefly, and one table of what became of them. Whatever ends
// it, the same command goes on.
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/sweep_build.h"
#include "compiler/driver/sweep_folder.h"
#include "compiler/driver/sweep_load.h"
#include "compiler/driver/sweep_page.h"
#include "compiler/driver/sweep_results.h"
#include "compiler/driver/sweep_run.h"
#include "compiler/driver/sweep_sbatch.h"
#include "runtime/engine.h"

// ---- the command line ----

static int read_counts(Invocation *invocation, Sweep *sweep) {
  int steps = 0;
  sweep->steps = option_text(invocation, "steps");
  int code = option_count(invocation, "steps", &steps);
  if (code == EXIT_DONE) code = option_count(invocation, "jobs", &sweep->jobs);
  if (code == EXIT_DONE) code = option_count(invocation, "threads", &sweep->threads);
  if (code == EXIT_DONE) code = option_positive(invocation, "minutes", &sweep->minutes);
  return code;
}

static const char *folder_name(Invocation *invocation, const char *program) {
  const char *out = option_text(invocation, "out");
  if (!out) return arena_printf(invocation->arena, "%s.sweep", program);
  size_t length = strlen(out);
  while (length > 1 && out[length - 1] == '/') length--;
  return arena_string(invocation->arena, out, length);
}

static const char *program_of(Arena *arena, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  return arena_string(arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int read_values(Invocation *invocation, Sweep *sweep) {
  const char *emit = option_text(invocation, "emit"), *path = invocation->files[0];
  if (emit && strcmp(emit, "sbatch") != 0)
    return usage_error(invocation, "'--emit' does not know '%s': a sweep can be given to Slurm, sbatch", emit);
  if (strcmp(path, "-") == 0)
    return usage_error(invocation, "a sweep reads its spec again and again: name a file, not standard input");
  sweep->program = program_of(sweep->arena, path);
  sweep->folder = folder_name(invocation, sweep->program);
  const char **data;
  sweep->data_count = option_values(invocation, "data", &data);
  sweep->data = data;
  sweep->labels = option_text(invocation, "labels");
  if (sweep->labels && !sweep->data_count) return usage_error(invocation, "'--labels' are those of '--data'");
  return read_counts(invocation, sweep);
}

// ---- results ----

static int file_write(const Sweep *sweep, const char *name, void (*print)(const SweepResults *, Writer *),
                      const SweepResults *results) {
  Writer out = {0};
  print(results, &out);
  const char *path = sweep_path(sweep, NULL, name);
  int error = writer_save(&out, path);
  writer_release(&out);
  if (!error) return EXIT_DONE;
  return driver_fail(EXIT_MACHINE, "output", arena_printf(sweep->arena, "cannot write '%s': %s", path, strerror(error)),
                     "free some space; the same command goes on");
}

// Prints the table or the object, and leaves them in the folder with a page. EXIT_INPUT when a variant has failed.
static int results_write(const Invocation *invocation, Sweep *sweep) {
  SweepResults results = sweep_results_make(sweep->arena, sweep);
  Writer out = {0};
  if (option_is_set(invocation, "json"))
    sweep_print_json(&results, &out);
  else
    sweep_print_table(&results, &out);
  int code = driver_write_stream(&out);
  writer_release(&out);
  if (code == EXIT_DONE) code = file_write(sweep, "sweep.jsonl", sweep_print_jsonl, &results);
  if (code == EXIT_DONE) code = file_write(sweep, "sweep.svg", sweep_print_svg, &results);
  if (code == EXIT_DONE) code = file_write(sweep, "sweep.html", sweep_print_page, &results);
  if (code != EXIT_DONE) return code;
  fprintf(stderr, "results: %s\n", sweep_path(sweep, NULL, "sweep.html"));
  if (!results.failed) return EXIT_DONE;
  fprintf(stderr, "seerc: error: %d of %d variants failed [sweep]\n", results.failed, sweep->variant_count);
  return EXIT_INPUT;
}

static int left_count(const Sweep *sweep) {
  int left = 0;
  for (int i = 0; i < sweep->variant_count; i++)
    left += sweep->variants[i].state == SWEEP_WAITING || sweep->variants[i].state == SWEEP_BEGUN;
  return left;
}

static void variants_forget(Sweep *sweep) {
  for (int i = 0; i < sweep->variant_count; i++) sweep_variant_forget(&sweep->variants[i]);
}

static int collect(Invocation *invocation, Sweep *sweep) {
  if (invocation->file_count != 1) return usage_error(invocation, "'--collect' takes the folder of one sweep");
  if (option_is_set(invocation, "over") || option_is_set(invocation, "emit"))
    return usage_error(invocation, "'--collect' reads what is there: no '--over', no '--emit'");
  sweep->folder = invocation->files[0];
  int code = sweep_folder_read(sweep);
  if (code != EXIT_DONE) return code;
  for (int i = 0; i < sweep->variant_count; i++) sweep_variant_look(sweep, &sweep->variants[i]);
  code = results_write(invocation, sweep);
  int left = left_count(sweep);
  if (left) fprintf(stderr, "%d of %d variants are not done yet\n", left, sweep->variant_count);
  variants_forget(sweep);
  return code;
}

// ---- the sweep ----

static bool program_in_path(const Sweep *sweep, const char *name) {
  const char *folders = getenv("PATH");
  for (const char *at = folders; at && *at; at += strspn(at, ":")) {
    size_t length = strcspn(at, ":");
    if (access(arena_printf(sweep->arena, "%.*s/%s", (int)length, at, name), X_OK) == 0) return true;
    at += length;
  }
  return false;
}

// Several ranks are one machine's here.
static int check_ranks(const Sweep *sweep) {
  const SweepVariant *most = NULL;
  for (int i = 0; i < sweep->variant_count; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    if (sweep_variant_runs(variant) &&
        (!most || variant->plan.nodes > most->plan.nodes || variant->plan.ranks > most->plan.ranks))
      most = variant;
  }
  if (!most || most->plan.ranks == 1) return EXIT_DONE;
  if (most->plan.nodes > 1)
    return driver_fail(
        EXIT_INPUT, "sweep",
        arena_printf(sweep->arena, "'%s' is for %d nodes, and trainers are started on this machine alone", most->name,
                     most->plan.nodes),
        "--emit=sbatch, for Slurm; or -D cluster.nodes=1");
  if (program_in_path(sweep, "mpirun")) return EXIT_DONE;
  return driver_fail(EXIT_MACHINE, "mpi",
                     arena_printf(sweep->arena, "cannot start %d ranks: there is no 'mpirun'", most->plan.ranks),
                     "on Debian: apt-get install openmpi-bin, or mpich; or -D cluster.ranks_per_node=1; or "
                     "--emit=sbatch, for Slurm");
}

static int build_and_run(Invocation *invocation, Sweep *sweep) {
  bool emit = option_is_set(invocation, "emit");
  for (int i = 0; i < sweep->variant_count; i++) sweep_variant_look(sweep, &sweep->variants[i]);
  int code = sweep_build(sweep);
  if (code == EXIT_DONE && !emit) code = check_ranks(sweep);
  if (code == EXIT_DONE) code = emit ? sweep_sbatch_write(sweep) : sweep_run(sweep);
  if (code != EXIT_DONE && code != SEER_STOPPED) return code;
  int written = results_write(invocation, sweep);
  if (written > EXIT_INPUT || code == EXIT_DONE) return written;
  fprintf(stderr, "seerc: stopped, %d of %d variants are left; the same command goes on\n", left_count(sweep),
          sweep->variant_count);
  return code;
}

// A share of the cores, where the processor trains.
static int share_out(Invocation *invocation, Sweep *sweep) {
  CompileOptions target = {0};
  int code = target_choose(invocation, &target), jobs = sweep->jobs ? sweep->jobs : 1;
  sweep->on_gpus = target.architectures != NULL;
  if (option_is_set(invocation, "emit")) return code;
  sweep->jobs = jobs;
  if (sweep->threads || sweep->on_gpus) return code;
  sweep->threads = seer_cpu_count() < jobs ? 1 : seer_cpu_count() / jobs;
  return code;
}

int command_sweep(Invocation *invocation) {
  Sweep *sweep = arena_new(invocation->arena, Sweep);
  *sweep = (Sweep){.invocation = invocation, .arena = invocation->arena, .lock = -1};
  if (option_is_set(invocation, "collect")) return collect(invocation, sweep);
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  if (!option_is_set(invocation, "over"))
    return usage_error(invocation, "a sweep varies something: --over SECTION.KEY=VALUE,...");
  Variants variants;
  int code = read_values(invocation, sweep);
  if (code == EXIT_DONE) code = cpu_check(invocation);
  if (code == EXIT_DONE) code = variants_parse(invocation, "over", &variants);
  if (code != EXIT_DONE) return code;
  sweep_take_variants(sweep, &variants);
  code = share_out(invocation, sweep);
  if (code == EXIT_DONE) code = sweep_load_specs(sweep);
  sweep_signals_catch();
  if (code == EXIT_DONE) code = sweep_folder_open(sweep);
  if (code == EXIT_DONE) code = build_and_run(invocation, sweep);
  sweep_folder_close(sweep);
  variants_forget(sweep);
  return code;
}
