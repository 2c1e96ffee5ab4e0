// Builds a spec's trainer with one tuning and another, and times their steps against each other, in a folder of its
// own.
#ifndef SEER_DRIVER_TUNE_LAB_H
#define SEER_DRIVER_TUNE_LAB_H

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/tuning_file.h"

typedef struct TuneLab {
  Invocation *invocation;
  const LoadedSpec *loaded;
  CompileOptions options;
  const char *folder;  // absolute
  int threads, steps;  // of a bench; threads 0: the step runs on a GPU
  bool live;           // says on the terminal what is being done
} TuneLab;

typedef enum TuneOutcome {
  TUNE_DONE,
  TUNE_UNFIT,    // the plan does not fit its budget with this tuning
  TUNE_REFUSED,  // what was compiled for a GPU spills, or takes more than there is; a library knows no such layer
  TUNE_STOPPED,  // by the user
  TUNE_FAILED    // it has said why
} TuneOutcome;

// Compiles what has changed since the last time; `name` is the trainer's, in the folder. TUNE_REFUSED tells why in
// `arena`.
TuneOutcome tune_lab_build(TuneLab *lab, Arena *arena, const TuningSet *tuning, const char *name, const char **why);
// Whether two of its trainers are the same program.
bool tune_lab_is_same(const TuneLab *lab, const char *a, const char *b);
// Whether a trainer takes a step here: TUNE_REFUSED where that library does not, and why, in `arena`.
TuneOutcome tune_lab_look(TuneLab *lab, Arena *arena, const char *name, LayerMaker maker, const char **why);
// Chooses lab->steps so that a bench takes a few seconds.
TuneOutcome tune_lab_settle(TuneLab *lab, const char *name);
// Ratio of `b`'s step by `a`'s: benches in turn, until it is clear whether it is below 1, or enough of them were made.
TuneOutcome tune_lab_compare(TuneLab *lab, const char *a, const char *b, const char *what, TuningRatio *ratio);
// It is below 1 beyond the noise.
bool tune_is_faster(TuningRatio ratio);

#endif
