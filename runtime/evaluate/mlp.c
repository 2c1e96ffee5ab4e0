// Training heads with a hidden layer; see mlp.h.
#include "runtime/evaluate/mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/matrix.h"
#include "runtime/random.h"

enum { LANE_START, LANE_DROPOUT, PREDICT_ROWS = 64 };

typedef struct Parts {
  float *first, *first_bias, *last, *last_bias;
} Parts;

static Parts parts_of(const SeerMlp *mlp, float *numbers) {
  float *bias = numbers + (int64_t)mlp->hidden * mlp->pitch;
  return (Parts){numbers, bias, bias + mlp->hidden, bias + 2 * (int64_t)mlp->hidden};
}

SeerStatus seer_mlp_make(SeerMlp *mlp, int64_t width, int hidden, uint64_t seed) {
  *mlp = (SeerMlp){.width = width, .pitch = seer_matrix_pitch(width), .hidden = hidden};
  mlp->count = hidden * mlp->pitch + 2 * (int64_t)hidden + 1;
  mlp->numbers = calloc((size_t)mlp->count, sizeof *mlp->numbers);
  if (!mlp->numbers) return seer_fail(SEER_MACHINE, "no memory for a head of %d x %lld", hidden, (long long)width);
  SeerRandom random = seer_random_make(seed, SEER_STREAM_HEAD, 0, 0, LANE_START);
  Parts parts = parts_of(mlp, mlp->numbers);
  double deviation = sqrt(2 / (double)width), bound = 1 / sqrt((double)hidden);
  for (int i = 0; i < hidden; i++) {
    for (int64_t j = 0; j < width; j++)
      parts.first[i * mlp->pitch + j] = (float)(deviation * seer_random_normal(&random));
  }
  for (int i = 0; i < hidden; i++) parts.last[i] = (float)seer_random_between(&random, -bound, bound);
  return SEER_OK;
}

void seer_mlp_release(SeerMlp *mlp) {
  free(mlp->numbers);
  *mlp = (SeerMlp){.numbers = NULL};
}

SeerStatus seer_mlp_scratch_make(const SeerMlp *mlp, int rows, SeerMlpScratch *scratch) {
  size_t n = (size_t)rows, hidden = (size_t)mlp->hidden;
  *scratch = (SeerMlpScratch){calloc(n * hidden, sizeof(float)), calloc(n * hidden, sizeof(float)),
                              calloc(n, sizeof(float)), calloc(n, sizeof(float))};
  if (scratch->hidden && scratch->by_hidden && scratch->scores && scratch->by_score) return SEER_OK;
  seer_mlp_scratch_release(scratch);
  return seer_fail(SEER_MACHINE, "no memory for a batch of %d", rows);
}

void seer_mlp_scratch_release(SeerMlpScratch *scratch) {
  free(scratch->hidden);
  free(scratch->by_hidden);
  free(scratch->scores);
  free(scratch->by_score);
  *scratch = (SeerMlpScratch){.hidden = NULL};
}

// Hidden units and scores of a batch.
static void batch_forward(const SeerMlp *mlp, const float *inputs, int rows, const float *keep,
                          SeerMlpScratch *scratch) {
  Parts parts = parts_of(mlp, mlp->numbers);
  int hidden = mlp->hidden;
  seer_matrix_dots(inputs, parts.first, mlp->pitch, rows, hidden, scratch->hidden, hidden);
  for (int i = 0; i < rows; i++) {
    float *units = scratch->hidden + (int64_t)i * hidden, score = *parts.last_bias;
    for (int j = 0; j < hidden; j++) {
      units[j] += parts.first_bias[j];
      units[j] = (units[j] > 0 ? units[j] : 0) * (keep ? keep[(int64_t)i * hidden + j] : 1);
      score += units[j] * parts.last[j];
    }
    scratch->scores[i] = score;
  }
}

static double logistic(double score) { return 1 / (1 + exp(-score)); }

