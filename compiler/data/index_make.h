// An index of pictures where they lie: of shards that others made, of folders, of anything that trainers read.
#ifndef SEER_COMPILER_DATA_INDEX_MAKE_H
#define SEER_COMPILER_DATA_INDEX_MAKE_H

#include "compiler/data/index_build.h"
#include "runtime/data/index.h"

typedef struct DataIndexOptions {
  const char *const *sources;
  int source_count;
  const char *path;  // of the index
  int jobs;
  bool reads_pictures;  // else hashes, widths and heights stay unknown
  bool is_perceptual;   // what pictures look like is told, too; they are decoded for it
  bool is_for_once;     // paths of shards are absolute
} DataIndexOptions;

// Writes the index; nothing else is changed. Pictures that do not decode are in it, as a trainer would meet them.
SeerStatus data_index_make(Arena *arena, const DataIndexOptions *options, DataBuilt *built);

// `path` as it is seen from `folder`, both existing; from the root when `folder` is NULL.
SeerStatus data_path_relative(Arena *arena, const char *folder, const char *path, const char **relative);

// The index of `sources`: the one that they name or lie beside when they are one, else one made for this once, under
// the folder of temporary files. `reads_pictures` as above.
SeerStatus data_set_open(Arena *arena, const DataIndexOptions *options, SeerIndex **index);
// The path of the index that one source names or has; NULL: none.
const char *data_index_of(Arena *arena, const char *source);

#endif
