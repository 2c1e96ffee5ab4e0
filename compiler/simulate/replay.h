// The plan's steps once more, window by window: what of each kind of traffic the computation waits for, and what ranks
// that compute unevenly add.
#ifndef SEER_SIMULATE_REPLAY_H
#define SEER_SIMULATE_REPLAY_H

#include "compiler/simulate/simulate.h"

// Adds one whole step (all micro-steps and slices) to traffic and computations. What is exposed and computed sums up to
// the step time of the report, to the nanosecond.
void replay_step(const PlanReport *report, Simulation *simulation);

// What a whole step takes longer than without a spread.
int64_t replay_stragglers(const PlanReport *report, const Spread *spread);

#endif
