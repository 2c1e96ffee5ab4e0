// Pictures into lanes, pointwise operations, scaling and pooling of channels, rows between layouts.
#include "support.h"

static void test_images(void **state) {
  (void)state;
  enum { N = 11, H = 5, W = 9 };
  uint8_t *images = malloc((size_t)N * H * W * 3);
  assert_non_null(images);
  for (int i = 0; i < N * H * W * 3; i++) images[i] = (uint8_t)(i * 37 % 256);
  Element *y = images_make(N, H * W, 3);
  const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
  RUN_TASKS(lane_tasks(N, H, W, 3, &tuned),
            normalize_images(N, H, W, mean[0], mean[1], mean[2], std[0], std[1], std[2], images, y, task));
  double *want = doubles_make(N * H * W * 3);
  for (int i = 0; i < N * H * W * 3; i++) want[i] = (images[i] / 255.0 - mean[i % 3]) / std[i % 3];
  check_images("y", y, want, N, H * W, 3, 1e-6);
  for (int image = N; image < (int)image_blocks(N, &tuned) * LANES; image++)
    for (int i = 0; i < H * W * 3; i++) assert_true(y[lane_index(image, i / 3, i % 3, H * W, 3)] == 0);
  free(images), free(y), free(want);
}

static void test_pointwise_ops(void **state) {
  (void)state;
  const int64_t counts[] = {1, 15, 4096, TUNED_task_floats, TUNED_task_floats * 2 + 13};
  for (size_t i = 0; i < COUNT(counts); i++) {
    const int64_t n = counts[i];
    float *a = random_floats(n, 1), *b = random_floats(n, 2), *y = floats_make(n);
    double *want = doubles_make(n);
    const int tasks = (int)pointwise_tasks(n, &tuned);
#define CHECK(call, expression, tolerance)           \
  RUN_TASKS(tasks, call);                            \
  for (int64_t j = 0; j < n; j++) {                  \
    const double p = (double)a[j], q = (double)b[j]; \
    (void)q;                                         \
    want[j] = (expression);                          \
  }                                                  \
  check_floats(#call, y, want, n, tolerance)
    CHECK(relu(n, a, y, task), p > 0 ? p : 0, 0);
    CHECK(relu_backward(n, a, b, y, task), q > 0 ? p : 0, 0);
    CHECK(sigmoid(n, a, y, task), 1 / (1 + exp(-p)), 3e-7);
    CHECK(sigmoid_backward(n, a, b, y, task), p * q * (1 - q), 3e-7);
    CHECK(add(n, a, b, y, task), p + q, 1e-7);
    CHECK(scale(n, 0.37, a, y, task), p * 0.37, 1e-7);
#undef CHECK
    RUN_TASKS(tasks, add(n, a, b, a, task));
    RUN_TASKS(tasks, relu(n, a, a, task));
    free(a), free(b), free(y), free(want);
  }
}

static void test_pointwise_images(void **state) {
  (void)state;
  const int64_t pixels = TUNED_task_floats / LANES + 3, n = pixels * LANES;
  const int tasks = (int)pointwise_tasks(n, &tuned);
  Element *a = random_images(LANES, pixels, 1, 1), *b = random_images(LANES, pixels, 1, 2);
  Element *y = images_make(LANES, pixels, 1);
  double *want = doubles_make(n);
#define CHECK(call, expression)                                          \
  RUN_TASKS(tasks, call);                                                \
  for (int64_t j = 0; j < n; j++) {                                      \
    const int64_t at = lane_index(j / pixels, j % pixels, 0, pixels, 1); \
    const double p = element_value(a[at]), q = element_value(b[at]);     \
    (void)q;                                                             \
    want[j] = (expression);                                              \
  }                                                                      \
  check_images(#call, y, want, LANES, pixels, 1, 1e-7)
  CHECK(relu_images(n, a, y, task), p > 0 ? p : 0);
  CHECK(relu_backward_images(n, a, b, y, task), q > 0 ? p : 0);
  CHECK(add_images(n, a, b, y, task), p + q);
#undef CHECK
  uint8_t *mask = malloc((size_t)n / 8);
  assert_non_null(mask);
  RUN_TASKS(tasks, positive_mask(n, a, mask, task));
  for (int64_t i = 0; i < n; i++) assert_int_equal(mask[i / 8] >> i % 8 & 1, element_value(a[i]) > 0);
  free(a), free(b), free(y), free(want), free(mask);
}

static void test_exp_range(void **state) {
  (void)state;
  for (float x = -100.0f; x < 88.0f; x += 0.0371f) {
    float got[LANES] __attribute__((aligned(64)));
    lanes_store(got, lanes_exp(lanes_splat(x)));
    const double want = x < -87.0f ? 0 : exp((double)x);
    for (int i = 0; i < LANES; i++) check_value("exp", (int64_t)x, (double)got[i], want, 0, 3e-7);
  }
  float got[LANES] __attribute__((aligned(64)));
  lanes_store(got, lanes_exp(lanes_splat(NAN)));
  assert_true(isnan(got[0]));
}

static void test_channels(void **state) {
  (void)state;
  const struct { int n, h, w, c; } shapes[] = {{5, 3, 4, 7}, {17, 2, 2, 40}, {8, 1, 1, 3}, {16, 12, 11, 18}};
  for (size_t i = 0; i < COUNT(shapes); i++) {
    const int n = shapes[i].n, h = shapes[i].h, w = shapes[i].w, c = shapes[i].c;
    const int64_t pixels = (int64_t)h * w;
    Element *x = random_images(n, pixels, c, 1), *dy = random_images(n, pixels, c, 3), *y = images_make(n, pixels, c);
    float *s = random_lanes(n, 1, c, 2), *small = lanes_make(n, 1, c), *factors = random_floats(3 * c, 4);
    double *large_want = doubles_make(n * pixels * c), *small_want = doubles_make((int64_t)n * c);
    RUN_TASKS(lane_tasks(n, h, w, c, &tuned), scale_channels(n, h, w, c, x, s, y, task));
#define EACH(target_large, target_small)                                               \
  for (int64_t j = 0; j < (int64_t)n * c; j++) small_want[j] = 0;                      \
  for (int64_t j = 0; j < n * pixels * c; j++) {                                       \
    const int64_t image = j / c / pixels, pixel = j / c % pixels, channel = j % c;     \
    const double vx = element_value(x[lane_index(image, pixel, channel, pixels, c)]);  \
    const double vd = element_value(dy[lane_index(image, pixel, channel, pixels, c)]); \
    const double vs = (double)s[lane_index(image, 0, channel, 1, c)];                  \
    const float *f = factors + channel;                                                \
    const double vy = fmax((vx - (double)f[0]) * (double)f[c] + (double)f[2 * c], 0);  \
    (void)vx, (void)vd, (void)vs, (void)vy;                                            \
    large_want[j] = (target_large);                                                    \
    small_want[image * c + channel] += (target_small);                                 \
  }
    EACH(vx * vs, 0)
    check_images("scale_channels", y, large_want, n, pixels, c, 1e-6);
    RUN_TASKS(channel_tasks(n, c, &tuned), scale_channels_backward(n, h, w, c, dy, x, s, y, small, task));
    EACH(vd * vs, vd * vx)
    check_images("dx", y, large_want, n, pixels, c, 1e-6);
    check_lanes("ds", small, small_want, n, 1, c, 1e-6);
    RUN_TASKS(channel_tasks(n, c, &tuned), pool_average(n, h, w, c, VIEW_PLAIN, x, NULL, small, task));
    EACH(vs / (double)pixels, vx / (double)pixels)
    check_lanes("pool", small, small_want, n, 1, c, 1e-6);
    RUN_TASKS(channel_tasks(n, c, &tuned), pool_average(n, h, w, c, VIEW_NORMALIZED, x, factors, small, task));
    EACH(0, vy / (double)pixels)
    check_lanes("pool of a view", small, small_want, n, 1, c, 1e-6);
    RUN_TASKS(channel_tasks(n, c, &tuned), scale_gradient(n, h, w, c, dy, x, factors, small, task));
    EACH(vs / (double)pixels, vd * vy)
    check_lanes("scale gradient", small, small_want, n, 1, c, 1e-6);
    RUN_TASKS(lane_tasks(n, h, w, c, &tuned), pool_average_backward(n, h, w, c, s, y, task));
    check_images("pool backward", y, large_want, n, pixels, c, 1e-6);
#undef EACH
    free(x), free(s), free(dy), free(y), free(small), free(factors), free(large_want), free(small_want);
  }
}

static void test_rows(void **state) {
  (void)state;
  enum { N = 19, M = 6, D = 37, ROWS = N + M };
  float *x = random_lanes(N, 1, D, 1), *second = random_floats(M * D, 2), *y = floats_make(ROWS * D);
  RUN_TASKS(row_tasks(N, D, &tuned), concat_rows_lanes(N, D, 0, x, y, task));
  RUN_TASKS(row_tasks(M, D, &tuned), concat_rows_rows(M, D, N, second, y, task));
  for (int i = 0; i < ROWS * D; i++)
    assert_true(y[i] == (i < N * D ? x[lane_index(i / D, 0, i % D, 1, D)] : second[i - N * D]));

  float *back = lanes_make(N, 1, D), *rows = floats_make(M * D), *padded = floats_make(ROWS * D);
  RUN_TASKS(image_blocks(N, &tuned), slice_rows_lanes(0, N, D, y, back, task));
  for (int image = 0; image < (int)image_blocks(N, &tuned) * LANES; image++)
    for (int i = 0; i < D; i++)
      assert_true(back[lane_index(image, 0, i, 1, D)] == (image < N ? y[image * D + i] : 0.0f));
  RUN_TASKS(row_tasks(M, D, &tuned), slice_rows_rows(N, ROWS, D, y, rows, task));
  for (int i = 0; i < M * D; i++) assert_true(rows[i] == second[i]);
  RUN_TASKS(row_tasks(ROWS, D, &tuned), pad_rows_rows(ROWS, 4, 4 + M, D, rows, padded, task));
  for (int i = 0; i < ROWS * D; i++) assert_true(padded[i] == (i / D >= 4 && i / D < 4 + M ? rows[i - 4 * D] : 0.0f));
  float *lanes = lanes_make(ROWS, 1, D);
  RUN_TASKS(image_blocks(ROWS, &tuned), pad_rows_lanes(ROWS, 4, 4 + M, D, rows, lanes, task));
  for (int i = 0; i < ROWS * D; i++) assert_true(lanes[lane_index(i / D, 0, i % D, 1, D)] == padded[i]);
  free(x), free(second), free(y), free(back), free(rows), free(padded), free(lanes);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_images),           cmocka_unit_test(test_pointwise_ops),
                                     cmocka_unit_test(test_pointwise_images), cmocka_unit_test(test_exp_range),
                                     cmocka_unit_test(test_channels),         cmocka_unit_test(test_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
