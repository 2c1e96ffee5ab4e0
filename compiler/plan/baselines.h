// Checkpoint placements that others use, as schedules of the same chain, so that they can be compared in one model.
#ifndef SEER_PLAN_BASELINES_H
#define SEER_PLAN_BASELINES_H

#include "compiler/plan/chain.h"

// Segments of a flat placement: block `begins[i]` begins segment i; recomputed segments keep only their input.
typedef struct Segments {
  int *begins;
  bool *recomputed;
  int count;
} Segments;

// Every block in its first mode, nothing twice.
ChainOps baseline_none(Arena *arena, const Chain *chain);
// Every block but the last keeps only its input.
ChainOps baseline_every(Arena *arena, const Chain *chain);
// Chen et al. 2016: about sqrt(n) equal segments, the last not recomputed.
ChainOps baseline_square_root(Arena *arena, const Chain *chain);
// FairScale's rule with as many cuts as `cuts`: see segments_fairscale.
ChainOps baseline_fairscale(Arena *arena, const Chain *chain, int cuts);
ChainOps baseline_segments(Arena *arena, const Chain *chain, const Segments *segments);

// FairScale's find_best_reset_points: cuts of `sizes` into at most cuts + 1 runs whose largest sum is least, the
// earliest cut winning ties. Returns that sum; `points` (room for `cuts`) gets the starts of runs, *point_count their
// number.
int64_t segments_fairscale(const int64_t *sizes, int count, int cuts, int *points, int *point_count);

#endif
