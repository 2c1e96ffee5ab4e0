// What a trainer for GPUs compiles: a module for each file of kernels and each set of macros, with the kernels that
// launches call in it. And what it has libraries do: a call for each set of constants.
#ifndef SEER_CODEGEN_CUDA_MODULES_H
#define SEER_CODEGEN_CUDA_MODULES_H

#include "codegen/cuda/cubin.h"
#include "codegen/emit.h"

typedef struct CudaModule {
  const char *name;                 // "conv2d_forward_3"; of its file in modules/
  const char *file;                 // of kernels/cuda, without its suffix
  KernelKind kernel;                // one of them; without macros there may be more
  const KernelConstant *constants;  // whose macros are the module's
  const char *use;                  // what it is for, as a comment: the first op
} CudaModule;

typedef struct CudaKernel {
  KernelKind kernel;
  int module;
  const char *name;  // the module's, or, of several, its own
} CudaKernel;

// Of a library.
typedef struct CudaCall {
  KernelKind kernel;
  const KernelConstant *constants;
  const char *use;  // what it is for: the first op
} CudaCall;

// What a launch of a kernel asks for.
typedef struct CudaBlock {
  int threads, shared_bytes;
} CudaBlock;

typedef struct CudaModules {
  CudaModule *items;
  size_t count, capacity;
  struct {
    CudaKernel *items;
    size_t count, capacity;
  } kernels;
  struct {
    CudaCall *items;
    size_t count, capacity;
  } calls;
  int64_t library_versions[LAYER_MAKER_COUNT];  // that a tuning was measured with; 0: not known
  bool bf16;                                    // else fp16
  const char *const *architectures;             // "sm_90a", "sm_80", "compute_80", "simulated"
  int architecture_count;
  // Set when it was compiled:
  size_t **code_bytes;  // [architecture][module]
  CudaBlock **blocks;   // [architecture][kernel]
  CubinKernel **codes;  // [architecture][kernel]; without a name: PTX, or the simulated GPU's
} CudaModules;

// Everything that the worlds' programs launch, and what the runtime does.
CudaModules *cuda_modules_make(Arena *arena, const Trainer *trainer, DataType image_type);
// Of a launch: an index of `kernels`; of a library's: of `calls`.
int cuda_modules_kernel(const CudaModules *modules, const ProgramLaunch *launch);
int cuda_modules_call(const CudaModules *modules, const ProgramLaunch *launch);

// modules/NAME.cu: macros, and the file of kernels.
void print_cuda_module(const Trainer *trainer, const CudaModule *module, Writer *out);
// modules.h: the kernels' numbers.
void print_cuda_numbers(const CudaModules *modules, Writer *out);
// modules.c: what the runtime knows of them, and code.S: their code.
void print_cuda_table(const CudaModules *modules, Writer *out);
void print_cuda_bytes(const CudaModules *modules, bool carries, Writer *out);
// modules/table.txt: what each kernel's code takes.
void print_cuda_codes(const CudaModules *modules, Writer *out);
// libraries.c: the calls of libraries, as runtime/device/libraries.h has them.
void print_cuda_calls(const CudaModules *modules, Writer *out);
void print_cuda_launch(const Trainer *trainer, const Program *program, const ProgramSegment *segment, size_t launch,
                       Writer *out);
// The file of a module's code, below the trainer's folder.
const char *cuda_code_path(Arena *arena, const CudaModule *module, const char *architecture);

#endif
