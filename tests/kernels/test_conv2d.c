// Convolution kernels, forward and both gradients, against direct loops in double precision, over shapes that reach
// every path: strides, paddings, odd batches, groups of 1 and of sizes that fill no tile, splits of the weight
// gradient; each with every view of its operands.
#include "support.h"

#include <stdbool.h>

typedef struct ConvShape {
  int n, h, w, c, o, k, stride, pad, groups;
} ConvShape;

// Shapes that reach every path, and, behind them, random ones.
static const ConvShape listed[] = {
    {5, 7, 6, 3, 10, 3, 2, 1, 1},    {16, 5, 5, 24, 24, 3, 1, 1, 3},    {9, 6, 7, 24, 24, 3, 2, 1, 1},
    {8, 3, 3, 16, 16, 3, 1, 1, 2},   {3, 9, 4, 6, 6, 3, 1, 1, 6},       {3, 8, 5, 9, 9, 3, 2, 1, 3},
    {11, 4, 4, 40, 12, 1, 1, 0, 1},  {20, 6, 6, 13, 7, 1, 2, 0, 1},     {17, 1, 1, 300, 9, 1, 1, 0, 1},
    {2, 13, 11, 4, 6, 5, 1, 2, 1},   {2, 12, 12, 4, 8, 4, 4, 0, 2},     {33, 3, 3, 20, 20, 3, 1, 1, 10},
    {1, 2, 150, 3, 5, 3, 1, 1, 1},   {4, 5, 6, 75, 150, 3, 2, 1, 1},    {40, 2, 2, 70, 70, 1, 1, 0, 1},
    {3, 9, 9, 8, 8, 3, 3, 1, 4},     {7, 6, 6, 12, 8, 2, 2, 0, 4},      {8, 20, 20, 8, 12, 1, 1, 0, 1},
    {2, 16, 16, 3, 8, 7, 2, 3, 1},   {1, 5, 5, 373, 373, 3, 1, 1, 1},   {2, 4, 4, 8, 8, 1, 1, 0, 2},
    {1, 3, 200, 40, 24, 3, 1, 1, 1}, {18, 2, 3, 8, 530, 1, 1, 0, 1},    {2, 9, 9, 530, 24, 1, 2, 0, 1},
    {3, 40, 3, 1, 1, 3, 1, 1, 1},    {2, 3, 3, 1010, 1010, 3, 1, 1, 1}, {2, 7, 5, 12, 12, 1, 1, 1, 1},
    {1, 2, 700, 9, 9, 3, 2, 1, 3},   {2, 9, 17, 4, 4, 9, 1, 4, 2},      {3, 5, 5, 4, 6, 3, 4, 1, 2},
    {1, 7, 7, 320, 768, 1, 2, 0, 1},
};
#ifndef RANDOM_SHAPES
#define RANDOM_SHAPES 300
#endif
#ifndef MOST_PRODUCTS
#define MOST_PRODUCTS INT64_MAX  // of a shape that is tried
#endif
enum { LISTED = sizeof listed / sizeof *listed, RANDOM = RANDOM_SHAPES, WINOGRAD = 30 };

static int draw(uint64_t *state, int low, int high) {
  return low + (int)((random_value(state) + 1) / 2 * (high - low + 1));
}

// Wide groups of 3 x 3 taps: images of odd and even size; groups of whole tiles of outputs and not.
static ConvShape winograd_shape(uint64_t seed) {
  static const int widths[] = {16, 17, 24, 32, 56, 112};
  ConvShape s = {.k = 3, .stride = 1, .pad = 1, .groups = draw(&seed, 1, 3), .n = draw(&seed, 1, 20)};
  const int inputs = draw(&seed, 0, 5), outputs = draw(&seed, 0, 1) ? inputs : draw(&seed, 0, 3);
  s.h = draw(&seed, 3, 9), s.w = draw(&seed, 3, inputs < 3 ? 28 : 11);
  if (inputs > 3) s.groups = 1, s.n = draw(&seed, 1, 3);
  s.c = s.groups * widths[inputs], s.o = s.groups * widths[outputs];
  return s;
}

static ConvShape shape_at(int index) {
  if (index < LISTED) return listed[index];
  uint64_t seed = (uint64_t)index * 7919;
  if (index >= LISTED + RANDOM) return winograd_shape(seed);
  for (;;) {
    ConvShape s = {.n = draw(&seed, 1, 20), .h = draw(&seed, 1, 9), .w = draw(&seed, 1, 9)};
    s.groups = draw(&seed, 0, 1) ? 1 : draw(&seed, 1, 6);
    s.c = s.groups * draw(&seed, 1, 26), s.o = s.groups * draw(&seed, 1, 26);
    s.k = draw(&seed, 0, 2) ? 2 * draw(&seed, 0, 1) + 1 : draw(&seed, 1, 4);
    s.stride = draw(&seed, 1, 3), s.pad = draw(&seed, 0, s.k / 2);
    if (s.h + 2 * s.pad >= s.k && s.w + 2 * s.pad >= s.k) return s;
  }
}

