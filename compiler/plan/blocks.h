// The training graph cut into the blocks of a chain: the stem, the residual blocks, and what follows the trunk as one
// last block. For each block its save modes, found in its own ops, with their bytes and times.
//
// A residual block may be several of the chain: pieces that begin at its convolutions, so that the parameters of each
// travel alone. What the last piece reads of the first, or of the block before, is handed on by those between: part of
// their inputs and outputs, and as such counted in each checkpoint and saved set that has it.
//
// Requires: forward ops read their own block and those before; backward ops these, and the gradients of their block's
// output. The last block is never run again.
#ifndef SEER_PLAN_BLOCKS_H
#define SEER_PLAN_BLOCKS_H

#include "compiler/plan/chain.h"
#include "compiler/plan/plan.h"

typedef struct OpIds {
  OpId *items;
  size_t count, capacity;
} OpIds;
typedef struct ValueIds {
  ValueId *items;
  size_t count, capacity;
} ValueIds;

// A way to save: which of the block's values stay until its backward, and which ReLU results leave a mask.
typedef struct SaveMode {
  const char *name;
  ValueIds kept;
  ValueIds masked;
  bool dominated;  // another mode is no worse in anything: the solver is not offered this one
  ChainMode costs;
  int64_t recompute_ns;  // of what its backward redoes
} SaveMode;

typedef struct PlanBlock {
  const char *name;
  int stage;  // of the RegNet, from 1; 0: none
  OpIds forward, backward;
  ValueIds inputs;      // outputs of the block before that this one reads or hands on
  ValueIds outputs;     // values that blocks behind read
  ValueIds gradients;   // of `outputs`, made by blocks behind
  ValueIds statistics;  // made by its first forward, kept until its backward whatever the mode
  ValueIds wanted;      // other forward results that its backward reads
  SaveMode *modes;
  int mode_count;
  int *offered;  // modes of the chain's block: indices into `modes`
  int offered_count;
} PlanBlock;

typedef struct PlanBlocks {
  const Graph *graph;
  const PlanCosts *costs;
  PlanBlock *items;
  int count;
  int *block_of_op;     // by OpId: -1 for updates
  int *maker_of_value;  // by ValueId: the block that makes it, or -1
  bool *is_statistic;   // by ValueId
  bool *is_lasting;     // by ValueId: read by the update, or an output
  bool *is_bound;       // by ValueId: written straight into a state
} PlanBlocks;

static inline bool plan_convolves(const Op *op) { return op->kind == OP_conv2d || op->kind == OP_conv2d_statistics; }

// `in_pieces`, by block of the graph, or NULL: which of the residual blocks are cut into pieces.
PlanBlocks *plan_blocks_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const bool *in_pieces);
// Offers the modes that `original` offers, whichever of them are dominated here: the blocks are of a graph with the
// same ops, cut alike.
void plan_blocks_offer_as(PlanBlocks *blocks, const PlanBlocks *original);
int64_t plan_block_output_bytes(const PlanBlocks *blocks, int block);
// Sizes and times of the blocks as a chain; sharding is the caller's to add.
Chain plan_blocks_chain(Arena *arena, const PlanBlocks *blocks);

// From the chain's schedule to the ops' one; updates come last.
Schedule plan_blocks_schedule(Arena *arena, const PlanBlocks *blocks, const ChainOps *operations);
// The steps of one chain operation.
void plan_blocks_forward(Arena *arena, const PlanBlocks *blocks, int block, bool again, const SaveMode *mode,
                         Schedule *schedule);
void plan_blocks_backward(Arena *arena, const PlanBlocks *blocks, int block, const SaveMode *mode, Schedule *schedule);

#endif
