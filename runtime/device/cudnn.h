// cuDNN's binary interface, as far as the runtime uses it: that of its convolutions by descriptors. Nothing of it is
// linked in, and no header of it is used. The numbers are those of cudnn_graph.h, cudnn_ops.h and cudnn_cnn.h of cuDNN
// 9 (cuDNN, "API reference"); tests/cuda/library_numbers_test.c holds them against the headers where those are there.
#ifndef SEER_RUNTIME_DEVICE_CUDNN_H
#define SEER_RUNTIME_DEVICE_CUDNN_H

#include "runtime/device/driver.h"

typedef struct SeerDnnHandle SeerDnnHandle;
typedef struct SeerDnnTensor SeerDnnTensor;
typedef struct SeerDnnFilter SeerDnnFilter;
typedef struct SeerDnnConvolution SeerDnnConvolution;

// A way to convolve, and what its heuristic says of it; the same for all three directions.
typedef struct SeerDnnAlgo {
  int algo, status;
  float seconds;
  size_t workspace_bytes;
  int determinism, math;
  int reserved[3];
} SeerDnnAlgo;

enum { SEER_DNN_FLOAT = 0, SEER_DNN_FP16 = 2, SEER_DNN_BF16 = 9 };  // types of numbers
enum { SEER_DNN_NHWC = 1 };
enum { SEER_DNN_CROSS_CORRELATION = 1 };
enum { SEER_DNN_TENSOR_CORES = 1 };
enum { SEER_DNN_DETERMINISTIC = 1 };
enum { SEER_DNN_BAD_PARAM = 2000, SEER_DNN_NOT_SUPPORTED = 3000 };
// Ways that are for one direction at most.
enum { SEER_DNN_ALGOS_MOST = 8 };

#endif
