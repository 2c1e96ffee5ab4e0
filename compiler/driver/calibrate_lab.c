// Trainers that are timed; see calibrate_lab.h.
#define _XOPEN_SOURCE 700
#include "compiler/driver/calibrate_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"
#include "lang/files.h"

static const char *const net_names[CALIBRATE_NETS] = {"narrow", "wide", "large"};

// ---- building ----

static bool compile_net(CalibrateLab *lab, Arena *arena, const char *name, const char *text, Compiled *compiled) {
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  const Spec *spec = spec_load_text(arena, sources, diags, name, text, strlen(text), &spec_files_on_disk, NULL, 0);
  bool compiled_it =
      spec && compile_spec(arena, sources, diags, spec, lab->invocation->library, &lab->options, compiled);
  driver_report(lab->invocation, diags);
  return compiled_it;
}

int calibrate_build(CalibrateLab *lab, int net, const char *precision, int ranks, CalibrateTrainer *trainer) {
  Arena *arena = lab->invocation->arena;
  const char *ranks_text = ranks > 1 ? arena_printf(arena, "-%d-ranks", ranks) : "";
  const char *name = arena_printf(arena, "calibrate-%s-%s%s.seer", net_names[net], precision, ranks_text);
  Compiled *compiled = arena_new(arena, Compiled);
  if (!compile_net(lab, arena, name, calibrate_spec(arena, net, precision, ranks), compiled)) return EXIT_INPUT;
  compiled->trainer.keep_same = true;  // the next network in this precision has the same kernels
  const char *sources = arena_printf(arena, "%s/%s", lab->folder, precision);
  const char *path = arena_printf(arena, "%s/%s", lab->folder, compiled->trainer.settings.name);
  int code = trainer_build(lab->invocation, &compiled->trainer, sources, path, NULL);
  *trainer = (CalibrateTrainer){.name = net_names[net],
                                .precision = precision,
                                .path = path,
                                .graph = compiled->train_graph,
                                .plan = compiled->train_plan,
                                .value_bytes = compiled->report.problem->blocks->costs->value_bytes};
  return code;
}

// ---- reading a bench ----

static bool is_run(const PlanStep *step, const Op *op, const json_t *run) {
  const char *name = json_string_value(json_object_get(run, "name"));
  const char *kind = json_string_value(json_object_get(run, "kind"));
  bool again = json_is_true(json_object_get(run, "again"));
  return name && kind && strcmp(name, op->name) == 0 && strcmp(kind, op_kind_name(op->kind)) == 0 &&
         again == (step->variant == RUN_AGAIN);
}

// The plan's runs and the bench's are in one order; those without a launch are in the plan alone. Returns how many of
// the bench's were found.
static int works_list(const CalibrateTrainer *trainer, const json_t *runs, RateSample *samples) {
  const Plan *plan = trainer->plan;
  size_t at = 0, count = json_array_size(runs);
  for (uint32_t i = 0; i < plan->step_count && at < count; i++) {
    const PlanStep *step = &plan->steps[i];
    if (step->kind != STEP_RUN || !is_run(step, graph_op(trainer->graph, step->op), json_array_get(runs, at))) continue;
    samples[at++].work = rate_work(trainer->graph, step->op, step->variant, trainer->value_bytes);
  }
  return (int)at;
}

static int mismatch(const CalibrateTrainer *trainer, const json_t *run) {
  const char *name = json_string_value(json_object_get(run, "name"));
  fprintf(stderr, "seerc: error: the bench of '%s' tells of '%s', which its plan does not have there [output]\n",
          trainer->name, name ? name : "nothing");
  return EXIT_BUG;
}

static double shorter(double before, double now) { return before > 0 && before < now ? before : now; }
static double larger(double before, double now) { return before > now ? before : now; }

static int samples_make(Arena *arena, CalibrateTrainer *trainer, const json_t *runs) {
  int count = (int)json_array_size(runs);
  trainer->samples = arena_array(arena, RateSample, count + 1);
  int found = works_list(trainer, runs, trainer->samples);
  if (found < count || !count) return mismatch(trainer, json_array_get(runs, (size_t)found));
  trainer->sample_count = count;
  for (uint32_t i = 0; i < trainer->plan->step_count; i++) {
    const PlanStep *step = &trainer->plan->steps[i];
    if (step->kind == STEP_RUN)
      trainer->gradient_bytes += rate_look(trainer->graph, step->op, trainer->value_bytes).bytes;
  }
  return EXIT_DONE;
}

