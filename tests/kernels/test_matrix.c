// Dense layers on lanes and on rows, sums over rows, rows of unit length and their gradient.
#include "support.h"

static const struct {
  int n, c, o;
} shapes[] = {{5, 7, 3}, {16, 52, 13}, {9, 130, 33}, {40, 1, 1}, {131, 300, 97}, {8, 257, 100}, {64, 24, 200}};

// y[n][o], dx[n][c], dw[o][c] of a dense layer, in double.
static void reference(int n, int c, int o, const double *x, const double *w, const double *dy, double *y, double *dx,
                      double *dw) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < o; j++)
      for (int64_t k = 0; k < c; k++) {
        y[i * o + j] += x[i * c + k] * w[j * c + k];
        dx[i * c + k] += dy[i * o + j] * w[j * c + k];
        dw[j * c + k] += dy[i * o + j] * x[i * c + k];
      }
}

typedef struct Dense {
  int n, c, o;
  double *x, *w, *dy, *y, *dx, *dw;
} Dense;

static Dense dense_make(int n, int c, int o) {
  Dense d = {n,
             c,
             o,
             doubles_make((int64_t)n * c),
             doubles_make((int64_t)o * c),
             doubles_make((int64_t)n * o),
             doubles_make((int64_t)n * o),
             doubles_make((int64_t)n * c),
             doubles_make((int64_t)o * c)};
  return d;
}

static void dense_release(Dense d) { free(d.x), free(d.w), free(d.dy), free(d.y), free(d.dx), free(d.dw); }

static void test_lanes(void **state) {
  (void)state;
  for (size_t s = 0; s < COUNT(shapes); s++) {
    const int n = shapes[s].n, c = shapes[s].c, o = shapes[s].o;
    float *x = random_lanes(n, 1, c, 1), *w = random_floats((int64_t)o * c, 2), *bias = random_floats(o, 3);
    float *dy = random_lanes(n, 1, o, 4), *y = lanes_make(n, 1, o), *dx = lanes_make(n, 1, c);
    float *dw = floats_make((int64_t)o * c), *db = floats_make(o);
    RUN_TASKS(linear_lanes_tasks(n, o, &tuned), linear_lanes(n, c, o, x, w, bias, y, task));
    RUN_TASKS(linear_lanes_backward_input_tasks(n, c, &tuned), linear_lanes_backward_input(n, c, o, dy, w, dx, task));
    RUN_TASKS(linear_lanes_backward_weight_tasks(o), linear_lanes_backward_weight(n, c, o, x, dy, dw, task));
    RUN_TASKS(sum_rows_lanes_tasks(o), sum_rows_lanes(n, o, dy, db, task));
    Dense d = dense_make(n, c, o);
    double *sums = doubles_make(o);
    for (int64_t i = 0; i < (int64_t)n * c; i++) d.x[i] = (double)x[lane_index(i / c, 0, i % c, 1, c)];
    for (int64_t i = 0; i < (int64_t)o * c; i++) d.w[i] = (double)w[i];
    for (int64_t i = 0; i < (int64_t)n * o; i++) {
      d.dy[i] = (double)dy[lane_index(i / o, 0, i % o, 1, o)];
      d.y[i] = (double)bias[i % o];
      sums[i % o] += d.dy[i];
    }
    reference(n, c, o, d.x, d.w, d.dy, d.y, d.dx, d.dw);
    check_lanes("y", y, d.y, n, 1, o, 2e-6);
    check_lanes("dx", dx, d.dx, n, 1, c, 2e-6);
    check_floats("dw", dw, d.dw, (int64_t)o * c, 2e-6);
    check_floats("db", db, sums, o, 1e-6);
    dense_release(d);
    free(sums), free(x), free(w), free(bias), free(dy), free(y), free(dx), free(dw), free(db);
  }
}

