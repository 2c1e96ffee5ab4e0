// The table of the kernels' parameters, its defaults, and the header that gives a trainer's kernels their values.
#include "codegen/c/tuning.h"

#include <inttypes.h>
#include <stddef.h>

const TuningRow tuning_rows[TUNING_ROW_COUNT] = {
#define TUNING(name, at_8, at_16, least, most, unit, help) {#name, at_8, at_16, least, most, unit, help},
#include "codegen/kernels/c/tuning.def"
#undef TUNING
};

int64_t *tuning_value(KernelTuning *tuning, int row) {
  static const size_t places[] = {
#define TUNING(name, ...) offsetof(KernelTuning, name),
#include "codegen/kernels/c/tuning.def"
#undef TUNING
  };
  return (int64_t *)(void *)((char *)tuning + places[row]);
}

KernelTuning tuning_default(int lanes) {
  KernelTuning tuning = {.lanes = lanes};
  for (int i = 0; i < TUNING_ROW_COUNT; i++)
    *tuning_value(&tuning, i) = lanes == 16 ? tuning_rows[i].at_16 : tuning_rows[i].at_8;
  return tuning;
}

void print_tuned(const KernelTuning *tuning, Writer *out) {
  KernelTuning values = *tuning;
  writer_text(out,
              "// The parameters that these kernels are compiled with. Written by seerc, whose task counts and "
              "workspaces agree with\n// them; edits break it.\n"
              "#ifndef SEER_KERNELS_TUNED_H\n#define SEER_KERNELS_TUNED_H\n\n"
              "#include \"lanes.h\"\n#include \"tuning.h\"\n\nenum {\n");
  for (int i = 0; i < TUNING_ROW_COUNT; i++)
    writer_printf(out, "  TUNED_%s = %" PRId64 ",  // %s\n", tuning_rows[i].name, *tuning_value(&values, i),
                  tuning_rows[i].help);
  writer_text(out, "};\n\nstatic const KernelTuning tuned = {LANES,\n    sizeof(Element) == 2");
  for (int i = 0; i < TUNING_ROW_COUNT; i++) writer_printf(out, ",\n    TUNED_%s", tuning_rows[i].name);
  writer_text(out, "};\n\n#endif\n");
}
