// The table of target cuda's parameters; see tuning.def.
#include "codegen/cuda/tuning.h"

#include <assert.h>

enum {
#define CUDA_TUNING(name, ...) ROW_##name,
#include "codegen/cuda/tuning.def"
#undef CUDA_TUNING
  ROW_COUNT
};
static_assert((int)ROW_COUNT <= (int)TUNING_ROWS_MOST, "a set has room for all values");

static const TuningRow rows[] = {
#define CUDA_TUNING(name, usual, least, most, unit, help) {#name, usual, least, most, unit, help},
#include "codegen/cuda/tuning.def"
#undef CUDA_TUNING
};
const TuningTable cuda_tuning_table = {rows, ROW_COUNT};

CudaTuning cuda_tuning(const TuningSet *set) {
  TuningSet usual = tuning_usual(&cuda_tuning_table);
  const int64_t *values = set ? set->values : usual.values;
  return (CudaTuning){
#define CUDA_TUNING(name, ...) .name = values[ROW_##name],
#include "codegen/cuda/tuning.def"
#undef CUDA_TUNING
      .layers = set ? set->layers : usual.layers,
  };
}