static void test_rows(void **state) {
  (void)state;
  for (size_t s = 0; s < COUNT(shapes); s++) {
    const int n = shapes[s].n, c = shapes[s].c, o = shapes[s].o;
    float *x = random_floats((int64_t)n * c, 1), *w = random_floats((int64_t)o * c, 2), *bias = random_floats(o, 3);
    float *dy = random_floats((int64_t)n * o, 4), *y = floats_make((int64_t)n * o), *dx = floats_make((int64_t)n * c);
    float *dw = floats_make((int64_t)o * c), *db = floats_make(o);
    RUN_TASKS(matmul_tasks(n, o, &tuned), linear_rows(n, c, o, x, w, bias, y, task));
    RUN_TASKS(matmul_tasks(n, c, &tuned), linear_rows_backward_input(n, c, o, dy, w, dx, task));
    RUN_TASKS(matmul_tasks(o, c, &tuned), linear_rows_backward_weight(n, c, o, x, dy, dw, task));
    RUN_TASKS(column_tasks(o), sum_rows_rows(n, o, dy, db, task));
    Dense d = dense_make(n, c, o);
    double *sums = doubles_make(o);
    for (int64_t i = 0; i < (int64_t)n * c; i++) d.x[i] = (double)x[i];
    for (int64_t i = 0; i < (int64_t)o * c; i++) d.w[i] = (double)w[i];
    for (int64_t i = 0; i < (int64_t)n * o; i++) {
      d.dy[i] = (double)dy[i];
      d.y[i] = (double)bias[i % o];
      sums[i % o] += d.dy[i];
    }
    reference(n, c, o, d.x, d.w, d.dy, d.y, d.dx, d.dw);
    check_floats("y", y, d.y, (int64_t)n * o, 2e-6);
    check_floats("dx", dx, d.dx, (int64_t)n * c, 2e-6);
    check_floats("dw", dw, d.dw, (int64_t)o * c, 2e-6);
    check_floats("db", db, sums, o, 1e-6);
    dense_release(d);
    free(sums), free(x), free(w), free(bias), free(dy), free(y), free(dx), free(dw), free(db);
  }
}

// The second row is zero, the third shorter than epsilon: both divide by epsilon.
static void test_l2_normalize(void **state) {
  (void)state;
  enum { N = 9, D = 130 };
  const double epsilon = 1e-3;
  float *x = random_floats(N * D, 1), *dy = random_floats(N * D, 2);
  float y[N * D], dx[N * D], norms[N];
  for (int i = 0; i < D; i++) x[D + i] = 0, x[2 * D + i] *= 1e-5f;
  RUN_TASKS(row_tasks(N, D, &tuned), l2_normalize(N, D, epsilon, x, y, norms, task));
  RUN_TASKS(row_tasks(N, D, &tuned), l2_normalize_backward(N, D, epsilon, dy, y, norms, dx, task));
  double want_y[N * D], want_dx[N * D], want_norms[N];
  for (int row = 0; row < N; row++) {
    double norm = 0, dot = 0;
    for (int i = 0; i < D; i++) norm += (double)x[row * D + i] * (double)x[row * D + i];
    want_norms[row] = norm = sqrt(norm);
    const double by = norm > epsilon ? norm : epsilon;
    for (int i = 0; i < D; i++) want_y[row * D + i] = (double)x[row * D + i] / by;
    for (int i = 0; i < D; i++) dot += want_y[row * D + i] * (double)dy[row * D + i];
    for (int i = 0; i < D; i++)
      want_dx[row * D + i] = ((double)dy[row * D + i] - (norm > epsilon ? want_y[row * D + i] * dot : 0)) / by;
  }
  check_floats("norms", norms, want_norms, N, 1e-6);
  for (int row = 0; row < N; row++) {
    check_floats("y", y + row * D, want_y + row * D, D, 1e-6);
    check_floats("dx", dx + row * D, want_dx + row * D, D, 1e-6);
  }
  free(x), free(dy);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lanes), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_l2_normalize)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
