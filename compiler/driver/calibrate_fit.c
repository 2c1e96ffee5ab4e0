// The fit; see calibrate_fit.h. Times span five orders of magnitude: a sample weighs so that short ones count, but less
// than long ones, which make up a step. Non-negative least squares of at most three coefficients: every subset of them
// is tried. Outliers: weights are cut as by P. J. Huber, Robust Estimation of a Location Parameter, 1964.
#include "compiler/driver/calibrate_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS = 3, SUBSETS = 1 << TERMS, ROUNDS = 8, MEMORY_ROUNDS = 24, LEAST_CACHE_LOG2 = 20, MOST_CACHE_LOG2 = 28 };

static const double weight_exponent = -1.5;  // of seconds, for squares of seconds
static const double term_price = 0.02;       // by which a coefficient must lower the loss to be worth having
static const double least_spread = 0.02;     // relative: residuals below are no outliers
static const double memory_gain = 0.98;

// What is fitted: times of one kind, without what is already explained.
typedef struct Row {
  double terms[TERMS], seconds, whole_seconds, weight;
} Row;

// Solves the normal equations of the terms in `subset` by Gauss's elimination. False when they are singular.
static bool solve(double matrix[TERMS][TERMS + 1], unsigned subset, double *x) {
  for (int i = 0; i < TERMS; i++) {
    if (!(subset >> i & 1)) continue;
    if (matrix[i][i] < 1e-9) return false;
    for (int j = i + 1; j < TERMS; j++) {
      double factor = matrix[j][i] / matrix[i][i];
      for (int k = i; k <= TERMS && subset >> j & 1; k++) matrix[j][k] -= factor * matrix[i][k];
    }
  }
  for (int i = TERMS - 1; i >= 0; i--) {
    x[i] = 0;
    if (!(subset >> i & 1)) continue;
    double sum = matrix[i][TERMS];
    for (int k = i + 1; k < TERMS; k++) sum -= subset >> k & 1 ? matrix[i][k] * x[k] : 0;
    x[i] = sum / matrix[i][i];
  }
  return true;
}

// Root of the weighted mean square of each term, by which its column is scaled; 1 of a term that is zero throughout.
static void scales_find(const Row *rows, int count, double *scales) {
  for (int k = 0; k < TERMS; k++) {
    double sum = 0, weights = 0;
    for (int i = 0; i < count; i++) {
      sum += rows[i].weight * rows[i].terms[k] * rows[i].terms[k];
      weights += rows[i].weight;
    }
    scales[k] = sum > 0 ? sqrt(sum / weights) : 1;
  }
}

static double loss_of(const Row *rows, int count, const double *x) {
  double loss = 0;
  for (int i = 0; i < count; i++) {
    double residual = rows[i].seconds;
    for (int k = 0; k < TERMS; k++) residual -= rows[i].terms[k] * x[k];
    loss += rows[i].weight * residual * residual;
  }
  return loss;
}

static void normal_equations(const Row *rows, int count, const double *scales, unsigned subset,
                             double matrix[TERMS][TERMS + 1]) {
  memset(matrix, 0, sizeof(double[TERMS][TERMS + 1]));
  double weights = 0;
  for (int i = 0; i < count; i++) weights += rows[i].weight;
  for (int i = 0; i < count; i++) {
    double weight = rows[i].weight / weights;
    for (int a = 0; a < TERMS; a++) {
      double scaled = rows[i].terms[a] / scales[a];
      for (int b = 0; b < TERMS && subset >> a & 1; b++)
        matrix[a][b] += subset >> b & 1 ? weight * scaled * rows[i].terms[b] / scales[b] : 0;
      matrix[a][TERMS] += weight * scaled * rows[i].seconds;
    }
  }
}

// The best coefficients that are not negative, of those subsets whose every term is worth its price.
static void least_squares(const Row *rows, int count, double *best) {
  double scales[TERMS], best_loss = INFINITY;
  scales_find(rows, count, scales);
  memset(best, 0, TERMS * sizeof *best);
  for (unsigned subset = 1; subset < SUBSETS; subset++) {
    double matrix[TERMS][TERMS + 1], x[TERMS];
    normal_equations(rows, count, scales, subset, matrix);
    if (!solve(matrix, subset, x)) continue;
    bool negative = false;
    int terms = 0;
    for (int k = 0; k < TERMS; k++) {
      negative |= x[k] < 0;
      terms += (int)(subset >> k & 1);
      x[k] /= scales[k];
    }
    double loss = loss_of(rows, count, x) * (1 + term_price * terms);
    if (negative || loss >= best_loss) continue;
    best_loss = loss;
    memcpy(best, x, TERMS * sizeof *best);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double relative_residual(const Row *row, const double *x) {
  double residual = row->seconds;
  for (int k = 0; k < TERMS; k++) residual -= row->terms[k] * x[k];
  return residual / row->whole_seconds;
}

// `scratch` [count].
static void robust_fit(Row *rows, int count, double *scratch, double *x) {
  for (int i = 0; i < count; i++) rows[i].weight = pow(rows[i].whole_seconds, weight_exponent);
  least_squares(rows, count, x);
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < count; i++) scratch[i] = fabs(relative_residual(&rows[i], x));
    qsort(scratch, (size_t)count, sizeof *scratch, compare);
    double usual = scratch[count / 2] > least_spread ? scratch[count / 2] : least_spread;
    for (int i = 0; i < count; i++) {
      double residual = fabs(relative_residual(&rows[i], x)), cut = 2 * usual;
      rows[i].weight = pow(rows[i].whole_seconds, weight_exponent) * (residual > cut ? cut / residual : 1);
    }
    least_squares(rows, count, x);
  }
}

