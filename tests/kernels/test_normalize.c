// Batch normalisation: statistics far from zero, affine map with residual and ReLU, gradients, lanes and rows.
#include "support.h"

typedef struct NormShape {
  int n, h, w, c;
} NormShape;

static const NormShape shapes[] = {{5, 3, 3, 7},    {16, 6, 5, 24}, {9, 1, 1, 130},
                                   {8, 20, 20, 12}, {40, 2, 2, 65}, {1, 5, 7, 3}};

enum { CHANNELS_MOST = 160 };

typedef struct Channels {
  float gamma[CHANNELS_MOST], beta[CHANNELS_MOST], mean[CHANNELS_MOST], variance[CHANNELS_MOST];
} Channels;

static Channels random_channels(int c) {
  Channels r;
  uint64_t seed = 11;
  for (int i = 0; i < c; i++) {
    r.gamma[i] = (float)(1 + 0.5 * random_value(&seed));
    r.beta[i] = (float)random_value(&seed);
    r.mean[i] = (float)(0.2 * random_value(&seed));
    r.variance[i] = (float)(0.4 + 0.2 * random_value(&seed));
  }
  return r;
}

// value(image, pixel, channel) of a lane tensor, in double.
static double value_at(const Element *x, NormShape s, int64_t i, int64_t channel) {
  int64_t pixels = (int64_t)s.h * s.w;
  return element_value(x[lane_index(i / pixels, i % pixels, channel, pixels, s.c)]);
}

static void reference_statistics(const Element *x, NormShape s, double *mean, double *variance) {
  const int64_t count = (int64_t)s.n * s.h * s.w;
  for (int c = 0; c < s.c; c++) {
    double m = 0, v = 0;
    for (int64_t i = 0; i < count; i++) m += value_at(x, s, i, c) / (double)count;
    for (int64_t i = 0; i < count; i++) v += (value_at(x, s, i, c) - m) * (value_at(x, s, i, c) - m) / (double)count;
    mean[c] = m, variance[c] = v;
  }
}

static void test_statistics(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(shapes); i++) {
    const NormShape s = shapes[i];
    Element *x = random_images(s.n, (int64_t)s.h * s.w, s.c, 1);
    for (int64_t j = 0; j < lane_tensor_floats(s.n, s.h, s.w, s.c, &tuned); j++)
      x[j] = element_of(element_value(x[j]) * 0.01 + 100);
    const int parts = (int)batch_statistics_parts(s.n, s.h, s.w, s.c, &tuned);
    float *work = floats_make(statistics_workspace_floats(parts, s.c)), mean[CHANNELS_MOST], variance[CHANNELS_MOST];
    RUN_TASKS(lane_tasks(s.n, s.h, s.w, s.c, &tuned), batch_statistics(s.n, s.h, s.w, s.c, x, work, task));
    RUN_TASKS(statistics_fold_tasks(s.c), statistics_fold(parts, s.c, work, mean, variance, task));
    double m[CHANNELS_MOST], v[CHANNELS_MOST];
    reference_statistics(x, s, m, v);
    check_floats("mean", mean, m, s.c, 1e-7);
    for (int c = 0; c < s.c; c++) check_value("variance", c, (double)variance[c], v[c], 1e-12, 1e-5);
    free(x), free(work);
  }
}

static void test_normalize(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(shapes) * 4; i++) {
    const NormShape s = shapes[i / 4];
    const int relu_set = (int)(i & 1), with_residual = (int)(i >> 1 & 1);
    const int64_t pixels = (int64_t)s.h * s.w;
    Element *x = random_images(s.n, pixels, s.c, 1), *residual = random_images(s.n, pixels, s.c, 2);
    Element *y = images_make(s.n, pixels, s.c);
    const Channels p = random_channels(s.c);
    RUN_TASKS(lane_tasks(s.n, s.h, s.w, s.c, &tuned),
              batch_normalize(s.n, s.h, s.w, s.c, 1e-5, relu_set, x, p.gamma, p.beta, p.mean, p.variance,
                              with_residual ? residual : NULL, y, task));
    double *want = doubles_make(s.n * pixels * s.c);
    for (int64_t j = 0; j < s.n * pixels; j++)
      for (int c = 0; c < s.c; c++) {
        double v = (value_at(x, s, j, c) - (double)p.mean[c]) / sqrt((double)p.variance[c] + 1e-5) * (double)p.gamma[c];
        v += (double)p.beta[c] + (with_residual ? value_at(residual, s, j, c) : 0);
        want[j * s.c + c] = relu_set && v < 0 ? 0 : v;
      }
    check_images("y", y, want, s.n, pixels, s.c, 1e-6);
    free(x), free(residual), free(y), free(want);
  }
}

