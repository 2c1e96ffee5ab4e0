// Reads specs from files, standard input and the shipped library; see files.h.
#include "lang/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lang/parse.h"

const char *path_folder(Arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  return slash == path ? "/" : arena_string(arena, path, (size_t)(slash - path));
}

const char *path_join(Arena *arena, const char *folder, const char *name) {
  if (*name == '/' || strcmp(folder, ".") == 0) return name;
  size_t length = strlen(folder);
  return arena_printf(arena, "%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
}

const char *path_without_suffix(Arena *arena, const char *path) {
  size_t length = strlen(path);
  if (length > 5 && strcmp(path + length - 5, ".seer") == 0) return arena_string(arena, path, length - 5);
  return path;
}

static bool disk_is_file(const void *context, const char *path) {
  (void)context;
  struct stat status;
  return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

// Reads one byte more than a spec may have, so that the parser can refuse what is larger.
static int disk_read(const void *context, Arena *arena, const char *path, char **text, size_t *size) {
  (void)context;
  bool from_input = strcmp(path, "-") == 0;
  FILE *file = from_input ? stdin : fopen(path, "rb");
  if (!file) return errno;
  size_t used = 0, capacity = 0;
  char *buffer = NULL;
  while (used <= PARSE_LARGEST_BYTES) {
    if (used == capacity) {
      capacity = capacity ? 2 * capacity : 16384;
      buffer = arena_grow(arena, buffer, used, capacity + 1, 1);
    }
    size_t got = fread(buffer + used, 1, capacity - used, file);
    used += got;
    if (got == 0) break;
  }
  int error = ferror(file) ? (errno ? errno : EIO) : 0;
  if (!from_input) fclose(file);
  *text = buffer;
  *size = used;
  return error;
}

static const char *disk_identity(const void *context, Arena *arena, const char *path) {
  (void)context;
  char *real = realpath(path, NULL);
  if (!real) return path;
  const char *copy = arena_printf(arena, "%s", real);
  free(real);
  return copy;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef struct NameList {
  const char **items;
  size_t count, capacity;
} NameList;

static int disk_list(const void *context, Arena *arena, const char *folder, const char ***names) {
  (void)context;
  DIR *stream = opendir(folder);
  if (!stream) return 0;
  NameList list = {0};
  for (struct dirent *entry; (entry = readdir(stream)) && list.count < 10000;) {
    if (entry->d_name[0] == '.') continue;
    const char *name = arena_printf(arena, "%s", entry->d_name);
    arena_push(arena, &list, const char *, name);
  }
  closedir(stream);
  if (list.count) qsort(list.items, list.count, sizeof *list.items, compare_names);
  *names = list.items;
  return (int)list.count;
}

const SpecFiles spec_files_on_disk = {
    .is_file = disk_is_file, .read = disk_read, .identity = disk_identity, .list = disk_list};

static const MemoryFile *find_in_memory(const void *context, const char *path) {
  const MemoryFiles *files = context;
  for (int i = 0; i < files->count; i++) {
    if (strcmp(files->files[i].path, path) == 0) return &files->files[i];
  }
  return NULL;
}

static bool memory_is_file(const void *context, const char *path) { return find_in_memory(context, path) != NULL; }

static int memory_read(const void *context, Arena *arena, const char *path, char **text, size_t *size) {
  const MemoryFile *file = find_in_memory(context, path);
  if (!file) return ENOENT;
  *size = strlen(file->text);
  *text = arena_string(arena, file->text, *size);
  return 0;
}

static const char *memory_identity(const void *context, Arena *arena, const char *path) {
  (void)context;
  (void)arena;
  return path;
}

static int memory_list(const void *context, Arena *arena, const char *folder, const char ***names) {
  const MemoryFiles *files = context;
  size_t length = strlen(folder);
  const char **list = arena_array(arena, const char *, files->count + 1);
  int count = 0;
  for (int i = 0; i < files->count; i++) {
    const char *path = files->files[i].path;
    if (strncmp(path, folder, length) == 0 && path[length] == '/') list[count++] = path + length + 1;
  }
  *names = list;
  return count;
}

SpecFiles spec_files_in_memory(const MemoryFiles *files) {
  return (SpecFiles){.context = files,
                     .is_file = memory_is_file,
                     .read = memory_read,
                     .identity = memory_identity,
                     .list = memory_list};
}

static bool ends_in_seer(const char *path) {
  size_t length = strlen(path);
  return length > 5 && strcmp(path + length - 5, ".seer") == 0;
}

const char *path_of_machine(Arena *arena, const char *spec_path, const char *library, const char *machine) {
  const char *suffix = ends_in_seer(machine) ? "" : ".seer";
  if (!*suffix || strchr(machine, '/'))
    return path_join(arena, strcmp(spec_path, "-") == 0 ? "." : path_folder(arena, spec_path),
                     arena_printf(arena, "%s%s", machine, suffix));
  return path_join(arena, library, arena_printf(arena, "machines/%s%s", machine, suffix));
}
