// Inside of the chain solver: states, options and bounds. Not for other rooms.
//
// A state is a subproblem V(s,t) or V+(s,t) of docs/planner.md with all that couples it to its surroundings. Options
// are its ways to begin; neither depends on the bytes that are left.
#ifndef SEER_PLAN_CHAIN_SOLVE_H
#define SEER_PLAN_CHAIN_SOLVE_H

#include "compiler/plan/chain.h"

#define CHAIN_NEVER ((int64_t)1 << 60)

// Copies to and from the host that a subproblem's first and last operation carry, for block s-1.
typedef enum CopyState { COPY_NONE, COPY_BACK, COPY_OUT_AND_BACK } CopyState;

typedef struct ChainState {
  int16_t first, last;  // blocks, from 0
  int16_t gather;       // what the last operation prefetches: index of gather classes, 0 nothing
  int8_t top_mode;      // the last block is saved already in this mode; -1: it is not
  int8_t top_residency;
  int8_t copy_mode;     // of block first-1
  int8_t copy;          // CopyState
  bool after_backward;  // the operation before was B(last+1)
} ChainState;

typedef enum OptionKind { OPTION_SAVE, OPTION_LEAF, OPTION_HOLE, OPTION_TOP_BACKWARD } OptionKind;

typedef struct ChainOption {
  OptionKind kind;
  int16_t at;              // leaf and hole: j
  int8_t mode, residency;  // save and hole
  bool offload;
  bool first_child, second_child;
  ChainState children[2];
  int64_t shift;       // bytes that the first child does without; the second has all
  int64_t need, cost;  // of the option's own operations
  int64_t bound;       // of the whole, for the bytes at hand
  ChainOp need_op;     // the operation that sets `need`
} ChainOption;

typedef struct GatherClass {
  int64_t bytes, time_ns;
} GatherClass;

typedef struct ChainBounds ChainBounds;

// The chain with what both the search and the bounds look up.
typedef struct ChainIndex {
  const Chain *chain;
  ChainClass class;
  Arena *arena;
  GatherClass *gathers;
  int gather_count;
  int16_t (*gather_of)[RESIDENCY_COUNT];  // by block
  int64_t *statistics_before;             // by block: of all blocks below
  int64_t *gradients_above;               // by block: kept by the blocks above
  int16_t *same_as;                       // [first][length]: the first block of the earliest equal run
} ChainIndex;

static inline int64_t chain_larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t chain_smaller(int64_t a, int64_t b) { return a < b ? a : b; }

bool chain_residency_allowed(const ChainIndex *index, int block, ChainResidency residency);
int64_t chain_resident_bytes(const ChainBlock *block, ChainResidency residency);
bool chain_mode_allowed(const ChainIndex *index, int block, int mode);

ChainIndex *chain_index_make(Arena *arena, const Chain *chain, const ChainClass *class);
// The earliest state that is the same but for the names of its blocks.
ChainState chain_state_canonical(const ChainIndex *index, ChainState state);

// Calls `take` for every option of a state.
typedef void TakeOption(void *data, const ChainOption *option);
void chain_options(const ChainIndex *index, const ChainState *state, TakeOption *take, void *data);

ChainBounds *chain_bounds_make(const ChainIndex *index, int64_t budget_bytes);
// For chain_bounds_need alone: serves no budget, and takes no time.
ChainBounds *chain_bounds_make_needs(const ChainIndex *index);
void chain_bounds_release(ChainBounds *bounds);
// Is the grid fine and wide enough for this budget?
bool chain_bounds_serve(const ChainBounds *bounds, int64_t budget_bytes);
// No schedule of the state costs less with so many bytes; CHAIN_NEVER when none can fit.
int64_t chain_bounds_cost(const ChainBounds *bounds, const ChainState *state, int64_t bytes);
// No schedule of the state needs fewer bytes.
int64_t chain_bounds_need(const ChainBounds *bounds, const ChainState *state);

#endif
