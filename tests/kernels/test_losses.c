// Sinkhorn against the released iteration in double precision (and where single precision would underflow), swapped
// prediction and cross-entropy with their gradients.
#include "support.h"

// Codes [b][k] of the released algorithm on b + q rows, in long double.
static void reference_sinkhorn(int b, int q, int k, double epsilon, int iterations, const float *scores,
                               const float *queue, double *codes) {
  const int rows = b + q;
  long double *m = calloc((size_t)rows * (size_t)k, sizeof(long double)), top = -1e30L, total = 0;
  assert_non_null(m);
  for (int i = 0; i < rows * k; i++) {
    m[i] = (long double)(i < b * k ? scores[i] : queue[i - b * k]) / (long double)epsilon;
    top = m[i] > top ? m[i] : top;
  }
  for (int i = 0; i < rows * k; i++) total += m[i] = expl(m[i] - top);
  for (int i = 0; i < rows * k; i++) m[i] /= total;
  for (int step = 0; step < iterations; step++) {
    for (int j = 0; j < k; j++) {
      long double sum = 0;
      for (int i = 0; i < rows; i++) sum += m[i * k + j];
      for (int i = 0; i < rows; i++) m[i * k + j] /= sum * k;
    }
    for (int i = 0; i < rows; i++) {
      long double sum = 0;
      for (int j = 0; j < k; j++) sum += m[i * k + j];
      for (int j = 0; j < k; j++) m[i * k + j] /= sum * rows;
    }
  }
  for (int i = 0; i < b; i++) {
    long double sum = 0;
    for (int j = 0; j < k; j++) sum += m[i * k + j];
    for (int j = 0; j < k; j++) codes[i * k + j] = (double)(m[i * k + j] / sum);
  }
  free(m);
}

static void run_sinkhorn(int b, int q, int k, double epsilon, int iterations, int hard, const float *scores,
                         const float *queue, const float *active, float *codes) {
  float *work = floats_make(sinkhorn_workspace_floats(b, q, k));
  for (int i = 0; i < iterations; i++) {
    RUN_TASKS(sinkhorn_prototypes_tasks(k),
              sinkhorn_prototypes(b, q, k, epsilon, i == 0, scores, queue, active, work, task));
    if (i < iterations - 1) {
      RUN_TASKS(sinkhorn_samples_tasks(b, q), sinkhorn_samples(b, q, k, epsilon, scores, queue, active, work, task));
    }
  }
  RUN_TASKS(sinkhorn_codes_tasks(b), sinkhorn_codes(b, k, epsilon, iterations, hard, scores, work, codes, task));
  free(work);
}

static void check_sinkhorn(int b, int q, int k, double epsilon, int iterations, float queue_active) {
  float *scores = random_floats((int64_t)b * k, 1), *queue = random_floats((int64_t)q * k, 2);
  float *codes = floats_make((int64_t)b * k);
  double *want = doubles_make((int64_t)b * k);
  run_sinkhorn(b, q, k, epsilon, iterations, 0, scores, q ? queue : NULL, q ? &queue_active : NULL, codes);
  reference_sinkhorn(b, queue_active != 0.0f ? q : 0, k, epsilon, iterations, scores, queue, want);
  check_floats("codes", codes, want, (int64_t)b * k, epsilon < 0.02 ? 5e-5 : 1e-5);
  run_sinkhorn(b, q, k, epsilon, iterations, 1, scores, q ? queue : NULL, q ? &queue_active : NULL, codes);
  for (int i = 0; i < b; i++) {
    int best = 0, ones = 0, chosen = 0;
    for (int j = 0; j < k; j++) {
      if (want[i * k + j] > want[i * k + best]) best = j;
      if (codes[i * k + j] == 1.0f) chosen = j;
      ones += codes[i * k + j] == 1.0f;
      assert_true(codes[i * k + j] == 1.0f || codes[i * k + j] == 0.0f);
    }
    assert_int_equal(ones, 1);
    check_value("chosen", i, want[i * k + chosen], want[i * k + best], 0, 1e-4);  // ties are decided by rounding
  }
  free(scores), free(queue), free(codes), free(want);
}

