// Heads: products against plain loops in double precision, gradients against finite differences of the loss.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "runtime/evaluate/head.h"
#include "runtime/evaluate/matrix.h"
#include "runtime/random.h"

static float *numbers_make(SeerRandom *random, int64_t rows, int64_t width, int64_t pitch) {
  float *numbers = calloc((size_t)(rows * pitch), sizeof *numbers);
  assert_non_null(numbers);
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < width; j++) numbers[i * pitch + j] = (float)seer_random_normal(random);
  }
  return numbers;
}

static void products_check(int rows, int columns, int width) {
  SeerRandom random = seer_random_make(1, SEER_STREAM_HEAD, 0, 0, 0);
  int64_t pitch = seer_matrix_pitch(width), out_pitch = columns + 3;
  float *a = numbers_make(&random, rows, width, pitch), *b = numbers_make(&random, columns, width, pitch);
  float *weights = numbers_make(&random, rows, columns, out_pitch);
  float *out = numbers_make(&random, rows, out_pitch, out_pitch), *sums = numbers_make(&random, columns, 0, pitch);
  float outside = out[columns];
  seer_matrix_dots(a, b, pitch, rows, columns, out, out_pitch);
  seer_matrix_sums(a, pitch, rows, weights, out_pitch, columns, sums);
  assert_true(memcmp(&out[columns], &outside, sizeof outside) == 0);
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < columns; j++) {
      double sum = 0;
      for (int k = 0; k < width; k++) sum += (double)a[i * pitch + k] * (double)b[j * pitch + k];
      assert_true(fabs(sum - (double)out[i * out_pitch + j]) < 1e-5 * width);
    }
  }
  for (int j = 0; j < columns; j++) {
    for (int k = 0; k < pitch; k++) {
      double sum = 0;
      for (int i = 0; i < rows; i++) sum += (double)weights[i * out_pitch + j] * (double)a[i * pitch + k];
      assert_true(fabs(sum - (double)sums[j * pitch + k]) < 1e-5 * rows);
    }
  }
  free(a);
  free(b);
  free(weights);
  free(out);
  free(sums);
}

static void products_are_those_of_plain_loops(void **state) {
  (void)state;
  const int rows[] = {1, 4, 7, 33}, columns[] = {1, 5, 8}, widths[] = {1, 16, 30, 47, 1100, 2051};
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 3; j++) {
      for (int k = 0; k < 6; k++) products_check(rows[i], columns[j], widths[k]);
    }
  }
}

enum { CHANNELS = 3, CELLS = 4, WIDTH = CHANNELS * CELLS, CLASSES = 5, ROWS = 11 };

// All that is learnt, in one row: weight, bias, gamma, beta.
enum { BIAS = CLASSES * WIDTH, GAMMA = BIAS + CLASSES, BETA = GAMMA + CHANNELS, NUMBERS = BETA + CHANNELS };

static void numbers_gather(const SeerHead *head, double *numbers) {
  for (int i = 0; i < BIAS; i++) numbers[i] = (double)head->weight[i];
  for (int i = 0; i < CLASSES; i++) numbers[BIAS + i] = (double)head->bias[i];
  for (int i = 0; i < CHANNELS; i++) {
    numbers[GAMMA + i] = (double)head->gamma[i];
    numbers[BETA + i] = (double)head->beta[i];
  }
}

static double loss_of(const double *numbers, const float *features, const int32_t *labels) {
  double loss = 0, mean[CHANNELS], variance[CHANNELS];
  for (int c = 0; c < CHANNELS; c++) {
    mean[c] = variance[c] = 0;
    for (int i = 0; i < ROWS * CELLS; i++)
      mean[c] += (double)features[i / CELLS * WIDTH + c * CELLS + i % CELLS] / (ROWS * CELLS);
    for (int i = 0; i < ROWS * CELLS; i++)
      variance[c] += pow((double)features[i / CELLS * WIDTH + c * CELLS + i % CELLS] - mean[c], 2) / (ROWS * CELLS);
  }
  for (int i = 0; i < ROWS; i++) {
    double scores[CLASSES], sum = 0;
    for (int k = 0; k < CLASSES; k++) {
      scores[k] = numbers[BIAS + k];
      for (int j = 0; j < WIDTH; j++) {
        int c = j / CELLS;
        double x = ((double)features[i * WIDTH + j] - mean[c]) / sqrt(variance[c] + SEER_HEAD_EPSILON);
        scores[k] += numbers[k * WIDTH + j] * (x * numbers[GAMMA + c] + numbers[BETA + c]);
      }
      sum += exp(scores[k]);
    }
    loss += (log(sum) - scores[labels[i]]) / ROWS;
  }
  return loss;
}

static void gradients_are_finite_differences(void **state) {
  (void)state;
  SeerRandom random = seer_random_make(2, SEER_STREAM_HEAD, 0, 0, 0);
  float *features = numbers_make(&random, ROWS, WIDTH, WIDTH);
  int32_t labels[ROWS];
  int64_t rows[ROWS];
  for (int i = 0; i < ROWS; i++) {
    labels[i] = i % CLASSES;
    rows[i] = i;
  }
  SeerHead head;
  assert_int_equal(seer_head_make(&head, CHANNELS, CELLS, CLASSES, 3), SEER_OK);
  // Where every gradient is of some size: not the start, whose gamma is 1 and beta 0.
  for (int i = 0; i < CHANNELS; i++) {
    head.gamma[i] = 0.5f + (float)i;
    head.beta[i] = 0.3f - 0.4f * (float)i;
  }
  double before[NUMBERS], after[NUMBERS];
  numbers_gather(&head, before);
  const double rate = 1;
  const SeerHeadRecipe recipe = {.epochs = 1, .batch = ROWS};
  SeerHeadGroup group = {features, ROWS, 1, labels, rows, ROWS, 3, 1, &head, &rate};
  SeerPool *pool = seer_pool_make(2);
  assert_int_equal(seer_heads_train(&recipe, &group, 1, pool, NULL, NULL), SEER_OK);
  numbers_gather(&head, after);
  for (int i = 0; i < NUMBERS; i++) {
    const double step = 1e-5;
    double at = before[i];
    before[i] = at + step;
    double higher = loss_of(before, features, labels);
    before[i] = at - step;
    double lower = loss_of(before, features, labels);
    before[i] = at;
    // One step at rate 1 without momentum is the gradient; f32 on our side.
    assert_true(fabs((at - after[i]) - (higher - lower) / (2 * step)) < 2e-6);
  }
  seer_pool_release(pool);
  seer_head_release(&head);
  free(features);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_are_those_of_plain_loops),
      cmocka_unit_test(gradients_are_finite_differences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
