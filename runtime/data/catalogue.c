// Growth of a SeerSource: strings in blocks that never move, arrays that double, labels interned in a hash table.
#include "runtime/data/catalogue.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { STRING_BLOCK_BYTES = 1 << 18 };

struct SeerStringBlock {
  struct SeerStringBlock *next;
  size_t used, capacity;
  char bytes[];
};

SeerStatus seer_no_memory(const char *what) {
  return seer_fail(SEER_MACHINE,
                   "out of memory for %s\nnote: use fewer pictures per run, or a machine with more memory", what);
}

SeerSuffix seer_suffix_of(const char *name) {
  static const struct {
    const char *suffix;
    SeerSuffix kind;
  } table[] = {
      {"jpg", SEER_SUFFIX_PICTURE},  {"jpeg", SEER_SUFFIX_PICTURE}, {"jpe", SEER_SUFFIX_PICTURE},
      {"jfif", SEER_SUFFIX_PICTURE}, {"png", SEER_SUFFIX_PICTURE},  {"webp", SEER_SUFFIX_PICTURE},
      {"tar", SEER_SUFFIX_TAR},      {"gif", SEER_SUFFIX_UNREAD},   {"bmp", SEER_SUFFIX_UNREAD},
      {"tif", SEER_SUFFIX_UNREAD},   {"tiff", SEER_SUFFIX_UNREAD},  {"heic", SEER_SUFFIX_UNREAD},
      {"avif", SEER_SUFFIX_UNREAD},  {"svg", SEER_SUFFIX_UNREAD},   {"jp2", SEER_SUFFIX_UNREAD},
      {"jxl", SEER_SUFFIX_UNREAD},   {"ppm", SEER_SUFFIX_UNREAD},
  };
  const char *slash = strrchr(name, '/');
  const char *base = slash != NULL ? slash + 1 : name;
  const char *dot = strrchr(base, '.');
  for (size_t i = 0; dot != NULL && i < sizeof table / sizeof table[0]; i++) {
    if (strcasecmp(dot + 1, table[i].suffix) == 0) { return table[i].kind; }
  }
  return SEER_SUFFIX_OTHER;
}

bool seer_magic_is_picture(const uint8_t *bytes, size_t count) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) ||
         (count >= 8 && memcmp(bytes, png, sizeof png) == 0) ||
         (count >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0);
}

const char *seer_catalogue_string(SeerSource *source, const char *bytes, size_t length) {
  struct SeerStringBlock *block = source->strings;
  if (block == NULL || block->capacity - block->used < length + 1) {
    size_t capacity = length + 1 > STRING_BLOCK_BYTES ? length + 1 : STRING_BLOCK_BYTES;
    block = malloc(sizeof *block + capacity);
    if (block == NULL) {
      seer_no_memory("the names of pictures");
      return NULL;
    }
    block->next = source->strings;
    block->used = 0;
    block->capacity = capacity;
    source->strings = block;
  }
  char *copy = block->bytes + block->used;
  memcpy(copy, bytes, length);
  copy[length] = '\0';
  block->used += length + 1;
  return copy;
}

static uint32_t hash_bytes(const char *bytes, size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) { hash = (hash ^ (uint8_t)bytes[i]) * 16777619u; }
  return hash;
}

static SeerStatus slots_grow(SeerSource *source) {
  uint32_t slot_count = source->slot_count != 0 ? source->slot_count * 2 : 256;
  int32_t *slots = malloc(slot_count * sizeof *slots);
  if (slots == NULL) { return seer_no_memory("the labels of pictures"); }
  memset(slots, 0xFF, slot_count * sizeof *slots);
  for (int32_t label = 0; label < source->label_count; label++) {
    uint32_t slot = hash_bytes(source->labels[label], strlen(source->labels[label])) & (slot_count - 1);
    while (slots[slot] >= 0) { slot = (slot + 1) & (slot_count - 1); }
    slots[slot] = label;
  }
  free(source->label_slots);
  source->label_slots = slots;
  source->slot_count = slot_count;
  return SEER_OK;
}

