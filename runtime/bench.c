// Runs the training step on synthetic pictures, without decoding and without a data set: what the step and each of its
// ops cost, beside what the processor could do; and with --poison, what of its arena it touches. Of several ranks each
// takes its part, and rank 0 tells what it saw.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/bench.h"
#include "runtime/bench_ranks.h"
#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/init.h"
#include "runtime/poison.h"
#include "runtime/progress.h"
#include "runtime/synthetic.h"

enum { DEFAULT_STEPS = 10, TIMED_MAX = 100000, WARMUP_MAX = 30, SETTLED_STEPS = 3, PROFILED_STEPS = 5 };

// Without --steps: so long at least, so that a quick step is timed often; warm-up and profile no longer than so.
static const double timed_seconds = 2, warmup_seconds = 20, profile_seconds = 30;

static void poison_print(const SeerProgram *program, const SeerOptions *options, const SeerPoisonResult *result) {
  uint64_t touched = result->step_bytes > result->features_bytes ? result->step_bytes : result->features_bytes;
  if (options->json) {
    const struct {
      const char *name;
      uint64_t bytes;
    } sizes[] = {{"arena_bytes", program->arena_bytes},          {"touched_bytes", touched},
                 {"step_touched_bytes", result->step_bytes},     {"features_touched_bytes", result->features_bytes},
                 {"state_bytes", program->state_bytes},          {"ring_bytes", program->ring_bytes},
                 {"snapshot_bytes", program->snapshot_bytes},    {"peak_bytes", seer_program_bytes(program)},
                 {"resident_bytes", seer_memory_resident_peak()}};
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

typedef struct Timing {
  SeerEngine *engine;
  SeerSynthetic *pictures;
  int64_t step;  // the next one
} Timing;

static SeerStatus step_time(Timing *timing, double *seconds) {
  SeerStepResult result;
  double began = seer_seconds_now();
  SeerStatus status = seer_step_run(timing->engine, seer_synthetic_next, timing->pictures, (SeerStepAsk){0},
                                    timing->step++, TIMED_MAX, NULL, &result);
  *seconds = seer_seconds_now() - began;
  return status;
}

// Whether another step is run: all ranks, or none.
static SeerStatus go_on(const Timing *timing, bool mine, bool *all) {
  int wanted = mine;
  SeerStatus status = seer_comm_largest(timing->engine->context.comm, &wanted);
  *all = wanted != 0;
  return status;
}

// Until SETTLED_STEPS steps in a row are none of them faster than the best before by more than a fiftieth; `most` steps
// at most.
static SeerStatus warm_up(Timing *timing, int most, int *steps) {
  double best = 0, seconds, spent = 0;
  SeerStatus status = SEER_OK;
  int settled = 0;
  bool more = true;
  for (*steps = 0; *steps < most && !status; ++*steps) {
    status = go_on(timing, settled < SETTLED_STEPS && (*steps < 2 || spent <= warmup_seconds), &more);
    if (status || !more) break;
    status = step_time(timing, &seconds);
    spent += seconds;
    settled = *steps && seconds > 0.98 * best ? settled + 1 : 0;
    if (!*steps || seconds < best) best = seconds;
  }
  return status;
}

// `wanted` steps; 0: as many as the defaults ask for.
static SeerStatus steps_time(Timing *timing, int wanted, SeerSample *sample) {
  double *seconds = calloc(TIMED_MAX, sizeof *seconds), spent = 0;
  SeerStatus status = seconds ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for %d timings", TIMED_MAX);
  int steps = 0;
  bool more = true;
  while (!status && steps < (wanted ? wanted : TIMED_MAX)) {
    if (!wanted) status = go_on(timing, steps < DEFAULT_STEPS || spent < timed_seconds, &more);
    if (status || !more) break;
    status = step_time(timing, &seconds[steps]);
    spent += seconds[steps++];
  }
  if (!status) *sample = seer_sample_summarize(seconds, steps);
  free(seconds);
  return status;
}

// Steps of their own: looking at the clock twice a launch takes time, too.
static SeerStatus steps_profile(Timing *timing, SeerBench *bench) {
  SeerProfile profile;
  double seconds[PROFILED_STEPS], rest[PROFILED_STEPS], spent = 0;
  SeerStatus status = seer_profile_make(bench->program->launch_count, PROFILED_STEPS, &profile);
  if (status) return status;
  timing->engine->context.profile = &profile;
  int steps = 0;
  bool more = true;
  while (!status && steps < PROFILED_STEPS) {
    status = go_on(timing, steps < 2 || spent < profile_seconds, &more);
    if (status || !more) break;
    seer_profile_next_step(&profile);
    status = step_time(timing, &seconds[steps]);
    rest[steps] = seconds[steps] - seer_profile_step_seconds(&profile);
    spent += seconds[steps++];
  }
  timing->engine->context.profile = NULL;
  bench->profiled_steps = steps;
  bench->profiled_median = seer_sample_summarize(seconds, steps).median;
  SeerSample rests = seer_sample_summarize(rest, steps);
  bench->rest_seconds = rests.median;
  bench->rest_least = rests.least;
  if (!status) status = seer_bench_gather(bench, &profile);
  seer_profile_release(&profile);
  return status;
}

// The step alone. On a busy machine no step may be left in peace, but each launch is, once: the fastest of every launch
// and of the rest, added up, is a step that nothing interrupted.
static SeerStatus steps_time_quiet(Timing *timing, int steps, SeerBench *bench) {
  SeerProfile profile;
  double *seconds = calloc((size_t)steps, sizeof *seconds), rest = 0;
  SeerStatus status = seer_profile_make(bench->program->launch_count, steps, &profile);
  if (!seconds && !status) status = seer_fail(SEER_MACHINE, "no memory for %d timings", steps);
  timing->engine->context.profile = &profile;
  for (int i = 0; i < steps && !status; i++) {
    seer_profile_next_step(&profile);
    status = step_time(timing, &seconds[i]);
    double between = seconds[i] - seer_profile_step_seconds(&profile);
    if (!i || between < rest) rest = between;
  }
  timing->engine->context.profile = NULL;
  if (!status) {
    bench->quiet_step = rest;
    for (int i = 0; i < profile.launch_count; i++) bench->quiet_step += seer_profile_least(&profile, i);
    bench->step = seer_sample_summarize(seconds, steps);
  }
  free(seconds);
  seer_profile_release(&profile);
  return status;
}

// The same on an accelerator, where nobody else is: by its own clock, as in training; the median of the steps.
static SeerStatus steps_time_apart(Timing *timing, int steps, SeerBench *bench) {
  SeerAccelerator *accelerator = timing->engine->accelerator;
  const SeerAcceleratorType *type = bench->program->accelerator;
  double *seconds = calloc((size_t)steps, sizeof *seconds), *apart = calloc((size_t)steps, sizeof *apart), before;
  SeerStatus status = seconds && apart ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for %d timings", steps);
  if (!status) status = type->seconds(accelerator, &before);
  for (int i = 0; i < steps && !status; i++) {
    status = step_time(timing, &seconds[i]);
    if (!status) status = type->seconds(accelerator, &apart[i]);
  }
  if (!status) {
    bench->quiet_step = seer_sample_summarize(apart, steps).median;
    bench->step = seer_sample_summarize(seconds, steps);
  }
  free(seconds);
  free(apart);
  return status;
}

static SeerStatus json_write(json_t *result, json_t *against) {
  if (result && against) json_object_set(result, "against", against);
  bool written = result && json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12)) == 0;
  json_decref(result);
  if (!written) return seer_fail(SEER_MACHINE, "cannot write the result to standard output");
  fputc('\n', stdout);
  return SEER_OK;
}

