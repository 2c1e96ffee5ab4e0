// The bound for any schedule whatsoever: a knapsack with one choice a block, see "Any schedule" in docs/planner.md.
//
// At the moment the first backward begins, a block has a saved set in memory, or has lost it to the host, or runs
// forward again. What follows that moment is charged weight/WEIGHTS of its compute and the rest of its traffic; the
// best weight counts.
#include <stdlib.h>

#include "compiler/base/bug.h"
#include "compiler/plan/chain_solve.h"

enum { WEIGHTS = 16, SLOTS = 4096 };

typedef struct Knapsack {
  const Chain *chain;
  int64_t unit;
  int weight;
  int64_t longest;  // no operation, with what it prefetches, takes longer
  int64_t *row, *next;
} Knapsack;

static int64_t longest_operation(const Chain *chain) {
  int64_t longest = 0, gather = 0, reduce = 0;
  for (int i = 0; i < chain->block_count; i++) {
    const ChainBlock *block = &chain->blocks[i];
    longest = chain_larger(longest, block->forward_only_ns);
    for (int k = 0; k < block->mode_count; k++)
      longest = chain_larger(longest, chain_larger(block->modes[k].forward_ns, block->modes[k].backward_ns));
    gather = chain_larger(gather, chain_larger(block->gather_ns, block->node_gather_ns));
    reduce = chain_larger(reduce, block->reduce_ns);
  }
  return chain_larger(longest, gather + reduce);
}

// The first forward of a block hides the gather of the one behind it. Everything is scaled by WEIGHTS.
// A save may come later than the first forward and hide a gather then, so only the cheapest forward is sure to be paid.
static int64_t first_forward(const Knapsack *sack, int block) {
  const ChainBlock *b = &sack->chain->blocks[block];
  bool last = block + 1 == sack->chain->block_count;
  int64_t forward_ns = b->forward_only_ns;
  for (int k = 0; k < b->mode_count; k++) forward_ns = chain_smaller(forward_ns, b->modes[k].forward_ns);
  return chain_larger(forward_ns, last ? 0 : sack->chain->blocks[block + 1].gather_ns) * WEIGHTS;
}

// The operation behind B(block) is B(block-1) or some forward. If the reduction takes longer than any of those, what is
// left over shows, whatever the schedule.
static int64_t reduction_excess(const Chain *chain, int block) {
  if (block == 0) return 0;
  int64_t longest = 0;
  for (int k = 0; k < chain->blocks[block - 1].mode_count; k++)
    longest = chain_larger(longest, chain->blocks[block - 1].modes[k].backward_ns);
  for (int i = 0; i < chain->block_count; i++) {
    longest = chain_larger(longest, chain->blocks[i].forward_only_ns);
    for (int k = 0; k < chain->blocks[i].mode_count; k++)
      longest = chain_larger(longest, chain->blocks[i].modes[k].forward_ns);
  }
  return chain_larger(0, chain->blocks[block].reduce_ns - longest);
}

static int64_t later(const Knapsack *sack, int block, int64_t compute_ns, int64_t gather_ns) {
  int64_t traffic = gather_ns + (block > 0 ? sack->chain->blocks[block].reduce_ns : 0);
  return sack->weight * (compute_ns + reduction_excess(sack->chain, block)) + (WEIGHTS - sack->weight) * traffic;
}

static void choose(Knapsack *sack, int64_t bytes, int64_t cost) {
  for (int64_t q = bytes / sack->unit; q < SLOTS; q++) {
    int64_t sum = sack->row[q - bytes / sack->unit] + cost;
    sack->next[q] = chain_smaller(sack->next[q], sum);
  }
}

static int64_t least_again(const ChainBlock *block) {
  int64_t least = CHAIN_NEVER;
  for (int k = 0; k < block->mode_count; k++)
    least = chain_smaller(least, block->modes[k].forward_ns + block->modes[k].backward_ns);
  return least;
}

