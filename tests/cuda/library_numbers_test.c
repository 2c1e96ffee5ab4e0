// The numbers and structures of libraries' interfaces, as runtime/device has them, against NVIDIA's own headers, where
// those are: compiled, it has passed.
#include <assert.h>
#include <cublasLt.h>
#include <cudnn.h>

#include "runtime/device/cublaslt.h"
#include "runtime/device/cudnn.h"

#define SAME(ours, theirs) static_assert((long long)(ours) == (long long)(theirs), #ours " is " #theirs)

SAME(SEER_LT_FLOAT, CUDA_R_32F);
SAME(SEER_LT_FP16, CUDA_R_16F);
SAME(SEER_LT_BF16, CUDA_R_16BF);
SAME(SEER_LT_COMPUTE_FLOAT, CUBLAS_COMPUTE_32F);
SAME(SEER_LT_PLAIN, CUBLAS_OP_N);
SAME(SEER_LT_TURNED, CUBLAS_OP_T);
SAME(SEER_LT_TURN_A, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(SEER_LT_TURN_B, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(SEER_LT_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(SEER_LT_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(SEER_LT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS);
SAME(SEER_LT_WORKSPACE_MOST, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(SEER_LT_REDUCTIONS, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(SEER_LT_ALIGNMENT_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(SEER_LT_ALIGNMENT_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(SEER_LT_ALIGNMENT_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(SEER_LT_ALIGNMENT_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(SEER_LT_REDUCTION_COMPUTE_TYPE, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(SEER_LT_INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE);
SAME(SEER_LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);

SAME(sizeof(SeerLtAlgo), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(SeerLtHeuristic), sizeof(cublasLtMatmulHeuristicResult_t));
SAME(offsetof(SeerLtHeuristic, workspace_bytes), offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
SAME(offsetof(SeerLtHeuristic, status), offsetof(cublasLtMatmulHeuristicResult_t, state));

SAME(SEER_DNN_FLOAT, CUDNN_DATA_FLOAT);
SAME(SEER_DNN_FP16, CUDNN_DATA_HALF);
SAME(SEER_DNN_BF16, CUDNN_DATA_BFLOAT16);
SAME(SEER_DNN_NHWC, CUDNN_TENSOR_NHWC);
SAME(SEER_DNN_CROSS_CORRELATION, CUDNN_CROSS_CORRELATION);
SAME(SEER_DNN_TENSOR_CORES, CUDNN_TENSOR_OP_MATH);
SAME(SEER_DNN_DETERMINISTIC, CUDNN_DETERMINISTIC);
SAME(SEER_DNN_BAD_PARAM, CUDNN_STATUS_BAD_PARAM);
SAME(SEER_DNN_NOT_SUPPORTED, CUDNN_STATUS_NOT_SUPPORTED);

#define SAME_ALGO(theirs)                                                  \
  SAME(sizeof(SeerDnnAlgo), sizeof(theirs));                               \
  SAME(offsetof(SeerDnnAlgo, workspace_bytes), offsetof(theirs, memory));  \
  SAME(offsetof(SeerDnnAlgo, determinism), offsetof(theirs, determinism)); \
  SAME(offsetof(SeerDnnAlgo, status), offsetof(theirs, status))
SAME_ALGO(cudnnConvolutionFwdAlgoPerf_t);
SAME_ALGO(cudnnConvolutionBwdDataAlgoPerf_t);
SAME_ALGO(cudnnConvolutionBwdFilterAlgoPerf_t);
static_assert((int)SEER_DNN_ALGOS_MOST >= CUDNN_CONVOLUTION_FWD_ALGO_COUNT, "there is room for all ways");

int main(void) { return 0; }
