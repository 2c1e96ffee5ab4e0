// Optimizer and state: SGD, LARC with each of its exceptions, accumulation, running statistics, the queue, unit rows.
#include "support.h"

#include "runtime/narrow.h"

enum { COUNT_MOST = 40000 };

typedef struct Step {
  double momentum, decay, trust, epsilon;
  int larc, clip, nesterov;
  float rate;
} Step;

static void reference_step(Step s, int64_t count, const float *p, const float *g, const float *v, double *np,
                           double *nv) {
  double ps = 0, gs = 0, ratio = 1, decay = s.decay;
  for (int64_t i = 0; i < count; i++) ps += (double)p[i] * (double)p[i], gs += (double)g[i] * (double)g[i];
  ps = sqrt(ps), gs = sqrt(gs);
  if (s.larc) {
    decay = 0;
    if (ps != 0 && gs != 0) {
      ratio = s.trust * ps / (gs + s.decay * ps + s.epsilon);
      if (s.clip) ratio = fmin(ratio / (double)s.rate, 1);
      decay = s.decay;
    }
  }
  for (int64_t i = 0; i < count; i++) {
    const double d = ((double)g[i] + decay * (double)p[i]) * ratio;
    nv[i] = s.momentum * (double)v[i] + d;
    np[i] = (double)p[i] - (double)s.rate * (s.nesterov ? d + s.momentum * nv[i] : nv[i]);
  }
}

static void check_step(Step s, int64_t count, int zero_gradient, int in_place) {
  float *p = random_floats(count, 1), *g = random_floats(count, 2), *v = random_floats(count, 3);
  float *np = in_place ? p : floats_make(count), *nv = in_place ? v : floats_make(count);
  double *wp = doubles_make(count), *wv = doubles_make(count);
  if (zero_gradient)
    for (int64_t i = 0; i < count; i++) g[i] = 0;
  reference_step(s, count, p, g, v, wp, wv);
  if (s.larc) {
    float *work = floats_make(larc_workspace_floats(count, count, &tuned));
    RUN_TASKS(larc_norms_tasks(count, count, &tuned), larc_norms(count, count, p, g, work, task));
    RUN_TASKS(pointwise_tasks(count, &tuned),
              larc_update(count, pointwise_tasks(count, &tuned), 2, s.momentum, s.decay, s.trust, s.epsilon, s.clip,
                          s.nesterov, p, g, v, &s.rate, NULL, work, np, nv, task));
    free(work);
  } else {
    RUN_TASKS(pointwise_tasks(count, &tuned),
              sgd_update(count, s.momentum, s.decay, s.nesterov, p, g, v, &s.rate, NULL, np, nv, task));
  }
  check_floats("parameter", np, wp, count, 2e-6);
  check_floats("velocity", nv, wv, count, 2e-6);
  if (!in_place) free(np), free(nv);
  free(p), free(g), free(v), free(wp), free(wv);
}

static void test_steps(void **state) {
  (void)state;
  const Step steps[] = {
      {0.9, 1e-4, 0, 0, 0, 0, 0, 0.3f},
      {0.9, 1e-2, 0, 0, 0, 0, 1, 0.1f},
      {0, 0, 0, 0, 0, 0, 0, 0.1f},
      {0.9, 1e-6, 0.001, 1e-8, 1, 0, 0, 0.6f},
      {0.9, 1e-6, 0.001, 1e-8, 1, 1, 0, 0.6f},
      {0.9, 1e-1, 5, 1e-8, 1, 1, 1, 1e-3f},
  };
  const int64_t counts[] = {1, 13, 5000, COUNT_MOST};
  for (size_t i = 0; i < COUNT(steps); i++)
    for (size_t j = 0; j < COUNT(counts); j++) {
      check_step(steps[i], counts[j], 0, 0);
      check_step(steps[i], counts[j], 0, 1);
      check_step(steps[i], counts[j], 1, 1);
    }
}

