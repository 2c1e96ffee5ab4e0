// cuDNN on the simulated GPU: a library that a trainer opens in the place of libcudnn.so (SEER_LIBCUDNN), with the
// functions of runtime/device/cudnn.def. Of the ways that its heuristics list the first adds up in an order that is
// drawn, the second wants more room than there is, and the third overwrites all of the room that it asks for.
//
//   SEER_SIMULATED_CUDNN_VERSION  91900
//   SEER_SIMULATED_CUDNN_FAIL     "FUNCTION:N:STATUS" (library.h)
//   SEER_SIMULATED_CUDNN_BLOCKS   blocks of the simulated clock that a convolution takes; one for each 64 x 64 of its
//                                 result
#include "runtime/device/cudnn.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "library.h"

using namespace simulated;

struct SeerDnnHandle {
  SeerDriverContext *context;
  SeerDeviceStream *stream;
};
struct SeerDnnTensor {
  bool is_set;
  NumberType type;
  int n, c, h, w;
};
struct SeerDnnFilter {
  bool is_set;
  NumberType type;
  int k, c, h, w;
};
struct SeerDnnConvolution {
  bool is_set, on_tensor_cores;
  int pad, stride, groups;
};

namespace {

enum { NOT_INITIALIZED_STATUS = 1001, EXECUTION_FAILED = 5000 };
enum { ALGO_DRAWN = 0, ALGO_DEAR = 5, ALGO_GOOD = 1, VECTOR_BYTES = 16 };
const size_t ROOM_GOOD = 20 << 20, ROOM_DEAR = (size_t)1 << 30;

SimulatedLibrary &library = *new SimulatedLibrary{"CUDNN", {}, {}, {}};

__attribute__((destructor)) void leaks_report() { library_leaks_report(library); }

#define BEGIN()                            \
  std::unique_lock<std::mutex> held(lock); \
  if (const int status = library_injected(library, __func__)) return status

bool type_read(int number, NumberType *type) {
  *type = number == SEER_DNN_FP16 ? NUMBER_FP16 : NUMBER_BF16;
  return number == SEER_DNN_FP16 || number == SEER_DNN_BF16;
}

struct Shape {
  SeerDnnTensor x, y;
  SeerDnnFilter w;
  SeerDnnConvolution convolution;
};

// 0, or why there is no way to make it.
int shape_check(const Shape &s) {
  if (!s.x.is_set || !s.y.is_set || !s.w.is_set || !s.convolution.is_set) return SEER_DNN_BAD_PARAM;
  const SeerDnnConvolution &c = s.convolution;
  if (s.x.type != s.y.type || s.x.type != s.w.type || s.x.n != s.y.n || s.w.k != s.y.c) return SEER_DNN_BAD_PARAM;
  if (s.w.c * c.groups != s.x.c || s.w.k % c.groups) return SEER_DNN_BAD_PARAM;
  if ((s.x.h + 2 * c.pad - s.w.h) / c.stride + 1 != s.y.h || (s.x.w + 2 * c.pad - s.w.w) / c.stride + 1 != s.y.w)
    return SEER_DNN_BAD_PARAM;
  // On tensor cores channels are read by vectors.
  if (!c.on_tensor_cores || s.w.c * 2 % VECTOR_BYTES || s.w.k / c.groups * 2 % VECTOR_BYTES)
    return SEER_DNN_NOT_SUPPORTED;
  return 0;
}

enum Way { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

struct Convolution {
  Shape s;
  Way way;
  uintptr_t x, w, y, room;
  size_t room_bytes;
  float alpha, beta;
  bool is_drawn;