static double beyond(const Rates *rates, RateWork work) {
  return work.bytes > rates->cache_bytes ? work.bytes - rates->cache_bytes : 0;
}

typedef struct FitTask {
  const RateSample *samples;
  int count;
  Row *rows;        // [count]
  double *scratch;  // [count]
} FitTask;

static void kind_fit(const FitTask *task, RateKind kind, Rates *rates) {
  int count = 0;
  for (int i = 0; i < task->count; i++) {
    const RateSample *sample = &task->samples[i];
    if (sample->work.kind != kind || !(sample->seconds > 0)) continue;
    double rest = sample->seconds - beyond(rates, sample->work) * rates->memory_byte_seconds;
    // The look at gradients is one sample a network, of all its updates: it has no start that each would have.
    task->rows[count++] = (Row){.terms = {kind != RATE_gradients, sample->work.flops, sample->work.bytes},
                                .seconds = rest > 0 ? rest : 0,
                                .whole_seconds = sample->seconds};
  }
  if (!count) return;
  double x[TERMS];
  robust_fit(task->rows, count, task->scratch, x);
  rates->items[kind] = (Rate){.known = true, .start_seconds = x[0], .flop_seconds = x[1], .byte_seconds = x[2]};
}

// What a byte beyond the cache takes, from what the kinds' own rates leave.
static void memory_fit(const FitTask *task, Rates *rates) {
  double top = 0, bottom = 0;
  rates->memory_byte_seconds = 0;
  for (int i = 0; i < task->count; i++) {
    const RateSample *sample = &task->samples[i];
    double bytes = beyond(rates, sample->work), weight = pow(sample->seconds, weight_exponent);
    if (!(bytes > 0) || !(sample->seconds > 0)) continue;
    top += weight * bytes * (sample->seconds - rate_seconds(rates, sample->work, 1));
    bottom += weight * bytes * bytes;
  }
  if (top > 0) rates->memory_byte_seconds = top / bottom;
}

static double total_error(const FitTask *task, const Rates *rates) {
  double error = 0;
  for (int i = 0; i < task->count; i++)
    error += fabs(rate_seconds(rates, task->samples[i].work, 1) - task->samples[i].seconds);
  return error;
}

static void kinds_fit(const FitTask *task, Rates *rates) {
  for (int kind = 0; kind < RATE_KIND_COUNT; kind++) kind_fit(task, (RateKind)kind, rates);
}

static void cache_fit(const FitTask *task, double cache_bytes, Rates *rates) {
  *rates = (Rates){.cache_bytes = cache_bytes};
  kinds_fit(task, rates);
  for (int round = 0; round < MEMORY_ROUNDS && isfinite(cache_bytes); round++) {
    memory_fit(task, rates);
    kinds_fit(task, rates);
  }
}

static void fits_describe(const FitTask *task, const Rates *rates, RateFit *fits) {
  memset(fits, 0, RATE_KIND_COUNT * sizeof *fits);
  for (int i = 0; i < task->count; i++) {
    const RateSample *sample = &task->samples[i];
    RateFit *fit = &fits[sample->work.kind];
    fit->samples++;
    fit->seconds += sample->seconds;
    fit->mean_error += fabs(rate_seconds(rates, sample->work, 1) - sample->seconds);
  }
  for (int kind = 0; kind < RATE_KIND_COUNT; kind++) {
    if (fits[kind].seconds > 0) fits[kind].mean_error /= fits[kind].seconds;
  }
}

static void cache_choose(const FitTask *task, Rates *rates) {
  cache_fit(task, INFINITY, rates);
  double least = memory_gain * total_error(task, rates);
  for (int log2 = LEAST_CACHE_LOG2; log2 <= MOST_CACHE_LOG2; log2++) {
    Rates other;
    cache_fit(task, ldexp(1, log2), &other);
    double error = total_error(task, &other);
    if (!(other.memory_byte_seconds > 0) || error >= least) continue;
    least = error;
    *rates = other;
  }
}

void rates_fit(Arena *arena, const RateSample *samples, int count, const Rates *memory, Rates *rates, RateFit *fits) {
  FitTask task = {samples, count, arena_array(arena, Row, count + 1), arena_array(arena, double, count + 1)};
  if (memory) {
    *rates = (Rates){.cache_bytes = memory->cache_bytes, .memory_byte_seconds = memory->memory_byte_seconds};
    kinds_fit(&task, rates);
  } else {
    cache_choose(&task, rates);
  }
  fits_describe(&task, rates, fits);
}

void line_fit(Arena *arena, const ExchangeSample *samples, int count, double *start_seconds, double *byte_seconds) {
  Row *rows = arena_array(arena, Row, count + 1);
  double *scratch = arena_array(arena, double, count + 1), x[TERMS] = {0};
  for (int i = 0; i < count; i++)
    rows[i] =
        (Row){.terms = {1, 0, samples[i].bytes}, .seconds = samples[i].seconds, .whole_seconds = samples[i].seconds};
  if (count) robust_fit(rows, count, scratch, x);
  *start_seconds = x[0];
  *byte_seconds = x[2];
}
