// What metrics.jsonl says of a run, step by step, as arrays: for the pages that show it, and for sweeps.
#ifndef SEER_RUNTIME_HISTORY_H
#define SEER_RUNTIME_HISTORY_H

#include "runtime/status.h"

//   FIELD(field, "key in metrics.jsonl")
#define SEER_HISTORY(FIELD)           \
  FIELD(step, "step")                 \
  FIELD(loss, "loss")                 \
  FIELD(rate, "learning_rate")        \
  FIELD(speed, "images_per_second")   \
  FIELD(seconds, "seconds")           \
  FIELD(entropy, "prototype_entropy") \
  FIELD(peak, "peak_bytes")           \
  FIELD(resident, "resident_bytes")   \
  FIELD(knn, "knn_accuracy")

// [count] each; what a line does not say is 0 there.
typedef struct SeerHistory {
  int count, capacity;
#define FIELD(field, key) double *field;
  SEER_HISTORY(FIELD)
#undef FIELD
} SeerHistory;

// Of a run's folder; a torn line is passed over. SEER_INPUT when there is no line. Released in any case.
SeerStatus seer_history_read(const char *run, SeerHistory *history);
void seer_history_release(SeerHistory *history);
// Of the last 20 values, or as many as there are; count > 0.
double seer_history_mean_end(const double *values, int count);

#endif
