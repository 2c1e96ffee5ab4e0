// Offline placement of buffers with known lifetimes (dynamic storage allocation): every buffer gets an offset, buffers
// that live at the same step never overlap, and the memory needed comes down to the largest live sum, the lower bound,
// wherever the search reaches it. Knows nothing of graphs and plans. Same buffers, same offsets.
#ifndef SEER_PLAN_PLACE_H
#define SEER_PLAN_PLACE_H

#include <stdint.h>

#include "compiler/base/arena.h"

typedef struct PlaceBuffer {
  uint64_t bytes;       // 0: takes no room, offset 0
  uint32_t begin, end;  // live in steps begin..end, both included
  uint64_t offset;      // set by place_buffers: a multiple of the alignment
} PlaceBuffer;

typedef enum PlaceEffort {
  PLACE_USUAL,    // up to about a second where the lower bound is hard to reach
  PLACE_THOROUGH  // up to some seconds
} PlaceEffort;

// Both count a buffer's bytes rounded up to the alignment (at least 1); all buffers together must stay below 2^60
// bytes. Scratch comes from `arena`.
//
// Sets every offset and returns the bytes needed, a multiple of the alignment.
uint64_t place_buffers(Arena *arena, PlaceBuffer *buffers, uint32_t count, uint64_t alignment, PlaceEffort effort);
// The largest sum of bytes live at one step, which no placement can beat; `step`, if not NULL, gets the first such
// step.
uint64_t place_live_peak(Arena *arena, const PlaceBuffer *buffers, uint32_t count, uint64_t alignment, uint32_t *step);

#endif
