// Where spec texts come from: the file system, or a table in memory for tests and fuzzing.
#ifndef SEER_LANG_FILES_H
#define SEER_LANG_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/arena.h"

typedef struct SpecFiles {
  const void *context;
  bool (*is_file)(const void *context, const char *path);
  // 0, or an errno value. The text is NUL-terminated. "-" is standard input.
  int (*read)(const void *context, Arena *arena, const char *path, char **text, size_t *size);
  // One name per file, however it is reached.
  const char *(*identity)(const void *context, Arena *arena, const char *path);
  // Names in a folder, sorted; 0 when there is none.
  int (*list)(const void *context, Arena *arena, const char *folder, const char ***names);
} SpecFiles;

extern const SpecFiles spec_files_on_disk;

typedef struct MemoryFile {
  const char *path, *text;
} MemoryFile;

typedef struct MemoryFiles {
  const MemoryFile *files;
  int count;
} MemoryFiles;

// `files` must outlive the result.
SpecFiles spec_files_in_memory(const MemoryFiles *files);

const char *path_folder(Arena *arena, const char *path);
const char *path_join(Arena *arena, const char *folder, const char *name);
// Without ".seer".
const char *path_without_suffix(Arena *arena, const char *path);
// The file of a machine: "a100-40g" is one of the library's, "mine.seer" and "racks/mine" are paths from the spec's
// folder.
const char *path_of_machine(Arena *arena, const char *spec_path, const char *library, const char *machine);

#endif
