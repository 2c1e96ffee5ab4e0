// The launch files of `seerc build --emit`, written beside the trainer.
#ifndef SEER_DRIVER_LAUNCH_FILES_H
#define SEER_DRIVER_LAUNCH_FILES_H

#include "codegen/launch.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"

// Whether --emit names this kind.
bool emit_names(const Invocation *invocation, const char *kind);
// Whether --emit names only kinds that there are, before anything is built. EXIT_DONE, or EXIT_USAGE after saying why.
int launch_files_check(const Invocation *invocation);
// What launch files must know of a trainer, named like its spec.
LaunchPlan launch_plan_make(const Invocation *invocation, const Compiled *compiled);
// Writes OUTPUT.sbatch, OUTPUT.hostfile-openmpi and OUTPUT.hostfile-mpich as --emit asks; without it, nothing.
// EXIT_DONE, or an exit code after saying why.
int launch_files_write(const Invocation *invocation, const Compiled *compiled, const char *output);

#endif
