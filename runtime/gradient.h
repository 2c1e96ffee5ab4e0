// Where a rank has the gradient of a parameter between `train` and `update`.
#ifndef SEER_RUNTIME_GRADIENT_H
#define SEER_RUNTIME_GRADIENT_H

#include "runtime/program.h"

typedef struct SeerGradientPlace {
  bool in_state;    // in an accumulator; else in the arena
  uint64_t offset;  // bytes
} SeerGradientPlace;

SeerGradientPlace seer_gradient_place(const SeerProgram *program, const SeerTensor *parameter);
// Floats of it.
uint64_t seer_gradient_count(const SeerTensor *parameter);

#endif
