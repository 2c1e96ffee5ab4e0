// Prints, for the convolution kernels at shapes of RegNets, milliseconds and the share of one core's FMA peak
// (multiply-adds in the padding counted), and for the other kernels milliseconds and GB/s. One thread, best of
// several. Usage: kernels_bench [SUBSTRING]: only the lines whose name holds SUBSTRING.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/kernels/c/kernels.h"
#include "codegen/kernels/c/tuned.h"
#include "codegen/kernels/c/lanes.h"

static const char *wanted = "";
static double peak_gflops;

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);  // what other processes take does not count
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(int64_t count) {
  void *p = NULL;
  if (posix_memalign(&p, 4096, (size_t)(count + 64) * sizeof(float))) exit(3);
  float *x = p;
  for (int64_t i = 0; i < count; i++) x[i] = (float)(i * 2654435761u % 1000) * 0.002f - 1.0f;
  return x;
}

// 12 chains of multiply-adds: 3 per cycle of latency 4, more than two units can take.
static __attribute__((noinline)) Lanes multiply_add(int rounds, Lanes a, Lanes b) {
  Lanes s0 = a, s1 = a + 1, s2 = a + 2, s3 = a + 3, s4 = a + 4, s5 = a + 5;
  Lanes s6 = a + 6, s7 = a + 7, s8 = a + 8, s9 = a + 9, s10 = a + 10, s11 = a + 11;
  for (int i = 0; i < rounds; i++) {
    s0 = s0 * a + b, s1 = s1 * a + b, s2 = s2 * a + b, s3 = s3 * a + b, s4 = s4 * a + b, s5 = s5 * a + b;
    s6 = s6 * a + b, s7 = s7 * a + b, s8 = s8 * a + b, s9 = s9 * a + b, s10 = s10 * a + b, s11 = s11 * a + b;
    LANES_PIN(a);
    LANES_PIN(b);
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
}

static void measure_peak(void) {
  double best = 1e9;
  float sum = 0;
  for (int round = 0; round < 200; round++) {
    double start = seconds();
    sum += lanes_sum(multiply_add(100000, lanes_splat(0.999f), lanes_splat(0.001f)));
    double took = seconds() - start;
    best = took < best ? took : best;
  }
  peak_gflops = 100000.0 * 12 * LANES * 2 / best * 1e-9;
  printf("%-44s %8.1f GF/s%s\n", "peak", peak_gflops, sum > 0 ? "" : " ?");  // the sum is used, or nothing is computed
}

typedef struct Buffers {
  float *input, *output, *weights, *packed, *work;
} Buffers;

static double best_of(void (*function)(Buffers, int), Buffers b, int tasks) {
  double best = 1e9, begin = seconds();
  for (int round = 0; round < 200 && (round < 5 || seconds() - begin < 0.15); round++) {
    double start = seconds();
    for (int task = 0; task < tasks; task++) function(b, task);
    double took = seconds() - start;
    best = took < best ? took : best;
  }
  return best;
}

static void report_flops(const char *name, double macs, double took) {
  printf("%-44s %8.3f ms %6.1f %% of peak\n", name, took * 1e3, 100 * 2 * macs / took * 1e-9 / peak_gflops);
}

static void report_bytes(const char *name, double bytes, double took) {
  printf("%-44s %8.3f ms %6.1f GB/s\n", name, took * 1e3, bytes / took * 1e-9);
}

// name, n, h, w, c, o, k, stride, pad, groups
#define CONVOLUTIONS(X)                              \
  X(stem_160, 32, 160, 160, 3, 32, 3, 2, 1, 1)       \
  X(a_48_40, 32, 40, 40, 48, 48, 1, 1, 0, 1)         \
  X(a_104_20, 32, 20, 20, 104, 104, 1, 1, 0, 1)      \
  X(a_208_10, 32, 10, 10, 208, 208, 1, 1, 0, 1)      \
  X(a_440_5, 32, 5, 5, 440, 440, 1, 1, 0, 1)         \
  X(a_440_3, 32, 3, 3, 440, 440, 1, 1, 0, 1)         \
  X(proj_104_208, 32, 20, 20, 104, 208, 1, 2, 0, 1)  \
  X(b_48_40, 32, 40, 40, 48, 48, 3, 1, 1, 6)         \
  X(b_104_20, 32, 20, 20, 104, 104, 3, 1, 1, 13)     \
  X(b_208_10, 32, 10, 10, 208, 208, 3, 1, 1, 26)     \
  X(b_440_5, 32, 5, 5, 440, 440, 3, 1, 1, 55)        \
  X(b_440_3, 32, 3, 3, 440, 440, 3, 1, 1, 55)        \
  X(b_208_20_s2, 32, 20, 20, 208, 208, 3, 2, 1, 26)  \
  X(b_336_10_g24, 32, 10, 10, 336, 336, 3, 1, 1, 14) \
  X(b_336_6_g24, 32, 6, 6, 336, 336, 3, 1, 1, 14)    \
  X(b_888_5_g24, 32, 5, 5, 888, 888, 3, 1, 1, 37)    \
  X(b_120_20_g24, 32, 20, 20, 120, 120, 3, 1, 1, 5)  \
  X(b_48_40_g24, 32, 40, 40, 48, 48, 3, 1, 1, 2)     \
  X(b_320_10_g16, 32, 10, 10, 320, 320, 3, 1, 1, 20) \
  X(b_448_14_g112, 32, 14, 14, 448, 448, 3, 1, 1, 4)

#define DEFINE(name, n, h, w, c, o, k, s, p, g)                                                                        \
  static void forward_##name(Buffers b, int task) {                                                                    \
    conv2d_forward(n, h, w, c, o, k, s, p, g, VIEW_PLAIN, b.input, NULL, NULL, b.packed, b.output, b.work, task);      \
  }                                                                                                                    \
  static void input_##name(Buffers b, int task) {                                                                      \
    conv2d_backward_input(n, h, w, c, o, k, s, p, g, VIEW_PLAIN, b.output, NULL, NULL, b.packed, NULL, b.input, task); \
  }                                                                                                                    \
  static void weight_##name(Buffers b, int task) {                                                                     \
    conv2d_backward_weight(n, h, w, c, o, k, s, p, g, VIEW_PLAIN, VIEW_PLAIN, b.input, NULL, NULL, b.output, NULL,     \
                           NULL, b.weights, b.work, task);                                                             \
  }                                                                                                                    \
  static void bench_##name(void) {                                                                                     \
    const int64_t ho = conv2d_size(h, k, s, p), wo = conv2d_size(w, k, s, p);                                          \
    const double macs = (double)(n) * (double)(ho * wo) * o * (c / g) * k * k;                                         \
    int64_t work = statistics_workspace_floats(conv2d_statistics_parts(n, h, w, o, k, s, p, g, &tuned), o);            \
    work = size_max(work, conv2d_backward_weight_workspace_floats(n, h, w, c, o, k, s, p, g, &tuned));                 \
    Buffers b = {floats(lane_tensor_floats(n, h, w, c, &tuned)), floats(lane_tensor_floats(n, ho, wo, o, &tuned)),     \
                 floats((int64_t)o * (c / g) * k * k), floats(conv2d_packed_floats(c, o, k, g, 1, &tuned) * 2 + 4096), \
                 floats(work)};                                                                                        \
    if (strstr("forward " #name, wanted))                                                                              \
      report_flops("forward " #name, macs,                                                                             \
                   best_of(forward_##name, b, (int)conv2d_forward_tasks(n, h, w, c, o, k, s, p, g, &tuned)));          \
    if (strstr("input " #name, wanted))                                                                                \
      report_flops("input " #name, macs,                                                                               \
                   best_of(input_##name, b, (int)conv2d_backward_input_tasks(n, h, w, c, o, k, s, p, g, &tuned)));     \
    if (strstr("weight " #name, wanted))                                                                               \
      report_flops("weight " #name, macs,                                                                              \
                   best_of(weight_##name, b, (int)conv2d_backward_weight_tasks(n, h, w, c, o, k, s, p, g, &tuned)));   \
    free(b.input), free(b.output), free(b.weights), free(b.packed), free(b.work);                                      \
  }
CONVOLUTIONS(DEFINE)

// The other kernels at one large and one small shape: name, n, h, w, c.
#define TENSORS(X) X(48_40, 32, 40, 40, 48) X(208_10, 32, 10, 10, 208)
#define DEFINE_TENSOR(name, n, h, w, c)                                                                                \
  static void normalize_##name(Buffers b, int task) {                                                                  \
    batch_normalize(n, h, w, c, 1e-5, 1, b.input, b.weights, b.weights, b.weights, b.weights + c, NULL, b.output,      \
                    task);                                                                                             \
  }                                                                                                                    \
  static void sums_##name(Buffers b, int task) {                                                                       \
    batch_norm_relu_backward_sums(n, h, w, c, b.output, b.packed, b.input, b.weights, NULL, b.work, task);             \
  }                                                                                                                    \
  static void apply_##name(Buffers b, int task) {                                                                      \
    batch_norm_backward_input(n, h, w, c, 1e-5, b.output, b.packed, b.input, b.weights, b.weights, b.weights,          \
                              b.weights, b.weights, b.output, task);                                                   \
  }                                                                                                                    \
  static void statistics_##name(Buffers b, int task) { batch_statistics(n, h, w, c, b.input, b.work, task); }          \
  static void channels_##name(Buffers b, int task) { scale_channels(n, h, w, c, b.input, b.weights, b.output, task); } \
  static void channels_backward_##name(Buffers b, int task) {                                                          \
    scale_channels_backward(n, h, w, c, b.output, b.input, b.weights, b.packed, b.work, task);                         \
  }                                                                                                                    \
  static void pool_##name(Buffers b, int task) { pool_average(n, h, w, c, VIEW_PLAIN, b.input, NULL, b.work, task); }  \
  static void add_##name(Buffers b, int task) {                                                                        \
    add(lane_tensor_floats(n, h, w, c, &tuned), b.input, b.packed, b.output, task);                                    \
  }                                                                                                                    \
  static void bench_##name(void) {                                                                                     \
    const int64_t count = lane_tensor_floats(n, h, w, c, &tuned);                                                      \
    Buffers b = {floats(count), floats(count), floats(count), floats(count), floats(count)};                           \
    for (int64_t i = 0; i < 2 * c; i++) b.weights[i] = 1.0f;                                                           \
    const int tasks = (int)lane_tasks(n, h, w, c, &tuned), by_channel = (int)channel_tasks(n, c, &tuned);              \
    const double bytes = (double)count * 4;                                                                            \
    LINE(normalize, name, 2, tasks)                                                                                    \
    LINE(sums, name, 3, (int)sum_tasks(n, h, w, c, &tuned))                                                            \
    LINE(apply, name, 4, tasks)                                                                                        \
    LINE(statistics, name, 1, tasks)                                                                                   \
    LINE(channels, name, 2, tasks)                                                                                     \
    LINE(channels_backward, name, 3, by_channel)                                                                       \
    LINE(pool, name, 1, by_channel)                                                                                    \
    LINE(add, name, 3, (int)pointwise_tasks(count, &tuned))                                                            \
    free(b.input), free(b.output), free(b.weights), free(b.packed), free(b.work);                                      \
  }
#define LINE(kernel, name, tensors, tasks) \
  if (strstr(#kernel " " #name, wanted))   \
    report_bytes(#kernel " " #name, tensors *bytes, best_of(kernel##_##name, b, tasks));
TENSORS(DEFINE_TENSOR)

static void matrix_forward(Buffers b, int task) {
  linear_rows(192, 128, 3000, b.input, b.weights, NULL, b.output, task);
}
static void matrix_input(Buffers b, int task) {
  linear_rows_backward_input(192, 128, 3000, b.output, b.weights, b.input, task);
}
static void matrix_weight(Buffers b, int task) {
  linear_rows_backward_weight(192, 128, 3000, b.input, b.output, b.weights, task);
}
static void matrix_deep(Buffers b, int task) { linear_rows(192, 2048, 2048, b.input, b.weights, NULL, b.output, task); }
static void sinkhorn_step(Buffers b, int task) {
  sinkhorn_prototypes(64, 0, 3000, 0.05, 1, b.input, NULL, NULL, b.work, task);
}
static void swapped_rows(Buffers b, int task) {
  swapped_prediction_rows(32, 3000, 6, 2, 0.1, b.input, b.output, b.work, task);
}
static void swapped_backward(Buffers b, int task) {
  swapped_prediction_backward(32, 3000, 6, 2, 0.1, b.input, b.output, b.packed, task);
}
static void optimizer(Buffers b, int task) {
  const float rate = 0.1f;
  sgd_update(400000, 0.9, 1e-4, 0, b.input, b.output, b.weights, &rate, NULL, b.input, b.weights, task);
}
static void norms(Buffers b, int task) { larc_norms(400000, 400000, b.input, b.output, b.work, task); }

static void bench_rest(void) {
  const int64_t count = 2048 * 2048;
  Buffers b = {floats(count), floats(count), floats(count), floats(count), floats(count)};
  if (strstr("matrix", wanted)) {
    report_flops("matrix forward 192 128 3000", 192.0 * 128 * 3000,
                 best_of(matrix_forward, b, (int)matmul_tasks(192, 3000, &tuned)));
    report_flops("matrix input 192 128 3000", 192.0 * 128 * 3000,
                 best_of(matrix_input, b, (int)matmul_tasks(192, 128, &tuned)));
    report_flops("matrix weight 192 128 3000", 192.0 * 128 * 3000,
                 best_of(matrix_weight, b, (int)matmul_tasks(3000, 128, &tuned)));
    report_flops("matrix forward 192 2048 2048", 192.0 * 2048 * 2048,
                 best_of(matrix_deep, b, (int)matmul_tasks(192, 2048, &tuned)));
  }
  if (strstr("loss", wanted)) {
    report_bytes("loss sinkhorn_prototypes 64 3000", 64.0 * 3000 * 4,
                 best_of(sinkhorn_step, b, (int)column_tasks(3000)));
    report_bytes("loss swapped_prediction 6x32 3000", 192.0 * 3000 * 4,
                 best_of(swapped_rows, b, (int)loss_rows_tasks(192)));
    report_bytes("loss swapped backward 6x32 3000", 192.0 * 3000 * 4,
                 best_of(swapped_backward, b, (int)loss_rows_tasks(192)));
  }
  if (strstr("update", wanted)) {
    report_bytes("update sgd 400000", 5 * 1.6e6, best_of(optimizer, b, (int)pointwise_tasks(400000, &tuned)));
    report_bytes("update larc_norms 400000", 2 * 1.6e6, best_of(norms, b, (int)pointwise_tasks(400000, &tuned)));
  }
  free(b.input), free(b.output), free(b.weights), free(b.packed), free(b.work);
}

int main(int argc, char **argv) {
  if (argc > 1) wanted = argv[1];
  measure_peak();
#define CALL(name, ...) bench_##name();
  CONVOLUTIONS(CALL)
  TENSORS(CALL)
  bench_rest();
  return 0;
}
