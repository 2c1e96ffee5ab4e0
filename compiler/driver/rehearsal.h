// Rehearsals (model.shrink): the step of a whole cluster, run by a few ranks at a fraction of the widths. The plan is
// made at full width for the declared cluster; the network that is built has its blocks, its ops and its schedule, step
// by step, and as many pictures a rank.
#ifndef SEER_DRIVER_REHEARSAL_H
#define SEER_DRIVER_REHEARSAL_H

#include "compiler/graph/graph.h"
#include "compiler/passes/regnet.h"
#include "compiler/plan/plan.h"
#include "lang/spec.h"

static inline bool spec_rehearses(const Spec *spec) { return spec_integer(spec, KEY_model_shrink) > 1; }

// The same spec for the ranks of the rehearsal: stages, stem, head and prototypes by model.shrink narrower (`shape` is
// the full network's), batch and queue as large for each rank. Groups of channels stay as many and become narrower.
const Spec *rehearsal_spec(Arena *arena, const Spec *spec, const RegNetShape *shape);
// False after an error: at this fraction of its widths the network has other ops than `full`.
bool rehearsal_check_graph(DiagList *diags, const Spec *spec, const Graph *full, const Graph *shrunk);
// NULL where both plans have the same steps in the same order, else the first that differs.
const char *rehearsal_verify(Arena *arena, const Plan *full, const Plan *shrunk);

#endif
