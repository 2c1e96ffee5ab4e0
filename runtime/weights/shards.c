// Reading the index of shards; see shards.h. It may be hostile: names of files must be plain, their number is bounded.
#include "runtime/weights/shards.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/manifest.h"

enum { SHARDS_MAX = 10000, INDEX_BYTES_MAX = 64 << 20 };

static const char index_suffix[] = ".safetensors.index.json";

static bool is_index(const char *name) {
  size_t length = strlen(name), end = strlen(index_suffix);
  return length > end && strcmp(name + length - end, index_suffix) == 0;
}

SeerStatus seer_shards_find(const char *folder, SeerPath *path, bool *found) {
  *found = false;
  SeerStatus status = seer_path_print(path, "%s/%s", folder, seer_manifest_name);
  if (status || seer_path_exists(path->text)) return status;
  DIR *listing = opendir(folder);
  if (!listing) return seer_fail(SEER_INPUT, "cannot read '%s': %s", folder, strerror(errno));
  for (struct dirent *entry; !status && (entry = readdir(listing));) {
    if (!is_index(entry->d_name)) continue;
    if (*found)
      status =
          seer_fail(SEER_INPUT, "'%s' holds more than one index of shards\nnote: name the one that is meant", folder);
    else
      status = seer_path_print(path, "%s/%s", folder, entry->d_name);
    *found = true;
  }
  closedir(listing);
  if (status || *found) return status;
  status = seer_path_print(path, "%s/model.safetensors", folder);
  *found = !status && seer_path_exists(path->text);
  return status;
}

typedef struct Index {
  const char *path;
  const char **files;  // each once
  int file_count;
} Index;

static SeerStatus file_add(Index *index, const char *tensor, const char *name) {
  if (!name || !*name || strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
    return seer_fail(SEER_INPUT, "'%s' names no plain file for tensor '%.100s'", index->path, tensor);
  for (int i = 0; i < index->file_count; i++) {
    if (strcmp(index->files[i], name) == 0) return SEER_OK;
  }
  if (index->file_count == SHARDS_MAX)
    return seer_fail(SEER_INPUT, "'%s' names more than %d files", index->path, SHARDS_MAX);
  index->files[index->file_count++] = name;
  return SEER_OK;
}

// Each tensor in its file, and none that the index does not have.
static SeerStatus tensors_check(const Index *index, const json_t *map, const SeerPath *paths, SeerCollection *tensors) {
  for (int i = 0; i < seer_collection_count(tensors); i++) {
    const SeerHeld *held = seer_collection_held(tensors, i);
    const char *file = json_string_value(json_object_get(map, held->name));
    if (!file)
      return seer_fail(SEER_INPUT, "'%s' lacks tensor '%.100s', which one of its files holds", index->path, held->name);
    for (int f = 0; f < index->file_count; f++) {
      if (strcmp(index->files[f], file) == 0 && held->file != seer_collection_file(tensors, f))
        return seer_fail(SEER_INPUT, "'%s' puts tensor '%.100s' into '%s', another file holds it", index->path,
                         held->name, paths[f].text);
    }
  }
  const char *name;
  json_t *file;
  json_object_foreach((json_t *)(uintptr_t)map, name, file) {
    if (!seer_collection_find(tensors, name))
      return seer_fail(SEER_INPUT, "'%s' puts tensor '%.100s' into '%s', which lacks it", index->path, name,
                       json_string_value(file));
  }
  return SEER_OK;
}

static SeerStatus map_open(Index *index, json_t *map, SeerCollection **tensors) {
  const char *name;
  json_t *file;
  SeerStatus status = SEER_OK;
  SeerPath *paths = NULL;
  size_t folder = strrchr(index->path, '/') ? (size_t)(strrchr(index->path, '/') - index->path + 1) : 0;
  index->files = calloc(SHARDS_MAX, sizeof *index->files);
  if (!index->files) return seer_fail(SEER_MACHINE, "no memory to read '%s'", index->path);
  json_object_foreach(map, name, file) {
    if (!status) status = file_add(index, name, json_string_value(file));
  }
  if (!status && !index->file_count) status = seer_fail(SEER_INPUT, "'%s' names no tensor", index->path);
  if (!status && !(paths = calloc((size_t)index->file_count, sizeof *paths)))
    status = seer_fail(SEER_MACHINE, "no memory to read '%s'", index->path);
  for (int i = 0; i < index->file_count && !status; i++)
    status = seer_path_print(&paths[i], "%.*s%s", (int)folder, index->path, index->files[i]);
  if (!status) status = seer_collection_open(paths, index->file_count, tensors);
  if (!status) status = tensors_check(index, map, paths, *tensors);
  free(paths);
  free(index->files);
  return status;
}

SeerStatus seer_shards_open(const char *path, SeerCollection **tensors) {
  char *text = NULL;
  uint64_t bytes = 0;
  Index index = {.path = path};
  json_error_t error;
  *tensors = NULL;
  SeerStatus status = seer_file_read(path, INDEX_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  json_t *map = json_object_get(root, "weight_map");
  if (!root)
    status = seer_fail(SEER_INPUT, "'%s' is no JSON: line %d: %s", path, error.line, error.text);
  else if (!json_is_object(map))
    status = seer_fail(SEER_INPUT, "'%s' is no index of shards: it has no object 'weight_map'", path);
  else
    status = map_open(&index, map, tensors);
  json_decref(root);
  free(text);
  if (status) {
    seer_collection_close(*tensors);
    *tensors = NULL;
  }
  return status;
}
