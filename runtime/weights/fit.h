// Do weights fit a network? Every tensor that is missing, has another shape, is not of the network or is not finite is
// named, with counts, and what network the weights seem to be of. Nothing is taken in part unless the caller says so.
#ifndef SEER_RUNTIME_WEIGHTS_FIT_H
#define SEER_RUNTIME_WEIGHTS_FIT_H

#include "runtime/weights/file.h"

typedef enum SeerWeightUse {
  SEER_USE_ALL,       // trunk and head
  SEER_USE_TRUNK,     // the trunk; of the head, what fits
  SEER_USE_NEW_HEAD,  // the trunk, and nothing of the head
} SeerWeightUse;

// What is to be filled.
typedef struct SeerWanted {
  const SeerTensor *tensors;  // parameters and statistics among them
  int count;
  const char *who;        // "this trainer"
  bool whole;             // other heads are not left aside: they are too many
  const char *head_note;  // what to do where only the head does not fit; NULL: nothing to say
} SeerWanted;

typedef struct SeerFit {
  const SeerWeight **weights;  // [wanted->count]; NULL: not taken
  int taken;
  int head_missing;  // tensors of the wanted head that are not taken
  int aside;         // understood tensors of another head, which are not taken
} SeerFit;

SeerStatus seer_weights_fit(const SeerWeightFile *file, const SeerWanted *wanted, SeerWeightUse use, SeerFit *fit);
void seer_weights_fit_release(SeerFit *fit);

// Tensors with numbers that cannot be, as they are met: not finite, or variances below zero.
typedef struct SeerNotFinite {
  int tensors, negative;  // negative: of tensors, those of variances whose numbers are finite
  const SeerWeight *last;
  char names[4 * (SEER_WEIGHT_NAME_MAX + 4)];
} SeerNotFinite;

// Looks at part of a tensor; called for the parts of a tensor one behind the other.
void seer_not_finite_look(SeerNotFinite *found, const SeerWeight *weight, const float *values, uint64_t count);
// SEER_INPUT where there were any.
SeerStatus seer_not_finite_tell(const SeerNotFinite *found, const char *path);

#endif
