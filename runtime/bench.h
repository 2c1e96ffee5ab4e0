// What `bench` finds out of a step: how long it takes, how long each op of it does, and what the machine could do.
// bench.c measures, bench_gather.c sums up, bench_report.c prints, bench_json.c makes JSON of it, bench_against.c
// compares two, roofline.c draws; bench_ranks.c joins ranks, bench_exchange.c times what they send each other.
#ifndef SEER_RUNTIME_BENCH_H
#define SEER_RUNTIME_BENCH_H

#include <jansson.h>
#include <stdio.h>

#include "runtime/bench_ranks.h"
#include "runtime/peak.h"
#include "runtime/profile.h"
#include "runtime/program.h"
#include "runtime/sample.h"

// An op's run, or what stands alone between runs, in one step: all its launches, in all micro-steps and slices.
typedef struct SeerBenchOp {
  const SeerLaunch *launch;  // its first, for names
  int calls;                 // runs in a step
  double seconds, flops, bytes;
  double least;  // seconds: of each launch the fastest, which nothing interrupted
} SeerBenchOp;

// How its time is told apart: what is computed again counts as recompute, whatever pass it is in.
typedef enum SeerBenchPass {
  SEER_BENCH_FORWARD,
  SEER_BENCH_BACKWARD,
  SEER_BENCH_RECOMPUTE,
  SEER_BENCH_UPDATE
} SeerBenchPass;
enum { SEER_BENCH_PASSES = SEER_BENCH_UPDATE + 1 };
extern const char *const seer_bench_pass_names[SEER_BENCH_PASSES];
SeerBenchPass seer_bench_pass(const SeerLaunch *launch);

// Ops of one kind, or of one block.
typedef struct SeerBenchGroup {
  const char *name;
  int ops;
  double seconds, flops, bytes, pass_seconds[SEER_BENCH_PASSES];
} SeerBenchGroup;

typedef struct SeerBenchGroups {
  SeerBenchGroup *items;
  int count;
} SeerBenchGroups;

typedef struct SeerBench {
  const SeerProgram *program;
  char machine[128];  // the processor's name
  int threads, warmup_steps, profiled_steps;
  SeerSample step;                // seconds
  double quiet_step;              // without ops: a step of the fastest that was seen of each launch; a GPU's own time
  double profiled_median;         // seconds: of the steps that were profiled
  double rest_seconds;            // in no launch: median of them
  double rest_least;              // the shortest of them
  double ops_seconds;             // in launches: the sum of their medians
  double profiled_step;           // both together: a step that nothing interrupts
  double flops, recompute_flops;  // of a step, the first with the second
  uint64_t resident_bytes;
  SeerPeak peak;
  SeerExchange exchanges[SEER_EXCHANGE_KINDS * SEER_EXCHANGE_SIZES];
  int exchange_count;  // 0: one rank
  SeerBenchOp *ops;    // in the order of the step
  int op_count;
  SeerBenchGroups kinds, blocks;  // kinds by time, the most first; blocks in the order of the step
} SeerBench;

// Ops, groups and sums from the profile, which was taken of bench->program, and bench->rest_seconds.
SeerStatus seer_bench_gather(SeerBench *bench, const SeerProfile *profile);
void seer_bench_release(SeerBench *bench);

// Operations of forward and backward alone, a second; over the peak.
double seer_bench_flops_per_second(const SeerBench *bench);
double seer_bench_share_of_peak(const SeerBench *bench);

void seer_bench_print(const SeerBench *bench, FILE *out);
void seer_bench_step_print(const SeerBench *bench, FILE *out);  // the step alone
// NULL without memory.
json_t *seer_bench_json(const SeerBench *bench);
json_t *seer_bench_step_json(const SeerBench *bench);  // the step alone

// Reads an object that seer_bench_json made; SEER_INPUT when the file is none.
SeerStatus seer_against_load(const char *path, json_t **old);
// The bench beside the old one: the step, and every kind and block by how much its time has changed; and what makes the
// two not comparable. NULL without memory.
json_t *seer_against_json(const SeerBench *bench, const json_t *old);
void seer_against_print(const json_t *against, FILE *out);
// The differences as warnings, one a line, on standard error.
void seer_against_warn(const json_t *against, const char *name);

// Writes the roofline picture, an SVG file.
SeerStatus seer_roofline_write(const SeerBench *bench, const char *path);

#endif
