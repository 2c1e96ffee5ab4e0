// Linear heads on frozen features, as the released linear probe trains them: BatchNorm over channels, flatten, linear;
// cross-entropy, SGD with Nesterov momentum, the BatchNorm's parameters not decayed.
//
// Heads that see the same batches train together: BatchNorm of features that stand still depends on the batch alone, so
// one normalised batch serves all learning rates. Same input, same bits, whatever the number of threads.
#ifndef SEER_RUNTIME_EVALUATE_HEAD_H
#define SEER_RUNTIME_EVALUATE_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/parallel.h"
#include "runtime/status.h"

#define SEER_HEAD_EPSILON 1e-5

typedef struct SeerHead {
  int channels, cells, classes;  // width = channels * cells; of a map [channels][h][w], cells = h * w
  float *weight;                 // [classes][width]
  float *bias;                   // [classes]
  float *gamma, *beta;           // [channels]
  float *mean, *variance;        // [channels], running
} SeerHead;

static inline int64_t seer_head_width(const SeerHead *head) { return (int64_t)head->channels * head->cells; }

// PyTorch's start: weight and bias uniform in +-1/sqrt(width), gamma 1, beta 0, mean 0, variance 1. Drawn in this order
// from the seed's numbers for heads: weight row-major, then bias.
SeerStatus seer_head_make(SeerHead *head, int channels, int cells, int classes, uint64_t seed);
void seer_head_release(SeerHead *head);

typedef struct SeerHeadRecipe {
  int epochs, batch;  // an epoch is cut into min(ceil(rows / batch), rows / 2) batches of about one size
  double momentum, weight_decay;
  bool cosine;  // to a hundredth, epoch by epoch; else a tenth after 8, 16 and 24 of 28 epochs
} SeerHeadRecipe;

// The factor of the learning rate in an epoch.
double seer_head_schedule(const SeerHeadRecipe *recipe, int epoch);

// Heads that start alike and see the same batches: row i of epoch e is rows[seer_permutation(seed, e, count, i)].
typedef struct SeerHeadGroup {
  const float *features;  // [passes][total][width]; epoch e sees pass e % passes
  int64_t total;
  int passes;
  const int32_t *labels;  // [total], 0..classes-1 for all `rows`
  const int64_t *rows;    // [count] of the total
  int64_t count;          // at least 2
  uint64_t seed;
  int head_count;
  SeerHead *heads;      // [head_count], made with this seed
  const double *rates;  // [head_count], learning rates as they are used
} SeerHeadGroup;

// Told after each step: the share of all work that is done.
typedef void SeerHeadProgress(void *data, double done);

// Trains all groups side by side. SEER_INPUT names the learning rate at which a loss is no longer finite.
SeerStatus seer_heads_train(const SeerHeadRecipe *recipe, SeerHeadGroup *groups, int group_count, SeerPool *pool,
                            SeerHeadProgress *progress, void *data);

// Scores of rows as after training, with the running statistics: [count][classes]. `rows` NULL: 0..count-1.
SeerStatus seer_head_score(const SeerHead *head, const float *features, const int64_t *rows, int64_t count,
                           SeerPool *pool, float *scores);

#endif
