// What is to be tried next: coordinate descent over the parameters of the kernels that matter, one at a time, by steps
// that become smaller. Everything follows from what a TuningFile holds, so a search goes on where it was left.
#ifndef SEER_DRIVER_TUNE_SEARCH_H
#define SEER_DRIVER_TUNE_SEARCH_H

#include "compiler/driver/tuning_file.h"

typedef struct TuneCandidate {
  int row;
  int64_t value;  // instead of the one in file->values
} TuneCandidate;

// A candidate that is not `refused` before, by row and value. False: every parameter was visited without a change.
// What was measured holds until another parameter of the same kernels, by the first word of its name, is changed.
bool tune_search_next(const TuningFile *file, const TuneCandidate *refused, int refused_count, TuneCandidate *next);

#endif
