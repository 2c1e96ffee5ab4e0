// The same step with its units cut in several ways, and the best of them. Whole blocks travel as one unit each; a
// large one holds much memory while it does, and nothing may be long enough to hide it. In pieces it holds less, and
// each piece hides behind the one before, but every piece waits for the network once more.
//
// Alternative 0 has whole blocks; each further one has the blocks of the next smaller size in pieces as well. They are
// tried in this order, for as long as each is better than those before.
#ifndef SEER_PLAN_ALTERNATIVES_H
#define SEER_PLAN_ALTERNATIVES_H

#include "compiler/plan/strategy.h"

typedef struct PlanAlternatives PlanAlternatives;

// `whole_blocks`: there is but the first. Of a task that follows a problem, that one's cut is the only one.
PlanAlternatives *plan_alternatives_make(Arena *arena, const PlanTask *task, bool whole_blocks);
PlanProblem *plan_alternatives_whole(PlanAlternatives *alternatives);
// The one that fits into the fewest bytes.
PlanProblem *plan_alternatives_smallest(PlanAlternatives *alternatives);
// As plan_problem_fit, with the cheapest alternative, which `problem` is set to. Baselines have whole blocks; random
// schedules have pieces now and then, as `seed` has it.
PlanAnswer plan_alternatives_fit(PlanAlternatives *alternatives, const PlanPolicy *policy, uint64_t arena_bytes,
                                 PlanProblem **problem);

#endif
