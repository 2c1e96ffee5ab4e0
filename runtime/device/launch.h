// What the emitted step calls where it runs on a GPU.
#ifndef SEER_RUNTIME_DEVICE_LAUNCH_H
#define SEER_RUNTIME_DEVICE_LAUNCH_H

#include "runtime/program.h"

// Sends launch number `launch` of the program to the GPU: kernel number `kernel` of modules.c in x * y * z blocks.
// `arguments` holds the address of each parameter; their values are read before the call returns. A failure is kept in
// context->network, and later calls do nothing.
void seer_launch_kernel(SeerContext *context, int launch, int kernel, unsigned x, unsigned y, unsigned z,
                        void **arguments);

// The same of a library's call, number `call` of libraries.c. `pointers`: its operands, in the order of
// codegen/cuda/kernels.def.
void seer_launch_library(SeerContext *context, int launch, int call, const void *const *pointers);

// Copies so many bytes of the arena to this machine's memory and back: `host_offset` lies in the program's host_bytes.
// Between start and finish the step goes on; nobody may write what goes, or touch what comes. A finish is of all copies
// its way that were started.
void seer_offload_start(SeerContext *context, uint64_t host_offset, uint64_t size_bytes, const void *from);
void seer_offload_finish(SeerContext *context);
void seer_fetch_start(SeerContext *context, uint64_t host_offset, uint64_t size_bytes, void *to);
void seer_fetch_finish(SeerContext *context);

#endif
