// Nearest neighbours; see knn.h. Exhaustive: some rows of queries are a task, and every sum has one fixed shape.
#include "runtime/knn.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16, QUERY_BLOCK = 8 };

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

// Puts a row among the best in order; few rows beat the k-th once the first ones are in.
static void best_insert(SeerNeighbour *best, int k, int *found, SeerNeighbour row) {
  if (*found == k && !(row.similarity > best[k - 1].similarity)) return;
  int at = *found < k ? (*found)++ : k - 1;
  while (at > 0 && row.similarity > best[at - 1].similarity) {
    best[at] = best[at - 1];
    at--;
  }
  best[at] = row;
}

// Some queries against the whole bank: each row of it is fetched once for all of them.
static void block_search(const void *arguments, int task, int worker) {
  (void)worker;
  const SearchArguments *search = arguments;
  const SeerVectors *queries = search->queries, *bank = search->bank;
  int64_t first = (int64_t)task * QUERY_BLOCK, left = queries->count - first;
  int count = left < QUERY_BLOCK ? (int)left : QUERY_BLOCK, found[QUERY_BLOCK] = {0};
  bool same = queries->values == bank->values;
  for (int64_t i = 0; i < bank->count; i++) {
    for (int q = 0; q < count; q++) {
      if (same && i == first + q) continue;
      const float *query = queries->values + (first + q) * queries->width;
      float similarity = dot(query, bank->values + i * bank->width, bank->width);
      best_insert(search->neighbours + (first + q) * search->k, search->k, &found[q], (SeerNeighbour){i, similarity});
    }
  }
}

SeerStatus seer_neighbours_find(const SeerVectors *queries, const SeerVectors *bank, int k, SeerPool *pool,
                                SeerNeighbour *neighbours) {
  int64_t most = bank->count - (queries->values == bank->values);
  if (k < 1 || k > most)
    return seer_fail(SEER_INPUT, "%d neighbours are asked for, and there are %lld other pictures", k, (long long)most);
  SearchArguments search = {queries, bank, k, neighbours};
  seer_pool_run(pool, block_search, &search, (int)((queries->count + QUERY_BLOCK - 1) / QUERY_BLOCK));
  return SEER_OK;
}

static int32_t vote_count(const SeerVectors *bank, const SeerVote *vote, const SeerNeighbour *neighbours,
                          double *votes) {
  memset(votes, 0, (size_t)vote->labels * sizeof *votes);
  for (int i = 0; i < vote->k; i++) {
    int32_t label = bank->labels[neighbours[i].index];
    if (label < 0 || label >= vote->labels) continue;
    // Relative to the nearest: a small temperature must not overflow.
    votes[label] += exp((double)(neighbours[i].similarity - neighbours[0].similarity) / vote->temperature);
  }
  int32_t best = 0;
  for (int32_t label = 1; label < vote->labels; label++) {
    if (votes[label] > votes[best]) best = label;
  }
  return votes[best] > 0 ? best : -1;
}

double seer_neighbours_accuracy(const SeerVectors *queries, const SeerVectors *bank, const SeerVote *vote,
                                const SeerNeighbour *neighbours) {
  double *votes = vote->labels > 0 ? calloc((size_t)vote->labels, sizeof *votes) : NULL;
  int64_t right = 0, asked = 0;
  for (int64_t i = 0; votes && i < queries->count; i++) {
    if (queries->labels[i] < 0) continue;
    asked++;
    right += vote_count(bank, vote, neighbours + i * vote->stride, votes) == queries->labels[i];
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
