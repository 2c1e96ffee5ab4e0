// Features of pictures: evaluation views through the network, in the order of the source.
#ifndef SEER_RUNTIME_FEATURES_H
#define SEER_RUNTIME_FEATURES_H

#include <stdbool.h>

#include "runtime/data/source.h"
#include "runtime/engine.h"

enum { SEER_FEATURE_STATES_MAX = 2, SEER_PIXEL_SIDE = 32, SEER_PIXEL_WIDTH = SEER_PIXEL_SIDE * SEER_PIXEL_SIDE * 3 };

typedef struct SeerFeatureSet {
  int64_t count;                             // pictures that could be decoded
  int64_t skipped;                           // and those that could not
  int width, state_count;                    // width: of all layers together
  int64_t *pictures;                         // [count] index in the source
  int32_t *labels;                           // [count]; -1: none
  float *features[SEER_FEATURE_STATES_MAX];  // [count][width], one per state
  float *pixels;  // [count][SEER_PIXEL_WIDTH], normalised by the program's mean and deviation; NULL unless asked for
} SeerFeatureSet;

// Of augmented views: random resized crop (0.08 to 1 of the area, 3:4 to 4:3) and flip, by the loader's code.
typedef struct SeerAugmentedPass {
  uint64_t seed;
  uint32_t number;  // passes differ
} SeerAugmentedPass;

typedef struct SeerFeatureRequest {
  SeerEngine *engine;
  unsigned char *states[SEER_FEATURE_STATES_MAX];  // as many networks, each seeing the same views
  int state_count;
  const SeerSource *source;
  int64_t limit;       // at most so many pictures, by chance, evenly spread; <= 0: all
  int64_t begin, end;  // of those, from the begin-th to before the end-th; end <= 0: all, and none decoded is an error
  const SeerProgramLayer *layers;  // a row has them one behind the other
  int layer_count;                 // 0: pooled features alone
  bool pixels;
  const SeerAugmentedPass *augmented;  // NULL: the evaluation view
  bool stretch;                        // views are whole pictures made square, not their middles
  bool quiet;                          // no progress line
} SeerFeatureRequest;

// A layer of the network by its name: "features" and "avgpool" are the pooled ones. SEER_INPUT names those there are.
SeerStatus seer_layer_find(const SeerProgram *program, const char *name, SeerProgramLayer *layer);
SeerStatus seer_features_make(const SeerFeatureRequest *request, SeerFeatureSet *set);
void seer_features_release(SeerFeatureSet *set);

#endif
