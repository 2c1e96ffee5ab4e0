// What a network has learnt, by nearest neighbours over labels: against the same network untrained, against raw pixels,
// and against always naming the largest class.
#ifndef SEER_RUNTIME_EVALUATION_H
#define SEER_RUNTIME_EVALUATION_H

#include "runtime/features.h"
#include "runtime/knn.h"

typedef struct SeerEvaluationRequest {
  SeerEngine *engine;  // its state holds the trained network
  uint64_t seed;       // of the untrained network
  const SeerSource *source;
  const SeerSource *bank_source;  // pictures that vote; NULL: the other pictures of `source`
  int64_t limit;                  // <= 0: all
  int neighbours;                 // <= 0: the program's; more than there are pictures: all of them
  int shown;                      // find at least so many, were there fewer that vote
  double temperature;             // <= 0: the program's
  bool quiet;
} SeerEvaluationRequest;

typedef struct SeerEvaluation {
  SeerFeatureSet queries, bank;  // bank is empty when the queries vote among themselves
  SeerNeighbour *neighbours;     // of the trained network, [queries.count][vote.stride]
  SeerVote vote;
  double trained, untrained, pixels, majority;  // shares of right answers; 0 without labels
} SeerEvaluation;

SeerStatus seer_evaluation_make(const SeerEvaluationRequest *request, SeerEvaluation *evaluation);
void seer_evaluation_release(SeerEvaluation *evaluation);

#endif
