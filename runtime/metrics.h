// What a run records of each step: metrics.jsonl, one object per line and one write per line, and event files.
#ifndef SEER_RUNTIME_METRICS_H
#define SEER_RUNTIME_METRICS_H

#include "runtime/evaluate/knn_watch.h"
#include "runtime/events.h"
#include "runtime/files.h"

typedef struct SeerStepRecord {
  int64_t step;  // 1 for the first step done
  double loss, learning_rate;
  double images_per_second;  // pictures, not crops
  double seconds, epoch;
  double loader_wait;        // share of the step spent waiting for pictures
  double prototype_entropy;  // of the mean code, over ln K: 1 uses all prototypes alike; -1: not swav
  int64_t quarantined;
  uint64_t peak_bytes;      // state, arena, ring and staging: what the plan gave and the run mapped
  uint64_t resident_bytes;  // the process's highest resident size
  int slowest_rank;         // the one that others waited for, -1: one rank
  double rank_wait;         // share of the step that the fastest one waited longer than it
  uint64_t sent_bytes;      // of units, by this rank in this step; 0: nothing is shared out
  int64_t rewound_from;     // the step whose loss spiked, after which the run went on here; 0: none
  int64_t skipped;          // pictures passed over then
  double loss_scale;        // of the next step; 0: the loss is not scaled
  bool passed_over;         // the scale was too large, and nothing was updated
  bool knn_looked;          // after this step, and found:
  SeerKnnLook knn;
  const char *monitor;      // what was counted, a member of JSON (monitor.h); NULL: nothing
} SeerStepRecord;

typedef struct SeerMetrics {
  int fd;
  SeerPath path;
  SeerEvents events;
} SeerMetrics;

// Opens for appending after cutting off every line beyond `step`, and a torn last line.
SeerStatus seer_metrics_open(SeerMetrics *metrics, const char *run, int64_t step, bool events);
SeerStatus seer_metrics_write(SeerMetrics *metrics, const SeerStepRecord *record);
void seer_metrics_close(SeerMetrics *metrics);

#endif
