// From a training graph, a target's costs and a budget to the plan: cuts the graph into blocks, places checkpoints by
// the policy asked for, and gives every byte its address.
#ifndef SEER_PLAN_STRATEGY_H
#define SEER_PLAN_STRATEGY_H

#include "compiler/plan/baselines.h"
#include "compiler/plan/blocks.h"
#include "compiler/plan/machine.h"

typedef enum PlanPlacement {
  PLACEMENT_OPTIMAL,
  PLACEMENT_NONE,
  PLACEMENT_EVERY,
  PLACEMENT_SQUARE_ROOT,
  PLACEMENT_FAIRSCALE,
  PLACEMENT_CUTS,      // segments end behind the blocks of `cuts`; the last is not recomputed
  PLACEMENT_RANDOM,    // some schedule of the class, drawn by `seed`: for tests
  PLACEMENT_FOLLOWED,  // that of `operations`
  PLACEMENT_COUNT
} PlanPlacement;
extern const char *const plan_placement_names[PLACEMENT_COUNT];

typedef struct PlanPolicy {
  PlanPlacement placement;
  const int64_t *cuts;  // blocks behind which a segment ends, from 1, rising
  int cut_count;
  uint64_t seed;
  bool offload;
  const ChainOps *operations;  // of PLACEMENT_FOLLOWED: of the problem that the task follows
} PlanPolicy;

// What is to be planned, and for what.
typedef struct PlanTask {
  const Graph *graph;
  const PlanCosts *costs;
  const PlanMachine *machine;
  PlanPrecision precision;
  const PlanShards *shards;
  bool offload;
  const struct PlanProblem *follows;  // a problem of a graph with the same ops, whose pieces and offered modes it takes
} PlanTask;

// The checkpoint problem of one graph, and the answers asked of it so far.
typedef struct PlanProblem {
  Arena *arena;
  const Graph *graph;
  const PlanCosts *costs;
  const bool *in_pieces;  // by block of the graph; NULL: none is
  PlanBlocks *blocks;
  PlanUnits *units;
  Chain chain;
  ChainClass class;
  ChainSolver *solver;
  int64_t minimum_chain_bytes;  // of the class
  ChainOp minimum_set_by;
  int64_t norms_ns;             // of bringing together the norms of all parts
  int64_t update_bytes;         // the update's own need, whatever the placement
  struct PlanAnswer *smallest;  // with every byte in its place; NULL: not asked for yet
} PlanProblem;

// Its solver is released with `arena`. `in_pieces`: see plan_blocks_make. NULL: with pieces the chain is too long.
PlanProblem *plan_problem_make(Arena *arena, const PlanTask *task, const bool *in_pieces);
// What the chain's operations and the update need at least, before anything is placed.
uint64_t plan_problem_least(const PlanProblem *problem);
// The smallest arena that a training step fits into: the least account of the class, and any gap that placing leaves.
uint64_t plan_problem_minimum(PlanProblem *problem);

typedef struct PlanAnswer {
  bool fits;
  ChainSolution solution;  // schedule, cost, bounds; of baselines: without proof
  ChainReplay replay;
  Schedule schedule;
  Plan *plan;  // NULL unless it was asked for
} PlanAnswer;

// The operations alone, within so many bytes of arena (baselines do not look at the budget, but tell whether they fit).
PlanAnswer plan_problem_solve(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes);
// Adds steps, lifetimes and addresses.
void plan_problem_place(PlanProblem *problem, PlanAnswer *answer);
// Solves and places within so many bytes. A gap that placing leaves and that does not fit is searched for longer; where
// it stays, checkpoints are chosen again that leave room for it wherever they can; at the last, the smallest step of
// all is taken. `close_gaps`: gaps that fit are searched for longer, too.
PlanAnswer plan_problem_fit(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes, bool close_gaps);

#endif