// Samples dealt to ranks get the codes of all samples together.
static void check_sinkhorn_ranks(int ranks, int b, int k, double epsilon, int iterations) {
  float *scores = random_floats((int64_t)ranks * b * k, 5), *codes = floats_make((int64_t)ranks * b * k);
  double *want = doubles_make((int64_t)ranks * b * k);
  const int64_t work_floats = sinkhorn_workspace_floats(b, 0, k);
  float *work = floats_make(ranks * work_floats), *all = floats_make((int64_t)ranks * k);
  for (int i = 0; i < iterations; i++) {
    for (int rank = 0; rank < ranks; rank++) {
      float *mine = work + rank * work_floats;
      RUN_TASKS(sinkhorn_prototypes_tasks(k),
                sinkhorn_prototypes(b, 0, k, epsilon, i == 0, scores + rank * b * k, NULL, NULL, mine, task));
      for (int j = 0; j < k; j++) all[rank * k + j] = mine[j];
    }
    for (int rank = 0; rank < ranks; rank++) {
      float *mine = work + rank * work_floats;
      RUN_TASKS(sinkhorn_prototypes_tasks(k), sinkhorn_fold_ranks(ranks, k, all, mine, task));
      if (i + 1 < iterations)
        RUN_TASKS(sinkhorn_samples_tasks(b, 0),
                  sinkhorn_samples(b, 0, k, epsilon, scores + rank * b * k, NULL, NULL, mine, task));
    }
  }
  for (int rank = 0; rank < ranks; rank++)
    RUN_TASKS(sinkhorn_codes_tasks(b), sinkhorn_codes(b, k, epsilon, iterations, 0, scores + rank * b * k,
                                                      work + rank * work_floats, codes + rank * b * k, task));
  reference_sinkhorn(ranks * b, 0, k, epsilon, iterations, scores, NULL, want);
  check_floats("codes over ranks", codes, want, (int64_t)ranks * b * k, 3e-5);
  free(scores), free(codes), free(want), free(work), free(all);
}

static void test_sinkhorn_ranks(void **state) {
  (void)state;
  check_sinkhorn_ranks(2, 6, 100, 0.05, 3);
  check_sinkhorn_ranks(3, 5, 67, 0.05, 3);
  check_sinkhorn_ranks(8, 4, 33, 0.01, 5);
}

static void test_sinkhorn(void **state) {
  (void)state;
  check_sinkhorn(12, 0, 100, 0.05, 3, 0);
  check_sinkhorn(9, 0, 67, 0.05, 0, 0);
  check_sinkhorn(10, 23, 70, 0.05, 3, 1);
  check_sinkhorn(10, 23, 70, 0.05, 3, 0);
  check_sinkhorn(40, 0, 5, 0.03, 10, 0);
  check_sinkhorn(8, 0, 33, 0.004, 3, 0);  // exp of scores spans 500 powers of e
}

static double log_sum(int k, double factor, const float *x) {
  double top = -1e300, sum = 0;
  for (int i = 0; i < k; i++) top = (double)x[i] * factor > top ? (double)x[i] * factor : top;
  for (int i = 0; i < k; i++) sum += exp((double)x[i] * factor - top);
  return top + log(sum);
}

