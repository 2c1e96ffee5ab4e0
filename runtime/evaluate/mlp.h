// A head with one hidden layer that tells two classes apart: ReLU, dropout, one score, logistic loss, AdamW (Loshchilov
// and Hutter, 2019) with a cosine from the learning rate to zero over all steps. One thread trains one head.
#ifndef SEER_RUNTIME_EVALUATE_MLP_H
#define SEER_RUNTIME_EVALUATE_MLP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/status.h"

typedef struct SeerMlp {
  int64_t width, pitch;  // of the input; rows are `pitch` floats apart, zero behind the width (matrix.h)
  int hidden;
  int64_t count;   // of numbers
  float *numbers;  // first [hidden][pitch], then its bias [hidden], the last weights [hidden], the last bias [1]
} SeerMlp;

// He's start for the first weights, 1/sqrt(hidden) for the last ones, biases zero.
SeerStatus seer_mlp_make(SeerMlp *mlp, int64_t width, int hidden, uint64_t seed);
void seer_mlp_release(SeerMlp *mlp);

typedef struct SeerMlpRecipe {
  int epochs, batch;
  double rate, dropout, weight_decay;  // decay of weights, not of biases
} SeerMlpRecipe;

// Room for a batch of `rows`.
typedef struct SeerMlpScratch {
  float *hidden, *by_hidden;  // [rows][hidden]
  float *scores, *by_score;   // [rows]
} SeerMlpScratch;

SeerStatus seer_mlp_scratch_make(const SeerMlp *mlp, int rows, SeerMlpScratch *scratch);
void seer_mlp_scratch_release(SeerMlpScratch *scratch);

// The mean loss over a batch and its gradient by all numbers. keep [rows][hidden]: factors of the hidden units, 0 or
// 1 / (1 - dropout); NULL: 1.
double seer_mlp_gradient(const SeerMlp *mlp, const float *inputs, const int32_t *labels, int rows, const float *keep,
                         SeerMlpScratch *scratch, float *gradient);

// inputs [count][pitch]; labels 0 or 1. SEER_INPUT when the loss is no longer finite.
SeerStatus seer_mlp_train(SeerMlp *mlp, const SeerMlpRecipe *recipe, uint64_t seed, const float *inputs,
                          const int32_t *labels, int64_t count);
// Probabilities of class 1 [count].
SeerStatus seer_mlp_predict(const SeerMlp *mlp, const float *inputs, int64_t count, float *probabilities);

#endif
