// Convolution kernels, forward and both gradients, against direct loops in double precision, over shapes that reach
// every path: strides, paddings, odd batches, groups of 1 and of sizes that fill no tile, splits of the weight
// gradient.
#include "support.h"

typedef struct ConvShape {
  int n, h, w, c, o, k, stride, pad, groups;
} ConvShape;

// Literals, as the code generator writes them: the kernels are made for shapes that the compiler sees.
#define SHAPES(X)                                                                                                  \
  X(5, 7, 6, 3, 10, 3, 2, 1, 1)                                                                                    \
  X(16, 5, 5, 24, 24, 3, 1, 1, 3) X(9, 6, 7, 24, 24, 3, 2, 1, 1) X(8, 3, 3, 16, 16, 3, 1, 1, 2)                    \
      X(3, 9, 4, 6, 6, 3, 1, 1, 6) X(3, 8, 5, 9, 9, 3, 2, 1, 3) X(11, 4, 4, 40, 12, 1, 1, 0, 1)                    \
          X(20, 6, 6, 13, 7, 1, 2, 0, 1) X(17, 1, 1, 300, 9, 1, 1, 0, 1) X(2, 13, 11, 4, 6, 5, 1, 2, 1)            \
              X(2, 12, 12, 4, 8, 4, 4, 0, 2) X(33, 3, 3, 20, 20, 3, 1, 1, 10) X(1, 2, 150, 3, 5, 3, 1, 1, 1)       \
                  X(4, 5, 6, 75, 150, 3, 2, 1, 1) X(40, 2, 2, 70, 70, 1, 1, 0, 1) X(3, 9, 9, 8, 8, 3, 3, 1, 4)     \
                      X(7, 6, 6, 12, 8, 2, 2, 0, 4) X(8, 20, 20, 8, 12, 1, 1, 0, 1) X(2, 16, 16, 3, 8, 7, 2, 3, 1) \
                          X(1, 5, 5, 373, 373, 3, 1, 1, 1) X(2, 4, 4, 8, 8, 1, 1, 0, 2)

static int out_size(int size, ConvShape s) { return (size + 2 * s.pad - s.k) / s.stride + 1; }

// Calls visit for every multiply-add: input, weight and output index (inputs and outputs [image][pixel][channel]).
typedef void Visit(double *a, double *b, double *c, int64_t x, int64_t w, int64_t y);

static void for_each_product(ConvShape s, Visit *visit, double *x, double *w, double *y) {
  const int ho = out_size(s.h, s), wo = out_size(s.w, s), inputs = s.c / s.groups, outputs = s.o / s.groups;
  for (int64_t at = 0; at < (int64_t)s.n * ho * wo * s.o; at++) {
    const int o = (int)(at % s.o), column = (int)(at / s.o % wo), row = (int)(at / s.o / wo % ho);
    const int64_t image = at / s.o / wo / ho;
    for (int tap = 0; tap < s.k * s.k; tap++) {
      const int iy = row * s.stride - s.pad + tap / s.k, ix = column * s.stride - s.pad + tap % s.k;
      if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
      for (int c = 0; c < inputs; c++)
        visit(x, w, y, ((image * s.h + iy) * s.w + ix) * s.c + o / outputs * inputs + c,
              ((int64_t)o * inputs + c) * s.k * s.k + tap, at);
    }
  }
}

static void visit_forward(double *x, double *w, double *y, int64_t i, int64_t j, int64_t k) { y[k] += x[i] * w[j]; }
static void visit_input(double *x, double *w, double *y, int64_t i, int64_t j, int64_t k) { x[i] += y[k] * w[j]; }
static void visit_weight(double *x, double *w, double *y, int64_t i, int64_t j, int64_t k) { w[j] += y[k] * x[i]; }

static double *lanes_to_doubles(const float *x, int64_t n, int64_t pixels, int64_t c) {
  double *y = doubles_make(n * pixels * c);
  for (int64_t i = 0; i < n; i++)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t j = 0; j < c; j++) y[(i * pixels + p) * c + j] = (double)x[lane_index(i, p, j, pixels, c)];
  return y;
}

static double *to_doubles(const float *x, int64_t count) {
  double *y = doubles_make(count);
  for (int64_t i = 0; i < count; i++) y[i] = (double)x[i];
  return y;
}

