// The GPU that a tuning of target cuda is measured on.
#ifndef SEER_DRIVER_TUNE_GPU_H
#define SEER_DRIVER_TUNE_GPU_H

#include "compiler/driver/compile.h"
#include "compiler/driver/tuning_file.h"

// Sets what the file tells of GPU 0, of its driver, of libraries that are there and of the architectures asked for.
// EXIT_DONE, or an exit code after saying why: no GPU is there, or none that runs what is compiled for these.
int tune_gpu_describe(Arena *arena, const CompileOptions *options, TuningFile *file);

#endif
