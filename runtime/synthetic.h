// Pictures for `bench`: noise in the shape of a batch, labels at random, the same batch each time it is asked for.
#ifndef SEER_RUNTIME_SYNTHETIC_H
#define SEER_RUNTIME_SYNTHETIC_H

#include "runtime/step.h"

typedef struct SeerSynthetic {
  const SeerProgram *program;
  unsigned char *images;
  int32_t *labels;
  uint64_t bytes;
} SeerSynthetic;

SeerStatus seer_synthetic_make(const SeerProgram *program, uint64_t seed, SeerSynthetic *synthetic);
void seer_synthetic_release(SeerSynthetic *synthetic);
// A SeerNextBatch; `source` is the SeerSynthetic.
SeerStatus seer_synthetic_next(void *source, SeerBatch *batch);

#endif
