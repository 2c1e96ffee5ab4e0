// Chains for the tests of the planner, made from a seed: random ones, and ones shaped like RegNets.
// Gives a Chain in the caller's arena, the same for the same recipe on every machine, and prints chains as JSON.
// Sizes and times are whole and not negative; a mode's saved bytes are never below the block's output.
#ifndef SEER_TESTS_CHAIN_INSTANCES_H
#define SEER_TESTS_CHAIN_INSTANCES_H

#include <stdio.h>

#include "compiler/plan/chain.h"

typedef struct TestRandom {
  uint64_t state;
} TestRandom;

// From 0 to limit - 1; limit from 1 on.
int64_t test_random_below(TestRandom *random, int64_t limit);

typedef enum ChainFamily { CHAINS_RANDOM, CHAINS_REGNET } ChainFamily;

typedef struct ChainRecipe {
  uint64_t seed;
  ChainFamily family;
  int block_count, mode_count;  // mode_count is the most that a block has
  int64_t scale;                // sizes and times go up to about this; small scales make ties
  bool parameters, node_share, offload;
  bool last_gradient;  // whether d(L) has bytes
  bool dear_forward;   // a forward that saves may be faster or smaller than one that does not, unlike in networks
  bool extras;         // what the chain's JSON cannot say: loose transients, statistics, kept gradients
} ChainRecipe;

Chain *chain_instance(Arena *arena, const ChainRecipe *recipe);

// As docs/planner.md describes it.
void chain_print_json(const Chain *chain, int64_t budget_bytes, FILE *file);

#endif