static double real_at(const json_t *object, const char *key) { return json_real_value(json_object_get(object, key)); }

static int bench_read(Arena *arena, CalibrateTrainer *trainer, const json_t *bench) {
  const json_t *runs = json_object_get(bench, "ops"), *profile = json_object_get(bench, "profile");
  const json_t *peak = json_object_get(bench, "peak");
  int code = trainer->sample_count ? EXIT_DONE : samples_make(arena, trainer, runs);
  for (int i = 0; i < trainer->sample_count; i++) {
    double seconds = real_at(json_array_get(runs, (size_t)i), "seconds");
    trainer->samples[i].seconds = shorter(trainer->samples[i].seconds, seconds);
  }
  trainer->rest_seconds = shorter(trainer->rest_seconds, real_at(profile, "rest_seconds"));
  trainer->flops = larger(trainer->flops, real_at(peak, "flops_per_second"));
  trainer->bandwidth = larger(trainer->bandwidth, real_at(peak, "bytes_per_second"));
  return code;
}

// ---- running ----

static int code_of(BenchOutcome outcome) {
  return outcome == BENCH_DONE ? EXIT_DONE : outcome == BENCH_FAILED ? EXIT_BUG : EXIT_MACHINE;
}

int calibrate_bench(const CalibrateLab *lab, CalibrateTrainer *trainer) {
  Arena *arena = arena_make("bench");
  char *path = arena_printf(arena, "%s", trainer->path), bench[] = "bench", json[] = "--json", steps[] = "--steps=1";
  char *threads = lab->threads ? arena_printf(arena, "--threads=%d", lab->threads) : NULL;
  char *arguments[] = {path, bench, json, steps, threads, NULL};
  json_t *result;
  int code = code_of(bench_run(lab->folder, arguments, &result));
  if (code == EXIT_DONE) code = bench_read(lab->invocation->arena, trainer, result);
  json_decref(result);
  arena_release(arena);
  return code;
}

bool calibrate_has_mpirun(void) {
  const char *path = getenv("PATH");
  char file[4096];
  while (path && *path) {
    size_t length = strcspn(path, ":");
    snprintf(file, sizeof file, "%.*s/mpirun", (int)length, path);
    if (length && access(file, X_OK) == 0) return true;
    path += length + (path[length] == ':');
  }
  return false;
}

// Open MPI refuses root, and more ranks than it believes to have places for, unless it is told; MPICH reads none of it.
static void allow_ranks(void) {
  setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 0);
  if (geteuid() != 0) return;
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
}

static void exchange_keep(Arena *arena, const json_t *told, CalibrateExchange *exchange) {
  exchange->kind = arena_printf(arena, "%s", json_string_value(json_object_get(told, "kind")));
  exchange->bytes = (double)json_integer_value(json_object_get(told, "bytes"));
  exchange->seconds = shorter(exchange->seconds, real_at(told, "seconds"));
}

int calibrate_exchange(const CalibrateLab *lab, const CalibrateTrainer *trainer, CalibrateExchange *exchanges,
                       int *count) {
  allow_ranks();
  Arena *arena = arena_make("exchange");
  char *path = arena_printf(arena, "%s", trainer->path), mpirun[] = "mpirun", n[] = "-n", two[] = "2";
  char bench[] = "bench", json[] = "--json", steps[] = "--steps=1", threads[] = "--threads=1";
  char *arguments[] = {mpirun, n, two, path, bench, json, steps, threads, NULL};
  json_t *result;
  int code = code_of(bench_run(lab->folder, arguments, &result));
  const json_t *told = json_object_get(result, "exchanges");
  for (size_t i = 0; i < json_array_size(told) && i < CALIBRATE_MOST_EXCHANGES; i++) {
    if ((int)i >= *count) exchanges[(*count)++] = (CalibrateExchange){.bytes = 0};
    exchange_keep(lab->invocation->arena, json_array_get(told, i), &exchanges[i]);
  }
  json_decref(result);
  arena_release(arena);
  return code;
}