// The norms of a whole tensor, by parts, and of its parts one by one, filled up with zeros: the same bits.
static void test_norms_of_parts(void **state) {
  (void)state;
  const int64_t counts[] = {1, 18, 1000, COUNT_MOST};
  for (size_t i = 0; i < COUNT(counts); i++)
    for (int64_t ranks = 1; ranks <= 7; ranks += 3) {
      const int64_t count = counts[i], part = size_ceil(size_ceil(count, ranks), 16) * 16, padded = part * ranks;
      float *p = floats_make(padded), *g = floats_make(padded), *values = random_floats(2 * count, 1);
      for (int64_t j = 0; j < padded; j++) p[j] = g[j] = 0;
      memcpy(p, values, (size_t)count * sizeof(float)), memcpy(g, values + count, (size_t)count * sizeof(float));
      float *work = floats_make(larc_workspace_floats(padded, part, &tuned)), *whole = floats_make(4 * ranks), one[4];
      RUN_TASKS(larc_norms_tasks(count, part, &tuned), larc_norms(count, part, p, g, work, task));
      RUN_TASKS(larc_parts(count, part), larc_fold(part, work, whole, task));
      for (int64_t rank = 0; rank < larc_parts(count, part); rank++) {
        const float *rp = p + rank * part, *rg = g + rank * part;
        RUN_TASKS(larc_norms_tasks(part, part, &tuned), larc_norms(part, part, rp, rg, work, task));
        RUN_TASKS(1, larc_fold(part, work, one, task));
        assert_memory_equal(one, whole + 4 * rank, sizeof one);
      }
      free(p), free(g), free(values), free(work), free(whole);
    }
}

static void test_average_of_parts(void **state) {
  (void)state;
  enum { PARTS = 3, PART = TUNED_task_floats + 32 };
  float *all = random_floats(PARTS * PART, 1), *y = floats_make(PART);
  double *want = doubles_make(PART);
  for (int i = 0; i < PART; i++) want[i] = ((double)all[i] + (double)all[PART + i] + (double)all[2 * PART + i]) / 3;
  RUN_TASKS(pointwise_tasks(PART, &tuned), average_parts(PARTS, PART, all, y, task));
  check_floats("average", y, want, PART, 6e-8);
  RUN_TASKS(pointwise_tasks(PART, &tuned), average_parts(PARTS, PART, all, all, task));
  assert_memory_equal(all, y, PART * sizeof(float));
  free(all), free(y), free(want);
}

// The nearest of 16 bits, of two equally near ones the even one; what is too large is infinite.
static void test_narrow(void **state) {
  (void)state;
  for (int format = SEER_FP16; format <= SEER_BF16; format++) {
    for (uint64_t at = 0; at <= UINT32_MAX; at += 40503) {
      const float x = seer_bits_float((uint32_t)at);
      const uint16_t narrow = seer_narrow((SeerFormat)format, x);
      const double back = (double)seer_widen((SeerFormat)format, narrow);
      if (isnan(x) || isinf(x) || isinf(back)) {
        assert_true(!isnan(x) == !isnan(back) && !signbit(x) == !signbit(back));
        assert_true(isnan(x) || fabs((double)x) > (double)seer_format_largest((SeerFormat)format));
        continue;
      }
      const double off = fabs((double)x - back);
      for (int step = -1; step <= 1; step += 2) {
        if ((narrow & 0x7FFF) == 0 && step < 0) continue;
        const double other = fabs((double)x - (double)seer_widen((SeerFormat)format, (uint16_t)(narrow + step)));
        assert_true(off < other || (off == other && narrow % 2 == 0));
      }
    }
    for (uint32_t half = 0; half < 65536; half++) {
      const float wide = seer_widen((SeerFormat)format, (uint16_t)half);
      if (!isnan(wide)) assert_int_equal(seer_narrow((SeerFormat)format, wide), half);
    }
  }
}

static void test_average_of_narrow_parts(void **state) {
  (void)state;
  enum { PARTS = 3, PART = TUNED_task_floats + 32, COUNT = PARTS * PART - 40 };
  for (int format = SEER_FP16; format <= SEER_BF16; format++) {
    float *all = random_floats(PARTS * PART, 1), *y = floats_make(PART);
    double *want = doubles_make(PART);
    for (int p = 0; p < PARTS; p++)
      for (int i = 0; i < PART; i++) {
        const SeerFormat f = (SeerFormat)format;
        want[i] += p * PART + i < COUNT ? (double)seer_widen(f, seer_narrow(f, all[p * PART + i])) / PARTS : 0;
      }
    RUN_TASKS(PARTS, narrow_parts(COUNT, PART, format, all, task));
    RUN_TASKS(pointwise_tasks(PART, &tuned), average_narrow_parts(PARTS, PART, format, 0, all, y, task));
    check_floats("average", y, want, PART, 6e-8);
    RUN_TASKS(1, average_narrow_parts(PARTS, PART, format, 1, all, all, task));
    assert_memory_equal(all, y, PART * sizeof(float));
    free(all), free(y), free(want);
  }
}

