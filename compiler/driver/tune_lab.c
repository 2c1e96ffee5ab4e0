// See tune_lab.h. A bench runs in the user's folder; what it prints is kept in the lab's.
#define _XOPEN_SOURCE 700
#include "compiler/driver/tune_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/trainer_build.h"
#include "lang/files.h"
#include "runtime/sample.h"

// A round is a bench of each. The first verdicts fall after FEW: slower, whatever more rounds would say. Better after
// SOME, or no better. Only what is in doubt then takes all.
enum { FEW_ROUNDS = 3, SOME_ROUNDS = 5, MOST_ROUNDS = 9 };
enum { LEAST_STEPS = 3, MOST_STEPS = 60 };
static const double bench_seconds = 1.5;  // of the steps that count
static const double no_gain = 0.995;      // a median above it is not worth more rounds

volatile sig_atomic_t tune_signal;

static TuneOutcome failed(const char *what, const char *reason) {
  fprintf(stderr, "seerc: error: %s: %s [output]\n", what, reason);
  return TUNE_FAILED;
}

TuneOutcome tune_lab_build(TuneLab *lab, Arena *kept, const TuningSet *tuning, const char *name, const char **why) {
  Arena *arena = arena_make("candidate");
  DiagList *diags = diag_list_make(arena, lab->loaded->sources);
  CompileOptions options = lab->options;
  *(options.architectures ? &options.gpu_tuning : &options.tuning) = tuning;
  *(options.architectures ? &options.gpu_tuning_name : &options.tuning_name) = "candidate";
  Compiled compiled;
  TuneOutcome outcome = TUNE_UNFIT;
  if (compile_spec(arena, lab->loaded->sources, diags, lab->loaded->spec, lab->invocation->library, &options,
                   &compiled)) {
    Invocation invocation = *lab->invocation;
    invocation.arena = arena;
    compiled.trainer.keep_same = true;
    const char *sources = arena_printf(arena, "%s/sources", lab->folder), *refusal = NULL;
    int code = trainer_build(&invocation, &compiled.trainer, sources, arena_printf(arena, "%s/%s", lab->folder, name),
                             &refusal);
    outcome = tune_signal ? TUNE_STOPPED : refusal ? TUNE_REFUSED : code == EXIT_DONE ? TUNE_DONE : TUNE_FAILED;
    if (refusal) *why = arena_printf(kept, "%s", refusal);
  }
  arena_release(arena);
  return outcome;
}

static _Noreturn void become(char *const *arguments, const char *results, const char *messages) {
  int out = open(results, O_WRONLY | O_CREAT | O_TRUNC, 0666), err = open(messages, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (out >= 0 && err >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
    execv(arguments[0], arguments);
  _exit(127);
}

static void copy_to_stderr(const char *path) {
  FILE *file = fopen(path, "r");
  char part[4096];
  size_t size;
  while (file && (size = fread(part, 1, sizeof part, file)) > 0) fwrite(part, 1, size, stderr);
  if (file) fclose(file);
}

static TuneOutcome read_seconds(const char *results, const char *key, double *seconds) {
  json_error_t error;
  json_t *bench = json_load_file(results, 0, &error);
  *seconds = json_real_value(json_object_get(bench, key));
  json_decref(bench);
  return *seconds > 0 ? TUNE_DONE : failed("cannot read what the bench of the trainer says", error.text);
}

// Runs a trainer to its end; `status` is its. False: it could not be started, and it was said.
static bool run_trainer(const TuneLab *lab, Arena *arena, char *const *arguments, int *status) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0)
    become(arguments, arena_printf(arena, "%s/results", lab->folder), arena_printf(arena, "%s/messages", lab->folder));
  while (child > 0 && waitpid(child, status, 0) < 0 && errno == EINTR) continue;
  if (child < 0) failed("cannot start the trainer", strerror(errno));
  return child >= 0;
}

TuneOutcome tune_lab_look(TuneLab *lab, Arena *arena, const char *name, LayerMaker maker, const char **why) {
  char *arguments[] = {
      arena_printf(arena, "%s/%s", lab->folder, name), "bench", "--json", "--no-ops", "--steps=1", NULL};
  char *text = NULL;
  size_t size = 0;
  int status = 0;
  if (!run_trainer(lab, arena, arguments, &status)) return TUNE_FAILED;
  if (tune_signal) return TUNE_STOPPED;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return TUNE_DONE;
  const char *messages = arena_printf(arena, "%s/messages", lab->folder);
  int error = spec_files_on_disk.read(NULL, arena, messages, &text, &size);
  *why = error ? "" : arena_string(arena, text, size);
  if (strstr(*why, layer_maker_titles[maker])) return TUNE_REFUSED;
  copy_to_stderr(messages);
  return failed("the bench of the trainer failed", "see above");
}

