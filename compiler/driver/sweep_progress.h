// What is said while a sweep runs, on standard error: on a terminal a line for each trainer that runs, drawn again and
// again below what has ended; elsewhere plain lines.
#ifndef SEER_DRIVER_SWEEP_PROGRESS_H
#define SEER_DRIVER_SWEEP_PROGRESS_H

#include <sys/types.h>

#include "compiler/driver/sweep.h"

typedef struct SweepChild {
  pid_t process;
  SweepVariant *variant;
  double began;        // seconds
  int64_t first_step;  // that was done when it began
} SweepChild;

typedef struct SweepProgress {
  bool terminal;
  int drawn;  // lines
  int total, ended;
  double began, drew;
} SweepProgress;

void sweep_progress_begin(SweepProgress *progress, const Sweep *sweep);
void sweep_progress_say(SweepProgress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sweep_progress_started(SweepProgress *progress, const SweepVariant *variant);
void sweep_progress_ended(SweepProgress *progress, const Sweep *sweep, const SweepVariant *variant);
// No more often than is useful.
void sweep_progress_draw(SweepProgress *progress, const Sweep *sweep, const SweepChild *children, int count);
void sweep_progress_end(SweepProgress *progress);

#endif
