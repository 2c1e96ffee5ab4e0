// The kernels' parameters as a table, for who reads, checks, tries and prints them; see kernels/c/tuning.def.
#ifndef SEER_CODEGEN_C_TUNING_H
#define SEER_CODEGEN_C_TUNING_H

#include "codegen/kernels/c/tuning.h"
#include "compiler/base/writer.h"

// Numbers of the rows: of tuning_rows, and for tuning_value.
enum {
#define TUNING(name, ...) TUNING_ROW_##name,
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  TUNING_ROW_COUNT
};

typedef struct TuningRow {
  const char *name;
  int64_t at_8, at_16;  // defaults, by lanes
  int64_t least, most, unit;
  const char *help;
} TuningRow;

extern const TuningRow tuning_rows[TUNING_ROW_COUNT];

KernelTuning tuning_default(int lanes);
int64_t *tuning_value(KernelTuning *tuning, int row);

// The header tuned.h of a trainer's kernels.
void print_tuned(const KernelTuning *tuning, Writer *out);

#endif
