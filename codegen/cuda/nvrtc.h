// CUDA C to machine code by NVRTC, which is opened where it is needed: seer builds, and everything but this works,
// without it. Needs no GPU and no driver. (NVRTC's documentation: docs.nvidia.com/cuda/nvrtc)
#ifndef SEER_CODEGEN_CUDA_NVRTC_H
#define SEER_CODEGEN_CUDA_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/arena.h"

typedef struct Nvrtc Nvrtc;

// A file that a kernel includes.
typedef struct NvrtcHeader {
  const char *name, *text;
} NvrtcHeader;

typedef struct NvrtcKernel {
  const char *name, *source;  // the name is the file's in messages
  const NvrtcHeader *headers;
  int header_count;
  const char *architecture;    // "sm_90a"; of "compute_80" there is no code, only PTX
  const char *const *options;  // more of the compiler: "-DTILE=64"
  int option_count;
} NvrtcKernel;

// In the arena.
typedef struct NvrtcCode {
  const char *cubin;  // an ELF file: cubin_read
  size_t cubin_bytes;
  const char *ptx;  // text, for processors to come
  const char *log;  // what the compiler said; empty where it said nothing
} NvrtcCode;

// NULL where there is none; *why (in the arena) then says what was looked for and how to get it. `path`: the library,
// or NULL for the one of $SEER_NVRTC or, without that, where the system and /usr/local/cuda have it.
Nvrtc *nvrtc_open(Arena *arena, const char *path, const char **why);
void nvrtc_version(const Nvrtc *nvrtc, int *major, int *minor);

// False: the kernel has errors, which the log names.
bool nvrtc_compile(const Nvrtc *nvrtc, Arena *arena, const NvrtcKernel *kernel, NvrtcCode *code);

#endif
