// cuBLASLt's binary interface, as far as the runtime uses it; nothing of it is linked in, and no header of it is used.
// The numbers are those of cublasLt.h, cublas_api.h and library_types.h of CUDA 12 and 13 (cuBLAS library, "Using the
// cuBLASLt API"); tests/cuda/library_numbers_test.c holds them against the headers where those are there.
//
// Its matrices are column-major: a row-major one is its transpose, with the same pitch.
#ifndef SEER_RUNTIME_DEVICE_CUBLASLT_H
#define SEER_RUNTIME_DEVICE_CUBLASLT_H

#include "runtime/device/driver.h"

typedef struct SeerLtHandle SeerLtHandle;
typedef struct SeerLtMatmulDesc SeerLtMatmulDesc;
typedef struct SeerLtLayout SeerLtLayout;
typedef struct SeerLtPreference SeerLtPreference;

// A way to multiply; opaque.
typedef struct SeerLtAlgo {
  uint64_t data[8];
} SeerLtAlgo;

typedef struct SeerLtHeuristic {
  SeerLtAlgo algo;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
} SeerLtHeuristic;

enum { SEER_LT_FLOAT = 0, SEER_LT_FP16 = 2, SEER_LT_BF16 = 14 };  // types of numbers
enum { SEER_LT_COMPUTE_FLOAT = 68 };
enum { SEER_LT_PLAIN = 0, SEER_LT_TURNED = 1 };
enum { SEER_LT_TURN_A = 3, SEER_LT_TURN_B = 4, SEER_LT_EPILOGUE = 7, SEER_LT_BIAS_POINTER = 8 };  // of a matmul
enum { SEER_LT_EPILOGUE_BIAS = 4 };
enum {  // of a preference
  SEER_LT_WORKSPACE_MOST = 1,
  SEER_LT_REDUCTIONS = 3,
  SEER_LT_ALIGNMENT_A = 5,
  SEER_LT_ALIGNMENT_B = 6,
  SEER_LT_ALIGNMENT_C = 7,
  SEER_LT_ALIGNMENT_D = 8
};
enum { SEER_LT_REDUCTION_COMPUTE_TYPE = 2 };  // parts of sums go through the workspace, in single precision
enum { SEER_LT_INVALID_VALUE = 7, SEER_LT_NOT_SUPPORTED = 15 };

#endif
