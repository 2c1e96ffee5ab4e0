// Times the training step on synthetic pictures: what the step costs, without decoding and without a data set.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/init.h"
#include "runtime/progress.h"
#include "runtime/random.h"
#include "runtime/step.h"

enum { WARMUP_STEPS = 2, DEFAULT_STEPS = 10, TIMED_MAX = 100000 };

typedef struct Synthetic {
  const SeerProgram *program;
  unsigned char *images;
  int32_t *labels;
  uint64_t bytes;
} Synthetic;

static SeerStatus synthetic_make(const SeerProgram *program, uint64_t seed, Synthetic *synthetic) {
  int batch = program->batch / program->accumulate;
  *synthetic = (Synthetic){.program = program};
  for (int i = 0; i < program->views.size_group_count; i++) {
    const SeerSizeGroup *group = &program->views.size_groups[i];
    synthetic->bytes += (uint64_t)group->crops * (uint64_t)batch * (uint64_t)group->size * (uint64_t)group->size * 3;
  }
  SeerStatus status = seer_memory_map(synthetic->bytes, "synthetic pictures", &synthetic->images);
  synthetic->labels = calloc((size_t)batch, sizeof *synthetic->labels);
  if (!status && !synthetic->labels) status = seer_fail(SEER_MACHINE, "no memory for labels");
  if (status) return status;
  SeerRandom random = seer_random_make(seed, SEER_STREAM_STEP, 0, 0, 0);
  for (uint64_t at = 0; at < synthetic->bytes; at++)
    synthetic->images[at] = (unsigned char)(seer_random_word(&random) >> 24);
  for (int i = 0; i < batch && program->classes > 0; i++) {
    synthetic->labels[i] = (int32_t)seer_random_below(&random, (uint32_t)program->classes);
  }
  return SEER_OK;
}

static SeerStatus synthetic_next(void *source, SeerBatch *batch) {
  const Synthetic *synthetic = source;
  const SeerProgram *program = synthetic->program;
  *batch = (SeerBatch){.labels = synthetic->labels};
  const unsigned char *at = synthetic->images;
  for (int i = 0; i < program->views.size_group_count; i++) {
    const SeerSizeGroup *group = &program->views.size_groups[i];
    batch->images[i] = at;
    at += (uint64_t)group->crops * (uint64_t)(program->batch / program->accumulate) * (uint64_t)group->size *
          (uint64_t)group->size * 3;
  }
  return SEER_OK;
}

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

SeerStatus seer_command_bench(const SeerProgram *program, const SeerOptions *options) {
  int steps = options->steps > 0 && options->steps < TIMED_MAX ? (int)options->steps : DEFAULT_STEPS;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  uint64_t seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed;
  double *seconds = calloc((size_t)steps, sizeof *seconds);
  SeerEngine engine;
  Synthetic synthetic = {.images = NULL};
  SeerStatus status = seer_engine_make(program, threads, false, &engine);
  if (!status && !seconds) status = seer_fail(SEER_MACHINE, "no memory for %d timings", steps);
  if (!status) status = synthetic_make(program, seed, &synthetic);
  if (!status) seer_state_init(program, seed, engine.context.pool, engine.context.state);
  for (int i = -WARMUP_STEPS; i < steps && !status; i++) {
    SeerStepResult result;
    double began = seer_seconds_now();
    status = seer_step_run(&engine, synthetic_next, &synthetic, i + WARMUP_STEPS, steps + WARMUP_STEPS, NULL, &result);
    if (i >= 0) seconds[i] = seer_seconds_now() - began;
  }
  if (!status) result_print(program, options, seconds, steps, threads);
  seer_memory_unmap(synthetic.images, synthetic.bytes);
  free(synthetic.labels);
  free(seconds);
  seer_engine_release(&engine);
  return status;
}
