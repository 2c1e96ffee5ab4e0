// Compiles the modules of a trainer for GPUs: by NVRTC, without a GPU, and, for the simulated one, by the C++ compiler.
#ifndef SEER_DRIVER_MODULES_BUILD_H
#define SEER_DRIVER_MODULES_BUILD_H

#include "codegen/cuda/modules.h"
#include "compiler/driver/driver.h"

// In the folder that trainer_emit has filled; adds modules.c and modules/table.txt. EXIT_DONE, or an exit code whose
// reason was printed: EXIT_MACHINE where a compiler is missing. Where `refusal` is not NULL, what does not compile, or
// is refused, is told there and not printed.
int modules_build(Invocation *invocation, const Trainer *trainer, const char *folder, const char **refusal);

#endif
