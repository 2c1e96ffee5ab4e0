// What the emitted step calls where it runs on a GPU.
#ifndef SEER_RUNTIME_DEVICE_LAUNCH_H
#define SEER_RUNTIME_DEVICE_LAUNCH_H

#include "runtime/program.h"

// Sends launch number `launch` of the program to the GPU: kernel number `kernel` of modules.c in x * y * z blocks.
// `arguments` holds the address of each parameter; their values are read before the call returns. A failure is kept in
// context->network, and later calls do nothing.
void seer_launch_kernel(SeerContext *context, int launch, int kernel, unsigned x, unsigned y, unsigned z,
                        void **arguments);

#endif
