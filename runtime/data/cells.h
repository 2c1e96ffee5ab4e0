// Counts of keys: how often each combination of codes came up. A key is a row of `width` numbers, by convention the
// codes of columns (columns.h), then perhaps a level.
#ifndef SEER_RUNTIME_DATA_CELLS_H
#define SEER_RUNTIME_DATA_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SeerCells {
  int width;
  uint64_t *keys;    // [count][width], in the order in which they came up
  uint64_t *counts;  // [count]
  uint32_t *slots;   // open addressing; a cell's number + 1, 0: free
  uint32_t count, slot_count;
} SeerCells;

static inline const uint64_t *seer_cells_key(const SeerCells *cells, uint32_t cell) {
  return cells->keys + (size_t)cell * (size_t)cells->width;
}

// Starts from {.width = N}. False without memory, or with 2^29 cells; nothing is counted then.
bool seer_cells_add(SeerCells *cells, const uint64_t *key, uint64_t count);
// UINT32_MAX: the key has not come up.
uint32_t seer_cells_find(const SeerCells *cells, const uint64_t *key);
// Forgets all, keeps the memory.
void seer_cells_clear(SeerCells *cells);
void seer_cells_release(SeerCells *cells);
// Cells by their keys, rising: an order that does not depend on how they came up. To be freed; NULL without memory.
uint32_t *seer_cells_sorted(const SeerCells *cells);

#endif
