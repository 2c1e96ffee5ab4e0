// Trainers of a sweep's variants.
#ifndef SEER_DRIVER_SWEEP_BUILD_H
#define SEER_DRIVER_SWEEP_BUILD_H

#include "compiler/driver/sweep.h"

// Builds the trainer of every variant of this start that has none and is not done, one after another in one folder of
// sources, so that what they have in common is compiled once. A variant whose spec has errors, does not fit or cannot
// be compiled keeps its messages in its folder, and the next is built. EXIT_DONE; SEER_STOPPED on a signal; or another
// exit code after saying why: the machine lacks a compiler, or room.
int sweep_build(Sweep *sweep);

#endif