static void test_inactive(void **state) {
  (void)state;
  enum { N = 100 };
  float *p = random_floats(N, 1), *g = random_floats(N, 2), *v = random_floats(N, 3), np[N], nv[N], work[4];
  const float rate = 0.1f, off = 0.0f;
  sgd_update(N, 0.9, 0.1, 0, p, g, v, &rate, &off, np, nv, 0);
  for (int i = 0; i < N; i++) assert_true(np[i] == p[i] && nv[i] == v[i]);
  larc_update(N, 1, 2, 0.9, 0.1, 0.001, 1e-8, 1, 0, p, g, v, &rate, &off, work, np, nv, 0);
  for (int i = 0; i < N; i++) assert_true(np[i] == p[i] && nv[i] == v[i]);
  larc_update(N, 1, 2, 0.9, 0.1, 0.001, 1e-8, 1, 0, p, g, v, &rate, &off, work, p, v, 0);
  for (int i = 0; i < N; i++) assert_true(np[i] == p[i] && nv[i] == v[i]);
  free(p), free(g), free(v);
}

static void test_accumulate(void **state) {
  (void)state;
  enum { N = TUNED_task_floats + 5 };
  float *a = random_floats(N, 1), *g = random_floats(N, 2), *y = floats_make(N);
  double *want = doubles_make(N);
  const float restarts[] = {0.0f, 1.0f};
  for (int j = 0; j < 3; j++) {
    for (int i = 0; i < N; i++) want[i] = (j == 2 ? 0 : (double)a[i]) + 0.25 * (double)g[i];
    RUN_TASKS(pointwise_tasks(N, &tuned), accumulate(N, 0.25, a, g, j == 0 ? NULL : &restarts[j - 1], y, task));
    check_floats("accumulated", y, want, N, 1e-7);
  }
  for (int i = 0; i < N; i++) want[i] = 0.9 * (double)a[i] + 0.1 * (double)g[i] * 1.25;
  RUN_TASKS(pointwise_tasks(N, &tuned), running_update(N, 0.1, 1.25, a, g, a, task));
  check_floats("running", a, want, N, 2e-7);
  free(a), free(g), free(y), free(want);
}

static void test_queue(void **state) {
  (void)state;
  enum { Q = 300, D = 65 };
  const int pushes[] = {7, 300, 400};
  float *queue = random_floats(Q * D, 1), *rows = random_floats(400 * D, 2), *y = floats_make(Q * D);
  for (size_t j = 0; j < COUNT(pushes); j++) {
    const int b = pushes[j];
    RUN_TASKS(row_tasks(Q, D, &tuned), queue_push(Q, b, D, queue, rows, y, task));
    for (int i = 0; i < Q * D; i++) assert_true(y[i] == (i / D < b ? rows[i] : queue[i - b * D]));
  }
  free(queue), free(rows), free(y);
}

static void test_normalize_rows(void **state) {
  (void)state;
  enum { K = 300, D = 128 };
  float *w = random_floats(K * D, 1), *y = floats_make(K * D);
  for (int i = 0; i < D; i++) w[5 * D + i] = 0;
  RUN_TASKS(row_tasks(K, D, &tuned), normalize_rows(K, D, w, y, task));
  for (int row = 0; row < K; row++) {
    double norm = 0;
    for (int i = 0; i < D; i++) norm += (double)w[row * D + i] * (double)w[row * D + i];
    for (int i = 0; i < D; i++)
      check_value("row", row, (double)y[row * D + i], norm > 0 ? (double)w[row * D + i] / sqrt(norm) : 0, 1, 2e-7);
  }
  free(w), free(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps),
                                     cmocka_unit_test(test_norms_of_parts),
                                     cmocka_unit_test(test_average_of_parts),
                                     cmocka_unit_test(test_narrow),
                                     cmocka_unit_test(test_average_of_narrow_parts),
                                     cmocka_unit_test(test_inactive),
                                     cmocka_unit_test(test_accumulate),
                                     cmocka_unit_test(test_queue),
                                     cmocka_unit_test(test_normalize_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