static void choose_saved(Knapsack *sack, int block_index, const ChainMode *mode) {
  const ChainBlock *block = &sack->chain->blocks[block_index];
  bool last = block_index + 1 == sack->chain->block_count;
  int64_t first = first_forward(sack, block_index);
  // A set may be dropped and made again in another mode, where that is cheaper.
  int64_t backward = chain_smaller(mode->backward_ns, least_again(block));
  for (int l = 0; l < RESIDENCY_COUNT; l++) {
    ChainResidency residency = (ChainResidency)l;
    if (residency == RESIDENCY_NODE_SHARE && (!block->parameter_bytes || block->node_gather_ns < 0)) continue;
    int64_t gather = residency == RESIDENCY_KEEP || last ? 0
                     : residency == RESIDENCY_NODE_SHARE ? block->node_gather_ns
                                                         : block->gather_ns;
    int64_t cost = first + later(sack, block_index, backward, gather);
    int64_t resident = chain_resident_bytes(block, residency) + block->statistics_bytes;
    choose(sack, mode->saved_bytes + (last ? block->statistics_bytes : resident), cost);
    if (mode->offload_ns < 0 || last) continue;
    choose(sack, resident, cost + 2 * WEIGHTS * chain_larger(0, mode->offload_ns - sack->longest));
  }
}

static void choose_again(Knapsack *sack, int block_index) {
  const ChainBlock *block = &sack->chain->blocks[block_index];
  int64_t first = first_forward(sack, block_index), again = least_again(block);
  int64_t gather =
      block->node_gather_ns >= 0 ? chain_smaller(block->gather_ns, block->node_gather_ns) : block->gather_ns;
  choose(sack, block->statistics_bytes, first + later(sack, block_index, again, gather));
  choose(sack, block->statistics_bytes + block->parameter_bytes, first + later(sack, block_index, again, 0));
}

static int64_t fill(Knapsack *sack, int64_t left) {
  for (int q = 0; q < SLOTS; q++) sack->row[q] = 0;
  int count = sack->chain->block_count;
  for (int i = 0; i < count; i++) {
    for (int q = 0; q < SLOTS; q++) sack->next[q] = CHAIN_NEVER;
    for (int k = 0; k < sack->chain->blocks[i].mode_count; k++) choose_saved(sack, i, &sack->chain->blocks[i].modes[k]);
    if (i + 1 < count) choose_again(sack, i);
    int64_t *swapped = sack->row;
    sack->row = sack->next;
    sack->next = swapped;
  }
  int64_t scaled = sack->row[chain_smaller(left / sack->unit, SLOTS - 1)];
  return scaled >= CHAIN_NEVER ? CHAIN_NEVER : (scaled + WEIGHTS - 1) / WEIGHTS;
}

int64_t chain_lower_bound(const Chain *chain, int64_t budget_bytes) {
  const ChainBlock *last = &chain->blocks[chain->block_count - 1];
  int64_t transient = CHAIN_NEVER, useful = 1;
  for (int k = 0; k < last->mode_count; k++)
    transient = chain_smaller(transient, last->modes[k].backward_transient_bytes);
  for (int i = 0; i < chain->block_count; i++) {
    const ChainBlock *block = &chain->blocks[i];
    int64_t most = 0;
    for (int k = 0; k < block->mode_count; k++) most = chain_larger(most, block->modes[k].saved_bytes);
    useful += most + block->parameter_bytes + block->statistics_bytes;
  }
  int64_t left = budget_bytes - last->output_gradient_bytes - transient - last->parameter_bytes - last->gradient_bytes -
                 last->kept_gradient_bytes;
  if (chain->block_count > 1) left -= chain->blocks[chain->block_count - 2].output_gradient_bytes;
  if (left < 0) return CHAIN_INFEASIBLE;
  left = chain_smaller(left, useful);
  int64_t *rows = calloc(2 * SLOTS, sizeof *rows), bound = 0;
  if (!rows) BUG("out of memory for the planner's bound");
  for (int weight = 0; weight <= WEIGHTS; weight++) {
    Knapsack sack = {.chain = chain,
                     .unit = left / (SLOTS - 1) + 1,
                     .weight = weight,
                     .row = rows,
                     .next = rows + SLOTS,
                     .longest = longest_operation(chain)};
    bound = chain_larger(bound, fill(&sack, left));
  }
  free(rows);
  return bound >= CHAIN_NEVER ? CHAIN_INFEASIBLE : bound;
}
