// What ranks tell each other when they start: that they are the same trainer, asked for the same run.
#ifndef SEER_RUNTIME_HANDSHAKE_H
#define SEER_RUNTIME_HANDSHAKE_H

#include "runtime/comm/comm.h"
#include "runtime/options.h"
#include "runtime/program.h"

// Version, spec, plan (`program` NULL: none for this number of ranks), file and options of `train`; but for the options
// that may differ, like threads. Collective.
SeerStatus seer_handshake(SeerComm *comm, const SeerProgram *program, const SeerOptions *options);

#endif
