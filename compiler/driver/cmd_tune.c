// seerc tune: measures on this machine which parameters make a spec's kernels fastest, and keeps them, with all that
// was measured, in a file that build and the others pick up. After each measurement the file is whole and can be gone
// on from.
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "codegen/c/tuning.h"
#include "codegen/cuda/tuning.h"
#include "compiler/driver/bench_run.h"
#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"
#include "compiler/driver/tune_gpu.h"
#include "compiler/driver/tune_lab.h"
#include "compiler/driver/tune_search.h"
#include "compiler/driver/tuning_use.h"
#include "compiler/graph/graph.h"
#include "runtime/clock.h"
#include "runtime/engine.h"

static const double usual_minutes = 10;

enum { MOST_REFUSED = 256 };

typedef struct Tune {
  Arena *arena;
  TuneLab lab;
  const char *path;
  TuningFile file;
  double began, minutes;
  char best[16], other[16];  // trainers of the lab: of file.values, and where the next candidate goes
  TuneLayers layers;
  TuneCandidate refused[MOST_REFUSED];
  int refused_count, measured;
} Tune;

static double minutes_left(const Tune *tune) { return tune->minutes - (seer_seconds_now() - tune->began) / 60; }

static TuneOutcome save(const Tune *tune) {
  Writer out = {0};
  tuning_file_print(&tune->file, &out);
  int error = writer_save(&out, tune->path);
  writer_release(&out);
  if (!error) return TUNE_DONE;
  fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", tune->path, strerror(error));
  return TUNE_FAILED;
}

static void print_candidate(const Tune *tune, const TuningMeasure *m, const char *what) {
  double left = minutes_left(tune);
  if (m->row >= 0)
    printf("%-20s %7" PRId64 " -> %-7" PRId64, tune->file.values.table->rows[m->row].name, m->from, m->to);
  else
    printf("%s", what);
  printf("  %.3f (%.3f to %.3f)  %-8s  %.1f minutes left\n", m->ratio.median, m->ratio.low, m->ratio.high,
         m->kept ? "kept" : "not kept", left > 0 ? left : 0);
  fflush(stdout);
}

static void swap_names(Tune *tune) {
  char name[sizeof tune->best];
  memcpy(name, tune->best, sizeof name);
  memcpy(tune->best, tune->other, sizeof name);
  memcpy(tune->other, name, sizeof name);
}

static const char *first_line(Arena *arena, const char *text) { return arena_string(arena, text, strcspn(text, "\n")); }

// It is not tried again in this run, and nothing of it is kept.
static TuneOutcome skip(Tune *tune, TuneCandidate candidate, const char *what, const char *why) {
  tune->refused[tune->refused_count++] = candidate;
  printf("%s: %s\n", what, why);
  fflush(stdout);
  return TUNE_DONE;
}

// "conv_pixels 32 -> 48", "conv2d 256x14x14x528 -> 528 1x1/1 groups 1, seer -> cublaslt".
static const char *describe_measure(const Tune *tune, const TuningMeasure *m) {
  if (m->row >= 0)
    return arena_printf(tune->arena, "%s %" PRId64 " -> %" PRId64, tune->file.values.table->rows[m->row].name, m->from,
                        m->to);
  Writer out = {0};
  layer_shape_print(&m->layer, &out);
  const char *shape = arena_string(tune->arena, out.text, out.size);
  writer_release(&out);
  return arena_printf(tune->arena, "%s, %s -> %s", shape, layer_maker_names[m->from], layer_maker_names[m->to]);
}

