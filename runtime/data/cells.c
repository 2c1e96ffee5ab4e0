// A hash table that doubles when it is half full; keys and counts lie outside of it. See cells.h.
#include "runtime/data/cells.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 256, SLOTS_MOST = 1 << 30 };

static uint64_t key_hash(const SeerCells *cells, const uint64_t *key) {
  uint64_t hash = 0;
  for (int i = 0; i < cells->width; i++) {
    hash = (hash ^ key[i]) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

static uint32_t *slot_of(const SeerCells *cells, const uint64_t *key) {
  uint32_t mask = cells->slot_count - 1, slot = (uint32_t)key_hash(cells, key) & mask;
  while (cells->slots[slot] != 0 &&
         memcmp(seer_cells_key(cells, cells->slots[slot] - 1), key, (size_t)cells->width * sizeof *key) != 0)
    slot = (slot + 1) & mask;
  return &cells->slots[slot];
}

// Room for half of `slot_count` cells.
static bool cells_grow(SeerCells *cells, uint32_t slot_count) {
  uint32_t *slots = calloc(slot_count, sizeof *slots);
  uint64_t *keys = realloc(cells->keys, slot_count / 2 * (size_t)cells->width * sizeof *keys);
  if (keys != NULL) cells->keys = keys;
  uint64_t *counts = realloc(cells->counts, slot_count / 2 * sizeof *counts);
  if (counts != NULL) cells->counts = counts;
  if (slots == NULL || keys == NULL || counts == NULL) {
    free(slots);
    return false;
  }
  free(cells->slots);
  cells->slots = slots;
  cells->slot_count = slot_count;
  for (uint32_t i = 0; i < cells->count; i++) *slot_of(cells, seer_cells_key(cells, i)) = i + 1;
  return true;
}

bool seer_cells_add(SeerCells *cells, const uint64_t *key, uint64_t count) {
  if (cells->count * 2 >= cells->slot_count) {
    if (cells->slot_count == SLOTS_MOST) return false;
    if (!cells_grow(cells, cells->slot_count > 0 ? 2 * cells->slot_count : SLOTS_FIRST)) return false;
  }
  uint32_t *slot = slot_of(cells, key);
  if (*slot == 0) {
    memcpy(cells->keys + (size_t)cells->count * (size_t)cells->width, key, (size_t)cells->width * sizeof *key);
    cells->counts[cells->count] = 0;
    *slot = ++cells->count;
  }
  cells->counts[*slot - 1] += count;
  return true;
}

uint32_t seer_cells_find(const SeerCells *cells, const uint64_t *key) {
  return cells->slot_count > 0 ? *slot_of(cells, key) - 1 : UINT32_MAX;
}

void seer_cells_clear(SeerCells *cells) {
  if (cells->count > 0) memset(cells->slots, 0, cells->slot_count * sizeof *cells->slots);
  cells->count = 0;
}

void seer_cells_release(SeerCells *cells) {
  free(cells->keys);
  free(cells->counts);
  free(cells->slots);
  *cells = (SeerCells){.width = cells->width};
}

static int cell_compare(const void *a, const void *b, void *data) {
  const SeerCells *cells = data;
  const uint64_t *one = seer_cells_key(cells, *(const uint32_t *)a),
                 *other = seer_cells_key(cells, *(const uint32_t *)b);
  for (int i = 0; i < cells->width; i++) {
    if (one[i] != other[i]) return one[i] > other[i] ? 1 : -1;
  }
  return 0;
}

uint32_t *seer_cells_sorted(const SeerCells *cells) {
  uint32_t *order = malloc(((size_t)cells->count + 1) * sizeof *order);
  for (uint32_t i = 0; order != NULL && i < cells->count; i++) order[i] = i;
  if (order != NULL && cells->count > 0) qsort_r(order, cells->count, sizeof *order, cell_compare, (void *)cells);
  return order;
}
