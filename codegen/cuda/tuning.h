// The parameters of target cuda; see tuning.def.
#ifndef SEER_CODEGEN_CUDA_TUNING_H
#define SEER_CODEGEN_CUDA_TUNING_H

#include "codegen/tuning.h"

typedef struct CudaTuning {
#define CUDA_TUNING(name, ...) int64_t name;
#include "codegen/cuda/tuning.def"
#undef CUDA_TUNING
  LayerChoices layers;
} CudaTuning;

extern const TuningTable cuda_tuning_table;
// The same values; NULL: the defaults.
CudaTuning cuda_tuning(const TuningSet *set);

#endif