static SeerStatus result_write(const SeerBench *bench, const SeerOptions *options, const json_t *old) {
  if (options->no_ops) {
    if (options->json) {
      json_t *step = seer_bench_step_json(bench);
      if (step) json_object_set_new(step, "step_seconds_quiet", json_real(bench->quiet_step));
      return json_write(step, NULL);
    }
    seer_bench_step_print(bench, stdout);
    const char *what =
        bench->program->accelerator ? "by the GPU's clock a step takes" : "the fastest of each launch make a step of";
    printf("%s %.4f s\n", what, bench->quiet_step);
    return SEER_OK;
  }
  json_t *against = old ? seer_against_json(bench, old) : NULL;
  if (old && !against) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = SEER_OK;
  if (options->json)
    status = json_write(seer_bench_json(bench), against);
  else
    seer_bench_print(bench, stdout);
  if (against && !options->json) seer_against_print(against, stdout);
  if (against) seer_against_warn(against, bench->program->name);
  json_decref(against);
  if (!status && options->svg) status = seer_roofline_write(bench, options->svg);
  return status;
}

// After the steps: what the processor could do, what ranks send each other, alone.
static SeerStatus machine_measure(SeerEngine *engine, SeerBench *bench) {
  SeerComm *comm = engine->context.comm;
  if (engine->accelerator) return SEER_OK;
  SeerStatus status = seer_comm_agree(comm, seer_peak_measure(engine->context.pool, &bench->peak));
  if (status || !comm) return status;
  bench->exchange_count = SEER_EXCHANGE_KINDS * SEER_EXCHANGE_SIZES;
  return seer_exchange_measure(comm, bench->exchanges);
}

