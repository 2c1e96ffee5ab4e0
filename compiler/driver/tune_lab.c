// Trainers side by side; see tune_lab.h.
#include "compiler/driver/tune_lab.h"

#include <stdio.h>
#include <string.h>

#include "compiler/driver/bench_run.h"
#include "compiler/driver/trainer_build.h"
#include "lang/files.h"
#include "runtime/sample.h"

// A round is a bench of each. The first verdicts fall after FEW: slower, whatever more rounds would say. Better after
// SOME, or no better. Only what is in doubt then takes all.
enum { FEW_ROUNDS = 3, SOME_ROUNDS = 5, MOST_ROUNDS = 9 };
enum { LEAST_STEPS = 3, MOST_STEPS = 60 };
static const double bench_seconds = 1.5;  // of the steps that count
static const double no_gain = 0.995;      // a median above it is not worth more rounds

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
    outcome = bench_signal ? TUNE_STOPPED : refusal ? TUNE_REFUSED : code == EXIT_DONE ? TUNE_DONE : TUNE_FAILED;
    if (refusal) *why = arena_printf(kept, "%s", refusal);
  }
  arena_release(arena);
  return outcome;
}

static TuneOutcome outcome_of(BenchOutcome outcome) {
  return outcome == BENCH_DONE ? TUNE_DONE : outcome == BENCH_STOPPED ? TUNE_STOPPED : TUNE_FAILED;
}

TuneOutcome tune_lab_look(TuneLab *lab, Arena *arena, const char *name, LayerMaker maker, const char **why) {
  char *arguments[] = {
      arena_printf(arena, "%s/%s", lab->folder, name), "bench", "--json", "--no-ops", "--steps=1", NULL};
  BenchOutcome outcome = bench_child(lab->folder, arguments);
  if (outcome == BENCH_DONE || outcome == BENCH_STOPPED) return outcome_of(outcome);
  *why = bench_messages(lab->folder, arena);
  if (strstr(*why, layer_maker_titles[maker])) return TUNE_REFUSED;
  bench_show_messages(lab->folder);
  return failed("the bench of the trainer failed", "see above");
}

// `key`: of what it says, which time.
static TuneOutcome bench(const TuneLab *lab, const char *name, const char *key, double *seconds) {
  Arena *arena = arena_make("bench");
  char *arguments[] = {arena_printf(arena, "%s/%s", lab->folder, name),
                       "bench",
                       "--json",
                       "--no-ops",
                       arena_printf(arena, "--steps=%d", lab->steps),
                       lab->threads ? arena_printf(arena, "--threads=%d", lab->threads) : NULL,
                       NULL};
  json_t *result;
  BenchOutcome outcome = bench_run(lab->folder, arguments, &result);
  *seconds = json_real_value(json_object_get(result, key));
  json_decref(result);
  arena_release(arena);
  if (outcome != BENCH_DONE || *seconds > 0) return outcome_of(outcome);
  return failed("the bench of the trainer does not say", key);
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
