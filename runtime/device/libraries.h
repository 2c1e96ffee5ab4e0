// Libraries that make layers in the place of seer's kernels, where the trainer was built with a tuning that chose them.
// They are opened, and every call is prepared, before the run touches anything; without calls nothing is opened.
//
// A call gives the same bits each time: what a library may choose it chooses once, by shape, and sums in no order that
// the GPU is free to choose. Calls go to a stream like launches, and are captured like them.
#ifndef SEER_RUNTIME_DEVICE_LIBRARIES_H
#define SEER_RUNTIME_DEVICE_LIBRARIES_H

#include "runtime/device/device.h"
#include "runtime/narrow.h"

typedef enum SeerLibrary { SEER_CUBLASLT, SEER_CUDNN, SEER_LIBRARY_COUNT } SeerLibrary;

// y [rows][columns] = a [rows][depth] * b [depth][columns] + addend, or + bias [columns]; turned, a is [depth][rows]
// and b [columns][depth]. Sums are in single precision. Pointers: a, b, addend like y, bias of floats, y, workspace.
typedef struct SeerMatmul {
  int64_t rows, columns, depth;
  int a_turned, b_turned;
  SeerFormat operands, result;  // of a and b; of y and the addend
  int adds, has_bias;
  uint64_t workspace_bytes;  // behind the next multiple of SEER_LIBRARY_ALIGNMENT, which is memory, too
} SeerMatmul;

enum { SEER_LIBRARY_ALIGNMENT = 256 };

typedef enum SeerConvolutionWay {
  SEER_CONVOLUTION_FORWARD,
  SEER_CONVOLUTION_BACKWARD_INPUT,
  SEER_CONVOLUTION_BACKWARD_WEIGHT
} SeerConvolutionWay;

// x [images][height][width][inputs], w [outputs][kernel][kernel][inputs / groups], y [images][h'][w'][outputs], all of
// them `operands`; sums are in single precision. Pointers, two that are read, one that is written, workspace: x, w, y;
// dy, w, dx, to which it adds where `adds`; x, dy, dw.
typedef struct SeerConvolution {
  SeerConvolutionWay way;
  int64_t images, height, width, inputs, outputs, kernel, stride, pad, groups;
  SeerFormat operands;
  int adds;
  uint64_t workspace_bytes;  // as of SeerMatmul
} SeerConvolution;

typedef struct SeerLibraryCall {
  SeerLibrary library;
  const char *name;  // "cublaslt_matmul"
  const char *use;   // the first layer that it is for
  union {
    SeerMatmul matmul;            // of cuBLASLt
    SeerConvolution convolution;  // of cuDNN
  };
} SeerLibraryCall;

typedef struct SeerLibraryCalls {
  int count;
  const SeerLibraryCall *items;
  int64_t versions[SEER_LIBRARY_COUNT];  // that the tuning was measured with: 130100 is 13.1.0; 0: not known
} SeerLibraryCalls;

// Whether one can be opened, and used with the GPU: its version. For who chooses.
SeerStatus seer_library_look(SeerLibrary library, SeerDevice *device, int64_t *version);

typedef struct SeerLibraries SeerLibraries;  // of one GPU

// Opens those that `calls` name, and prepares all calls. *libraries is NULL where there are none. Fails (SEER_MACHINE)
// where a library is missing, of another major version than the tuning's, or knows no way to make a call.
SeerStatus seer_libraries_open(const SeerLibraryCalls *calls, SeerDevice *device, SeerLibraries **libraries);
// NULL is nothing. Nothing of theirs may be on its way.
void seer_libraries_close(SeerLibraries *libraries);

// Sends one to a stream. A failure is told with the call's name, not the layer's.
SeerStatus seer_libraries_run(SeerLibraries *libraries, SeerDeviceStream *stream, int call,
                              const void *const *pointers);
// "12 products by cuBLASLt 13.1.0", each as often as layers need it; and what the tuning was measured with, where that
// is another.
const char *seer_libraries_told(const SeerLibraries *libraries);

#endif
