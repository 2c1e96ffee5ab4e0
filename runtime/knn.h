// Nearest neighbours by cosine similarity, and the weighted vote over their labels (Wu et al., 2018).
#ifndef SEER_RUNTIME_KNN_H
#define SEER_RUNTIME_KNN_H

#include <stdint.h>

#include "runtime/parallel.h"
#include "runtime/status.h"

typedef struct SeerNeighbour {
  int64_t index;
  float similarity;
} SeerNeighbour;

typedef struct SeerVectors {
  int64_t count;
  int width;
  float *values;          // [count][width]; scaled to unit length by seer_vectors_normalize
  const int32_t *labels;  // [count], -1: none
} SeerVectors;

void seer_vectors_normalize(SeerVectors *vectors, SeerPool *pool);
// The k most similar rows of `bank` to each row of `queries`, most similar first, equal ones by index;
// neighbours [queries.count][k]. The two being the same set leaves a row's own out; then k < count.
SeerStatus seer_neighbours_find(const SeerVectors *queries, const SeerVectors *bank, int k, SeerPool *pool,
                                SeerNeighbour *neighbours);
typedef struct SeerVote {
  int k;       // neighbours that vote
  int stride;  // neighbours found per row, at least k
  int labels;  // labels lie below
  double temperature;
} SeerVote;

// Share of labelled queries whose weighted vote, exp(similarity / temperature) each, gives their label.
double seer_neighbours_accuracy(const SeerVectors *queries, const SeerVectors *bank, const SeerVote *vote,
                                const SeerNeighbour *neighbours);
double seer_labels_majority(const int32_t *labels, int64_t count, int label_count);

#endif