  size_t x_at(int n, int h, int v, int c) const { return (((size_t)n * s.x.h + h) * s.x.w + v) * s.x.c + c; }
  size_t y_at(int n, int h, int v, int k) const { return (((size_t)n * s.y.h + h) * s.y.w + v) * s.y.c + k; }
  size_t w_at(int k, int r, int t, int c) const { return (((size_t)k * s.w.h + r) * s.w.w + t) * s.w.c + c; }
  void run() const;
};

size_t count_of(const SeerDnnTensor &t) { return (size_t)t.n * t.c * t.h * t.w; }
size_t count_of(const SeerDnnFilter &w) { return (size_t)w.k * w.c * w.h * w.w; }

std::vector<double> numbers_of(NumberType type, uintptr_t at, size_t count) {
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; i++) numbers[i] = number_read(type, at, i);
  return numbers;
}

// Every product once, added where its direction wants it.
void Convolution::run() const {
  std::memset((void *)room, 0xFF, room_bytes);
  const NumberType type = s.x.type;
  const uintptr_t to = way == FORWARD ? y : way == BACKWARD_INPUT ? x : w;
  const size_t count = way == FORWARD ? count_of(s.y) : way == BACKWARD_INPUT ? count_of(s.x) : count_of(s.w);
  const std::vector<double> xs = numbers_of(type, x, way == BACKWARD_INPUT ? 0 : count_of(s.x)),
                            ws = numbers_of(type, w, way == BACKWARD_WEIGHT ? 0 : count_of(s.w)),
                            ys = numbers_of(type, y, way == FORWARD ? 0 : count_of(s.y));
  std::vector<double> sums(count);
  const int outputs = s.w.k / s.convolution.groups;
  for (int n = 0; n < s.y.n; n++)
    for (int h = 0; h < s.y.h; h++)
      for (int v = 0; v < s.y.w; v++)
        for (int r = 0; r < s.w.h; r++)
          for (int t = 0; t < s.w.w; t++) {
            const int row = h * s.convolution.stride - s.convolution.pad + r,
                      column = v * s.convolution.stride - s.convolution.pad + t;
            if (row < 0 || row >= s.x.h || column < 0 || column >= s.x.w) continue;
            for (int k = 0; k < s.w.k; k++)
              for (int c = 0; c < s.w.c; c++) {
                const size_t in_x = x_at(n, row, column, k / outputs * s.w.c + c), in_y = y_at(n, h, v, k),
                             in_w = w_at(k, r, t, c);
                if (way == FORWARD) sums[in_y] += xs[in_x] * ws[in_w];
                if (way == BACKWARD_INPUT) sums[in_x] += ys[in_y] * ws[in_w];
                if (way == BACKWARD_WEIGHT) sums[in_w] += xs[in_x] * ys[in_y];
              }
          }
  for (size_t i = 0; i < count; i++) {
    float value = alpha * (float)sums[i];
    if (is_drawn) value *= 1 + 0x1p-7f * (float)(work_draw() % 2);  // as if rounded on the way
    if (beta != 0) value += beta * (float)number_read(type, to, i);
    number_write(type, to, i, value);
  }
}

int find(const Shape &shape, int wanted, int *count, SeerDnnAlgo *results) {
  *count = 0;
  if (wanted < 1) return SEER_DNN_BAD_PARAM;
  if (const int status = shape_check(shape)) return status;
  const SeerDnnAlgo ways[] = {{ALGO_DRAWN, 0, 1, 0, 0, 1, {}},
                              {ALGO_DEAR, 0, 2, ROOM_DEAR, SEER_DNN_DETERMINISTIC, 1, {}},
                              {ALGO_GOOD, 0, 3, ROOM_GOOD, SEER_DNN_DETERMINISTIC, 1, {}},
                              {2, SEER_DNN_NOT_SUPPORTED, -1, 0, SEER_DNN_DETERMINISTIC, 0, {}}};
  for (const SeerDnnAlgo &way : ways)
    if (*count < wanted) results[(*count)++] = way;
  return 0;
}

int send(const char *function, SeerDnnHandle *handle, Convolution convolution, int algo, size_t given) {
  library_demand(library, function, handle);
  if (handle->context != current) fault(function, "the handle is of another GPU than the thread's");
  if (const int status = shape_check(convolution.s)) return status;
  if (algo != ALGO_DRAWN && algo != ALGO_DEAR && algo != ALGO_GOOD) return SEER_DNN_NOT_SUPPORTED;
  convolution.is_drawn = algo == ALGO_DRAWN;
  convolution.room_bytes = algo == ALGO_GOOD ? ROOM_GOOD : algo == ALGO_DEAR ? ROOM_DEAR : 0;
  if (given < convolution.room_bytes) return SEER_DNN_BAD_PARAM;
  for (const uintptr_t at : {convolution.x, convolution.w, convolution.y, convolution.room})
    if (at % VECTOR_BYTES) return SEER_DNN_BAD_PARAM;
  const Way way = convolution.way;
  const std::vector<Region> regions = {{"workspace", convolution.room, convolution.room_bytes, true},
                                       {"x", convolution.x, count_of(convolution.s.x) * 2, way == BACKWARD_INPUT},
                                       {"w", convolution.w, count_of(convolution.s.w) * 2, way == BACKWARD_WEIGHT},
                                       {"y", convolution.y, count_of(convolution.s.y) * 2, way == FORWARD}};
  const size_t rows = (size_t)convolution.s.y.n * convolution.s.y.h * convolution.s.y.w;
  const size_t blocks = (rows + 63) / 64 * (size_t)((convolution.s.y.c + 63) / 64);
  const std::string kind = std::string(function) + std::to_string(convolution.s.x.type);
  return library_send(library, function, handle->stream, kind, blocks, regions, [convolution] { convolution.run(); })
             ? 0
             : EXECUTION_FAILED;
}

template <class Descriptor>
const Descriptor &demand(const char *function, const Descriptor *descriptor) {
  library_demand(library, function, descriptor);
  return *descriptor;
}

Convolution convolution_of(const char *function, Way way, const void *alpha, const void *beta, SeerDnnTensor *x_like,
                           const void *x, SeerDnnFilter *w_like, const void *w, SeerDnnTensor *y_like, const void *y,
                           SeerDnnConvolution *convolution, void *room) {
  return Convolution{
      {demand(function, x_like), demand(function, y_like), demand(function, w_like), demand(function, convolution)},
      way,
      (uintptr_t)x,
      (uintptr_t)w,
      (uintptr_t)y,
      (uintptr_t)room,
      0,
      *(const float *)alpha,
      *(const float *)beta,
      false};
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() {
  const char *wanted = library_setting(library, "VERSION");
  return wanted ? std::strtoull(wanted, nullptr, 10) : 91900;
}

const char *cudnnGetErrorString(int status) {
  switch (status) {
    case 0: return "CUDNN_STATUS_SUCCESS";
    case NOT_INITIALIZED_STATUS: return "CUDNN_STATUS_NOT_INITIALIZED";
    case SEER_DNN_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case SEER_DNN_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "<unknown>";
  }
}

int cudnnCreate(SeerDnnHandle **handle) {
  BEGIN();
  if (!current) return NOT_INITIALIZED_STATUS;
  *handle = keep(library.live, new SeerDnnHandle{current, nullptr});
  return 0;
}

int cudnnDestroy(SeerDnnHandle *handle) {
  BEGIN();
  library_release(library, __func__, handle);
  return 0;
}

int cudnnSetStream(SeerDnnHandle *handle, SeerDeviceStream *stream) {
  BEGIN();
  library_demand(library, __func__, handle);
  handle->stream = stream;
  return 0;
}

int cudnnCreateTensorDescriptor(SeerDnnTensor **tensor) {
  BEGIN();
  *tensor = keep(library.live, new SeerDnnTensor{});
  return 0;
}

int cudnnSetTensor4dDescriptor(SeerDnnTensor *tensor, int format, int type, int n, int c, int h, int w) {
  BEGIN();
  library_demand(library, __func__, tensor);
  NumberType numbers;
  if (n < 1 || c < 1 || h < 1 || w < 1) return SEER_DNN_BAD_PARAM;
  if (format != SEER_DNN_NHWC || !type_read(type, &numbers)) return SEER_DNN_NOT_SUPPORTED;
  *tensor = SeerDnnTensor{true, numbers, n, c, h, w};
  return 0;
}

int cudnnDestroyTensorDescriptor(SeerDnnTensor *tensor) {
  BEGIN();
  library_release(library, __func__, tensor);
  return 0;
}

int cudnnCreateFilterDescriptor(SeerDnnFilter **filter) {
  BEGIN();
  *filter = keep(library.live, new SeerDnnFilter{});
  return 0;
}

int cudnnSetFilter4dDescriptor(SeerDnnFilter *filter, int type, int format, int k, int c, int h, int w) {
  BEGIN();
  library_demand(library, __func__, filter);
  NumberType numbers;
  if (k < 1 || c < 1 || h < 1 || w < 1) return SEER_DNN_BAD_PARAM;
  if (format != SEER_DNN_NHWC || !type_read(type, &numbers)) return SEER_DNN_NOT_SUPPORTED;
  *filter = SeerDnnFilter{true, numbers, k, c, h, w};
  return 0;
}

int cudnnDestroyFilterDescriptor(SeerDnnFilter *filter) {
  BEGIN();
  library_release(library, __func__, filter);
  return 0;
}

int cudnnCreateConvolutionDescriptor(SeerDnnConvolution **convolution) {
  BEGIN();
  *convolution = keep(library.live, new SeerDnnConvolution{false, false, 0, 1, 1});
  return 0;
}

int cudnnSetConvolution2dDescriptor(SeerDnnConvolution *convolution, int pad_h, int pad_w, int stride_h, int stride_w,
                                    int dilation_h, int dilation_w, int mode, int compute_type) {
  BEGIN();
  library_demand(library, __func__, convolution);
  if (pad_h < 0 || stride_h < 1) return SEER_DNN_BAD_PARAM;
  const bool known = pad_h == pad_w && stride_h == stride_w && dilation_h == 1 && dilation_w == 1 &&
                     mode == SEER_DNN_CROSS_CORRELATION && compute_type == SEER_DNN_FLOAT;
  if (!known) return SEER_DNN_NOT_SUPPORTED;
  convolution->is_set = true;
  convolution->pad = pad_h;
  convolution->stride = stride_h;
  return 0;
}

int cudnnSetConvolutionGroupCount(SeerDnnConvolution *convolution, int groups) {
  BEGIN();
  library_demand(library, __func__, convolution);
  if (groups < 1) return SEER_DNN_BAD_PARAM;
  convolution->groups = groups;
  return 0;
}

int cudnnSetConvolutionMathType(SeerDnnConvolution *convolution, int math) {
  BEGIN();
  library_demand(library, __func__, convolution);
  convolution->on_tensor_cores = math == SEER_DNN_TENSOR_CORES;
  return 0;
}

int cudnnDestroyConvolutionDescriptor(SeerDnnConvolution *convolution) {
  BEGIN();
  library_release(library, __func__, convolution);
  return 0;
}

int cudnnGetConvolutionForwardAlgorithm_v7(SeerDnnHandle *handle, SeerDnnTensor *x, SeerDnnFilter *w,
                                           SeerDnnConvolution *convolution, SeerDnnTensor *y, int wanted, int *count,
                                           SeerDnnAlgo *results) {
  BEGIN();
  library_demand(library, __func__, handle);
  return find({demand(__func__, x), demand(__func__, y), demand(__func__, w), demand(__func__, convolution)}, wanted,
              count, results);
}

int cudnnGetConvolutionBackwardDataAlgorithm_v7(SeerDnnHandle *handle, SeerDnnFilter *w, SeerDnnTensor *dy,
                                                SeerDnnConvolution *convolution, SeerDnnTensor *dx, int wanted,
                                                int *count, SeerDnnAlgo *results) {
  BEGIN();
  library_demand(library, __func__, handle);
  return find({demand(__func__, dx), demand(__func__, dy), demand(__func__, w), demand(__func__, convolution)}, wanted,
              count, results);
}

int cudnnGetConvolutionBackwardFilterAlgorithm_v7(SeerDnnHandle *handle, SeerDnnTensor *x, SeerDnnTensor *dy,
                                                  SeerDnnConvolution *convolution, SeerDnnFilter *dw, int wanted,
                                                  int *count, SeerDnnAlgo *results) {
  BEGIN();
  library_demand(library, __func__, handle);
  return find({demand(__func__, x), demand(__func__, dy), demand(__func__, dw), demand(__func__, convolution)}, wanted,
              count, results);
}

int cudnnConvolutionForward(SeerDnnHandle *handle, const void *alpha, SeerDnnTensor *x_like, const void *x,
                            SeerDnnFilter *w_like, const void *w, SeerDnnConvolution *convolution, int algo, void *room,
                            size_t room_bytes, const void *beta, SeerDnnTensor *y_like, void *y) {
  BEGIN();
  return send(__func__, handle,
              convolution_of(__func__, FORWARD, alpha, beta, x_like, x, w_like, w, y_like, y, convolution, room), algo,
              room_bytes);
}

int cudnnConvolutionBackwardData(SeerDnnHandle *handle, const void *alpha, SeerDnnFilter *w_like, const void *w,
                                 SeerDnnTensor *dy_like, const void *dy, SeerDnnConvolution *convolution, int algo,
                                 void *room, size_t room_bytes, const void *beta, SeerDnnTensor *dx_like, void *dx) {
  BEGIN();
  return send(
      __func__, handle,
      convolution_of(__func__, BACKWARD_INPUT, alpha, beta, dx_like, dx, w_like, w, dy_like, dy, convolution, room),
      algo, room_bytes);
}

int cudnnConvolutionBackwardFilter(SeerDnnHandle *handle, const void *alpha, SeerDnnTensor *x_like, const void *x,
                                   SeerDnnTensor *dy_like, const void *dy, SeerDnnConvolution *convolution, int algo,
                                   void *room, size_t room_bytes, const void *beta, SeerDnnFilter *dw_like, void *dw) {
  BEGIN();
  return send(
      __func__, handle,
      convolution_of(__func__, BACKWARD_WEIGHT, alpha, beta, x_like, x, dw_like, dw, dy_like, dy, convolution, room),
      algo, room_bytes);
}

}  // extern "C"
