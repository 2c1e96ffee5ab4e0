// Offline placement of buffers with known lifetimes (dynamic storage allocation).
#ifndef SEER_PLAN_PLACE_H
#define SEER_PLAN_PLACE_H

#include "compiler/plan/plan.h"

// Sets every item's offset and returns the bytes needed. The largest live sum, reached at `full_step`, is a lower
// bound; the search stops there.
uint64_t place_items(Arena *arena, PlanItem *items, uint32_t count, uint64_t live_peak_bytes, uint32_t full_step);

#endif
