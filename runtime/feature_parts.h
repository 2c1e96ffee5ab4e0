// Features on their way to a file: parts of so many pictures each, complete or invisible, in the folder FILE.parts;
// then the file, made of all parts, and the folder is gone. Any rank writes any part, and a killed command finds the
// parts that were written. What parts are of (weights, pictures, view) is their key: those of another are made anew.
#ifndef SEER_RUNTIME_FEATURE_PARTS_H
#define SEER_RUNTIME_FEATURE_PARTS_H

#include "runtime/features.h"
#include "runtime/files.h"

typedef struct SeerFeatureParts {
  SeerPath file, folder;
  SeerHash key;
  int64_t total, part;  // pictures in all, and of a part
  int64_t count;        // of parts
  int width;
} SeerFeatureParts;

// `part` of pictures at most, a multiple of the program's batch unless that is larger; `total` of them.
SeerStatus seer_feature_parts_plan(const SeerProgram *program, const char *file, SeerHash key, int width, int64_t total,
                                   int64_t part, SeerFeatureParts *parts);
// The folder, and room for everything on its disk. For one rank, before the others begin.
SeerStatus seer_feature_parts_begin(const SeerFeatureParts *parts);
// Whether a part is there and of this key; what another key left is removed.
SeerStatus seer_feature_part_find(const SeerFeatureParts *parts, int64_t index, bool *found);
SeerStatus seer_feature_part_write(const SeerFeatureParts *parts, int64_t index, const SeerSource *source,
                                   const SeerFeatureSet *set);

typedef struct SeerFeatureTotals {
  int64_t pictures, skipped;  // decoded, and not
  int64_t name_bytes;
} SeerFeatureTotals;

// Makes the file of all parts and removes them. SEER_INPUT where no picture could be decoded.
SeerStatus seer_feature_parts_join(const SeerFeatureParts *parts, const SeerProgram *program, const SeerSource *source,
                                   SeerFeatureTotals *totals);

#endif