// `key`: of what it says, which time.
static TuneOutcome bench(const TuneLab *lab, const char *name, const char *key, double *seconds) {
  Arena *arena = arena_make("bench");
  const char *results = arena_printf(arena, "%s/results", lab->folder);
  char *arguments[] = {arena_printf(arena, "%s/%s", lab->folder, name),
                       "bench",
                       "--json",
                       "--no-ops",
                       arena_printf(arena, "--steps=%d", lab->steps),
                       lab->threads ? arena_printf(arena, "--threads=%d", lab->threads) : NULL,
                       NULL};
  int status = 0;
  TuneOutcome outcome = TUNE_FAILED;
  bool ran = run_trainer(lab, arena, arguments, &status);
  if (ran && tune_signal) {
    outcome = TUNE_STOPPED;
  } else if (ran && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    copy_to_stderr(arena_printf(arena, "%s/messages", lab->folder));
    outcome =
        failed("the bench of the trainer failed", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
  } else if (ran) {
    outcome = read_seconds(results, key, seconds);
  }
  arena_release(arena);
  return outcome;
}

TuneOutcome tune_lab_settle(TuneLab *lab, const char *name) {
  double seconds;
  lab->steps = LEAST_STEPS;
  TuneOutcome outcome = bench(lab, name, "step_seconds_min", &seconds);
  if (outcome != TUNE_DONE) return outcome;
  double steps = bench_seconds / seconds;
  lab->steps = steps < LEAST_STEPS ? LEAST_STEPS : steps > MOST_STEPS ? MOST_STEPS : (int)steps;
  return TUNE_DONE;
}

static char *read_trainer(const TuneLab *lab, Arena *arena, const char *name, size_t *size) {
  char *bytes = NULL;
  *size = 0;
  const char *path = arena_printf(arena, "%s/%s", lab->folder, name);
  return spec_files_on_disk.read(NULL, arena, path, &bytes, size) ? NULL : bytes;
}

bool tune_lab_is_same(const TuneLab *lab, const char *a, const char *b) {
  Arena *arena = arena_make("trainers");
  size_t sizes[2];
  const char *first = read_trainer(lab, arena, a, &sizes[0]), *second = read_trainer(lab, arena, b, &sizes[1]);
  bool same = first && second && sizes[0] == sizes[1] && memcmp(first, second, sizes[0]) == 0;
  arena_release(arena);
  return same;
}

bool tune_is_faster(TuningRatio ratio) { return ratio.high < 1; }

static bool is_clear(TuningRatio ratio, int rounds) {
  if (rounds >= FEW_ROUNDS && ratio.low > 1) return true;
  return rounds >= SOME_ROUNDS && (tune_is_faster(ratio) || ratio.median > no_gain);
}

static void show_round(const TuneLab *lab, const char *what, int round) {
  if (lab->live) fprintf(stderr, "\rmeasuring %s, round %d ", what, round + 1);
}

TuneOutcome tune_lab_compare(TuneLab *lab, const char *a, const char *b, const char *what, TuningRatio *ratio) {
  static const char quiet[] = "step_seconds_quiet";  // what others do to the machine is not in it
  double ratios[MOST_ROUNDS], sorted[MOST_ROUNDS], old, new;
  TuneOutcome outcome = TUNE_DONE;
  for (int round = 0; round < MOST_ROUNDS && outcome == TUNE_DONE; round++) {
    bool swap = round % 2;  // so that a machine that slows down favours neither
    show_round(lab, what, round);
    outcome = bench(lab, swap ? b : a, quiet, swap ? &new : &old);
    if (outcome == TUNE_DONE) outcome = bench(lab, swap ? a : b, quiet, swap ? &old : &new);
    if (outcome != TUNE_DONE) break;
    ratios[round] = new / old;
    memcpy(sorted, ratios, sizeof sorted);
    SeerSample sample = seer_sample_summarize(sorted, round + 1);
    *ratio = (TuningRatio){sample.median, sample.low, sample.high};
    if (is_clear(*ratio, round + 1)) break;
  }
  if (lab->live) fprintf(stderr, "\r%*s\r", 70, "");
  return outcome;
}
