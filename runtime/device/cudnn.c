// Convolutions by cuDNN. Its heuristic lists ways to make one, fastest first; the first is taken that adds up in one
// order and works in the room that the plan gives.
#include "runtime/device/cudnn.h"

#include <stdint.h>
#include <stdlib.h>

#include "runtime/device/library.h"
#include "runtime/device/symbol.h"

typedef struct SeerCudnn {
#define FUNCTION(type, field, symbol, parameters) type(*field) parameters;
#include "runtime/device/cudnn.def"
} SeerCudnn;

static SeerCudnn dnn;

struct SeerLibraryHandle {
  SeerDnnHandle *dnn;
};

struct SeerPreparedCall {
  SeerConvolution shape;
  SeerDnnTensor *x, *y;
  SeerDnnFilter *w;
  SeerDnnConvolution *convolution;
  int algo;
};

static SeerStatus check(int result, const char *what) {
  if (!result) return SEER_OK;
  const char *text = dnn.get_error_string(result);
  return seer_fail(result == SEER_DNN_BAD_PARAM ? SEER_BUG : SEER_MACHINE, "cuDNN: %s: %s (%d)", what,
                   text ? text : "an unknown status", result);
}

static const char *cudnn_load(void *library, int64_t *version) {
  const char *missing = NULL;
#define FUNCTION(type, field, symbol, parameters) \
  if (!seer_symbol_find(library, symbol, &dnn.field, sizeof dnn.field) && !missing) missing = symbol;
#include "runtime/device/cudnn.def"
  if (!missing) *version = (int64_t)dnn.get_version();
  return missing;
}

static SeerStatus cudnn_open(SeerLibraryHandle **handle) {
  SeerLibraryHandle *made = calloc(1, sizeof *made);
  if (!made) return seer_fail(SEER_MACHINE, "no memory for cuDNN's handle");
  SeerStatus status = check(dnn.create(&made->dnn), "cudnnCreate");
  if (status)
    free(made);
  else
    *handle = made;
  return status;
}

static void cudnn_close(SeerLibraryHandle *handle) {
  dnn.destroy(handle->dnn);
  free(handle);
}

// ---- a convolution ----

static int outputs_along(const SeerConvolution *s, int64_t size) {
  return (int)((size + 2 * s->pad - s->kernel) / s->stride + 1);
}

static SeerStatus describe_tensors(SeerPreparedCall *call, int type) {
  const SeerConvolution *s = &call->shape;
  int n = (int)s->images, h = (int)s->height, w = (int)s->width;
  SeerStatus status = check(dnn.tensor_create(&call->x), "cudnnCreateTensorDescriptor");
  if (!status) status = check(dnn.tensor_create(&call->y), "cudnnCreateTensorDescriptor");
  if (!status)
    status = check(dnn.tensor_set(call->x, SEER_DNN_NHWC, type, n, (int)s->inputs, h, w), "cudnnSetTensor4dDescriptor");
  if (!status)
    status = check(dnn.tensor_set(call->y, SEER_DNN_NHWC, type, n, (int)s->outputs, outputs_along(s, s->height),
                                  outputs_along(s, s->width)),
                   "cudnnSetTensor4dDescriptor");
  return status;
}

static SeerStatus describe(SeerPreparedCall *call) {
  const SeerConvolution *s = &call->shape;
  int type = s->operands == SEER_FP16 ? SEER_DNN_FP16 : SEER_DNN_BF16, k = (int)s->kernel, pad = (int)s->pad,
      stride = (int)s->stride;
  SeerStatus status = describe_tensors(call, type);
  if (!status) status = check(dnn.filter_create(&call->w), "cudnnCreateFilterDescriptor");
  if (!status)
    status = check(dnn.filter_set(call->w, type, SEER_DNN_NHWC, (int)s->outputs, (int)(s->inputs / s->groups), k, k),
                   "cudnnSetFilter4dDescriptor");
  if (!status) status = check(dnn.convolution_create(&call->convolution), "cudnnCreateConvolutionDescriptor");
  if (!status)
    status = check(dnn.convolution_set(call->convolution, pad, pad, stride, stride, 1, 1, SEER_DNN_CROSS_CORRELATION,
                                       SEER_DNN_FLOAT),
                   "cudnnSetConvolution2dDescriptor");
  if (!status)
    status = check(dnn.convolution_set_groups(call->convolution, (int)s->groups), "cudnnSetConvolutionGroupCount");
  if (!status)
    status = check(dnn.convolution_set_math(call->convolution, SEER_DNN_TENSOR_CORES), "cudnnSetConvolutionMathType");
  return status;
}

