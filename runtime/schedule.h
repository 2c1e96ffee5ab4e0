// The learning rate of each step, as released: linear warm-up, then a cosine, a constant or steps.
#ifndef SEER_RUNTIME_SCHEDULE_H
#define SEER_RUNTIME_SCHEDULE_H

#include "runtime/program.h"

// Of step 0..steps-1.
double seer_schedule_rate(const SeerSchedule *schedule, int64_t step, int64_t steps);
// Length of a run in whole steps: epochs hold count / (batch / accumulate) whole micro-batches. 0: not one step.
int64_t seer_schedule_steps(double epochs, int64_t pictures, int batch, int accumulate);

#endif
