// Who is in the data, while it trains: what the pictures that steps are made of have in some columns of their metadata,
// counted over a uniform sample of them.
//
// A picture's place in the run's order and the run's seed give it a level: l with probability 2^-(l+1). The sample is
// all pictures of level L and above, L the least for which they are at most `sample`. So what is in it depends on
// nothing but (seed, places): not on ranks, threads, or where a run was interrupted. Cells count pictures by (values of
// the columns, level); when L rises, those below it are dropped.
//
// Each rank counts its own pictures. Rank 0 has the sum, of which all ranks send their part when it is asked for: with
// lines of metrics, snapshots, and every SEER_MONITOR_PICTURES pictures at the latest. Not more than SEER_MONITOR_CELLS
// cells are kept: when there are more, the rarest combinations become 'others'.
//
// In a snapshot it is the file SEER_MONITOR_NAME: what has been counted, words instead of codes.
#ifndef SEER_RUNTIME_MONITOR_H
#define SEER_RUNTIME_MONITOR_H

#include "runtime/comm/comm.h"
#include "runtime/data/composition.h"
#include "runtime/data/loader.h"

#define SEER_MONITOR_NAME "monitor.json"
enum {
  SEER_MONITOR_PICTURES = 1 << 17,
  SEER_MONITOR_CELLS = 1 << 18,
  SEER_MONITOR_LEVELS = 64,
  SEER_MONITOR_TOLD = 12  // values of a column in a line of metrics
};

// Memory of rank 0 at the very most, while combinations are folded: three tables that have just doubled.
static inline uint64_t seer_monitor_bytes(int columns) {
  return 3 * 2 * (uint64_t)SEER_MONITOR_CELLS * (8 * (uint64_t)columns + 24);
}

typedef struct SeerMonitor SeerMonitor;

// *monitor is NULL where the program counts nothing; all calls take that. SEER_INPUT: the data lack a column.
SeerStatus seer_monitor_make(const SeerProgram *program, const SeerSource *source, SeerComm *comm, uint64_t seed,
                             SeerMonitor **monitor);
void seer_monitor_release(SeerMonitor *monitor);
// What the loader looks up for each picture; NULL: nothing.
const SeerColumns *seer_monitor_columns(const SeerMonitor *monitor);

// A batch that a step is made of; it counts once the step is done, and not if it is dropped.
void seer_monitor_take(SeerMonitor *monitor, const SeerBatch *batch);
void seer_monitor_drop(SeerMonitor *monitor);
// Step `step` (1 for the first) is done. With `line` all ranks learn what is due for metrics. Collective.
SeerStatus seer_monitor_step(SeerMonitor *monitor, int64_t step, bool line);
// Rank 0, after a step with `line`: a member of metrics.jsonl, `"monitor": {...}`, of the sample and of the window,
// which is what was counted since the last line. To be freed; NULL: nothing is counted, or there is no memory.
char *seer_monitor_line(SeerMonitor *monitor);

// *text, of rank 0, is what a snapshot keeps, to be freed; NULL elsewhere. Collective.
SeerStatus seer_monitor_save(SeerMonitor *monitor, char **text);
// Goes on from the snapshot in `folder`; or begins to count at `position`, where that has counted nothing, or other
// columns: *fresh then. What this rank has counted before is forgotten. `folder` NULL: there is no snapshot.
SeerStatus seer_monitor_load(SeerMonitor *monitor, const char *folder, int64_t position, bool *fresh);

// What a snapshot keeps, to be looked at.
typedef struct SeerMonitorFile {
  int columns;
  const char *names[SEER_COLUMNS_MAX];
  uint64_t sample, level, seen, since;  // since: the place of the first picture; seen: pictures from there on
  SeerCells cells;                      // keys are words' numbers from 1, then the level
  SeerCells window[SEER_COLUMNS_MAX];   // keys are a word's number and a level
  struct json_t *root;
} SeerMonitorFile;

// SEER_INPUT: it cannot be read, or is damaged.
SeerStatus seer_monitor_file_read(const char *path, SeerMonitorFile *file);
void seer_monitor_file_release(SeerMonitorFile *file);
// A SeerCodeText of `file`.
const char *seer_monitor_file_text(const void *file, int column, uint64_t code, char room[SEER_NUMBER_BYTES]);

#endif
