// Expansion of patterns and the walk over folders. Hidden entries are passed over; a folder reached a second time, by
// whatever links, is not entered again, so loops end.
#include "runtime/data/paths.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/data/index.h"

enum { MAX_EXPANSION = 10 * 1000 * 1000 };

typedef struct Walk {
  SeerPaths *paths;
  struct {
    dev_t device;
    ino_t inode;
  } * seen;  // folders entered
  size_t seen_count, seen_capacity;
} Walk;

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "out of memory for the list of pictures"); }

static SeerStatus paths_add(SeerPaths *paths, const char *path, size_t root_length, bool from_folder) {
  if (paths->count == paths->capacity) {
    size_t capacity = paths->capacity != 0 ? paths->capacity * 2 : 256;
    SeerFound *items = realloc(paths->items, capacity * sizeof *items);
    if (items == NULL) { return no_memory(); }
    paths->items = items;
    paths->capacity = capacity;
  }
  char *copy = strdup(path);
  if (copy == NULL) { return no_memory(); }
  paths->items[paths->count++] = (SeerFound){copy, root_length, from_folder};
  return SEER_OK;
}

static SeerStatus walk_enter(Walk *walk, const struct stat *info, bool *again) {
  *again = false;
  for (size_t i = 0; i < walk->seen_count; i++) {
    if (walk->seen[i].device == info->st_dev && walk->seen[i].inode == info->st_ino) {
      *again = true;
      return SEER_OK;
    }
  }
  if (walk->seen_count == walk->seen_capacity) {
    size_t capacity = walk->seen_capacity != 0 ? walk->seen_capacity * 2 : 64;
    void *seen = realloc(walk->seen, capacity * sizeof *walk->seen);
    if (seen == NULL) { return no_memory(); }
    walk->seen = seen;
    walk->seen_capacity = capacity;
  }
  walk->seen[walk->seen_count].device = info->st_dev;
  walk->seen[walk->seen_count++].inode = info->st_ino;
  return SEER_OK;
}

static int name_compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void names_release(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) { free(names[i]); }
  free(names);
}

static SeerStatus folder_names(const char *path, char ***names, size_t *count) {
  *names = NULL;
  *count = 0;
  DIR *folder = opendir(path);
  if (folder == NULL) { return seer_fail(SEER_INPUT, "cannot read folder '%s': %s", path, strerror(errno)); }
  size_t capacity = 0;
  SeerStatus status = SEER_OK;
  for (struct dirent *entry = NULL; status == SEER_OK && (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') { continue; }
    if (*count == capacity) {
      capacity = capacity != 0 ? capacity * 2 : 64;
      char **grown = realloc(*names, capacity * sizeof *grown);
      if (grown == NULL) {
        status = no_memory();
        break;
      }
      *names = grown;
    }
    (*names)[*count] = strdup(entry->d_name);
    if ((*names)[*count] == NULL) {
      status = no_memory();
      break;
    }
    (*count)++;
  }
  closedir(folder);
  if (*count > 0) { qsort(*names, *count, sizeof **names, name_compare); }
  return status;
}

static SeerStatus walk_folder(Walk *walk, const char *path, size_t root_length);

static SeerStatus walk_entry(Walk *walk, const char *folder, const char *name, size_t root_length) {
  size_t folder_length = strlen(folder), room = folder_length + strlen(name) + 2;
  char *path = malloc(room);
  if (path == NULL) { return no_memory(); }
  const char *separator = folder_length > 0 && folder[folder_length - 1] == '/' ? "" : "/";
  snprintf(path, room, "%s%s%s", folder, separator, name);
  struct stat info;
  SeerStatus status = SEER_OK;
  if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) {
    status = paths_add(walk->paths, path, root_length, true);  // a broken link is found out when it is read
  } else if (S_ISDIR(info.st_mode)) {
    status = walk_folder(walk, path, root_length);
  }
  free(path);
  return status;
}