static void check_swapped(int b, int k, int crops, int assign_crops, double temperature) {
  const int rows = crops * b;
  float *scores = random_floats((int64_t)rows * k, 1), *codes = random_floats((int64_t)assign_crops * b * k, 2);
  float *work = floats_make(loss_workspace_floats(rows)), *gradient = floats_make((int64_t)rows * k), loss;
  for (int i = 0; i < assign_crops * b * k; i++) codes[i] = (codes[i] + 1) / (float)k;
  RUN_TASKS(loss_rows_tasks(rows),
            swapped_prediction_rows(b, k, crops, assign_crops, temperature, scores, codes, work, task));
  loss_fold(rows, work, &loss, 0);
  RUN_TASKS(loss_rows_tasks(rows),
            swapped_prediction_backward(b, k, crops, assign_crops, temperature, scores, codes, gradient, task));
  double want = 0, *dwant = doubles_make((int64_t)rows * k);
  const double weight = 1.0 / ((double)assign_crops * (crops - 1) * b);
  for (int set = 0; set < assign_crops; set++)
    for (int row = 0; row < rows; row++) {
      if (row / b == set) continue;
      const float *s = scores + row * k, *code = codes + (set * b + row % b) * k;
      const double total = log_sum(k, 1 / temperature, s);
      double mass = 0;
      for (int j = 0; j < k; j++) mass += (double)code[j];
      for (int j = 0; j < k; j++) {
        const double logp = (double)s[j] / temperature - total;
        want -= weight * (double)code[j] * logp;
        dwant[row * k + j] += weight / temperature * (mass * exp(logp) - (double)code[j]);
      }
    }
  check_value("loss", 0, (double)loss, want, 0, 2e-6);
  check_floats("dscores", gradient, dwant, (int64_t)rows * k, 1e-5);
  free(scores), free(codes), free(work), free(gradient), free(dwant);
}

static void test_swapped_prediction(void **state) {
  (void)state;
  check_swapped(6, 300, 5, 2, 0.1);
  check_swapped(3, 9, 2, 2, 0.07);
  check_swapped(5, 40, 3, 1, 0.1);
}

static void check_cross_entropy(int n, int label_count, int k, double smoothing) {
  float *logits = random_floats((int64_t)n * k, 1), *work = floats_make(loss_workspace_floats(n)), loss;
  float *gradient = floats_make((int64_t)n * k);
  int32_t *labels = malloc((size_t)label_count * sizeof *labels);
  assert_non_null(labels);
  for (int i = 0; i < n * k; i++) logits[i] *= 30.0f;
  for (int i = 0; i < label_count; i++) labels[i] = i * 7 % k;
  RUN_TASKS(loss_rows_tasks(n), softmax_cross_entropy_rows(n, label_count, k, smoothing, logits, labels, work, task));
  loss_fold(n, work, &loss, 0);
  RUN_TASKS(loss_rows_tasks(n),
            softmax_cross_entropy_backward(n, label_count, k, smoothing, logits, labels, gradient, task));
  double want = 0, *dwant = doubles_make((int64_t)n * k);
  for (int row = 0; row < n; row++)
    for (int j = 0; j < k; j++) {
      const double logp = (double)logits[row * k + j] - log_sum(k, 1, logits + row * k);
      const double target = smoothing / k + (j == labels[row % label_count] ? 1 - smoothing : 0);
      want -= target * logp / n;
      dwant[row * k + j] = (exp(logp) - target) / n;
    }
  check_value("loss", 0, (double)loss, want, 0, 2e-6);
  check_floats("dlogits", gradient, dwant, (int64_t)n * k, 5e-6);
  free(logits), free(work), free(gradient), free(labels), free(dwant);
}

static void test_cross_entropy(void **state) {
  (void)state;
  check_cross_entropy(10, 10, 100, 0);
  check_cross_entropy(3, 3, 7, 0.1);
  check_cross_entropy(5, 5, 1000, 0.1);
  check_cross_entropy(12, 4, 9, 0.2);
}

static void test_count_assignments(void **state) {
  (void)state;
  enum { B = 21, K = 130 };
  float *codes = random_floats(B * K, 1), usage[K];
  double want[K] = {0};
  for (int i = 0; i < B * K; i++) want[i % K] += (double)codes[i];
  RUN_TASKS(column_tasks(K), count_assignments(B, K, codes, usage, task));
  check_floats("usage", usage, want, K, 1e-6);
  free(codes);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sinkhorn), cmocka_unit_test(test_sinkhorn_ranks),
                                     cmocka_unit_test(test_swapped_prediction), cmocka_unit_test(test_cross_entropy),
                                     cmocka_unit_test(test_count_assignments)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
