// The worlds of a trainer: the numbers of ranks that it can be started with, and the spec as each of them sees it.
#ifndef SEER_DRIVER_WORLDS_H
#define SEER_DRIVER_WORLDS_H

#include "lang/spec.h"

typedef enum WorldUse {
  WORLD_ASKED,    // trains: an error where its plan does not fit
  WORLD_OFFERED,  // trains where its plan fits, else evaluates
  WORLD_EVALUATES
} WorldUse;

typedef struct World {
  int64_t ranks;
  WorldUse use;
  const Spec *spec;  // the cluster's nodes and ranks_per_node are this world's
  const Spec *step;  // of so many ranks as the step is made for: of reproducible runs, as many as there are slices
} World;

typedef struct Worlds {
  const World *items;  // the declared one first, then rising
  int count;
} Worlds;

// Features and neighbours are the work of one rank, so it is always there; but with `only_asked`, for plans that nobody
// trains from.
Worlds worlds_from_spec(Arena *arena, const Spec *spec, bool only_asked);
const World *worlds_largest(const Worlds *worlds);

#endif