static int out_size(int size, ConvShape s) { return (size + 2 * s.pad - s.k) / s.stride + 1; }

static int64_t products_of(ConvShape s) {
  return (int64_t)s.n * out_size(s.h, s) * out_size(s.w, s) * s.o * (s.c / s.groups) * s.k * s.k;
}

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

static double *images_to_doubles(const Element *x, int64_t n, int64_t pixels, int64_t c) {
  double *y = doubles_make(n * pixels * c);
  for (int64_t i = 0; i < n; i++)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t j = 0; j < c; j++) y[(i * pixels + p) * c + j] = element_value(x[lane_index(i, p, j, pixels, c)]);
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
  double size = 0;  // means are as good as what they are means of
  for (int64_t i = 0; i < count * s.o; i++) size = fmax(size, fabs(y[i]));
  for (int64_t i = 0; i < s.o; i++)
    check_value("mean", i, (double)mean[i], m[i], size, 2e-6 + ELEMENT_ERROR + PRODUCT_ERROR);
  check_floats("variance", variance, v, s.o, 1e-5 + 4 * ELEMENT_ERROR + 4 * PRODUCT_ERROR);
  free(m), free(v);
}

#define SHAPE s.n, s.h, s.w, s.c, s.o, s.k, s.stride, s.pad, s.groups

static int is_winograd(ConvShape s) {
  return conv2d_is_winograd(s.h, s.w, s.c, s.o, s.k, s.stride, s.pad, s.groups, &tuned);
}

// A tensor and what its view makes of it.
typedef struct Seen {
  Element *x, *raw;
  float *scale, *factors;
  double *seen;  // [n][pixels][c]
} Seen;

static double seen_value(int view, Seen s, int64_t n, int64_t pixels, int64_t c, int64_t image, int64_t pixel,
                         int64_t channel) {
  const int64_t at = lane_index(image, pixel, channel, pixels, c);
  const float *f = s.factors + channel;
  const double x = element_value(s.x[at]);
  (void)n;
  if (view == VIEW_PLAIN) return x;
  if (view == VIEW_GRADIENT)
    return ((element_value(s.raw[at]) - (double)f[0]) * (double)f[c] + (double)f[2 * c] + x) * (double)f[3 * c];
  const double y = fmax((x - (double)f[0]) * (double)f[c] + (double)f[2 * c], 0);
  return view == VIEW_SCALED ? y * (double)s.scale[lane_index(image, 0, channel, 1, c)] : y;
}

static Seen seen_make(int view, int64_t n, int64_t pixels, int64_t c, uint64_t seed) {
  Seen s = {.x = random_images(n, pixels, c, seed), .factors = random_floats(4 * c, seed + 1)};
  s.raw = random_images(n, pixels, c, seed + 2), s.scale = random_lanes(n, 1, c, seed + 3);
  s.seen = doubles_make(n * pixels * c);
  for (int64_t i = 0; i < n * pixels * c; i++)
    s.seen[i] = seen_value(view, s, n, pixels, c, i / c / pixels, i / c % pixels, i % c);
  return s;
}

static void seen_release(Seen s) { free(s.x), free(s.raw), free(s.scale), free(s.factors), free(s.seen); }

static int64_t in_pixels(ConvShape s) { return (int64_t)s.h * s.w; }
static int64_t out_pixels(ConvShape s) { return (int64_t)out_size(s.h, s) * out_size(s.w, s); }
static int64_t weights_of(ConvShape s) { return (int64_t)s.o * (s.c / s.groups) * s.k * s.k; }

static void check_forward(ConvShape s, int view) {
  Seen in = seen_make(view, s.n, in_pixels(s), s.c, 1);
  float *w = random_floats(weights_of(s), 2);
  Element *y = images_make(s.n, out_pixels(s), s.o);
  const int winograd = is_winograd(s);
  float *packed = floats_make(conv2d_packed_floats(s.c, s.o, s.k, s.groups, winograd, &tuned));
  const int parts = (int)conv2d_statistics_parts(s.n, s.h, s.w, s.o, s.k, s.stride, s.pad, s.groups, &tuned);
  float *statistics = floats_make(statistics_workspace_floats(parts, s.o));
  float *mean = floats_make(s.o), *variance = floats_make(s.o);
  RUN_TASKS(conv2d_pack_tasks(s.c, s.o, s.k, s.groups, winograd, &tuned),
            conv2d_pack(s.c, s.o, s.k, s.groups, winograd, w, packed, task));
  RUN_TASKS(conv2d_forward_tasks(SHAPE, &tuned),
            conv2d_forward(SHAPE, view, in.x, in.factors, in.scale, packed, y, statistics, task));
  RUN_TASKS(statistics_fold_tasks(s.o), statistics_fold(parts, s.o, statistics, mean, variance, task));
  double *dw = to_doubles(w, weights_of(s)), *want = doubles_make(s.n * out_pixels(s) * s.o);
  for_each_product(s, visit_forward, in.seen, dw, want);
  check_images("y", y, want, s.n, out_pixels(s), s.o, 2e-6 + PRODUCT_ERROR);
  check_statistics(s, want, mean, variance);
  seen_release(in);
  free(w), free(packed), free(y), free(statistics), free(mean), free(variance), free(dw), free(want);
}

