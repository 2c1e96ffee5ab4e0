// Runs the training step on synthetic pictures, without decoding and without a data set: what the step costs, and with
// --poison, what of its arena it touches.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/init.h"
#include "runtime/poison.h"
#include "runtime/progress.h"
#include "runtime/synthetic.h"

enum { WARMUP_STEPS = 2, DEFAULT_STEPS = 10, TIMED_MAX = 100000 };

static int seconds_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void result_print(const SeerProgram *program, const SeerOptions *options, double *seconds, int steps,
                         int threads) {
  qsort(seconds, (size_t)steps, sizeof *seconds, seconds_compare);
  double median = steps % 2 ? seconds[steps / 2] : 0.5 * (seconds[steps / 2 - 1] + seconds[steps / 2]);
  uint64_t resident = seer_memory_resident_peak(), peak = program->state_bytes + program->arena_bytes;
  if (options->json) {
    printf(
        "{\"images_per_second\": %.6g, \"step_seconds_median\": %.6g, \"step_seconds_min\": %.6g, \"peak_bytes\": "
        "%llu, "
        "\"resident_bytes\": %llu, \"batch\": %d, \"steps\": %d, \"threads\": %d}\n",
        program->batch / median, median, seconds[0], (unsigned long long)peak, (unsigned long long)resident,
        program->batch, steps, threads);
    return;
  }
  printf(
      "%s: %.2f images/s, step %.4f s (median of %d; best %.4f s), batch %d, %d threads, %.1f MiB, %.1f MiB resident\n",
      program->name, program->batch / median, median, steps, seconds[0], program->batch, threads,
      (double)peak / 1048576, (double)resident / 1048576);
}

static void poison_print(const SeerProgram *program, const SeerOptions *options, const SeerPoisonResult *result) {
  uint64_t touched = result->step_bytes > result->features_bytes ? result->step_bytes : result->features_bytes;
  if (options->json) {
    const struct {
      const char *name;
      uint64_t bytes;
    } sizes[] = {{"arena_bytes", program->arena_bytes},       {"touched_bytes", touched},
                 {"step_touched_bytes", result->step_bytes},  {"features_touched_bytes", result->features_bytes},
                 {"state_bytes", program->state_bytes},       {"ring_bytes", program->ring_bytes},
                 {"snapshot_bytes", program->snapshot_bytes},
                 {"peak_bytes", seer_program_bytes(program)}, {"resident_bytes", seer_memory_resident_peak()}};
    printf("{");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      printf("\"%s\": %llu, ", sizes[i].name, (unsigned long long)sizes[i].bytes);
    printf("\"loss\": %.9g, \"steps\": %d}\n", result->loss, result->steps);
    return;
  }
  printf(
      "%s: %llu of the arena's %llu bytes touched (training %llu, features %llu); no result depends on what it held "
      "before\n",
      program->name, (unsigned long long)touched, (unsigned long long)program->arena_bytes,
      (unsigned long long)result->step_bytes, (unsigned long long)result->features_bytes);
}

static SeerStatus poison_bench(SeerEngine *engine, SeerSynthetic *pictures, const SeerOptions *options, uint64_t seed) {
  SeerPoisonResult result;
  SeerStatus status = seer_poison_run(engine, pictures, seed, &result);
  if (!status) poison_print(engine->program, options, &result);
  return status;
}

static SeerStatus timing_bench(SeerEngine *engine, SeerSynthetic *pictures, const SeerOptions *options, uint64_t seed) {
  int steps = options->steps > 0 && options->steps < TIMED_MAX ? (int)options->steps : DEFAULT_STEPS;
  double *seconds = calloc((size_t)steps, sizeof *seconds);
  SeerStatus status = seconds ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for %d timings", steps);
  seer_state_init(engine->program, seed, 0, engine->context.pool, engine->context.state);
  for (int i = -WARMUP_STEPS; i < steps && !status; i++) {
    SeerStepResult result;
    double began = seer_seconds_now();
    status =
        seer_step_run(engine, seer_synthetic_next, pictures, (SeerStepAsk){0}, i + WARMUP_STEPS, steps + WARMUP_STEPS,
                      NULL, &result);
    if (i >= 0) seconds[i] = seer_seconds_now() - began;
  }
  if (!status) result_print(engine->program, options, seconds, steps, seer_pool_threads(engine->context.pool));
  free(seconds);
  return status;
}

SeerStatus seer_command_bench(const SeerProgram *program, const SeerOptions *options) {
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  uint64_t seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed;
  SeerEngine engine;
  SeerSynthetic pictures = {.images = NULL};
  SeerStatus status = seer_engine_make(program, threads, false, &engine);
  if (!status) status = seer_synthetic_make(program, seed, &pictures);
  if (!status)
    status = options->poison ? poison_bench(&engine, &pictures, options, seed)
                             : timing_bench(&engine, &pictures, options, seed);
  seer_synthetic_release(&pictures);
  seer_engine_release(&engine);
  return status;
}
