// A set of the kernels' parameters, tuning.def, and the lanes and images it is for: what sizes.h takes. Kernels have
// theirs as constants, see tuned.h.
#ifndef SEER_KERNELS_TUNING_H
#define SEER_KERNELS_TUNING_H

#include <stdint.h>

typedef struct KernelTuning {
  int64_t lanes;
  int64_t images_bf16;  // in memory; else float
#define TUNING(name, ...) int64_t name;
#include "tuning.def"
#undef TUNING
} KernelTuning;

#endif