static TuneOutcome try_candidate(Tune *tune, TuneCandidate candidate) {
  TuningSet tuning = tune_candidate_apply(tune->arena, &tune->file, &candidate);
  TuningMeasure measure = {.row = candidate.row,
                           .layer = candidate.layer,
                           .from = tune_candidate_from(&tune->file, &candidate),
                           .to = candidate.value};
  const char *why = NULL, *what = describe_measure(tune, &measure);
  TuneOutcome outcome = tune_lab_build(&tune->lab, tune->arena, &tuning, tune->other, &why);
  if (outcome == TUNE_DONE && candidate.row < 0)
    outcome = tune_lab_look(&tune->lab, tune->arena, tune->other, (LayerMaker)candidate.value, &why);
  bool room = tune->refused_count < MOST_REFUSED;
  if (outcome == TUNE_UNFIT && room) return skip(tune, candidate, what, "the plan does not fit its budget");
  if (outcome == TUNE_REFUSED && room)
    return skip(tune, candidate, what, arena_printf(tune->arena, "refused: %s", first_line(tune->arena, why)));
  if (outcome == TUNE_DONE && tune_lab_is_same(&tune->lab, tune->best, tune->other))
    measure.ratio = (TuningRatio){1, 1, 1};  // no layer chooses otherwise by it
  else if (outcome == TUNE_DONE)
    outcome = tune_lab_compare(&tune->lab, tune->best, tune->other, what, &measure.ratio);
  if (outcome != TUNE_DONE) return outcome;
  measure.kept = tune_is_faster(measure.ratio);
  arena_push(tune->arena, &tune->file, TuningMeasure, measure);
  tune->measured++;
  if (measure.kept) {
    tune->file.values = tuning;
    tune->file.total = (TuningRatio){0};
    swap_names(tune);
  }
  print_candidate(tune, &measure, what);
  return save(tune);
}

// Until no candidate is left, or no time; at least one is tried, so that every call gets further.
static TuneOutcome search(Tune *tune, bool *finished) {
  TuneCandidate next;
  TuneOutcome outcome = TUNE_DONE;
  while (outcome == TUNE_DONE) {
    *finished = !tune_search_next(&tune->file, &tune->layers, tune->refused, tune->refused_count, &next);
    if (*finished || (tune->measured && minutes_left(tune) <= 0)) break;
    outcome = try_candidate(tune, next);
  }
  return outcome;
}

// All parameters against the defaults. What is no faster was chance, and goes back to them.
static TuneOutcome measure_total(Tune *tune) {
  TuningSet usual = tuning_usual(tune->file.values.table);
  memcpy(usual.layers.versions, tune->file.values.layers.versions, sizeof usual.layers.versions);
  const char *why = NULL;
  if (!tuning_changes(&tune->file.values) || tune->file.total.median > 0) return TUNE_DONE;
  TuneOutcome outcome = tune_lab_build(&tune->lab, tune->arena, &usual, tune->other, &why);
  if (outcome == TUNE_UNFIT || outcome == TUNE_REFUSED) return TUNE_DONE;
  if (outcome == TUNE_DONE)
    outcome = tune_lab_compare(&tune->lab, tune->other, tune->best, "all against the defaults", &tune->file.total);
  if (outcome != TUNE_DONE) return outcome;
  if (tune->file.total.median >= 1) {
    printf("together they bring nothing, %.3f: back to the defaults\n", tune->file.total.median);
    tune->file.values = usual;
    tune->file.total = (TuningRatio){0};
  }
  return save(tune);
}

static void print_result(const Tune *tune, bool finished) {
  const TuningRatio *total = &tune->file.total;
  int layers = (int)tune->file.values.layers.count;
  printf("%s: %d parameters differ from the defaults", tune->path, tuning_changes(&tune->file.values) - layers);
  if (layers) printf(", and libraries make layers of %d shapes", layers);
  if (total->median > 0)
    printf("; a step takes %.3f (%.3f to %.3f) of its time with them", total->median, total->low, total->high);
  printf(finished ? "\n" : "; not every candidate was tried: the same command goes on\n");
}