// Reference gradient of rows of values x, dz [count][c].
static void reference_backward(int64_t count, int c, const double *dz, const double *x, Channels p, double *dx,
                               double *dgamma, double *dbeta) {
  for (int j = 0; j < c; j++) {
    const double deviation = sqrt((double)p.variance[j] + 1e-5);
    dgamma[j] = dbeta[j] = 0;
    for (int64_t i = 0; i < count; i++) {
      dbeta[j] += dz[i * c + j];
      dgamma[j] += dz[i * c + j] * (x[i * c + j] - (double)p.mean[j]) / deviation;
    }
    for (int64_t i = 0; i < count; i++)
      dx[i * c + j] = (double)p.gamma[j] / deviation *
                      (dz[i * c + j] - dbeta[j] / (double)count -
                       (x[i * c + j] - (double)p.mean[j]) / deviation * dgamma[j] / (double)count);
  }
}

static void check_backward(NormShape s, int with_relu, int keep_masked) {
  const int64_t pixels = (int64_t)s.h * s.w, count = s.n * pixels;
  Element *x = random_images(s.n, pixels, s.c, 1), *dy = random_images(s.n, pixels, s.c, 2);
  Element *y = random_images(s.n, pixels, s.c, 3), *dx = images_make(s.n, pixels, s.c);
  Element *masked = images_make(s.n, pixels, s.c);
  float *work = floats_make(batch_norm_backward_workspace_floats(s.n, s.h, s.w, s.c, &tuned));
  const Channels p = random_channels(s.c);
  float dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
  const int tasks = (int)sum_tasks(s.n, s.h, s.w, s.c, &tuned);
  if (with_relu) {
    RUN_TASKS(tasks, batch_norm_relu_backward_sums(s.n, s.h, s.w, s.c, dy, y, x, p.mean, keep_masked ? masked : NULL,
                                                   work, task));
  } else {
    RUN_TASKS(tasks, batch_norm_backward_sums(s.n, s.h, s.w, s.c, dy, x, p.mean, work, task));
  }
  RUN_TASKS(batch_norm_backward_fold_tasks(s.c),
            batch_norm_backward_fold(s.n, s.h, s.w, s.c, 1e-5, p.variance, work, dgamma, dbeta, task));
  RUN_TASKS(lane_tasks(s.n, s.h, s.w, s.c, &tuned),
            batch_norm_backward_input(s.n, s.h, s.w, s.c, 1e-5, with_relu && keep_masked ? masked : dy,
                                      with_relu && !keep_masked ? y : NULL, x, p.gamma, p.mean, p.variance, dgamma,
                                      dbeta, dx, task));
  double *dz = doubles_make(count * s.c), *rx = doubles_make(count * s.c), *want = doubles_make(count * s.c);
  double wg[CHANNELS_MOST], wb[CHANNELS_MOST];
  for (int64_t i = 0; i < count * s.c; i++) {
    rx[i] = value_at(x, s, i / s.c, i % s.c);
    dz[i] = with_relu && value_at(y, s, i / s.c, i % s.c) <= 0 ? 0 : value_at(dy, s, i / s.c, i % s.c);
  }
  reference_backward(count, s.c, dz, rx, p, want, wg, wb);
  check_floats("dgamma", dgamma, wg, s.c, 3e-6);
  check_floats("dbeta", dbeta, wb, s.c, 3e-6);
  check_images("dx", dx, want, s.n, pixels, s.c, 2e-6);
  if (with_relu && keep_masked) check_images("masked", masked, dz, s.n, pixels, s.c, 0);
  free(x), free(dy), free(y), free(dx), free(masked), free(work), free(dz), free(rx), free(want);
}

