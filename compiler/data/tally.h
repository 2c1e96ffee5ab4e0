// Counts of keys: each gets a number in the order in which keys come up.
#ifndef SEER_COMPILER_DATA_TALLY_H
#define SEER_COMPILER_DATA_TALLY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Tally {
  uint64_t *keys, *counts;  // by number
  uint32_t *slots;          // open addressing; a number + 1, 0: free
  uint32_t count, slot_count;
} Tally;

// Counts `key` once more; *number is its own. False without memory, or with 2^30 keys.
bool tally_add(Tally *tally, uint64_t key, uint32_t *number);
void tally_release(Tally *tally);

#endif
