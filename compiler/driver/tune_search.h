// What is to be tried next: coordinate descent over the parameters of the kernels that matter, one at a time, by steps
// that become smaller; between two of them, the layers that libraries could make, dearest first. Everything follows
// from what a TuningFile holds, so a search goes on where it was left.
#ifndef SEER_DRIVER_TUNE_SEARCH_H
#define SEER_DRIVER_TUNE_SEARCH_H

#include "compiler/driver/tuning_file.h"

typedef struct TuneCandidate {
  int row;           // of the table; -1: of a layer, whose maker `value` is
  LayerShape layer;  // of row -1
  int64_t value;     // instead of the one in file->values
} TuneCandidate;

// What may be chosen besides parameters.
typedef struct TuneLayers {
  LayerUses uses;                    // dearest first
  bool can_make[LAYER_MAKER_COUNT];  // libraries that are here
} TuneLayers;

// Sorts them.
void tune_layers_sort(LayerUses *uses);

// What file->values has in the candidate's place, and they with the candidate.
int64_t tune_candidate_from(const TuningFile *file, const TuneCandidate *candidate);
TuningSet tune_candidate_apply(Arena *arena, const TuningFile *file, const TuneCandidate *candidate);

// A candidate that is not `refused` before, by row, layer and value. False: every parameter and layer was visited
// without a change. What was measured holds until another parameter of the same kernels, by the first word of its name,
// is changed.
bool tune_search_next(const TuningFile *file, const TuneLayers *layers, const TuneCandidate *refused, int refused_count,
                      TuneCandidate *next);

#endif