double seer_mlp_gradient(const SeerMlp *mlp, const float *inputs, const int32_t *labels, int rows, const float *keep,
                         SeerMlpScratch *scratch, float *gradient) {
  Parts parts = parts_of(mlp, mlp->numbers), by = parts_of(mlp, gradient);
  int hidden = mlp->hidden;
  batch_forward(mlp, inputs, rows, keep, scratch);
  memset(by.first_bias, 0, ((size_t)hidden * 2 + 1) * sizeof(float));
  double loss = 0;
  for (int i = 0; i < rows; i++) {
    double score = (double)scratch->scores[i];
    // log(1 + exp(-|s|)) never overflows.
    loss += (score > 0 ? score : 0) - score * labels[i] + log1p(exp(-fabs(score)));
    float by_score = (float)((logistic(score) - labels[i]) / rows);
    const float *units = scratch->hidden + (int64_t)i * hidden;
    float *by_units = scratch->by_hidden + (int64_t)i * hidden;
    *by.last_bias += by_score;
    for (int j = 0; j < hidden; j++) {
      by.last[j] += by_score * units[j];
      // A unit that was dropped, or not above zero, passes nothing on.
      by_units[j] = units[j] > 0 ? by_score * parts.last[j] * (keep ? keep[(int64_t)i * hidden + j] : 1) : 0;
      by.first_bias[j] += by_units[j];
    }
  }
  seer_matrix_sums(inputs, mlp->pitch, rows, scratch->by_hidden, hidden, hidden, by.first);
  return loss / rows;
}

typedef struct Adam {
  float *first, *second;  // moments of all numbers
  double step;
} Adam;

static void adam_step(SeerMlp *mlp, Adam *adam, const float *gradient, double rate, double decay) {
  const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  int64_t bias = mlp->hidden * mlp->pitch;
  adam->step++;
  double scale = rate / (1 - pow(beta1, adam->step)), root = 1 / sqrt(1 - pow(beta2, adam->step));
  float keep = (float)(1 - rate * decay), b1 = (float)beta1, b2 = (float)beta2, s = (float)scale, r = (float)root;
  for (int64_t i = 0; i < mlp->count; i++) {
    bool is_weight = i < bias || (i >= bias + mlp->hidden && i < mlp->count - 1);
    float g = gradient[i];
    adam->first[i] = b1 * adam->first[i] + (1 - b1) * g;
    adam->second[i] = b2 * adam->second[i] + (1 - b2) * g * g;
    float step = s * adam->first[i] / (sqrtf(adam->second[i]) * r + (float)epsilon);
    mlp->numbers[i] = mlp->numbers[i] * (is_weight ? keep : 1) - step;
  }
}

// Which hidden units count for each row of a step: by the place of the step alone.
static void keep_draw(const SeerMlp *mlp, const SeerMlpRecipe *recipe, uint64_t seed, int epoch, int64_t first,
                      int rows, float *keep) {
  SeerRandom random = seer_random_make(seed, SEER_STREAM_HEAD, (uint32_t)epoch, (uint64_t)first, LANE_DROPOUT);
  uint32_t below = (uint32_t)(recipe->dropout * 4294967295.0);
  float kept = (float)(1 / (1 - recipe->dropout));
  for (int64_t i = 0; i < (int64_t)rows * mlp->hidden; i++) keep[i] = seer_random_word(&random) < below ? 0 : kept;
}

typedef struct MlpRun {
  float *batch, *keep, *gradient;
  int32_t *labels;
  SeerMlpScratch scratch;
  Adam adam;
} MlpRun;

static void run_release(MlpRun *run) {
  free(run->batch);
  free(run->keep);
  free(run->gradient);
  free(run->labels);
  free(run->adam.first);
  free(run->adam.second);
  seer_mlp_scratch_release(&run->scratch);
}

