// Weights from anywhere into a trainer's state.
#ifndef SEER_RUNTIME_WEIGHTS_LOAD_H
#define SEER_RUNTIME_WEIGHTS_LOAD_H

#include "runtime/weights/fit.h"

typedef struct SeerWeights {
  const char *format;  // that names were in
  int loaded;          // tensors
  int head_missing;    // tensors of the program's head that are left as they were
  int aside;           // tensors of another head, which were not taken
} SeerWeights;

// Fills what `rank` keeps of parameters and statistics from what seer_weight_file_open opens. SEER_INPUT where they do
// not fit (runtime/weights/fit.h says what, by name) or are not finite.
SeerStatus seer_weights_load(const SeerProgram *program, const char *path, SeerWeightUse use, int rank,
                             unsigned char *state, SeerWeights *weights);

#endif