static int run(void *data, const char *folder) {
  Tune *tune = data;
  TuneCandidate next;
  tune->lab.folder = folder;
  bool finished = !tune_search_next(&tune->file, &tune->layers, NULL, 0, &next);
  TuneOutcome outcome = TUNE_DONE;
  if (!finished || (tuning_changes(&tune->file.values) && tune->file.total.median <= 0)) {
    outcome = save(tune);  // what cannot be written is said now
    const char *why = NULL;
    if (outcome == TUNE_DONE) outcome = tune_lab_build(&tune->lab, tune->arena, &tune->file.values, tune->best, &why);
    if (outcome == TUNE_REFUSED) fprintf(stderr, "seerc: error: %s [compiler]\n", why);
    if (outcome == TUNE_UNFIT) fprintf(stderr, "seerc: error: the plan does not fit its budget [budget]\n");
    if (outcome == TUNE_DONE) outcome = tune_lab_settle(&tune->lab, tune->best);
    if (outcome == TUNE_DONE) outcome = search(tune, &finished);
    if (outcome == TUNE_DONE) outcome = measure_total(tune);
  }
  if (outcome == TUNE_DONE) print_result(tune, finished);
  bool input = outcome == TUNE_UNFIT || outcome == TUNE_REFUSED;
  return outcome == TUNE_DONE ? EXIT_DONE : input ? EXIT_INPUT : EXIT_MACHINE;
}

// ---- the file ----

// What of the step is in its time: the graph after every pass.
static const char *hash_of_step(Arena *arena, const Graph *train) {
  Writer text = {0};
  graph_print(train, &text);
  XXH64_hash_t hash = XXH64(text.text, text.size, 0);
  writer_release(&text);
  return arena_printf(arena, "%016" PRIx64, (uint64_t)hash);
}

static bool refuse(const Tune *tune, const char *what, const char *there, const char *here) {
  fprintf(stderr, "seerc: error: '%s' was measured for another %s: '%s', not '%s' [tuning]\n", tune->path, what, there,
          here);
  fprintf(stderr, "seerc: note: name another file with '-o', or remove this one to begin anew\n");
  return false;
}

static const char *version_text(Arena *arena, int64_t version) {
  Writer out = {0};
  layer_version_print(version, &out);
  const char *text = arena_string(arena, out.text, out.size);
  writer_release(&out);
  return text;
}

// Whether the file that is there is of what `wanted` describes. What it does not say it takes over.
static bool take_over(Tune *tune, const TuningFile *wanted) {
  TuningFile *file = &tune->file;
  bool of_gpus = wanted->architectures != NULL;
  if (of_gpus != (file->architectures != NULL))
    return refuse(tune, "target", tuning_made_for(tune->arena, file), tuning_made_for(tune->arena, wanted));
  const struct {
    const char *what, **there, *here;
  } texts[] = {{"spec", &file->spec, wanted->spec},
               {"processor", &file->cpu, wanted->cpu},
               {"target", &file->architectures, wanted->architectures},
               {of_gpus ? "GPU" : "machine", &file->machine, wanted->machine},
               {"driver", &file->driver, wanted->driver},
               {"step, by its hash", &file->step, wanted->step}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (!texts[i].here) continue;
    if (!*texts[i].there) *texts[i].there = texts[i].here;
    if (strcmp(*texts[i].there, texts[i].here) != 0) return refuse(tune, texts[i].what, *texts[i].there, texts[i].here);
  }
  for (int maker = 0; maker < LAYER_MAKER_COUNT; maker++) {
    int64_t *there = &file->values.layers.versions[maker], here = wanted->values.layers.versions[maker];
    if (!*there) *there = here;
    if (here && *there != here)
      return refuse(tune, layer_maker_titles[maker], version_text(tune->arena, *there),
                    version_text(tune->arena, here));
  }
  if (!file->threads) file->threads = wanted->threads;
  if (file->threads == wanted->threads) return true;
  return refuse(tune, "number of threads", arena_printf(tune->arena, "%d", file->threads),
                arena_printf(tune->arena, "%d", wanted->threads));
}

static int open_file(Tune *tune, const TuningFile *wanted) {
  if (access(tune->path, F_OK) != 0) {
    tune->file = *wanted;
    return EXIT_DONE;
  }
  const LoadedSpec *loaded = tune->lab.loaded;
  if (!tuning_file_read(tune->arena, loaded->sources, loaded->diags, tune->path, &tune->file))
    return driver_report(tune->lab.invocation, loaded->diags);
  if (!take_over(tune, wanted)) return EXIT_INPUT;
  printf("going on from %zu measurements in '%s'\n", tune->file.count, tune->path);
  return EXIT_DONE;
}

