// What compiled code for a GPU is made of, read from the ELF file itself: no tool of the toolkit is needed. So seerc
// can refuse kernels that spill registers, or whose products and copies did not become the instructions meant.
//
// Instructions are 16 bytes on sm_70 and later; their lowest nine bits tell the kind. The kinds counted here were
// found by compiling kernels with and without each (CUDA 13.0, sm_80 and sm_90a; as many HGMMA as there are wgmma, and
// UBLKCP as bulk copies) and are not documented by NVIDIA.
#ifndef SEER_CODEGEN_CUDA_CUBIN_H
#define SEER_CODEGEN_CUDA_CUBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler/base/arena.h"

#define CUBIN_INSTRUCTIONS(X)                                                                       \
  X(warpgroup_products, 0x1f0) /* HGMMA: wgmma */                                                   \
  X(warp_products, 0x03c)      /* HMMA: mma.sync */                                                 \
  X(matrix_loads, 0x03b)       /* LDSM: ldmatrix */                                                 \
  X(copies, 0x1ae)             /* LDGSTS: cp.async */                                               \
  X(bulk_copies, 0x1ba)        /* UBLKCP: cp.async.bulk */                                          \
  X(mbarriers, 0x1a7)          /* SYNCS: what is done with them */                                  \
  X(local_loads, 0x183)        /* LDL: spilled, or an array that is indexed by what is not known */ \
  X(local_stores, 0x187)       /* STL */

typedef struct CubinKernel {
  const char *name;
  uint32_t registers;    // of a thread
  uint32_t stack_bytes;  // of a thread
  uint32_t instructions;
#define CUBIN_FIELD(name, code) uint32_t name;
  CUBIN_INSTRUCTIONS(CUBIN_FIELD)
#undef CUBIN_FIELD
} CubinKernel;

typedef struct Cubin {
  CubinKernel *items;  // in the file's order
  size_t count, capacity;
} Cubin;

// False: not such a file, or cut short.
bool cubin_read(Arena *arena, const void *bytes, size_t size_bytes, Cubin *cubin);

// Why what was compiled for `architecture` ("sm_90a") is to be refused; NULL: it is not. Registers in memory;
// convolutions whose products, or, on sm_90a, copies of weights, are not the architecture's own; and products of
// warpgroups that the compiler has made wait for each other, of which its log tells (C7510 and the like).
const char *cubin_fault(Arena *arena, const Cubin *cubin, const char *architecture, const char *log);

// The first `count` words of the data called `name`, in any file of this kind: kernels of this machine's simulated GPU
// are some, too. False: there is none.
bool cubin_words(const void *bytes, size_t size_bytes, const char *name, uint32_t *words, int count);
// The same of PTX, whose text ends with a zero.
bool ptx_words(const char *ptx, const char *name, uint32_t *words, int count);

#endif
