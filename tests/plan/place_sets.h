// Sets of buffers for the tests of placement, of which it is known by construction, or found, that they can be placed
// within their largest live sum. Random, from one fixed seed.
#ifndef SEER_TESTS_PLAN_PLACE_SETS_H
#define SEER_TESTS_PLAN_PLACE_SETS_H

#include <stdint.h>

#include "compiler/plan/place.h"

typedef struct PlaceSet {
  PlaceBuffer *buffers;
  uint32_t count, capacity;
} PlaceSet;

void place_set_release(PlaceSet *set);
uint32_t random_below(uint32_t limit);

// Adds a tree of nested lifetimes over `steps` steps from `begin`, siblings apart; deep of at most `depth` levels.
void place_set_nest(PlaceSet *set, uint32_t begin, uint32_t steps, int depth);
// Adds the pieces of a rectangle of `steps` times `bytes`, about `count` of them: cut by halves or in the way of a
// pinwheel, which no straight cut takes apart.
void place_set_cut(PlaceSet *set, uint32_t count, uint32_t steps, uint32_t bytes);
// Adds a training step of a chain of blocks that keeps some insides and runs forward again for the others, at random,
// with re-forwards inside re-forwards and holes (docs/planner.md).
void place_set_recompute(PlaceSet *set, uint32_t blocks);

#endif