// ---- the command line ----

static int read_values(Invocation *invocation, Tune *tune) {
  tune->minutes = usual_minutes;
  tune->lab.threads = seer_cpu_count();
  int code = option_positive(invocation, "minutes", &tune->minutes);
  if (code == EXIT_DONE) code = option_count(invocation, "threads", &tune->lab.threads);
  if (code != EXIT_DONE) return code;
  const char *cpu = option_text(invocation, "cpu");
  tune->lab.options = (CompileOptions){.cpu = cpu ? cpu : "native"};
  code = target_choose(invocation, &tune->lab.options);
  if (code != EXIT_DONE) return code;
  if (tune->lab.options.architectures) {
    if (option_is_set(invocation, "threads")) return usage_error(invocation, "'--threads' is not of target cuda");
    tune->lab.threads = 0;
  }
  tune->path = option_text(invocation, "out");
  if (!tune->path) tune->path = tuning_path(tune->arena, invocation->files[0], tune->lab.threads == 0);
  if (!tune->path)
    return usage_error(invocation, "a spec from standard input has no file beside it: name one with '-o'");
  return EXIT_DONE;
}

// What the file tells of the machine, and the defaults.
static int describe(const Tune *tune, const Compiled *compiled, TuningFile *wanted) {
  const CompileOptions *options = &tune->lab.options;
  *wanted = (TuningFile){.spec = compiled->trainer.settings.name,
                         .step = hash_of_step(tune->arena, compiled->train_graph),
                         .threads = tune->lab.threads};
  if (options->architectures) {
    wanted->values = tuning_usual(&cuda_tuning_table);
    return tune_gpu_describe(tune->arena, options, wanted);
  }
  char machine[128];
  seer_cpu_name(machine, sizeof machine);
  wanted->machine = arena_printf(tune->arena, "%s", machine);
  wanted->cpu = compiled->trainer.settings.cpu;
  wanted->values = tuning_usual(c_tuning_table(lanes_of_cpu(wanted->cpu)));
  return EXIT_DONE;
}

static int prepare(Invocation *invocation, const LoadedSpec *loaded, Tune *tune) {
  tune->lab.invocation = invocation;
  tune->lab.loaded = loaded;
  tune->lab.live = isatty(STDERR_FILENO);
  snprintf(tune->best, sizeof tune->best, "trainer-a");
  snprintf(tune->other, sizeof tune->other, "trainer-b");
  Compiled compiled;
  if (loaded->spec && spec_require_model(loaded->spec, loaded->diags))
    compile_spec(tune->arena, loaded->sources, loaded->diags, loaded->spec, invocation->library, &tune->lab.options,
                 &compiled);
  int code = driver_report(invocation, loaded->diags);
  if (code != EXIT_DONE) return code;
  TuningFile wanted;
  code = describe(tune, &compiled, &wanted);
  tune->layers.uses = compiled.report.layers;
  tune_layers_sort(&tune->layers.uses);
  for (int maker = 0; maker < LAYER_MAKER_COUNT && code == EXIT_DONE; maker++)
    tune->layers.can_make[maker] = wanted.values.layers.versions[maker] != 0;
  return code == EXIT_DONE ? open_file(tune, &wanted) : code;
}

int command_tune(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  Tune *tune = arena_new(invocation->arena, Tune);
  *tune = (Tune){.arena = invocation->arena, .began = seer_seconds_now()};
  int code = read_values(invocation, tune);
  if (code == EXIT_DONE) code = cpu_check(invocation);
  if (code != EXIT_DONE) return code;
  LoadedSpec loaded = driver_load(invocation, invocation->files[0]);
  code = prepare(invocation, &loaded, tune);
  return code == EXIT_DONE ? bench_in_folder(tune->lab.invocation, run, tune) : code;
}