static void check_statistics(ConvShape s, const double *y, const float *mean, const float *variance) {
  const int64_t count = (int64_t)s.n * out_size(s.h, s) * out_size(s.w, s);
  double *m = doubles_make(s.o), *v = doubles_make(s.o);
  for (int64_t i = 0; i < count * s.o; i++) m[i % s.o] += y[i] / (double)count;
  for (int64_t i = 0; i < count * s.o; i++) v[i % s.o] += (y[i] - m[i % s.o]) * (y[i] - m[i % s.o]) / (double)count;
  check_floats("mean", mean, m, s.o, 1e-5);
  check_floats("variance", variance, v, s.o, 1e-5);
  free(m), free(v);
}

typedef struct ConvKernels {
  ConvShape shape;
  void (*pack)(const float *, float *, int);
  void (*forward)(const float *, const float *, float *, float *, int);
  void (*pack_backward)(const float *, float *, int);
  void (*backward_input)(const float *, const float *, float *, int);
  void (*backward_weight)(const float *, const float *, float *, float *, int);
  void (*fold_weight)(const float *, float *, int);
} ConvKernels;

#define NAME(name, n, h, w, c, o, k, stride, pad, groups) \
  name##_##n##_##h##_##w##_##c##_##o##_##k##_##stride##_##pad##_##groups
#define KERNELS(n, h, w, c, o, k, ...)                                                                         \
  static void NAME(pack, n, h, w, c, o, k, __VA_ARGS__)(const float *a, float *b, int task) {                  \
    conv2d_pack(c, o, k, GROUPS(__VA_ARGS__), a, b, task);                                                     \
  }                                                                                                            \
  static void NAME(packb, n, h, w, c, o, k, __VA_ARGS__)(const float *a, float *b, int task) {                 \
    conv2d_pack_backward(c, o, k, GROUPS(__VA_ARGS__), a, b, task);                                            \
  }                                                                                                            \
  static void NAME(forward, n, h, w, c, o, k, __VA_ARGS__)(const float *a, const float *b, float *y, float *s, \
                                                           int task) {                                         \
    conv2d_forward(n, h, w, c, o, k, __VA_ARGS__, a, b, y, s, task);                                           \
  }                                                                                                            \
  static void NAME(input, n, h, w, c, o, k, __VA_ARGS__)(const float *a, const float *b, float *y, int task) { \
    conv2d_backward_input(n, h, w, c, o, k, __VA_ARGS__, a, b, y, task);                                       \
  }                                                                                                            \
  static void NAME(weight, n, h, w, c, o, k, __VA_ARGS__)(const float *a, const float *b, float *y, float *s,  \
                                                          int task) {                                          \
    conv2d_backward_weight(n, h, w, c, o, k, __VA_ARGS__, a, b, y, s, task);                                   \
  }                                                                                                            \
  static void NAME(fold, n, h, w, c, o, k, __VA_ARGS__)(const float *a, float *b, int task) {                  \
    conv2d_fold_weight(n, h, w, c, o, k, __VA_ARGS__, a, b, task);                                             \
  }
#define GROUPS(stride, pad, groups) (groups)
SHAPES(KERNELS)

#define ROW(...)               \
  {{__VA_ARGS__},              \
   NAME(pack, __VA_ARGS__),    \
   NAME(forward, __VA_ARGS__), \
   NAME(packb, __VA_ARGS__),   \
   NAME(input, __VA_ARGS__),   \
   NAME(weight, __VA_ARGS__),  \
   NAME(fold, __VA_ARGS__)},
static const ConvKernels kernels[] = {SHAPES(ROW)};

#define SHAPE s.n, s.h, s.w, s.c, s.o, s.k, s.stride, s.pad, s.groups

