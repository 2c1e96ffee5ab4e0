// Nearest neighbours; see knn.h. Exhaustive: a row of queries is a task, and its sums have one fixed shape.
#include "runtime/knn.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

static float dot(const float *a, const float *b, int width) {
  float lanes[LANES] = {0};
  int i = 0;
  for (; i + LANES <= width; i += LANES) {
    for (int lane = 0; lane < LANES; lane++) lanes[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (; i < width; i++) sum += a[i] * b[i];
  for (int lane = 0; lane < LANES; lane++) sum += lanes[lane];
  return sum;
}

static void row_normalize(const void *arguments, int task, int worker) {
  (void)worker;
  const SeerVectors *vectors = arguments;
  float *row = vectors->values + (int64_t)task * vectors->width;
  double squares = 0;
  for (int i = 0; i < vectors->width; i++) squares += (double)row[i] * (double)row[i];
  double scale = squares > 0 ? 1 / sqrt(squares) : 0;
  for (int i = 0; i < vectors->width; i++) row[i] = (float)(row[i] * scale);
}

void seer_vectors_normalize(SeerVectors *vectors, SeerPool *pool) {
  seer_pool_run(pool, row_normalize, vectors, (int)vectors->count);
}

typedef struct SearchArguments {
  const SeerVectors *queries, *bank;
  int k;
  SeerNeighbour *neighbours;
} SearchArguments;

// Keeps the k best in order by insertion: few rows beat the k-th once the first ones are in.
static void row_search(const void *arguments, int task, int worker) {
  (void)worker;
  const SearchArguments *search = arguments;
  const SeerVectors *queries = search->queries, *bank = search->bank;
  const float *query = queries->values + (int64_t)task * queries->width;
  SeerNeighbour *best = search->neighbours + (int64_t)task * search->k;
  bool same = queries->values == bank->values;
  int found = 0;
  for (int64_t i = 0; i < bank->count; i++) {
    if (same && i == task) continue;
    float similarity = dot(query, bank->values + i * bank->width, bank->width);
    if (found == search->k && !(similarity > best[found - 1].similarity)) continue;
    int at = found < search->k ? found++ : found - 1;
    while (at > 0 && similarity > best[at - 1].similarity) {
      best[at] = best[at - 1];
      at--;
    }
    best[at] = (SeerNeighbour){i, similarity};
  }
}

SeerStatus seer_neighbours_find(const SeerVectors *queries, const SeerVectors *bank, int k, SeerPool *pool,
                                SeerNeighbour *neighbours) {
  int64_t most = bank->count - (queries->values == bank->values);
  if (k < 1 || k > most)
    return seer_fail(SEER_INPUT, "%d neighbours are asked for, and there are %lld other pictures", k, (long long)most);
  SearchArguments search = {queries, bank, k, neighbours};
  seer_pool_run(pool, row_search, &search, (int)queries->count);
  return SEER_OK;
}

static int32_t vote(const SeerVectors *bank, int k, double temperature, int labels, const SeerNeighbour *neighbours,
                    double *votes) {
  memset(votes, 0, (size_t)labels * sizeof *votes);
  for (int i = 0; i < k; i++) {
    int32_t label = bank->labels[neighbours[i].index];
    // Relative to the nearest: a small temperature must not overflow.
    if (label >= 0 && label < labels)
      votes[label] += exp((double)(neighbours[i].similarity - neighbours[0].similarity) / temperature);
  }
  int32_t best = 0;
  for (int32_t label = 1; label < labels; label++) {
    if (votes[label] > votes[best]) best = label;
  }
  return votes[best] > 0 ? best : -1;
}

double seer_neighbours_accuracy(const SeerVectors *queries, const SeerVectors *bank, int k, double temperature,
                                int labels, const SeerNeighbour *neighbours) {
  double *votes = labels > 0 ? calloc((size_t)labels, sizeof *votes) : NULL;
  int64_t right = 0, asked = 0;
  for (int64_t i = 0; votes && i < queries->count; i++) {
    if (queries->labels[i] < 0) continue;
    asked++;
    right += vote(bank, k, temperature, labels, neighbours + i * k, votes) == queries->labels[i];
  }
  free(votes);
  return asked ? (double)right / (double)asked : 0;
}

double seer_labels_majority(const int32_t *labels, int64_t count, int label_count) {
  int64_t *seen = label_count > 0 ? calloc((size_t)label_count, sizeof *seen) : NULL;
  int64_t most = 0, labelled = 0;
  for (int64_t i = 0; seen && i < count; i++) {
    if (labels[i] < 0 || labels[i] >= label_count) continue;
    labelled++;
    if (++seen[labels[i]] > most) most = seen[labels[i]];
  }
  free(seen);
  return labelled ? (double)most / (double)labelled : 0;
}
