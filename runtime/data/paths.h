// From patterns to files: {a..b} and {a,b} braces, then *, ? and [..], then folders, recursively.
// Gives every file once, in strcmp order of its path. Of a folder with a SEER_INDEX_NAME that file alone.
// Knows nothing of what files hold.
#ifndef SEER_RUNTIME_DATA_PATHS_H
#define SEER_RUNTIME_DATA_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/status.h"

typedef struct SeerFound {
  char *path;
  size_t root_length;  // bytes of `path` that are the data root, its '/' included
  bool from_folder;    // found while walking a folder, not named by the user
} SeerFound;

typedef struct SeerPaths {
  bool sees_all;  // of a folder with an index all files, and not only the index
  SeerFound *items;
  size_t count, capacity;
} SeerPaths;

// Adds what `pattern` names. A named path that does not exist, or a pattern that matches nothing, is an error.
SeerStatus seer_paths_expand(SeerPaths *paths, const char *pattern);
// Sorts, and drops the second of two equal paths.
void seer_paths_sort(SeerPaths *paths);
void seer_paths_release(SeerPaths *paths);

#endif
