// Which tuning a command uses: --tuning=FILE, or none, or the file beside the spec, named like it with '.tune' at its
// end, or, of target cuda, '.cuda.tune', where there is one for the processor at hand, or for all architectures.
#ifndef SEER_DRIVER_TUNING_USE_H
#define SEER_DRIVER_TUNING_USE_H

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"

// The file beside a spec, or NULL: the spec is standard input.
const char *tuning_path(Arena *arena, const char *spec_path, bool of_gpus);
// Sets options->tuning, gpu_tuning and their names, or leaves them. False after an error in `loaded`.
bool tuning_choose(Invocation *invocation, const LoadedSpec *loaded, CompileOptions *options);

#endif
