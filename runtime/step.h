// One training step: micro-steps, the looks for NaN and infinity, the update.
#ifndef SEER_RUNTIME_STEP_H
#define SEER_RUNTIME_STEP_H

#include "runtime/data/loader.h"
#include "runtime/engine.h"

typedef struct SeerStepResult {
  double loss;          // mean over the step's pictures
  double wait_seconds;  // for pictures
  double learning_rate;
  bool not_finite;      // why it failed
  bool passed_over;     // gradients were too large for fp16: nothing was updated, the loss is scaled less from now on
  int stop;             // the largest request of all ranks to stop; then nothing was done
  int slowest_rank;     // the one that waited least for others, -1: one rank
  double rank_seconds;  // that another one waited longer
  double waited;        // for the next SeerStepAsk
} SeerStepResult;

// What a rank brings along, to be agreed on by all before the step.
typedef struct SeerStepAsk {
  SeerStatus status;  // of what it did since the last step
  int stop;           // a signal, 0: none
  double waited;      // its seconds in collectives when it last told the others
} SeerStepAsk;

// Where a step gets its pictures: the loader, or synthetic ones for `bench`.
typedef SeerStatus SeerNextBatch(void *source, SeerBatch *batch);

// Runs step `step` (0..steps-1), unless a rank asks to stop. When the loss or a gradient is not finite, nothing is
// updated and the error names the step and the first launch whose output was not finite. `usage` (or NULL) is a sum
// over steps of the codes' row sums.
SeerStatus seer_step_run(SeerEngine *engine, SeerNextBatch *next, void *source, SeerStepAsk ask, int64_t step,
                         int64_t steps, double *usage, SeerStepResult *result);
// Entropy of a distribution given by its weights, over its maximum: 1 is uniform.
double seer_entropy_share(const double *weights, int count);

#endif
