// The trainer for the processor that a trainer for GPUs may carry: of the same spec, as a file within the file.
#ifndef SEER_RUNTIME_CARRIED_H
#define SEER_RUNTIME_CARRIED_H

#include "runtime/program.h"
#include "runtime/status.h"

// This process becomes the carried trainer, with the same arguments. Returns only where it cannot: none is carried, or
// the machine does not start it.
SeerStatus seer_carried_start(const SeerProgram *program, char **arguments);
// Where a GPU cannot be had: adds to the recorded error that there is a carried trainer. Returns `status`.
SeerStatus seer_carried_offer(const SeerProgram *program, SeerStatus status);

#endif
