// What a person sees of a run: a bar that redraws itself on a terminal, a line now and then elsewhere.
#ifndef SEER_RUNTIME_PROGRESS_H
#define SEER_RUNTIME_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/clock.h"
#include "runtime/metrics.h"

typedef struct SeerProgress {
  bool quiet, terminal, drawn;
  int64_t first, steps;   // step at which this process began, and the run's length
  double began, printed;  // seconds
  double loss, rate;      // smoothed
  double knn;             // share of right answers at the last look; below 0: none yet
  double waiting;         // smoothed: share of a step that passes before its pictures are there
} SeerProgress;

void seer_progress_begin(SeerProgress *progress, bool quiet, int64_t first, int64_t steps);
void seer_progress_step(SeerProgress *progress, const SeerStepRecord *record);
// A line of its own, above the bar.
void seer_progress_note(SeerProgress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void seer_progress_end(SeerProgress *progress);
// "3h12m", "4m05s", "12s"
const char *seer_duration_text(char *text, int bytes, double seconds);

#endif
