// Area under the ROC curve and its intervals; see ranking.h. Items are sorted once for each scoring; a draw is a number
// of times for each item, and a walk along the sorted items.
#include "runtime/evaluate/ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/random.h"
#include "runtime/sample.h"

typedef struct Scored {
  float score;
  int32_t label;
  int64_t item;
} Scored;

static int scored_compare(const void *a, const void *b) {
  const Scored *x = a, *y = b;
  return x->score != y->score ? (x->score > y->score) - (x->score < y->score)
                              : (x->item > y->item) - (x->item < y->item);
}

static void scored_sort(const float *scores, const int32_t *labels, int64_t count, Scored *sorted) {
  for (int64_t i = 0; i < count; i++) sorted[i] = (Scored){scores[i], labels[i], i};
  qsort(sorted, (size_t)count, sizeof *sorted, scored_compare);
}

// times [count]: how often each item counts; NULL: once.
static double auroc_of(const Scored *sorted, int64_t count, const int32_t *times) {
  double pairs = 0, below = 0, positives = 0;
  for (int64_t i = 0; i < count;) {
    double of_one = 0, of_none = 0;
    int64_t first = i;
    for (; i < count && !(sorted[i].score > sorted[first].score); i++) {
      double weight = times ? times[sorted[i].item] : 1;
      if (sorted[i].label)
        of_one += weight;
      else
        of_none += weight;
    }
    pairs += of_one * (below + of_none / 2);
    below += of_none;
    positives += of_one;
  }
  return positives > 0 && below > 0 ? pairs / (positives * below) : NAN;
}

SeerStatus seer_auroc(const float *scores, const int32_t *labels, int64_t count, double *auroc) {
  Scored *sorted = calloc((size_t)count + 1, sizeof *sorted);
  if (!sorted) return seer_fail(SEER_MACHINE, "no memory to sort %lld scores", (long long)count);
  scored_sort(scores, labels, count, sorted);
  *auroc = auroc_of(sorted, count, NULL);
  free(sorted);
  return SEER_OK;
}

typedef struct Resampling {
  const Scored *sorted;  // [scorings][count]
  const double *right;   // [count]: share of scorings that are right
  int scorings;
  int64_t count;
  uint64_t seed;
  int32_t *times;  // [threads][count]
  double *aurocs, *accuracies;
} Resampling;

// One draw; where a class was left out of it, another.
static void draw_make(const void *arguments, int task, int worker) {
  const Resampling *resampling = arguments;
  int32_t *times = resampling->times + (int64_t)worker * resampling->count;
  SeerRandom random = seer_random_make(resampling->seed, SEER_STREAM_BOOTSTRAP, 0, (uint64_t)task, 0);
  double auroc = NAN, right = 0;
  while (isnan(auroc)) {
    memset(times, 0, (size_t)resampling->count * sizeof *times);
    for (int64_t i = 0; i < resampling->count; i++) times[seer_random_below(&random, (uint32_t)resampling->count)]++;
    auroc = 0;
    for (int s = 0; s < resampling->scorings; s++)
      auroc += auroc_of(resampling->sorted + s * resampling->count, resampling->count, times) / resampling->scorings;
  }
  for (int64_t i = 0; i < resampling->count; i++) right += times[i] * resampling->right[i];
  resampling->aurocs[task] = auroc;
  resampling->accuracies[task] = right / (double)resampling->count;
}

// The middle 95 % of the numbers, which are sorted.
static SeerInterval middle_of(double *numbers) {
  seer_sample_sort(numbers, SEER_RESAMPLES);
  return (SeerInterval){seer_sample_quantile(numbers, SEER_RESAMPLES, 0.025),
                        seer_sample_quantile(numbers, SEER_RESAMPLES, 0.975)};
}

static void mean_and_deviation(const double *values, int count, double *mean, double *deviation) {
  double sum = 0, squares = 0;
  for (int i = 0; i < count; i++) sum += values[i];
  for (int i = 0; i < count; i++) squares += (values[i] - sum / count) * (values[i] - sum / count);
  *mean = sum / count;
  *deviation = count > 1 ? sqrt(squares / (count - 1)) : 0;
}

