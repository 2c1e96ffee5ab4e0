// The parameters of target c's kernels; see kernels/c/tuning.def.
#ifndef SEER_CODEGEN_C_TUNING_H
#define SEER_CODEGEN_C_TUNING_H

#include "codegen/kernels/c/tuning.h"
#include "codegen/tuning.h"
#include "compiler/base/writer.h"

// Numbers of the rows.
enum {
#define TUNING(name, ...) TUNING_ROW_##name,
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  TUNING_ROW_COUNT
};

// Of 8 or 16 lanes, which have defaults of their own.
const TuningTable *c_tuning_table(int lanes);
// The same values, and the lanes they are for.
KernelTuning c_tuning(const TuningSet *set);

// The header tuned.h of a trainer's kernels.
void print_tuned(const KernelTuning *tuning, Writer *out);

#endif
