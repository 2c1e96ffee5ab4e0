// seerc sweep: variants of a spec, each built and trained briefly, and one table of what became of them. Whatever ends
// it, the same command goes on.
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/base/hash.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/sweep_build.h"
#include "compiler/driver/sweep_folder.h"
#include "compiler/driver/sweep_page.h"
#include "compiler/driver/sweep_results.h"
#include "compiler/driver/sweep_run.h"
#include "compiler/driver/sweep_sbatch.h"
#include "compiler/driver/variants.h"
#include "compiler/passes/build_model.h"
#include "runtime/data/source.h"
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

// ---- variants ----

// What is wrong whatever the other keys are: said before anything is done.
static bool is_no_value(const DiagList *diags, const Diag *diag) {
  static const char *const checks[] = {
      "type",  "unit",   "unknown-unit", "unknown-name",      "name",         "range", "range-order",
      "whole", "string", "syntax",       "unknown-reference", "unknown-call", "number"};
  if (diag->severity != DIAG_ERROR || !diag->span.file) return false;
  if (strcmp(source_map_file(diags->sources, diag->span.file)->name, "--over") != 0) return false;
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    if (strcmp(diag->check, checks[i]) == 0) return true;
  }
  return false;
}

static const char *hash_of(Arena *arena, const Spec *spec) {
  Writer text = {0};
  spec_print(spec, &text);
  const char *hash = arena_printf(arena, "%016" PRIx64, hash_text(HASH_START, text.text));
  writer_release(&text);
  return hash;
}

static bool has_labels(const Sweep *sweep, const Spec *spec) {
  Arena *arena = sweep->arena;
  SeerProgram program = settings_from_spec(arena, spec);
  bool evaluated = program.evaluate_pictures && program.evaluate_pictures[0], given = sweep->data_count > 0;
  const char *const *pictures = evaluated ? program.evaluate_pictures : given ? sweep->data : program.pictures;
  const char *labels = evaluated ? program.evaluate_labels : given ? sweep->labels : program.labels;
  SeerSource *source = NULL;
  bool labelled = pictures && pictures[0] && seer_source_open(pictures, labels, &source) == SEER_OK &&
                  seer_source_label_count(source) > 0;
  if (source) seer_source_close(source);
  seer_error_clear();
  return labelled;
}

// Behind the last step alone, where the spec does not say otherwise. Of several ranks the first looks at a snapshot.
static const char *knn_every_of(const Sweep *sweep, const Spec *spec, int *labelled) {
  enum { BEYOND_ANY_RUN = 1000000000 };
  const SpecValue *every = spec_value(spec, KEY_evaluate_knn_every);
  if (every->by_user || (sweep->on_gpus && rank_count_from_spec(spec) > 1)) return NULL;  // not yet by ranks on GPUs
  if (*labelled < 0) *labelled = has_labels(sweep, spec);
  if (!*labelled) return NULL;
  int64_t save = spec_integer(spec, KEY_save_every);
  return arena_printf(sweep->arena, "%" PRId64, (BEYOND_ANY_RUN + save - 1) / save * save);
}

static int load_variant(Sweep *sweep, SweepVariant *variant, int *labelled, LoadedSpec *loaded) {
  *loaded = driver_load_with(sweep->invocation, sweep->invocation->files[0], variant->defines, variant->define_count);
  for (size_t i = 0; i < loaded->diags->count; i++) {
    if (is_no_value(loaded->diags, &loaded->diags->items[i])) return driver_report(sweep->invocation, loaded->diags);
  }
  if (!loaded->spec) return EXIT_DONE;
  variant->spec_hash = hash_of(sweep->arena, loaded->spec);
  variant->knn_every = knn_every_of(sweep, loaded->spec, labelled);
  return EXIT_DONE;
}

// Errors that single variants have are rows of the table; those that all have are the spec's.
static int load_variants(Sweep *sweep) {
  int labelled = -1, code = EXIT_DONE, good = 0;
  LoadedSpec loaded = {0};
  for (int i = 0; i < sweep->variant_count && code == EXIT_DONE; i++) {
    LoadedSpec one;
    code = load_variant(sweep, &sweep->variants[i], &labelled, &one);
    good += one.spec != NULL;
    if (!one.spec) loaded = one;
  }
  if (code != EXIT_DONE || good) return code;
  return driver_report(sweep->invocation, loaded.diags);
}

static void take_variants(Sweep *sweep, const Variants *variants) {
  Arena *arena = sweep->arena;
  const char **keys = arena_array(arena, const char *, variants->axis_count + 1);
  const char **columns = arena_array(arena, const char *, variants->axis_count + 1);
  sweep->axis_count = variants->axis_count;
  sweep->seed_axis = -1;
  for (int i = 0; i < variants->axis_count; i++) {
    keys[i] = variants->axes[i].target;
    columns[i] = variants->axes[i].label;
    if (strcmp(keys[i], "train.seed") == 0) sweep->seed_axis = i;
  }
  sweep->keys = keys;
  sweep->columns = columns;
  sweep->variant_count = variants->count;
  sweep->variants = arena_array(arena, SweepVariant, variants->count);
  for (int i = 0; i < variants->count; i++) {
    const Variant *variant = &variants->items[i];
    const char **values = arena_array(arena, const char *, variants->axis_count + 1);
    for (int axis = 0; axis < variants->axis_count; axis++) values[axis] = variant_value(variants, variant, axis);
    sweep->variants[i] = (SweepVariant){.name = variant->name,
                                        .folder = variant->file_name,
                                        .values = values,
                                        .defines = variant->defines,
                                        .define_count = variant->define_count,
                                        .spec_hash = ""};
  }
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
  take_variants(sweep, &variants);
  code = share_out(invocation, sweep);
  if (code == EXIT_DONE) code = load_variants(sweep);
  sweep_signals_catch();
  if (code == EXIT_DONE) code = sweep_folder_open(sweep);
  if (code == EXIT_DONE) code = build_and_run(invocation, sweep);
  sweep_folder_close(sweep);
  return code;
}