static void scorings_judge(const float *probabilities, const int32_t *labels, const Resampling *resampling,
                           double *right, double *figures, SeerRanking *ranking) {
  int64_t count = resampling->count;
  int scorings = resampling->scorings;
  for (int s = 0; s < scorings; s++) {
    figures[s] = auroc_of(resampling->sorted + s * count, count, NULL);
    double all = 0;
    for (int64_t i = 0; i < count; i++) {
      bool is_right = ((double)probabilities[s * count + i] >= 0.5) == (labels[i] == 1);
      all += is_right;
      right[i] += is_right ? 1.0 / scorings : 0;
    }
    figures[scorings + s] = all / (double)count;
  }
  mean_and_deviation(figures, scorings, &ranking->auroc, &ranking->auroc_deviation);
  mean_and_deviation(figures + scorings, scorings, &ranking->accuracy, &ranking->accuracy_deviation);
}

static SeerStatus classes_check(const int32_t *labels, int64_t count) {
  int64_t ones = 0;
  for (int64_t i = 0; i < count; i++) ones += labels[i] == 1;
  if (ones && ones < count && count <= UINT32_MAX) return SEER_OK;
  return seer_fail(SEER_INPUT, "%lld of %lld items have label 1: scores part two classes, and there is one",
                   (long long)ones, (long long)count);
}

SeerStatus seer_ranking_make(const float *probabilities, int scorings, const int32_t *labels, int64_t count,
                             uint64_t seed, SeerPool *pool, SeerRanking *ranking) {
  *ranking = (SeerRanking){.auroc = 0};
  SeerStatus status = classes_check(labels, count);
  if (status) return status;
  Scored *sorted = calloc((size_t)scorings * (size_t)count + 1, sizeof *sorted);
  double *right = calloc((size_t)count + 1, sizeof *right),
         *figures = calloc(2 * (size_t)scorings + 1, sizeof *figures);
  double *accuracies = calloc(SEER_RESAMPLES, sizeof *accuracies), *scratch = calloc(SEER_RESAMPLES, sizeof *scratch);
  int32_t *times = calloc((size_t)seer_pool_threads(pool) * (size_t)count + 1, sizeof *times);
  ranking->resampled = calloc(SEER_RESAMPLES, sizeof *ranking->resampled);
  if (!sorted || !right || !figures || !accuracies || !scratch || !times || !ranking->resampled)
    status = seer_fail(SEER_MACHINE, "no memory to judge %d x %lld scores", scorings, (long long)count);
  if (!status) {
    for (int s = 0; s < scorings; s++) scored_sort(probabilities + s * count, labels, count, sorted + s * count);
    Resampling resampling = {sorted, right, scorings, count, seed, times, ranking->resampled, accuracies};
    scorings_judge(probabilities, labels, &resampling, right, figures, ranking);
    seer_pool_run(pool, draw_make, &resampling, SEER_RESAMPLES);
    memcpy(scratch, ranking->resampled, SEER_RESAMPLES * sizeof *scratch);
    ranking->auroc_interval = middle_of(scratch);
    ranking->accuracy_interval = middle_of(accuracies);
  }
  free(sorted);
  free(right);
  free(figures);
  free(accuracies);
  free(scratch);
  free(times);
  if (status) seer_ranking_release(ranking);
  return status;
}

void seer_ranking_release(SeerRanking *ranking) {
  free(ranking->resampled);
  *ranking = (SeerRanking){.resampled = NULL};
}

SeerStatus seer_ranking_difference(const SeerRanking *a, const SeerRanking *b, SeerInterval *interval) {
  double *differences = calloc(SEER_RESAMPLES, sizeof *differences);
  if (!differences) return seer_fail(SEER_MACHINE, "no memory to compare two rankings");
  for (int i = 0; i < SEER_RESAMPLES; i++) differences[i] = a->resampled[i] - b->resampled[i];
  *interval = middle_of(differences);
  free(differences);
  return SEER_OK;
}
