// The checkpoint problem on a chain of blocks, and its exact solver. Knows nothing of graphs: sizes in whole bytes,
// times in whole nanoseconds. Rules of memory and time, the class of schedules and the proof: docs/planner.md.
//
// Blocks are numbered 1..L here, the stem first, the loss last; items[0] is block 1.
#ifndef SEER_PLAN_CHAIN_H
#define SEER_PLAN_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/arena.h"

#define CHAIN_INFEASIBLE INT64_MAX
enum { CHAIN_MAX_BLOCKS = 256, CHAIN_MAX_MODES = 32 };
// Sums over all blocks stay far from overflow.
#define CHAIN_MAX_BYTES ((int64_t)1 << 50)
#define CHAIN_MAX_NS ((int64_t)1 << 44)

// One way to save a block's inside for its backward.
typedef struct ChainMode {
  const char *name;
  int64_t saved_bytes;  // inside and output, without the input
  int64_t forward_ns, backward_ns;
  int64_t forward_transient_bytes, backward_transient_bytes;  // peak beyond what the rules count; may be negative
  int64_t loose_transient_bytes;  // forward's when nobody else holds the input: at most forward_transient_bytes
  int64_t offload_ns;             // copying all but the output to the host, and again back; -1: cannot be offloaded
} ChainMode;

typedef enum ChainResidency { RESIDENCY_GATHER, RESIDENCY_NODE_SHARE, RESIDENCY_KEEP, RESIDENCY_COUNT } ChainResidency;

typedef struct ChainBlock {
  const char *name;
  int64_t output_bytes, output_gradient_bytes;
  int64_t forward_only_ns, forward_only_transient_bytes, forward_only_loose_transient_bytes;
  ChainMode *modes;
  int mode_count;
  // Sharded parameters: whole and gathered; 0: not sharded.
  int64_t parameter_bytes, gradient_bytes, gather_ns, reduce_ns;
  int64_t node_share_bytes, node_gather_ns;  // node_gather_ns -1: no such residency
  // Not chosen by the solver, but counted: statistics live from the block's first forward to its backward whatever the
  // mode; kept gradients live from the block's backward to the end.
  int64_t statistics_bytes, kept_gradient_bytes;
} ChainBlock;

// Is there a gather to save, and so a choice of residency?
static inline bool chain_block_is_gathered(const ChainBlock *block) {
  return block->parameter_bytes > 0 || block->gather_ns > 0;
}

typedef struct Chain {
  ChainBlock *blocks;
  int block_count;
  int64_t budget_bytes;
  int64_t input_bytes;  // held by the caller; told, not counted
} Chain;

typedef enum ChainOpKind { CHAIN_FORWARD, CHAIN_SAVE, CHAIN_BACKWARD } ChainOpKind;

// One operation of a schedule with what happens around it.
typedef struct ChainOp {
  ChainOpKind kind;
  int block;                 // from 0
  int mode;                  // CHAIN_SAVE and CHAIN_BACKWARD
  ChainResidency residency;  // CHAIN_SAVE: of the block's parameters until its backward
  bool offload;              // CHAIN_SAVE: the inside goes to the host
} ChainOp;

typedef struct ChainOps {
  ChainOp *items;
  size_t count, capacity;
} ChainOps;

typedef struct ChainSolution {
  bool feasible;
  bool optimal_in_class;  // proven: no schedule of the class is cheaper
  int64_t cost_ns, peak_bytes;
  int64_t class_bound_ns;  // no schedule of the class costs less; cost_ns when optimal_in_class
  int64_t lower_bound_ns;  // no schedule at all costs less
  int64_t boundary_ns;     // the first gather and the last reduction, which no operation can hide; not in cost_ns
  ChainOps schedule;
  uint64_t states, options;  // work done
} ChainSolution;

// What the solver may use; the full class is the default, the others are baselines.
typedef struct ChainClass {
  bool holes, offload, residency;
  int only_modes;         // bit mask over modes, 0: all
  uint64_t option_limit;  // gives up proving after so many options, 0: never
  bool coarse;            // blunter bounds, made in a quarter of the time: where any schedule that fits will do
} ChainClass;
extern const ChainClass chain_full_class;

typedef struct ChainSolver ChainSolver;

// A solver answers for any number of budgets; what it learns for one serves the others.
ChainSolver *chain_solver_make(const Chain *chain, const ChainClass *class);
void chain_solver_release(ChainSolver *solver);
// The schedule is allocated in `arena`.
ChainSolution chain_solve(ChainSolver *solver, Arena *arena, int64_t budget_bytes);
// What no schedule of the class can be cheaper than, told at once.
int64_t chain_floor_ns(ChainSolver *solver, int64_t budget_bytes);
// The smallest budget that some schedule of the class fits into, and which operation sets it.
int64_t chain_minimum_budget(ChainSolver *solver, ChainOp *set_by);

// The first gather and the last reduction, which no operation can hide.
int64_t chain_boundary_ns(const Chain *chain);

// What a schedule costs by the rules.
typedef struct ChainReplay {
  int64_t cost_ns, peak_bytes, compute_ns;
  int64_t recompute_ns;  // of operations run again, and of what modes redo in their backward
  size_t peak_op;
  int64_t *op_cost_ns, *op_bytes;  // by op of the schedule
} ChainReplay;
// Replays a schedule by the rules, apart from the solver. NULL when it holds, else the rule that it breaks.
const char *chain_replay(const Chain *chain, const ChainOp *ops, size_t count, Arena *arena, ChainReplay *replay);

// Some schedule of the class with modes, holes and nesting drawn by `seed`: the same seed, the same schedule.
ChainOps chain_random_schedule(Arena *arena, const Chain *chain, uint64_t seed);

// Bound for every schedule whatsoever at this budget; see docs/planner.md.
int64_t chain_lower_bound(const Chain *chain, int64_t budget_bytes);

// NULL, or what is wrong with the chain (negative sizes, no modes, numbers that could overflow).
const char *chain_check(const Chain *chain, Arena *arena);

#endif
