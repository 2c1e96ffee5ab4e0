// The accelerator of trainers for GPUs: runs entries as graphs on one stream.
#ifndef SEER_RUNTIME_DEVICE_GPU_H
#define SEER_RUNTIME_DEVICE_GPU_H

#include "runtime/accelerator.h"
#include "runtime/device/device.h"
#include "runtime/device/exchange.h"
#include "runtime/device/libraries.h"

extern const SeerAcceleratorType seer_gpu;

// Of the trainer, in modules.c: its kernels, and among them the one that looks for NaN and infinity.
extern const SeerKernels seer_gpu_kernels;
extern const int seer_gpu_not_finite;
// What libraries do for it, in libraries.c.
extern const SeerLibraryCalls seer_gpu_calls;
// And those that make one of what ranks send each other; -1 where no program of the trainer is of several.
extern const SeerExchangeKernels seer_gpu_exchange;

#endif
