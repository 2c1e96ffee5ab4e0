// The kernels' parameters as a table, for who reads, checks, tries and prints them; see kernels/c/tuning.def.
#ifndef SEER_CODEGEN_TUNING_H
#define SEER_CODEGEN_TUNING_H

#include "codegen/kernels/c/tuning.h"
#include "compiler/base/writer.h"

typedef struct TuningRow {
  const char *name;
  int64_t at_8, at_16;  // defaults, by lanes
  int64_t least, most, unit;
  const char *help;
} TuningRow;

extern const TuningRow tuning_rows[];
extern const int tuning_row_count;

KernelTuning tuning_default(int lanes);
int64_t *tuning_value(KernelTuning *tuning, int row);

// The header tuned.h of a trainer's kernels.
void print_tuned(const KernelTuning *tuning, Writer *out);

#endif
