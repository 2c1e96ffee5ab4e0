// A hash table that doubles when it is half full; keys and counts lie outside of it.
#include "compiler/data/tally.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 256, SLOTS_MOST = 1 << 30 };

static uint32_t *slot_of(const Tally *tally, uint64_t key) {
  uint64_t mixed = key * 0x9E3779B97F4A7C15u;
  uint32_t slot = (uint32_t)((mixed ^ mixed >> 32) & (tally->slot_count - 1));
  while (tally->slots[slot] != 0 && tally->keys[tally->slots[slot] - 1] != key)
    slot = (slot + 1) & (tally->slot_count - 1);
  return &tally->slots[slot];
}

// Room for half of `slot_count` keys.
static bool tally_grow(Tally *tally, uint32_t slot_count) {
  uint32_t *slots = calloc(slot_count, sizeof *slots);
  uint64_t *keys = realloc(tally->keys, slot_count / 2 * sizeof *keys);
  if (keys != NULL) tally->keys = keys;
  uint64_t *counts = realloc(tally->counts, slot_count / 2 * sizeof *counts);
  if (counts != NULL) tally->counts = counts;
  if (slots == NULL || keys == NULL || counts == NULL) {
    free(slots);
    return false;
  }
  free(tally->slots);
  tally->slots = slots;
  tally->slot_count = slot_count;
  for (uint32_t i = 0; i < tally->count; i++) *slot_of(tally, keys[i]) = i + 1;
  return true;
}

bool tally_add(Tally *tally, uint64_t key, uint32_t *number) {
  if (tally->count * 2 >= tally->slot_count) {
    if (tally->slot_count == SLOTS_MOST) return false;
    if (!tally_grow(tally, tally->slot_count > 0 ? 2 * tally->slot_count : SLOTS_FIRST)) return false;
  }
  uint32_t *slot = slot_of(tally, key);
  if (*slot == 0) {
    tally->keys[tally->count] = key;
    tally->counts[tally->count] = 0;
    *slot = ++tally->count;
  }
  *number = *slot - 1;
  tally->counts[*number]++;
  return true;
}

void tally_release(Tally *tally) {
  free(tally->keys);
  free(tally->counts);
  free(tally->slots);
  *tally = (Tally){0};
}
