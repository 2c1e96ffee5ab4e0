// The table of the kernels' parameters, its defaults, and the header that gives a trainer's kernels their values.
#include "codegen/c/tuning.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>

static_assert((int)TUNING_ROW_COUNT <= (int)TUNING_ROWS_MOST, "a set has room for all values");

static const TuningRow rows_of_8[] = {
#define TUNING(name, at_8, at_16, least, most, unit, help) {#name, at_8, least, most, unit, help},
#include "codegen/kernels/c/tuning.def"
#undef TUNING
};
static const TuningRow rows_of_16[] = {
#define TUNING(name, at_8, at_16, least, most, unit, help) {#name, at_16, least, most, unit, help},
#include "codegen/kernels/c/tuning.def"
#undef TUNING
};
static const TuningTable table_of_8 = {rows_of_8, TUNING_ROW_COUNT}, table_of_16 = {rows_of_16, TUNING_ROW_COUNT};

const TuningTable *c_tuning_table(int lanes) { return lanes == 16 ? &table_of_16 : &table_of_8; }

KernelTuning c_tuning(const TuningSet *set) {
  return (KernelTuning){
      .lanes = set->table == &table_of_16 ? 16 : 8,
#define TUNING(name, ...) .name = set->values[TUNING_ROW_##name],
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  };
}

void print_tuned(const KernelTuning *tuning, Writer *out) {
  writer_text(out,
              "// The parameters that these kernels are compiled with. Written by seerc, whose task counts and "
              "workspaces agree with\n// them; edits break it.\n"
              "#ifndef SEER_KERNELS_TUNED_H\n#define SEER_KERNELS_TUNED_H\n\n"
              "#include \"lanes.h\"\n#include \"tuning.h\"\n\nenum {\n");
#define TUNING(name, at_8, at_16, least, most, unit, help) \
  writer_printf(out, "  TUNED_" #name " = %" PRId64 ",  // " help "\n", tuning->name);
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  writer_text(out, "};\n\nstatic const KernelTuning tuned = {LANES,\n    sizeof(Element) == 2");
#define TUNING(name, ...) writer_text(out, ",\n    TUNED_" #name);
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  writer_text(out, "};\n\n#endif\n");
}