static SeerStatus walk_folder(Walk *walk, const char *path, size_t root_length) {
  struct stat info;
  bool again = false;
  if (stat(path, &info) != 0) { return seer_fail(SEER_INPUT, "cannot read folder '%s': %s", path, strerror(errno)); }
  SeerStatus status = walk_enter(walk, &info, &again);
  if (status != SEER_OK || again) { return status; }
  char **names;
  size_t count;
  status = folder_names(path, &names, &count);
  const char *index = SEER_INDEX_NAME;
  if (count > 0 && !walk->paths->sees_all && bsearch(&index, names, count, sizeof *names, name_compare) != NULL) {
    status = walk_entry(walk, path, index, root_length);  // it names all that there is to read
  } else {
    for (size_t i = 0; status == SEER_OK && i < count; i++) { status = walk_entry(walk, path, names[i], root_length); }
  }
  names_release(names, count);
  return status;
}

// A path that exists: a folder is walked, anything else is one file.
static SeerStatus existing_add(Walk *walk, const char *path, size_t root_length) {
  struct stat info;
  if (stat(path, &info) != 0) { return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno)); }
  return S_ISDIR(info.st_mode) ? walk_folder(walk, path, root_length)
                               : paths_add(walk->paths, path, root_length, false);
}

// The '/' that ends the spelled-out part of a pattern; of a plain path, the path itself.
static size_t root_of(const char *pattern) {
  size_t plain = strcspn(pattern, "*?[{");
  if (pattern[plain] == '\0') { return plain; }
  while (plain > 0 && pattern[plain - 1] != '/') { plain--; }
  return plain;
}

static SeerStatus glob_add(Walk *walk, const char *pattern, size_t root_length, const char *written) {
  struct stat info;
  if (lstat(pattern, &info) == 0) { return existing_add(walk, pattern, root_length); }
  if (strpbrk(pattern, "*?[") == NULL) {
    const char *reason = strerror(errno);
    if (strcmp(pattern, written) == 0) {
      return seer_fail(SEER_INPUT,
                       "cannot read '%s': %s\nnote: pictures are read from folders, .tar shards, IDX files and "
                       "patterns of them",
                       pattern, reason);
    }
    return seer_fail(SEER_INPUT, "cannot read '%s', named by '%s': %s", pattern, written, reason);
  }
  glob_t found;
  int result = glob(pattern, GLOB_NOSORT, NULL, &found);
  SeerStatus status = SEER_OK;
  if (result == GLOB_NOSPACE) {
    status = no_memory();
  } else if (result != 0) {
    status = seer_fail(SEER_INPUT,
                       "nothing matches '%s'\nnote: '*', '?' and '[..]' match names in one folder; quote patterns "
                       "in a shell",
                       pattern);
  }
  if (result == 0) {
    // Links between what was matched are followed once, in sorted order, whatever order the system lists names in.
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, name_compare);
    for (size_t i = 0; status == SEER_OK && i < found.gl_pathc; i++) {
      status = existing_add(walk, found.gl_pathv[i], root_length);
    }
  }
  globfree(&found);
  return status;
}

typedef struct Range {
  uint64_t first, last;
  int digits;  // zero-padded to this; 0: as they are
} Range;

static bool range_parse(const char *text, size_t length, Range *range) {
  uint64_t ends[2] = {0, 0};
  size_t i = 0, widths[2];
  bool padded = false;
  for (int end = 0; end < 2; end++) {
    size_t start = i;
    while (i < length && text[i] >= '0' && text[i] <= '9' && i - start < 18) {
      ends[end] = ends[end] * 10 + (uint64_t)(text[i++] - '0');
    }
    widths[end] = i - start;
    padded |= widths[end] > 1 && text[start] == '0';
    if (widths[end] == 0) { return false; }
    if (end == 0) {
      if (i + 2 > length || text[i] != '.' || text[i + 1] != '.') { return false; }
      i += 2;
    }
  }
  *range = (Range){ends[0], ends[1], padded ? (int)(widths[0] > widths[1] ? widths[0] : widths[1]) : 0};
  return i == length;
}

static SeerStatus brace_expand(Walk *walk, const char *pattern, size_t root_length, const char *written,
                               int64_t *budget);

// pattern[open] is '{', pattern[close] its '}': tries `middle` in place of both and what is between.
static SeerStatus brace_replace(Walk *walk, const char *pattern, size_t open, size_t close, const char *middle,
                                size_t middle_length, size_t root_length, const char *written, int64_t *budget) {
  size_t tail_length = strlen(pattern + close + 1);
  char *expanded = malloc(open + middle_length + tail_length + 1);
  if (expanded == NULL) { return no_memory(); }
  memcpy(expanded, pattern, open);
  memcpy(expanded + open, middle, middle_length);
  memcpy(expanded + open + middle_length, pattern + close + 1, tail_length + 1);
  SeerStatus status = brace_expand(walk, expanded, root_length, written, budget);
  free(expanded);
  return status;
}