static SeerStatus timing_bench(SeerEngine *engine, SeerSynthetic *pictures, const SeerOptions *options, uint64_t seed) {
  json_t *old = NULL;
  SeerComm *comm = engine->context.comm;
  int rank = seer_comm_rank(comm);
  SeerStatus status = options->against ? seer_against_load(options->against, &old) : SEER_OK;
  status = seer_comm_agree(comm, status);
  if (status) {
    json_decref(old);
    return status;
  }
  int wanted = options->steps > 0 ? (int)(options->steps < TIMED_MAX ? options->steps : TIMED_MAX) : 0;
  SeerBench bench = {.program = engine->program, .threads = seer_pool_threads(engine->context.pool)};
  Timing timing = {.engine = engine, .pictures = pictures};
  if (engine->accelerator)
    snprintf(bench.machine, sizeof bench.machine, "%s", engine->program->accelerator->name(engine->accelerator));
  else
    seer_cpu_name(bench.machine, sizeof bench.machine);
  seer_state_init(engine->program, seed, rank, engine->context.pool, engine->context.state);
  // A GPU's clock rises, and its step is captured, in the first ones.
  status = warm_up(&timing, !options->no_ops ? WARMUP_MAX : engine->accelerator ? 3 : 1, &bench.warmup_steps);
  if (!status && options->no_ops) {
    int steps = wanted ? wanted : DEFAULT_STEPS;
    status = engine->accelerator ? steps_time_apart(&timing, steps, &bench) : steps_time_quiet(&timing, steps, &bench);
  } else {
    if (!status) status = steps_time(&timing, wanted, &bench.step);
    if (!status) status = steps_profile(&timing, &bench);
  }
  bench.resident_bytes = seer_memory_resident_peak();
  if (!status && !options->no_ops) status = machine_measure(engine, &bench);
  if (!status && rank == 0) status = result_write(&bench, options, old);
  seer_bench_release(&bench);
  json_decref(old);
  return status;
}

static SeerStatus bench_run(const SeerProgram *program, const SeerOptions *options, SeerBenchRanks *ranks,
                            uint64_t seed) {
  int share = seer_cpu_share(seer_comm_local_size(ranks->comm));
  int threads = options->threads > 0 ? (int)options->threads : share;
  SeerEngine engine;
  SeerSynthetic pictures = {.program = program};
  SeerStatus status = seer_comm_agree(ranks->comm, seer_engine_make(program, ranks->comm, threads, false, &engine));
  if (!status) status = seer_bench_ranks_attach(ranks, &engine, options);
  if (!status) status = seer_comm_agree(ranks->comm, seer_synthetic_make(program, seed, &pictures));
  if (!status)
    status = options->poison ? poison_bench(&engine, &pictures, options, seed)
                             : timing_bench(&engine, &pictures, options, seed);
  seer_synthetic_release(&pictures);
  seer_engine_release(&engine);
  return status;
}

SeerStatus seer_command_bench(const SeerProgram *program, const SeerOptions *options) {
  if (options->no_ops && (options->against || options->svg || options->poison))
    return seer_fail(SEER_USAGE, "'--no-ops' leaves nothing for '--%s'",
                     options->against ? "against"
                     : options->svg   ? "svg"
                                      : "poison");
  if (program->accelerator && (options->svg || options->poison))
    return seer_fail(SEER_USAGE, "'--%s' is for trainers whose step runs on the processor",
                     options->svg ? "svg" : "poison");
  SeerBenchRanks ranks;
  SeerStatus status = seer_bench_ranks_join(&program, options, &ranks);
  if (!status && ranks.comm && options->poison)
    status = seer_fail(SEER_INPUT, "'--poison' is for one rank, and %d were started\nnote: start it without a launcher",
                       seer_comm_size(ranks.comm));
  uint64_t seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed;
  if (!status) status = bench_run(program, options, &ranks, seed);
  if (ranks.comm) seer_error_print(program->name);
  seer_bench_ranks_release(&ranks);
  return status;
}