static SeerStatus run_make(const SeerMlp *mlp, int rows, MlpRun *run) {
  size_t n = (size_t)rows, count = (size_t)mlp->count;
  *run = (MlpRun){.batch = calloc(n * (size_t)mlp->pitch, sizeof(float)),
                  .keep = calloc(n * (size_t)mlp->hidden, sizeof(float)),
                  .gradient = calloc(count, sizeof(float)),
                  .labels = calloc(n, sizeof(int32_t)),
                  .adam = {.first = calloc(count, sizeof(float)), .second = calloc(count, sizeof(float))}};
  SeerStatus status = seer_mlp_scratch_make(mlp, rows, &run->scratch);
  if (status || (run->batch && run->keep && run->gradient && run->labels && run->adam.first && run->adam.second))
    return status;
  return seer_fail(SEER_MACHINE, "no memory to train a head of %d x %lld", mlp->hidden, (long long)mlp->width);
}

// Rows first..end-1 of the epoch's order.
static SeerStatus step_run(SeerMlp *mlp, const SeerMlpRecipe *recipe, uint64_t seed, const float *inputs,
                           const int32_t *labels, int64_t count, int epoch, int64_t first, int rows, double rate,
                           MlpRun *run) {
  for (int i = 0; i < rows; i++) {
    int64_t row = seer_permutation(seed, (uint32_t)epoch, count, first + i);
    memcpy(run->batch + i * mlp->pitch, inputs + row * mlp->pitch, (size_t)mlp->pitch * sizeof(float));
    run->labels[i] = labels[row];
  }
  bool drops = recipe->dropout > 0;
  if (drops) keep_draw(mlp, recipe, seed, epoch, first, rows, run->keep);
  double loss =
      seer_mlp_gradient(mlp, run->batch, run->labels, rows, drops ? run->keep : NULL, &run->scratch, run->gradient);
  if (!isfinite(loss))
    return seer_fail(SEER_INPUT,
                     "with learning rate %g the loss is no longer finite in epoch %d\n"
                     "note: ask for a smaller one with --learning-rates",
                     recipe->rate, epoch + 1);
  adam_step(mlp, &run->adam, run->gradient, rate, recipe->weight_decay);
  return SEER_OK;
}

SeerStatus seer_mlp_train(SeerMlp *mlp, const SeerMlpRecipe *recipe, uint64_t seed, const float *inputs,
                          const int32_t *labels, int64_t count) {
  const double pi = 3.14159265358979323846;
  int64_t steps = (count + recipe->batch - 1) / recipe->batch, done = 0;
  MlpRun run;
  SeerStatus status = run_make(mlp, recipe->batch, &run);
  for (int epoch = 0; epoch < recipe->epochs && !status; epoch++) {
    for (int64_t step = 0; step < steps && !status; step++, done++) {
      int64_t first = step * count / steps, end = (step + 1) * count / steps;
      double rate = recipe->rate * (1 + cos(pi * (double)done / (double)(steps * recipe->epochs))) / 2;
      status = step_run(mlp, recipe, seed, inputs, labels, count, epoch, first, (int)(end - first), rate, &run);
    }
  }
  run_release(&run);
  return status;
}

SeerStatus seer_mlp_predict(const SeerMlp *mlp, const float *inputs, int64_t count, float *probabilities) {
  SeerMlpScratch scratch;
  SeerStatus status = seer_mlp_scratch_make(mlp, PREDICT_ROWS, &scratch);
  for (int64_t first = 0; first < count && !status; first += PREDICT_ROWS) {
    int rows = count - first < PREDICT_ROWS ? (int)(count - first) : PREDICT_ROWS;
    batch_forward(mlp, inputs + first * mlp->pitch, rows, NULL, &scratch);
    for (int i = 0; i < rows; i++) {
      probabilities[first + i] = (float)logistic((double)scratch.scores[i]);
      if (!isfinite(probabilities[first + i]))
        status = seer_fail(SEER_INPUT, "a head's score is no longer finite\nnote: ask for a smaller learning rate");
    }
  }
  seer_mlp_scratch_release(&scratch);
  return status;
}