static SeerStatus range_expand(Walk *walk, const char *pattern, size_t open, size_t close, Range range,
                               size_t root_length, const char *written, int64_t *budget) {
  uint64_t low = range.first < range.last ? range.first : range.last;
  uint64_t high = range.first < range.last ? range.last : range.first;
  if (high - low >= (uint64_t)*budget) {
    return seer_fail(SEER_INPUT, "'%s' names more than %d files\nnote: check the range between the braces", written,
                     MAX_EXPANSION);
  }
  SeerStatus status = SEER_OK;
  for (uint64_t number = low; status == SEER_OK && number <= high; number++) {
    char text[32];
    int length = snprintf(text, sizeof text, "%0*llu", range.digits, (unsigned long long)number);
    status = brace_replace(walk, pattern, open, close, text, (size_t)length, root_length, written, budget);
  }
  return status;
}

static SeerStatus brace_expand(Walk *walk, const char *pattern, size_t root_length, const char *written,
                               int64_t *budget) {
  struct stat info;
  const char *brace = strchr(pattern, '{');
  if (brace == NULL || lstat(pattern, &info) == 0) {
    if (--*budget < 0) {
      return seer_fail(SEER_INPUT, "'%s' names more than %d files\nnote: check what is between the braces", written,
                       MAX_EXPANSION);
    }
    return glob_add(walk, pattern, root_length, written);
  }
  size_t open = (size_t)(brace - pattern), close = open;
  int depth = 0;
  do {
    depth += pattern[close] == '{';
    depth -= pattern[close] == '}';
    close++;
  } while (depth > 0 && pattern[close] != '\0');
  close--;
  if (depth > 0) {
    return seer_fail(SEER_INPUT, "'%s' has a '{' without a '}'\nnote: write {00..99} or {a,b,c}", written);
  }
  Range range;
  if (range_parse(pattern + open + 1, close - open - 1, &range)) {
    return range_expand(walk, pattern, open, close, range, root_length, written, budget);
  }
  SeerStatus status = SEER_OK;
  for (size_t start = open + 1, at = start; status == SEER_OK && at <= close; at++) {
    depth += pattern[at] == '{';
    if (depth == 0 && (pattern[at] == ',' || at == close)) {
      status = brace_replace(walk, pattern, open, close, pattern + start, at - start, root_length, written, budget);
      start = at + 1;
    }
    depth -= pattern[at] == '}';
  }
  return status;
}

SeerStatus seer_paths_expand(SeerPaths *paths, const char *pattern) {
  size_t length = strlen(pattern);
  while (length > 1 && pattern[length - 1] == '/') { length--; }
  if (length == 0) {
    return seer_fail(SEER_INPUT,
                     "the path of the pictures is empty\nnote: name a folder, .tar shards, an IDX file or a pattern");
  }
  char *trimmed = strndup(pattern, length);
  if (trimmed == NULL) { return no_memory(); }
  struct stat info;
  Walk walk = {.paths = paths};
  int64_t budget = MAX_EXPANSION;
  bool literal = lstat(trimmed, &info) == 0;
  size_t root_length = literal ? length : root_of(trimmed);
  SeerStatus status =
      literal ? existing_add(&walk, trimmed, root_length) : brace_expand(&walk, trimmed, root_length, trimmed, &budget);
  free(walk.seen);
  free(trimmed);
  return status;
}

static int path_compare(const void *a, const void *b) {
  return strcmp(((const SeerFound *)a)->path, ((const SeerFound *)b)->path);
}

void seer_paths_sort(SeerPaths *paths) {
  if (paths->count == 0) { return; }
  qsort(paths->items, paths->count, sizeof *paths->items, path_compare);
  size_t kept = 1;
  for (size_t i = 1; i < paths->count; i++) {
    if (strcmp(paths->items[i].path, paths->items[kept - 1].path) == 0) {
      free(paths->items[i].path);
    } else {
      paths->items[kept++] = paths->items[i];
    }
  }
  paths->count = kept;
}

void seer_paths_release(SeerPaths *paths) {
  for (size_t i = 0; i < paths->count; i++) { free(paths->items[i].path); }
  free(paths->items);
  *paths = (SeerPaths){0};
}
