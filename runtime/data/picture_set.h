// A set of pictures by number, of the size of what is in it, whatever the size of the data set.
#ifndef SEER_RUNTIME_DATA_PICTURE_SET_H
#define SEER_RUNTIME_DATA_PICTURE_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct SeerPictureSet {
  int64_t *slots;  // open addressing; a picture + 1, 0: free
  uint64_t slot_count;
  int64_t count;
} SeerPictureSet;

// The slot of `picture`, or the free one where it belongs.
static inline int64_t *seer_picture_set_slot(int64_t *slots, uint64_t slot_count, int64_t picture) {
  uint64_t slot = ((uint64_t)picture * 0x9E3779B97F4A7C15u) >> 20 & (slot_count - 1);
  while (slots[slot] != 0 && slots[slot] != picture + 1) { slot = (slot + 1) & (slot_count - 1); }
  return &slots[slot];
}

// *fresh: it was not there. False when there is no memory.
static inline bool seer_picture_set_add(SeerPictureSet *set, int64_t picture, bool *fresh) {
  if ((uint64_t)set->count * 2 >= set->slot_count) {
    uint64_t slot_count = set->slot_count != 0 ? set->slot_count * 2 : 64;
    int64_t *slots = calloc((size_t)slot_count, sizeof *slots);
    if (slots == NULL) { return false; }
    for (uint64_t i = 0; i < set->slot_count; i++) {
      if (set->slots[i] != 0) { *seer_picture_set_slot(slots, slot_count, set->slots[i] - 1) = set->slots[i]; }
    }
    free(set->slots);
    set->slots = slots;
    set->slot_count = slot_count;
  }
  int64_t *slot = seer_picture_set_slot(set->slots, set->slot_count, picture);
  *fresh = *slot == 0;
  *slot = picture + 1;
  set->count += *fresh;
  return true;
}

#endif
