// Files and folders with the errors users get: a full disk, a folder that cannot be written, a missing file.
// What must survive a crash goes through seer_file_replace or a folder renamed into place.
#ifndef SEER_RUNTIME_FILES_H
#define SEER_RUNTIME_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

enum { SEER_PATH_MAX = 4096 };

typedef struct SeerPath {
  char text[SEER_PATH_MAX];
} SeerPath;

// SEER_INPUT when the path is too long.
SeerStatus seer_path_print(SeerPath *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool seer_path_exists(const char *path);
bool seer_path_is_folder(const char *path);

SeerStatus seer_folder_make(const char *path);  // with its parents; fine when it is there
SeerStatus seer_folder_sync(const char *path);
SeerStatus seer_folder_remove(const char *path);    // and what is in it; fine when it is not there
SeerStatus seer_folder_writable(const char *path);  // tries, by making and removing a file
uint64_t seer_folder_free_bytes(const char *path);  // for this user; UINT64_MAX when the system cannot say

// A file written once, front to back, its bytes counted and hashed (XXH3-128) on the way.
typedef struct SeerFile {
  int fd;
  SeerPath path;
  uint64_t bytes;
  struct XXH3_state_s *hash;
} SeerFile;

typedef struct SeerHash {
  char hex[33];
} SeerHash;

SeerStatus seer_file_create(SeerFile *file, const char *path);  // which must not exist
SeerStatus seer_file_write(SeerFile *file, const void *data, uint64_t bytes);
// Flushes to the disk and closes; with a `status` that is not SEER_OK only closes, and returns it. `hash` may be NULL.
SeerStatus seer_file_finish(SeerFile *file, SeerStatus status, SeerHash *hash);
// Writes all of `data` to fd; `path` is for the error.
SeerStatus seer_fd_write(int fd, const char *path, const void *data, uint64_t bytes);
// Replaces a file atomically: temporary name, flush, rename, flush of the folder.
SeerStatus seer_file_replace(const char *path, const void *data, uint64_t bytes);
// Reads a whole file of at most `limit` bytes into malloc'ed memory, a NUL added.
SeerStatus seer_file_read(const char *path, uint64_t limit, char **data, uint64_t *bytes);
SeerStatus seer_file_hash(const char *path, SeerHash *hash);

#endif
