// From a compiled spec to a trainer: its sources in a folder, and make in there.
#ifndef SEER_DRIVER_TRAINER_BUILD_H
#define SEER_DRIVER_TRAINER_BUILD_H

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"

// Emits into `folder` and builds `output`, an absolute path. EXIT_DONE, or an exit code after saying why. `refusal` as
// modules_build's.
int trainer_build(Invocation *invocation, const Trainer *trainer, const char *folder, const char *output,
                  const char **refusal);
// A new folder for what is removed again, absolute unless TMPDIR is not. NULL after saying why, with the exit code.
const char *trainer_folder_make(Invocation *invocation, int *code);

#endif