// dz by way of the view, with a scale and a pooled gradient or without, and the gradient as its view's readers see it.
static void check_view(NormShape s, int scaled) {
  const int64_t pixels = (int64_t)s.h * s.w, count = s.n * pixels;
  Element *x = random_images(s.n, pixels, s.c, 1), *dy = random_images(s.n, pixels, s.c, 2);
  float *scale = random_lanes(s.n, 1, s.c, 3), *pooled = random_lanes(s.n, 1, s.c, 4);
  float *work = floats_make(batch_norm_backward_workspace_floats(s.n, s.h, s.w, s.c, &tuned));
  float *seen = floats_make(3 * s.c), *factors = floats_make(4 * s.c);
  const Channels p = random_channels(s.c);
  float dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
  double *dz = doubles_make(count * s.c), *rx = doubles_make(count * s.c), *want = doubles_make(count * s.c);
  for (int64_t i = 0; i < count * s.c; i++) {
    const int64_t c = i % s.c, at = lane_index(i / s.c / pixels, 0, c, 1, s.c);
    rx[i] = value_at(x, s, i / s.c, c);
    const double y = (rx[i] - (double)p.mean[c]) / sqrt((double)p.variance[c] + 1e-5) * (double)p.gamma[c];
    dz[i] = value_at(dy, s, i / s.c, c);
    if (scaled) dz[i] = dz[i] * (double)scale[at] + (double)pooled[at] / (double)pixels;
    if (y + (double)p.beta[c] <= 0) dz[i] = 0;
  }
  RUN_TASKS(column_tasks(s.c), normalization_factors(s.c, 1e-5, p.gamma, p.beta, p.mean, p.variance, seen, task));
  RUN_TASKS(sum_tasks(s.n, s.h, s.w, s.c, &tuned),
            batch_norm_view_backward_sums(s.n, s.h, s.w, s.c, scaled, dy, x, seen, scale, pooled, dy, work, task));
  RUN_TASKS(batch_norm_backward_fold_tasks(s.c),
            batch_norm_backward_fold(s.n, s.h, s.w, s.c, 1e-5, p.variance, work, dgamma, dbeta, task));
  RUN_TASKS(column_tasks(s.c),
            gradient_factors(s.n, s.h, s.w, s.c, 1e-5, p.gamma, p.mean, p.variance, dgamma, dbeta, factors, task));
  double wg[CHANNELS_MOST], wb[CHANNELS_MOST];
  reference_backward(count, s.c, dz, rx, p, want, wg, wb);
  check_floats("dgamma", dgamma, wg, s.c, 3e-6);
  check_floats("dbeta", dbeta, wb, s.c, 3e-6);
  check_images("dz", dy, dz, s.n, pixels, s.c, 1e-6);
  for (int64_t i = 0; i < count * s.c; i++) {
    const float *f = factors + i % s.c;
    const double dx = ((rx[i] - (double)f[0]) * (double)f[s.c] + (double)f[2 * s.c] + dz[i]) * (double)f[3 * s.c];
    check_value("dx", i, dx, want[i], 1, 2e-6);
  }
  free(x), free(dy), free(scale), free(pooled), free(work), free(seen), free(factors), free(dz), free(rx), free(want);
}

static void test_views(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(shapes); i++) {
    check_view(shapes[i], 0);
    check_view(shapes[i], 1);
  }
}

static void test_backward(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(shapes); i++) {
    check_backward(shapes[i], 0, 0);
    check_backward(shapes[i], 1, 0);
    check_backward(shapes[i], 1, 1);
  }
}

static void check_rows(int n, int c, int relu_set) {
  float *x = random_floats((int64_t)n * c, 1), *dy = random_floats((int64_t)n * c, 2), *y = floats_make((int64_t)n * c);
  float *dx = floats_make((int64_t)n * c), *masked = floats_make((int64_t)n * c);
  Channels p = random_channels(c);
  float dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
  float *part = floats_make(statistics_workspace_floats(1, c));
  RUN_TASKS(column_tasks(c), batch_statistics_rows(n, c, x, part, task));
  RUN_TASKS(statistics_fold_tasks(c), statistics_fold(1, c, part, p.mean, p.variance, task));
  free(part);
  RUN_TASKS(column_tasks(c),
            batch_normalize_rows(n, c, 1e-5, relu_set, x, p.gamma, p.beta, p.mean, p.variance, NULL, y, task));
  RUN_TASKS(column_tasks(c), batch_norm_backward_sums_rows(n, c, 1e-5, dy, relu_set ? y : NULL, x, p.mean, p.variance,
                                                           dgamma, dbeta, masked, task));
  RUN_TASKS(column_tasks(c), batch_norm_backward_input_rows(n, c, 1e-5, dy, relu_set ? y : NULL, x, p.gamma, p.mean,
                                                            p.variance, dgamma, dbeta, dx, task));
  double *rx = doubles_make((int64_t)n * c), *dz = doubles_make((int64_t)n * c), *want = doubles_make((int64_t)n * c);
  double m[CHANNELS_MOST] = {0}, v[CHANNELS_MOST] = {0}, wg[CHANNELS_MOST], wb[CHANNELS_MOST];
  for (int i = 0; i < n * c; i++) rx[i] = (double)x[i], m[i % c] += rx[i] / n;
  for (int i = 0; i < n * c; i++) v[i % c] += (rx[i] - m[i % c]) * (rx[i] - m[i % c]) / n;
  check_floats("mean", p.mean, m, c, 1e-6);
  check_floats("variance", p.variance, v, c, 1e-6);
  for (int i = 0; i < n * c; i++) {
    want[i] = (rx[i] - m[i % c]) / sqrt(v[i % c] + 1e-5) * (double)p.gamma[i % c] + (double)p.beta[i % c];
    dz[i] = relu_set && want[i] <= 0 ? 0 : (double)dy[i];
    if (relu_set && want[i] < 0) want[i] = 0;
  }
  check_floats("y", y, want, (int64_t)n * c, 1e-6);
  check_floats("masked", masked, dz, (int64_t)n * c, 0);
  reference_backward(n, c, dz, rx, p, want, wg, wb);
  check_floats("dx", dx, want, (int64_t)n * c, 4e-6);
  check_floats("dgamma", dgamma, wg, c, 4e-6);
  check_floats("dbeta", dbeta, wb, c, 4e-6);
  free(x), free(dy), free(y), free(dx), free(masked), free(rx), free(dz), free(want);
}