static void check_forward(const ConvKernels *kernel) {
  const ConvShape s = kernel->shape;
  const int64_t pixels = (int64_t)out_size(s.h, s) * out_size(s.w, s), taps = (int64_t)s.c / s.groups * s.k * s.k;
  float *x = random_lanes(s.n, (int64_t)s.h * s.w, s.c, 1), *w = random_floats(s.o * taps, 2);
  float *packed = floats_make(conv2d_packed_floats(s.c, s.o, s.k, s.groups)), *y = lanes_make(s.n, pixels, s.o);
  const int parts = (int)conv2d_statistics_parts(s.n, s.h, s.w, s.k, s.stride, s.pad, LANES);
  float *statistics = floats_make(statistics_workspace_floats(parts, s.o));
  float *mean = floats_make(s.o), *variance = floats_make(s.o);
  RUN_TASKS(conv2d_pack_tasks(s.c, s.o, s.k, s.groups), kernel->pack(w, packed, task));
  RUN_TASKS(conv2d_forward_tasks(SHAPE, LANES), kernel->forward(x, packed, y, statistics, task));
  RUN_TASKS(statistics_fold_tasks(s.o), statistics_fold(parts, s.o, statistics, mean, variance, task));
  double *dx = lanes_to_doubles(x, s.n, (int64_t)s.h * s.w, s.c), *dw = to_doubles(w, s.o * taps);
  double *want = doubles_make(s.n * pixels * s.o);
  for_each_product(s, visit_forward, dx, dw, want);
  check_lanes("y", y, want, s.n, pixels, s.o, 2e-6);
  check_statistics(s, want, mean, variance);
  free(x), free(w), free(packed), free(y), free(statistics), free(mean), free(variance);
  free(dx), free(dw), free(want);
}

static void check_backward_input(const ConvKernels *kernel) {
  const ConvShape s = kernel->shape;
  const int64_t pixels = (int64_t)out_size(s.h, s) * out_size(s.w, s), taps = (int64_t)s.c / s.groups * s.k * s.k;
  float *dy = random_lanes(s.n, pixels, s.o, 3), *w = random_floats(s.o * taps, 4);
  float *packed = floats_make(conv2d_packed_backward_floats(s.c, s.o, s.k, s.groups));
  float *dx = lanes_make(s.n, (int64_t)s.h * s.w, s.c);
  RUN_TASKS(conv2d_pack_backward_tasks(s.c, s.o, s.k, s.groups), kernel->pack_backward(w, packed, task));
  RUN_TASKS(conv2d_backward_input_tasks(SHAPE, LANES), kernel->backward_input(dy, packed, dx, task));
  double *want = doubles_make((int64_t)s.n * s.h * s.w * s.c), *rw = to_doubles(w, s.o * taps);
  double *ry = lanes_to_doubles(dy, s.n, pixels, s.o);
  for_each_product(s, visit_input, want, rw, ry);
  check_lanes("dx", dx, want, s.n, (int64_t)s.h * s.w, s.c, 2e-6);
  free(dy), free(w), free(packed), free(dx), free(want), free(rw), free(ry);
}

static void check_backward_weight(const ConvKernels *kernel) {
  const ConvShape s = kernel->shape;
  const int64_t pixels = (int64_t)out_size(s.h, s) * out_size(s.w, s),
                count = (int64_t)s.o * s.c / s.groups * s.k * s.k;
  float *dy = random_lanes(s.n, pixels, s.o, 5), *x = random_lanes(s.n, (int64_t)s.h * s.w, s.c, 6);
  float *dw = floats_make(count), *workspace = floats_make(conv2d_backward_weight_workspace_floats(SHAPE, LANES));
  RUN_TASKS(conv2d_backward_weight_tasks(SHAPE, LANES), kernel->backward_weight(x, dy, dw, workspace, task));
  RUN_TASKS(conv2d_fold_weight_tasks(SHAPE, LANES), kernel->fold_weight(workspace, dw, task));
  double *want = doubles_make(count), *rx = lanes_to_doubles(x, s.n, (int64_t)s.h * s.w, s.c);
  double *ry = lanes_to_doubles(dy, s.n, pixels, s.o);
  for_each_product(s, visit_weight, rx, want, ry);
  check_floats("dw", dw, want, count, 4e-6);
  free(dy), free(x), free(dw), free(workspace), free(want), free(rx), free(ry);
}

static void test_forward(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(kernels); i++) check_forward(&kernels[i]);
}

static void test_backward_input(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(kernels); i++) check_backward_input(&kernels[i]);
}

static void test_backward_weight(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(kernels); i++) check_backward_weight(&kernels[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_backward_input),
                                     cmocka_unit_test(test_backward_weight)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
