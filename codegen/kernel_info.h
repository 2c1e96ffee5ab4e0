// The kernels that programs launch: names of all targets, and what each takes.
#ifndef SEER_CODEGEN_KERNEL_INFO_H
#define SEER_CODEGEN_KERNEL_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/graph/layer.h"

typedef enum KernelKind {
#define KERNEL(name, ...) KERNEL_##name,
#include "codegen/c/kernels.def"
#undef KERNEL
#define CUDA_KERNEL(file, name, ...) KERNEL_cuda_##name,
#define CUDA_LIBRARY(library, name, ...) KERNEL_cuda_##name,
#include "codegen/cuda/kernels.def"
#undef CUDA_KERNEL
#undef CUDA_LIBRARY
  KERNEL_KIND_COUNT
} KernelKind;

enum { MAX_KERNEL_CONSTANTS = 24, MAX_KERNEL_POINTERS = 12 };

// How a constant is given to a kernel: as an argument, but macros, of which a GPU's kernel has a copy for each set.
typedef enum ConstantKind {
  CONSTANT_INTEGER,
  CONSTANT_COUNT,  // of 64 bits
  CONSTANT_REAL,
  CONSTANT_MACRO
} ConstantKind;

// One row of kernels.def, its lists split.
typedef struct KernelInfo {
  const char *name;
  const char *file;  // of a GPU's kernel, in codegen/kernels/cuda, without its suffix; NULL: of target c, or:
  LayerMaker library;  // whose call it is; LAYER_BY_SEER: none
  bool collective;   // of the runtime: ranks take part, or the host
  int constant_count, pointer_count;
  const char *constants[MAX_KERNEL_CONSTANTS];
  ConstantKind constant_kinds[MAX_KERNEL_CONSTANTS];
  const char *pointer_types[MAX_KERNEL_POINTERS];  // "const float", "float", "const uint8_t", ...
  const char *pointers[MAX_KERNEL_POINTERS];       // names
} KernelInfo;

typedef struct KernelConstant {
  int64_t integer;
  double number;  // of CONSTANT_REAL
} KernelConstant;

const KernelInfo *kernel_info(KernelKind kernel);
bool kernel_constants_same(KernelKind kernel, const KernelConstant *a, const KernelConstant *b);

#endif