// Rows dealt to ranks give the statistics, and the gradient, of all rows together.
static void check_ranks(int ranks, int n, int c) {
  const int64_t rows = (int64_t)ranks * n, span = ranks_span(c);
  float *x = random_floats(rows * c, 1), *dy = random_floats(rows * c, 2), *dx = floats_make(rows * c);
  float *all = floats_make(ranks * 2 * span);
  for (int64_t i = 0; i < rows * c; i++) x[i] += 1000.0f + (float)(i / c / n);  // far from zero, and from each other
  Channels p = random_channels(c);
  float mean[CHANNELS_MOST], variance[CHANNELS_MOST], dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
  const int64_t part_floats = statistics_workspace_floats(1, c);
  float *halves = floats_make(2 * part_floats), *parts = floats_make(ranks * part_floats);
  for (int rank = 0; rank < ranks; rank++) {
    const float *rows_of_rank = x + (int64_t)rank * n * c;
    RUN_TASKS(column_tasks(c), batch_statistics_rows(n / 2, c, rows_of_rank, halves, task));
    RUN_TASKS(column_tasks(c),
              batch_statistics_rows(n - n / 2, c, rows_of_rank + (int64_t)(n / 2) * c, halves + part_floats, task));
    RUN_TASKS(statistics_fold_tasks(c), statistics_join(2, c, halves, parts + rank * part_floats, task));
  }
  RUN_TASKS(statistics_fold_tasks(c), statistics_fold(ranks, c, parts, mean, variance, task));
  free(halves), free(parts);
  double *rx = doubles_make(rows * c), *dz = doubles_make(rows * c), *want = doubles_make(rows * c);
  double m[CHANNELS_MOST] = {0}, v[CHANNELS_MOST] = {0}, wg[CHANNELS_MOST], wb[CHANNELS_MOST];
  for (int64_t i = 0; i < rows * c; i++) rx[i] = (double)x[i], m[i % c] += rx[i] / (double)rows;
  for (int64_t i = 0; i < rows * c; i++) v[i % c] += (rx[i] - m[i % c]) * (rx[i] - m[i % c]) / (double)rows;
  check_floats("mean over ranks", mean, m, c, 1e-6);
  check_floats("variance over ranks", variance, v, c, 1e-6);
  for (int i = 0; i < c; i++) p.mean[i] = mean[i], p.variance[i] = variance[i];
  for (int rank = 0; rank < ranks; rank++) {
    float *mine = all + rank * 2 * span;
    const int64_t at = (int64_t)rank * n * c;
    RUN_TASKS(column_tasks(c), batch_norm_backward_sums_rows(n, c, 1e-5, dy + at, NULL, x + at, p.mean, p.variance,
                                                             mine, mine + span, NULL, task));
  }
  RUN_TASKS(batch_norm_backward_fold_tasks(c), sums_fold_ranks(ranks, c, all, dgamma, dbeta, task));
  for (int rank = 0; rank < ranks; rank++) {
    const int64_t at = (int64_t)rank * n * c;
    RUN_TASKS(column_tasks(c), batch_norm_backward_input_rows(n, c, 1e-5, dy + at, NULL, x + at, p.gamma, p.mean,
                                                              p.variance, dgamma, dbeta, dx + at, task));
  }
  for (int64_t i = 0; i < rows * c; i++) dz[i] = (double)dy[i];
  reference_backward(rows, c, dz, rx, p, want, wg, wb);
  for (int i = 0; i < c; i++) wg[i] /= ranks, wb[i] /= ranks;
  check_floats("dgamma over ranks", dgamma, wg, c, 4e-5);
  check_floats("dbeta over ranks", dbeta, wb, c, 4e-6);
  check_floats("dx over ranks", dx, want, rows * c, 4e-5);
  free(x), free(dy), free(dx), free(all), free(rx), free(dz), free(want);
}

static void test_ranks(void **state) {
  (void)state;
  check_ranks(2, 8, 70);
  check_ranks(3, 5, 1);
  check_ranks(8, 4, 33);
}

static void test_rows(void **state) {
  (void)state;
  check_rows(24, 130, 0);
  check_rows(7, 64, 1);
  check_rows(33, 3, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_statistics), cmocka_unit_test(test_normalize),
                                     cmocka_unit_test(test_backward),   cmocka_unit_test(test_views),
                                     cmocka_unit_test(test_rows),       cmocka_unit_test(test_ranks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
