// seerc data split: parts of a data set by chance, as indices that share its shards.
#ifndef SEER_COMPILER_DATA_SPLIT_H
#define SEER_COMPILER_DATA_SPLIT_H

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"
#include "runtime/data/index.h"

enum { DATA_SPLIT_PARTS_MAX = 64 };

typedef struct DataSplitPart {
  const char *name;  // the index is FOLDER/NAME.index
  double share;
} DataSplitPart;

// Each picture goes where the hash of (seed, key) says, its key being its name in the shard without the suffix: the
// same picture to the same part, whatever pictures come beside it and whichever shard it is in, and pictures of one key
// to one part. Shares add up to 1.
SeerStatus data_split(Arena *arena, const SeerIndex *index, const DataSplitPart *parts, int count, uint64_t seed,
                      const char *folder, Writer *out);

#endif
