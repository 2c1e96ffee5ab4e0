// From parts to an index: two walks over their lines, the first for labels and columns, the second for the pictures.
#ifndef SEER_COMPILER_DATA_INDEX_BUILD_H
#define SEER_COMPILER_DATA_INDEX_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"
#include "runtime/status.h"

// A column of text has at most so many different values of so many bytes; others are left to the shards' JSON.
enum { DATA_WORDS_MAX = 1 << 16, DATA_WORD_BYTES_MAX = 256, DATA_LABELS_MAX = 1 << 24 };

typedef struct DataBuilt {
  uint64_t pictures, bytes, left_out, shards;
  uint64_t unread_values;  // lists and objects, which no index holds
  const char **dropped;    // columns that have too many different values
  int dropped_count;
} DataBuilt;

// Writes the index of what `count` parts tell, in their order, to `path`. Paths of shards stand in the index as they do
// in the parts. Values that are lists or objects are no values; a column whose values are not all numbers is one of
// text.
// More than DATA_LABELS_MAX labels are an error.
SeerStatus data_index_build(Arena *arena, const char *const *parts, size_t count, const char *path, DataBuilt *built);
// What of the metadata is not in the index, if anything.
void data_built_print(const DataBuilt *built, Writer *out);

#endif