static SeerStatus find_algos(SeerLibraryHandle *handle, const SeerPreparedCall *call, SeerDnnAlgo *found, int *count) {
  enum { MOST = SEER_DNN_ALGOS_MOST };
  switch (call->shape.way) {
    case SEER_CONVOLUTION_FORWARD:
      return check(dnn.find_forward(handle->dnn, call->x, call->w, call->convolution, call->y, MOST, count, found),
                   "cudnnGetConvolutionForwardAlgorithm_v7");
    case SEER_CONVOLUTION_BACKWARD_INPUT:
      return check(
          dnn.find_backward_input(handle->dnn, call->w, call->y, call->convolution, call->x, MOST, count, found),
          "cudnnGetConvolutionBackwardDataAlgorithm_v7");
    case SEER_CONVOLUTION_BACKWARD_WEIGHT: break;
  }
  return check(dnn.find_backward_weight(handle->dnn, call->x, call->y, call->convolution, call->w, MOST, count, found),
               "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
}

static SeerStatus choose_algo(SeerLibraryHandle *handle, SeerPreparedCall *call) {
  SeerDnnAlgo found[SEER_DNN_ALGOS_MOST];
  int count = 0;
  SeerStatus status = find_algos(handle, call, found, &count);
  for (int i = 0; i < count && !status; i++) {
    call->algo = found[i].algo;
    if (!found[i].status && found[i].determinism == SEER_DNN_DETERMINISTIC &&
        found[i].workspace_bytes <= call->shape.workspace_bytes)
      return SEER_OK;
  }
  if (status) return status;
  return seer_fail(SEER_MACHINE, "cuDNN: none of its %d ways gives the same bits each time in %.1f MiB", count,
                   (double)call->shape.workspace_bytes / 1048576);
}

static void cudnn_release(SeerLibraryHandle *handle, SeerPreparedCall *call) {
  (void)handle;
  if (call->x) dnn.tensor_destroy(call->x);
  if (call->y) dnn.tensor_destroy(call->y);
  if (call->w) dnn.filter_destroy(call->w);
  if (call->convolution) dnn.convolution_destroy(call->convolution);
  free(call);
}

static SeerStatus cudnn_prepare(SeerLibraryHandle *handle, const SeerLibraryCall *wanted, SeerPreparedCall **prepared) {
  SeerPreparedCall *call = calloc(1, sizeof *call);
  if (!call) return seer_fail(SEER_MACHINE, "no memory for a call of cuDNN");
  call->shape = wanted->convolution;
  SeerStatus status = describe(call);
  if (!status) status = choose_algo(handle, call);
  if (status)
    cudnn_release(handle, call);
  else
    *prepared = call;
  return status;
}

static SeerStatus cudnn_run(SeerLibraryHandle *handle, SeerPreparedCall *c, SeerDeviceStream *stream,
                            const void *const *pointers) {
  enum { A, B, Y, WORKSPACE };
  const float one = 1, beta = c->shape.adds ? 1 : 0;
  const void *a = pointers[A], *b = pointers[B];
  void *y = (void *)(uintptr_t)pointers[Y], *room = seer_library_workspace(pointers[WORKSPACE]);
  size_t bytes = c->shape.workspace_bytes;
  SeerStatus status = check(dnn.set_stream(handle->dnn, stream), "cudnnSetStream");
  if (status) return status;
  switch (c->shape.way) {
    case SEER_CONVOLUTION_FORWARD:
      return check(
          dnn.forward(handle->dnn, &one, c->x, a, c->w, b, c->convolution, c->algo, room, bytes, &beta, c->y, y),
          "cudnnConvolutionForward");
    case SEER_CONVOLUTION_BACKWARD_INPUT:
      return check(
          dnn.backward_input(handle->dnn, &one, c->w, b, c->y, a, c->convolution, c->algo, room, bytes, &beta, c->x, y),
          "cudnnConvolutionBackwardData");
    case SEER_CONVOLUTION_BACKWARD_WEIGHT: break;
  }
  return check(
      dnn.backward_weight(handle->dnn, &one, c->x, a, c->y, b, c->convolution, c->algo, room, bytes, &beta, c->w, y),
      "cudnnConvolutionBackwardFilter");
}

const SeerLibraryType seer_cudnn = {
    .title = "cuDNN",
    .variable = "SEER_LIBCUDNN",
    .file = "libcudnn.so.",
    .newest = 9,
    .oldest = 9,
    .package = "NVIDIA's cuDNN: package libcudnn9-cuda-13, or nvidia-cudnn-cu13 of PyPI",
    .load = cudnn_load,
    .open = cudnn_open,
    .close = cudnn_close,
    .prepare = cudnn_prepare,
    .release = cudnn_release,
    .run = cudnn_run,
};
