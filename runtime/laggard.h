// Whether the ranks of a run wait for one and the same rank, step after step.
#ifndef SEER_RUNTIME_LAGGARD_H
#define SEER_RUNTIME_LAGGARD_H

#include <stdbool.h>

#include "runtime/metrics.h"

typedef struct SeerLaggard {
  int rank;
  double since, told;  // seconds; told 0: never
  double wait;         // share of a step that the others wait for it, smoothed
} SeerLaggard;

// True when it is time to say so: the same rank has been waited for over half a minute, for more than a tenth of the
// steps; said again after ten minutes.
bool seer_laggard_look(SeerLaggard *laggard, const SeerStepRecord *record, double now_seconds);

#endif
