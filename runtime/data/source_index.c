// Pictures of a source that an index tells of: looked up when they are asked for, so that a billion of them take no
// memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"

SeerStatus seer_indexed_add(SeerSource *source, const char *path) {
  SeerIndexed *grown = realloc(source->indexed, (size_t)(source->indexed_count + 1) * sizeof *grown);
  if (grown == NULL) { return seer_no_memory("the list of indices"); }
  source->indexed = grown;
  SeerIndexed *indexed = &grown[source->indexed_count];
  *indexed = (SeerIndexed){0};
  SeerStatus status = seer_index_open(path, &indexed->index);
  if (status != SEER_OK) { return status; }
  source->indexed_count++;  // from here on the source closes it
  status = seer_index_check_shards(indexed->index);
  if (status != SEER_OK) { return status; }
  int count = seer_index_label_count(indexed->index);
  indexed->labels = malloc(((size_t)count + 1) * sizeof *indexed->labels);
  if (indexed->labels == NULL) { return seer_no_memory("the labels of pictures"); }
  for (int label = 0; status == SEER_OK && label < count; label++) {
    size_t length;
    const char *name = seer_index_label(indexed->index, label, &length);
    if (memchr(name, '\0', length) != NULL) {
      return seer_fail(SEER_INPUT,
                       "'%s' is damaged: a label holds a zero byte\nnote: make it again with 'seerc data "
                       "index'",
                       path);
    }
    status = seer_catalogue_label(source, name, length, &indexed->labels[label]);
  }
  return status;
}

const SeerIndexed *seer_indexed_find(const SeerSource *source, int64_t picture, int64_t *number) {
  if (picture < source->count) { return NULL; }
  int low = 0, high = source->indexed_count - 1;  // the last index whose first picture is not behind
  while (low < high) {
    int middle = low + (high - low + 1) / 2;
    if (source->indexed[middle].first <= picture) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  *number = picture - source->indexed[low].first;
  return &source->indexed[low];
}

const char *seer_indexed_name(const SeerIndexed *indexed, int64_t number) {
  static _Thread_local char text[3 * SEER_INDEX_NAME_MAX];
  const SeerIndex *index = indexed->index;
  SeerIndexEntry entry;
  size_t used = 0;
  bool sound = seer_index_entry(index, number, &entry) &&
               seer_index_shard_path(index, entry.shard, text, sizeof text - SEER_INDEX_NAME_MAX);
  const char *name = sound ? seer_index_name(index, &entry) : NULL;
  if (name == NULL) {
    snprintf(text, sizeof text, "%s#%lld", seer_index_path(index), (long long)number);
    return text;
  }
  if (entry.is_whole_file) { return text; }
  used = strlen(text);
  text[used++] = ':';
  memcpy(text + used, name, (size_t)entry.name_length);
  text[used + (size_t)entry.name_length] = '\0';
  return text;
}

int32_t seer_indexed_label(const SeerIndexed *indexed, int64_t number) {
  SeerIndexEntry entry;
  if (!seer_index_entry(indexed->index, number, &entry) || entry.label < 0) { return -1; }
  return indexed->labels[entry.label];
}

bool seer_indexed_place(const SeerIndexed *indexed, int64_t number, char *path, size_t room, SeerIndexEntry *entry,
                        const char **reason) {
  if (!seer_index_entry(indexed->index, number, entry)) {
    *reason = "its entry in the index is damaged: make the index again with 'seerc data index'";
    return false;
  }
  if (seer_index_shard_path(indexed->index, entry->shard, path, room)) { return true; }
  *reason = "the path of its shard is too long";
  return false;
}
