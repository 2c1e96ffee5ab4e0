// The run folder: which one, the lock that keeps a second run out, and what a run was started with.
// It holds lock, run.json, spec.seer, plan.json, metrics.jsonl, events.out.*, quarantine.jsonl, prototypes.json,
// spikes.json, losses, ranks/, snapshots/ and report.html.
#ifndef SEER_RUNTIME_RUNDIR_H
#define SEER_RUNTIME_RUNDIR_H

#include <stdbool.h>

#include "runtime/data/keep.h"
#include "runtime/files.h"
#include "runtime/options.h"
#include "runtime/program.h"

typedef struct SeerRun {
  SeerPath folder;
  int lock;      // descriptor, or -1
  bool existed;  // it held a run before
  // As in run.json, or given by options, which win:
  SeerTextList data;  // absolute; owned
  char *labels;       // absolute or NULL; owned
  uint64_t seed;
  int64_t steps;     // 0: not decided yet
  int64_t pictures;  // of the data set when the run began; 0: not known yet
  double epochs;     // 0: steps decide
  char *keep;        // the condition in run.json; NULL: all pictures; owned
  SeerKeepCounts kept;
} SeerRun;

// Decides the folder (--out, --resume RUN, NAME-runN), makes it, locks it, and merges run.json with the options.
// A folder that holds a run is refused unless it is resumed; a run in progress is refused always.
SeerStatus seer_run_open(const SeerProgram *program, const SeerOptions *options, SeerRun *run);
// The same run as another rank has opened it, for a rank that writes nothing.
SeerStatus seer_run_join(const SeerProgram *program, const SeerOptions *options, const char *folder, bool existed,
                         SeerRun *run);
// Writes run.json, spec.seer and plan.json.
SeerStatus seer_run_describe(const SeerProgram *program, const SeerRun *run);
// Reads run.json of a finished or running run, without the lock, for reports and features.
SeerStatus seer_run_read(const char *folder, SeerRun *run);
void seer_run_release(SeerRun *run);
SeerStatus seer_run_path(const SeerRun *run, const char *name, SeerPath *path);

#endif
