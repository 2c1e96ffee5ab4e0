// How well scores part two classes: area under the ROC curve and accuracy, with intervals by resampling.
#ifndef SEER_RUNTIME_EVALUATE_RANKING_H
#define SEER_RUNTIME_EVALUATE_RANKING_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/parallel.h"
#include "runtime/status.h"

// The probability that an item of class 1 scores higher than one of class 0, ties counted half. NAN where a class is
// empty. SEER_MACHINE without memory.
SeerStatus seer_auroc(const float *scores, const int32_t *labels, int64_t count, double *auroc);

typedef struct SeerInterval {
  double low, high;
} SeerInterval;

// Figures of several scorings of the same items (heads of several seeds).
typedef struct SeerRanking {
  double auroc, auroc_deviation;                   // mean and sample deviation over scorings
  double accuracy, accuracy_deviation;             // at probability 1/2
  SeerInterval auroc_interval, accuracy_interval;  // 95 %, of the mean over scorings, over items drawn again
  double *resampled;                               // [SEER_RESAMPLES] the mean AUROC of each draw; malloc'ed
} SeerRanking;

enum { SEER_RESAMPLES = 2000 };

// probabilities [scorings][count]; labels 0 and 1, both of which must occur. Draws depend on `seed` and `count` alone,
// so that two rankings of the same items can be compared draw by draw.
SeerStatus seer_ranking_make(const float *probabilities, int scorings, const int32_t *labels, int64_t count,
                             uint64_t seed, SeerPool *pool, SeerRanking *ranking);
void seer_ranking_release(SeerRanking *ranking);
// 95 % of the differences a - b of the mean AUROC, draw by draw.
SeerStatus seer_ranking_difference(const SeerRanking *a, const SeerRanking *b, SeerInterval *interval);

#endif
