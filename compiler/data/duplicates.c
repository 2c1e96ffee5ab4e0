// Sorts hashes, a range of them at a time.
#include "compiler/data/duplicates.h"

#include <stdlib.h>

enum { HASHES_HELD = 1 << 25, HASHES_FIRST = 1 << 16 };

static int hash_compare(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

// Equal hashes and sizes have equal mixes.
static uint64_t mix(const SeerIndexEntry *entry) { return entry->hash + entry->bytes * 0x9E3779B97F4A7C15u; }

// Sorts, and leaves one of each; adds how many went to *duplicates.
static size_t hashes_settle(uint64_t *hashes, size_t held, uint64_t *duplicates) {
  size_t kept = 0;
  qsort(hashes, held, sizeof *hashes, hash_compare);
  for (size_t i = 0; i < held; i++) {
    if (kept == 0 || hashes[i] != hashes[kept - 1]) hashes[kept++] = hashes[i];
  }
  *duplicates += held - kept;
  return kept;
}

typedef struct Hashes {
  uint64_t *items;
  size_t held, room;
} Hashes;

// When it is full, equal hashes are dropped; if that does not halve it, it grows.
static bool hash_add(Hashes *hashes, uint64_t hash, uint64_t *duplicates) {
  if (hashes->held == hashes->room) {
    hashes->held = hashes_settle(hashes->items, hashes->held, duplicates);
    if (hashes->held > hashes->room / 2) {
      uint64_t *grown = realloc(hashes->items, hashes->room * 2 * sizeof *grown);
      if (grown == NULL) return false;
      hashes->items = grown;
      hashes->room *= 2;
    }
  }
  hashes->items[hashes->held++] = hash;
  return true;
}

SeerStatus data_duplicates_count(const SeerIndex *index, uint64_t *duplicates) {
  int64_t count = seer_index_count(index);
  uint64_t ranges = (uint64_t)count / HASHES_HELD + 1, width = ranges > 1 ? UINT64_MAX / ranges + 1 : UINT64_MAX;
  Hashes hashes = {.items = malloc(HASHES_FIRST * sizeof(uint64_t)), .room = HASHES_FIRST};
  bool fine = hashes.items != NULL;
  *duplicates = 0;
  for (uint64_t range = 0; fine && range < ranges; range++) {
    hashes.held = 0;
    for (int64_t i = 0; fine && i < count; i++) {
      SeerIndexEntry entry;
      if (!seer_index_entry(index, i, &entry) || entry.hash == 0) continue;
      uint64_t mixed = mix(&entry);
      if (ranges == 1 || mixed / width == range) fine = hash_add(&hashes, mixed, duplicates);
    }
    hashes_settle(hashes.items, hashes.held, duplicates);
  }
  free(hashes.items);
  return fine ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory to look for duplicates");
}
