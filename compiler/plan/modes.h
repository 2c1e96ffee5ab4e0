// Inside of blocks: the save modes of a block, found in its ops, and their measured bytes and times.
#ifndef SEER_PLAN_MODES_H
#define SEER_PLAN_MODES_H

#include "compiler/plan/blocks.h"

bool value_ids_have(const ValueIds *values, ValueId value);

// Fills the block's modes: everything first, nothing but the output last.
void save_modes_list(Arena *arena, PlanBlocks *blocks, int block);
// The block as the solver sees it, with the modes that it is offered.
ChainBlock save_modes_chain_block(Arena *arena, const PlanBlocks *blocks, int block);

#endif