SeerStatus seer_catalogue_label(SeerSource *source, const char *name, size_t length, int32_t *label) {
  if ((uint32_t)source->label_count * 2 >= source->slot_count && slots_grow(source) != SEER_OK) { return SEER_MACHINE; }
  uint32_t slot = hash_bytes(name, length) & (source->slot_count - 1);
  for (; source->label_slots[slot] >= 0; slot = (slot + 1) & (source->slot_count - 1)) {
    const char *known = source->labels[source->label_slots[slot]];
    if (strlen(known) == length && memcmp(known, name, length) == 0) {
      *label = source->label_slots[slot];
      return SEER_OK;
    }
  }
  if (source->label_count == source->label_capacity) {
    int32_t capacity = source->label_capacity != 0 ? source->label_capacity * 2 : 64;
    const char **labels = realloc(source->labels, (size_t)capacity * sizeof *labels);
    if (labels == NULL) { return seer_no_memory("the labels of pictures"); }
    source->labels = labels;
    source->label_capacity = capacity;
  }
  const char *copy = seer_catalogue_string(source, name, length);
  if (copy == NULL) { return SEER_MACHINE; }
  source->labels[source->label_count] = copy;
  source->label_slots[slot] = source->label_count;
  *label = source->label_count++;
  return SEER_OK;
}

SeerStatus seer_catalogue_container(SeerSource *source, SeerContainer container, int32_t *index) {
  if (source->container_count == source->container_capacity) {
    int32_t capacity = source->container_capacity != 0 ? source->container_capacity * 2 : 16;
    SeerContainer *containers = realloc(source->containers, (size_t)capacity * sizeof *containers);
    if (containers == NULL) { return seer_no_memory("the list of shards"); }
    source->containers = containers;
    source->container_capacity = capacity;
  }
  *index = source->container_count;
  source->containers[source->container_count++] = container;
  return SEER_OK;
}

SeerStatus seer_catalogue_item(SeerSource *source, SeerItem item) {
  if (source->count == source->capacity) {
    int64_t capacity = source->capacity != 0 ? source->capacity * 2 : 1024;
    SeerItem *items = realloc(source->items, (size_t)capacity * sizeof *items);
    if (items == NULL) { return seer_no_memory("the list of pictures"); }
    source->items = items;
    source->capacity = capacity;
  }
  source->items[source->count++] = item;
  return SEER_OK;
}

typedef struct NamedLabel {
  const char *name;
  int32_t label;
} NamedLabel;

static int named_label_compare(const void *a, const void *b) {
  return strcmp(((const NamedLabel *)a)->name, ((const NamedLabel *)b)->name);
}

SeerStatus seer_catalogue_sort_labels(SeerSource *source) {
  size_t count = (size_t)source->label_count;
  if (count == 0) { return SEER_OK; }
  NamedLabel *sorted = malloc(count * sizeof *sorted);
  int32_t *renumbered = malloc(count * sizeof *renumbered);
  if (sorted == NULL || renumbered == NULL) {
    free(sorted);
    free(renumbered);
    return seer_no_memory("the labels of pictures");
  }
  for (int32_t i = 0; i < source->label_count; i++) { sorted[i] = (NamedLabel){source->labels[i], i}; }
  qsort(sorted, count, sizeof *sorted, named_label_compare);
  for (int32_t i = 0; i < source->label_count; i++) {
    source->labels[i] = sorted[i].name;
    renumbered[sorted[i].label] = i;
  }
  for (int64_t i = 0; i < source->count; i++) {
    if (source->items[i].label >= 0) { source->items[i].label = renumbered[source->items[i].label]; }
  }
  for (int i = 0; i < source->indexed_count; i++) {
    const SeerIndexed *indexed = &source->indexed[i];
    for (int label = 0; label < seer_index_label_count(indexed->index); label++) {
      indexed->labels[label] = renumbered[indexed->labels[label]];
    }
  }
  free(sorted);
  free(renumbered);
  free(source->label_slots);  // it points to the old numbers
  source->label_slots = NULL;
  source->slot_count = 0;
  return SEER_OK;
}

void seer_catalogue_release(SeerSource *source) {
  for (int32_t i = 0; i < source->container_count; i++) { free(source->containers[i].pixels); }
  for (struct SeerStringBlock *block = source->strings, *next; block != NULL; block = next) {
    next = block->next;
    free(block);
  }
  for (int i = 0; i < source->indexed_count; i++) {
    seer_index_close(source->indexed[i].index);
    free(source->indexed[i].labels);
  }
  free(source->indexed);
  free(source->containers);
  free(source->items);
  free(source->cuts);
  free(source->labels);
  free(source->label_slots);
  free(source);
}
