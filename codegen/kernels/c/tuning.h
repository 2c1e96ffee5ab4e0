// A set of the kernels' parameters, tuning.def, and the lanes it is for: what sizes.h takes. Kernels have theirs as
// constants, see tuned.h.
#ifndef SEER_KERNELS_TUNING_H
#define SEER_KERNELS_TUNING_H

#include <stdint.h>

typedef struct KernelTuning {
  int64_t lanes;
#define TUNING(name, ...) int64_t name;
#include "tuning.def"
#undef TUNING
} KernelTuning;

#endif