static void check_backward_input(ConvShape s, int view, bool adds) {
  Seen dy = seen_make(view, s.n, out_pixels(s), s.o, 3);
  float *w = random_floats(weights_of(s), 4);
  Element *add = random_images(s.n, in_pixels(s), s.c, 5), *dx = images_make(s.n, in_pixels(s), s.c);
  const int winograd = is_winograd(s);
  float *packed = floats_make(conv2d_packed_backward_floats(s.c, s.o, s.k, s.groups, winograd, &tuned));
  RUN_TASKS(conv2d_pack_backward_tasks(s.c, s.o, s.k, s.groups, winograd, &tuned),
            conv2d_pack_backward(s.c, s.o, s.k, s.stride, s.groups, winograd, w, packed, task));
  RUN_TASKS(conv2d_backward_input_tasks(SHAPE, &tuned),
            conv2d_backward_input(SHAPE, view, dy.x, dy.raw, dy.factors, packed, adds ? add : NULL, dx, task));
  double *want = adds ? images_to_doubles(add, s.n, in_pixels(s), s.c) : doubles_make(s.n * in_pixels(s) * s.c);
  double *rw = to_doubles(w, weights_of(s));
  for_each_product(s, visit_input, want, rw, dy.seen);
  check_images("dx", dx, want, s.n, in_pixels(s), s.c, 2e-6 + PRODUCT_ERROR);
  seen_release(dy);
  free(w), free(add), free(packed), free(dx), free(want), free(rw);
}

static void check_backward_weight(ConvShape s, int x_view, int dy_view) {
  Seen dy = seen_make(dy_view, s.n, out_pixels(s), s.o, 5), x = seen_make(x_view, s.n, in_pixels(s), s.c, 6);
  float *dw = floats_make(weights_of(s));
  float *workspace = floats_make(conv2d_backward_weight_workspace_floats(SHAPE, &tuned));
  RUN_TASKS(conv2d_backward_weight_tasks(SHAPE, &tuned),
            conv2d_backward_weight(SHAPE, x_view, dy_view, x.x, x.factors, x.scale, dy.x, dy.raw, dy.factors, dw,
                                   workspace, task));
  RUN_TASKS(conv2d_fold_weight_tasks(SHAPE, &tuned), conv2d_fold_weight(SHAPE, workspace, dw, task));
  double *want = doubles_make(weights_of(s));
  for_each_product(s, visit_weight, x.seen, want, dy.seen);
  check_floats("dw", dw, want, weights_of(s), 4e-6 + PRODUCT_ERROR);
  seen_release(dy), seen_release(x);
  free(dw), free(workspace), free(want);
}

// The next shape that is tried, from number *index on; false: there is none.
static bool next_shape(int *index, ConvShape *shape) {
  while (*index < LISTED + RANDOM + WINOGRAD) {
    *shape = shape_at((*index)++);
    if (products_of(*shape) <= MOST_PRODUCTS) return true;
  }
  return false;
}

static void test_forward(void **state) {
  (void)state;
  ConvShape shape;
  for (int i = 0; next_shape(&i, &shape);)
    for (int view = VIEW_PLAIN; view <= VIEW_SCALED; view++) check_forward(shape, view);
}

static void test_backward_input(void **state) {
  (void)state;
  ConvShape shape;
  for (int i = 0; next_shape(&i, &shape);) {
    check_backward_input(shape, VIEW_PLAIN, false);
    check_backward_input(shape, VIEW_GRADIENT, false);
    check_backward_input(shape, VIEW_GRADIENT, true);
  }
}

static void test_backward_weight(void **state) {
  (void)state;
  ConvShape shape;
  for (int i = 0; next_shape(&i, &shape) && i <= LISTED + RANDOM;)
    for (int view = VIEW_PLAIN; view <= VIEW_SCALED; view++) {
      check_backward_weight(shape, view, VIEW_PLAIN);
      check_backward_weight(shape, view, VIEW_GRADIENT);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_backward_input),
                                     cmocka_unit_test(test_backward_weight)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
