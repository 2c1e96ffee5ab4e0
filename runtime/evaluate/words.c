// Interned texts; see words.h.
#include "runtime/evaluate/words.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static int32_t *slot_of(const SeerWords *words, const char *text) {
  uint32_t slot = (uint32_t)XXH3_64bits(text, strlen(text)) & (words->slot_count - 1);
  while (words->slots[slot] != 0 && strcmp(words->items[words->slots[slot] - 1], text) != 0)
    slot = (slot + 1) & (words->slot_count - 1);
  return &words->slots[slot];
}

static int slots_grow(SeerWords *words) {
  uint32_t old = words->slot_count;
  if ((uint64_t)words->count * 2 < old) return 1;
  if (old > UINT32_MAX / 4) return 0;
  int32_t *slots = calloc(old ? 2 * (size_t)old : 256, sizeof *slots);
  if (!slots) return 0;
  free(words->slots);
  words->slots = slots;
  words->slot_count = old ? 2 * old : 256;
  for (int32_t i = 0; i < words->count; i++) *slot_of(words, words->items[i]) = i + 1;
  return 1;
}

int32_t seer_words_find(const SeerWords *words, const char *text) {
  return words->slot_count > 0 ? *slot_of(words, text) - 1 : -1;
}

int32_t seer_words_add(SeerWords *words, const char *text) {
  int32_t found = seer_words_find(words, text);
  if (found >= 0) return found;
  if (!slots_grow(words)) return -1;
  if (words->count == words->capacity) {
    int32_t capacity = words->capacity ? 2 * words->capacity : 64;
    char **items = realloc(words->items, (size_t)capacity * sizeof *items);
    if (!items) return -1;
    words->items = items;
    words->capacity = capacity;
  }
  char *copy = strdup(text);
  if (!copy) return -1;
  words->items[words->count] = copy;
  *slot_of(words, copy) = words->count + 1;
  return words->count++;
}

void seer_words_release(SeerWords *words) {
  for (int32_t i = 0; i < words->count; i++) free(words->items[i]);
  free(words->items);
  free(words->slots);
  *words = (SeerWords){.items = NULL};
}
