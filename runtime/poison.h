// Looks whether the arena is what the plan says: fills it with a pattern before each micro-step and sees what a step
// leaves of it. With two patterns no value hides behind one, and a step that read what it had not written would show.
#ifndef SEER_RUNTIME_POISON_H
#define SEER_RUNTIME_POISON_H

#include "runtime/synthetic.h"

typedef struct SeerPoisonResult {
  uint64_t step_bytes, features_bytes;  // one behind the highest byte that training and features touched
  double loss;                          // of the last step
  int steps;
} SeerPoisonResult;

// SEER_BUG when a result depends on what the arena held before, or when memory behind the arena was touched.
SeerStatus seer_poison_run(SeerEngine *engine, SeerSynthetic *pictures, uint64_t seed, SeerPoisonResult *result);

#endif
