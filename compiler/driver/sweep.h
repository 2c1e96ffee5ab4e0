// A sweep: variants of one spec, built and run briefly, compared in one table. Its folder holds
//   sweep.json    what it is: axes, options, variants; written once all of them were read, and compared on every start
//   lock          held by seerc and by the trainers that it has started
//   VARIANT/      trainer, built.json (what its plan says), error (why it could not be built), run/, log, exit
//   sweep.jsonl, sweep.html, sweep.svg    the results
// A variant's folder says by itself how far it is, so a sweep that was killed, and tasks of Slurm, are read alike.
#ifndef SEER_DRIVER_SWEEP_H
#define SEER_DRIVER_SWEEP_H

#include <signal.h>

#include "compiler/driver/driver.h"
#include "compiler/driver/variants.h"
#include "runtime/history.h"

typedef enum SweepState {
  SWEEP_WAITING,  // nothing is known of a step of it
  SWEEP_BEGUN,    // it was stopped, or killed: the same command goes on
  SWEEP_DONE,
  SWEEP_FAILED,  // `reason` says why; where `again`, the same command tries it again
  SWEEP_REFUSED  // it could not be built
} SweepState;

// What a variant's plan says; of one rank where it is not of the network.
typedef struct SweepPlan {
  int64_t parameters_trunk, parameters;
  double macs;  // of a picture's views, one forward of the trunk
  uint64_t peak_bytes;
  int nodes, ranks_per_node, ranks;
  // For Slurm, as launch.h has them:
  int threads;
  uint64_t node_bytes;
  int64_t stop_seconds;
} SweepPlan;

typedef struct SweepVariant {
  const char *name;           // "model.w0=24, train.seed=1"
  const char *folder;         // below the sweep's; of letters, digits and ._=-
  const char *const *values;  // [axis_count], as typed
  const SpecDefine *defines;  // those of the command line, then its own
  int define_count;
  const char *spec_hash;  // of the resolved spec; "": it has errors
  const char *knn_every;  // what the trainer is told; NULL: nothing
  bool built;
  SweepPlan plan;  // if built
  SweepState state;
  bool again;
  const char *reason;                            // one line; NULL: none
  int64_t step, steps;                           // done, length; 0: not known
  double loss, knn, images_per_second, seconds;  // NaN: not known; seconds of all steps
  uint64_t peak_bytes, resident_bytes;           // as measured; 0: not known
  SeerHistory history;                           // of its steps
} SweepVariant;

typedef struct Sweep {
  Invocation *invocation;  // NULL when results are collected
  Arena *arena;
  const char *folder;   // as typed
  const char *program;  // the spec's name
  int axis_count, variant_count;
  const char *const *keys;     // [axis_count] "model.w0"
  const char *const *columns;  // [axis_count] what they are called in tables: "w0"
  int seed_axis;               // of train.seed; -1: none
  SweepVariant *variants;
  // Of every trainer:
  const char *const *data;  // [data_count]
  int data_count;
  const char *labels, *steps;  // as typed; NULL: the spec's
  // Of this start:
  int jobs, threads;  // of one trainer; 0: as it likes
  bool on_gpus;
  double minutes;     // 0: no limit
  int lock;           // descriptor, -1: none
} Sweep;

// Set by a signal that asks to end, to how often it was asked.
extern volatile sig_atomic_t sweep_signals;

const char *sweep_path(const Sweep *sweep, const SweepVariant *variant, const char *name);  // variant NULL: the sweep's

#endif
