// What every user of a chain needs: the check of its numbers, and the replay of a schedule by the rules of
// docs/planner.md, apart from the solver.
#include "compiler/plan/chain.h"

#include <string.h>

static bool bytes_out_of_range(int64_t bytes) { return bytes < 0 || bytes > CHAIN_MAX_BYTES; }
static bool time_out_of_range(int64_t time_ns) { return time_ns < 0 || time_ns > CHAIN_MAX_NS; }
static bool transient_out_of_range(int64_t bytes) { return bytes < -CHAIN_MAX_BYTES || bytes > CHAIN_MAX_BYTES; }

static const char *check_mode(const ChainBlock *block, const ChainMode *mode, Arena *arena) {
  if (bytes_out_of_range(mode->saved_bytes) || time_out_of_range(mode->forward_ns) ||
      time_out_of_range(mode->backward_ns) || transient_out_of_range(mode->forward_transient_bytes) ||
      transient_out_of_range(mode->backward_transient_bytes) || transient_out_of_range(mode->loose_transient_bytes) ||
      mode->offload_ns < -1 || mode->offload_ns > CHAIN_MAX_NS)
    return arena_printf(arena, "mode '%s' of block '%s' has a number out of range", mode->name, block->name);
  if (mode->saved_bytes < block->output_bytes) {
    return arena_printf(arena, "mode '%s' of block '%s' saves less than the block's output", mode->name, block->name);
  }
  if (mode->loose_transient_bytes > mode->forward_transient_bytes) {
    return arena_printf(arena, "mode '%s' of block '%s' needs more when its input ends", mode->name, block->name);
  }
  return NULL;
}

static const char *check_block(const ChainBlock *block, Arena *arena) {
  if (block->mode_count < 1 || block->mode_count > CHAIN_MAX_MODES) {
    return arena_printf(arena, "block '%s' has %d modes, 1 to %d can be", block->name, block->mode_count,
                        CHAIN_MAX_MODES);
  }
  if (bytes_out_of_range(block->output_bytes) || bytes_out_of_range(block->output_gradient_bytes) ||
      time_out_of_range(block->forward_only_ns) || transient_out_of_range(block->forward_only_transient_bytes) ||
      block->forward_only_loose_transient_bytes > block->forward_only_transient_bytes ||
      bytes_out_of_range(block->parameter_bytes) || bytes_out_of_range(block->gradient_bytes) ||
      time_out_of_range(block->gather_ns) || time_out_of_range(block->reduce_ns) ||
      bytes_out_of_range(block->node_share_bytes) || block->node_gather_ns < -1 ||
      block->node_gather_ns > CHAIN_MAX_NS || bytes_out_of_range(block->statistics_bytes) ||
      bytes_out_of_range(block->kept_gradient_bytes))
    return arena_printf(arena, "block '%s' has a number out of range", block->name);
  if (block->node_share_bytes > block->parameter_bytes) {
    return arena_printf(arena, "the node's share of block '%s' is larger than its parameters", block->name);
  }
  for (int k = 0; k < block->mode_count; k++) {
    const char *error = check_mode(block, &block->modes[k], arena);
    if (error) return error;
  }
  return NULL;
}

const char *chain_check(const Chain *chain, Arena *arena) {
  if (chain->block_count < 1) return "there are no blocks";
  if (chain->block_count > CHAIN_MAX_BLOCKS) {
    return arena_printf(arena, "there are %d blocks, at most %d can be", chain->block_count, CHAIN_MAX_BLOCKS);
  }
  if (bytes_out_of_range(chain->budget_bytes)) return "the budget is out of range";
  for (int i = 0; i < chain->block_count; i++) {
    const char *error = check_block(&chain->blocks[i], arena);
    if (error) return error;
  }
  return NULL;
}

int64_t chain_boundary_ns(const Chain *chain) { return chain->blocks[0].gather_ns + chain->blocks[0].reduce_ns; }

// What is in memory while a schedule is replayed.
typedef struct Held {
  const Chain *chain;
  Arena *arena;
  bool *checkpoint;  // a(i) held alone
  int *saved;        // mode of block i, -1: none
  ChainResidency *residency;
  bool *offloaded;
  bool *statistics;  // computed and not yet used up
  int pending;       // the block whose backward is next
  int64_t kept_gradient_bytes;
  int copying;  // block whose inside is going to the host during this operation, -1: none
} Held;

static const ChainBlock *block_at(const Held *held, int block) { return &held->chain->blocks[block]; }

static bool has_output(const Held *held, int block) {
  return block < 0 || held->checkpoint[block] || held->saved[block] >= 0;
}

static int64_t resident_bytes(const ChainBlock *block, ChainResidency residency) {
  return residency == RESIDENCY_KEEP         ? block->parameter_bytes
         : residency == RESIDENCY_NODE_SHARE ? block->node_share_bytes
                                             : 0;
}

static int64_t held_bytes(const Held *held) {
  int64_t bytes = held->kept_gradient_bytes;
  if (held->pending >= 0) bytes += block_at(held, held->pending)->output_gradient_bytes;
  for (int i = 0; i < held->chain->block_count; i++) {
    const ChainBlock *block = block_at(held, i);
    if (held->checkpoint[i]) bytes += block->output_bytes;
    if (held->statistics[i]) bytes += block->statistics_bytes;
    if (held->saved[i] < 0) continue;
    bytes += held->offloaded[i] && held->copying != i ? block->output_bytes : block->modes[held->saved[i]].saved_bytes;
    bytes += resident_bytes(block, held->residency[i]);
  }
  return bytes;
}

// Bytes and time of the gather that `op` prefetches for `next`.
static void add_prefetch(const Held *held, const ChainOp *op, const ChainOp *next, int64_t *bytes, int64_t *time_ns) {
  if (!next || next->block == op->block) return;
  const ChainBlock *block = block_at(held, next->block);
  ChainResidency residency = next->kind == CHAIN_BACKWARD ? held->residency[next->block] : RESIDENCY_GATHER;
  if (residency == RESIDENCY_KEEP) return;
  *bytes += block->parameter_bytes;
  *time_ns += residency == RESIDENCY_NODE_SHARE ? block->node_gather_ns : block->gather_ns;
}

static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }

typedef struct OpAccount {
  int64_t bytes, time_ns, copy_ns;
} OpAccount;

static const char *replay_forward(Held *held, const ChainOp *op, bool input_is_loose, OpAccount *account) {
  const ChainBlock *block = block_at(held, op->block);
  if (!has_output(held, op->block - 1))
    return arena_printf(held->arena, "'%s' runs forward, but its input is not held", block->name);
  if (op->kind == CHAIN_SAVE) {
    if (op->mode < 0 || op->mode >= block->mode_count)
      return arena_printf(held->arena, "'%s' has no mode %d", block->name, op->mode);
    const ChainMode *mode = &block->modes[op->mode];
    if (held->saved[op->block] >= 0) return arena_printf(held->arena, "'%s' is saved twice", block->name);
    account->time_ns = mode->forward_ns;
    account->bytes +=
        mode->saved_bytes + (input_is_loose ? mode->loose_transient_bytes : mode->forward_transient_bytes);
  } else {
    account->time_ns = block->forward_only_ns;
    account->bytes += block->output_bytes + (input_is_loose ? block->forward_only_loose_transient_bytes
                                                            : block->forward_only_transient_bytes);
  }
  if (!held->statistics[op->block]) account->bytes += block->statistics_bytes;
  return NULL;
}

static const char *replay_backward(Held *held, const ChainOp *op, OpAccount *account) {
  const ChainBlock *block = block_at(held, op->block);
  if (op->block != held->pending) return arena_printf(held->arena, "the backward of '%s' is out of order", block->name);
  if (held->saved[op->block] < 0)
    return arena_printf(held->arena, "'%s' goes backward without a saved set", block->name);
  if (held->saved[op->block] != op->mode)
    return arena_printf(held->arena, "'%s' goes backward in another mode than it saved", block->name);
  if (!has_output(held, op->block - 1))
    return arena_printf(held->arena, "'%s' goes backward, but its input is not held", block->name);
  const ChainMode *mode = &block->modes[op->mode];
  account->time_ns = mode->backward_ns;
  account->bytes += mode->backward_transient_bytes + block->gradient_bytes + block->kept_gradient_bytes;
  if (op->block > 0) account->bytes += block_at(held, op->block - 1)->output_gradient_bytes;
  // A share is part of the gathered parameters by now.
  account->bytes -= resident_bytes(block, held->residency[op->block]);
  if (held->offloaded[op->block]) account->bytes += mode->saved_bytes - block->output_bytes;
  return NULL;
}

// Is a(block) still needed after this forward on block+1: by a backward, or by a forward that starts from it again?
static bool needed_later(const ChainOp *ops, size_t count, size_t at, int block) {
  for (size_t i = at + 1; i < count; i++) {
    if (ops[i].block == block + 1) return true;
    if (ops[i].block == block && ops[i].kind != CHAIN_BACKWARD) return false;  // made again first
  }
  return false;
}

static void finish_op(Held *held, const ChainOp *op, bool input_is_loose) {
  if (op->kind == CHAIN_BACKWARD) {
    held->saved[op->block] = -1;
    held->offloaded[op->block] = false;
    held->statistics[op->block] = false;
    held->pending = op->block - 1;
    held->kept_gradient_bytes += block_at(held, op->block)->kept_gradient_bytes;
    if (op->block > 0) held->checkpoint[op->block - 1] = false;
    return;
  }
  held->statistics[op->block] = true;
  if (input_is_loose && op->block > 0) held->checkpoint[op->block - 1] = false;
  if (op->kind == CHAIN_SAVE) {
    held->saved[op->block] = op->mode;
    held->residency[op->block] = op->residency;
    held->offloaded[op->block] = op->offload;
    held->checkpoint[op->block] = false;
  } else {
    held->checkpoint[op->block] = true;
  }
}

// The block whose inside is copied back during this operation: that of the backward right behind it.
static int fetched_block(const Held *held, const ChainOp *next) {
  return next && next->kind == CHAIN_BACKWARD && held->offloaded[next->block] ? next->block : -1;
}

static const char *replay_op(Held *held, const ChainOp *ops, size_t count, size_t at, ChainReplay *replay) {
  const ChainOp *op = &ops[at], *next = at + 1 < count ? &ops[at + 1] : NULL, *before = at ? &ops[at - 1] : NULL;
  if (op->block < 0 || op->block >= held->chain->block_count) return "an operation is on no block";
  const ChainBlock *block = block_at(held, op->block);
  bool loose = op->kind != CHAIN_BACKWARD && op->block > 0 && held->checkpoint[op->block - 1] &&
               !needed_later(ops, count, at, op->block - 1);
  held->copying = before && before->kind == CHAIN_SAVE && before->offload ? before->block : -1;
  OpAccount account = {.bytes = held_bytes(held)};
  const char *error =
      op->kind == CHAIN_BACKWARD ? replay_backward(held, op, &account) : replay_forward(held, op, loose, &account);
  if (error) return error;
  int64_t network_ns = 0;
  account.bytes += block->parameter_bytes;
  add_prefetch(held, op, next, &account.bytes, &network_ns);
  if (before && before->kind == CHAIN_BACKWARD) {
    account.bytes += block_at(held, before->block)->gradient_bytes;
    network_ns += block_at(held, before->block)->reduce_ns;
  }
  if (held->copying >= 0) account.copy_ns = block_at(held, held->copying)->modes[held->saved[held->copying]].offload_ns;
  int fetched = fetched_block(held, next);
  if (fetched >= 0) {
    const ChainMode *mode = &block_at(held, fetched)->modes[held->saved[fetched]];
    if (fetched == held->copying || (op->kind == CHAIN_SAVE && op->block == fetched))
      return arena_printf(held->arena, "'%s' has no time to come back from the host", block_at(held, fetched)->name);
    account.bytes += mode->saved_bytes - block_at(held, fetched)->output_bytes;
    account.copy_ns = largest(account.copy_ns, mode->offload_ns);
  }
  int64_t cost = largest(account.time_ns, largest(network_ns, account.copy_ns));
  replay->op_cost_ns[at] = cost;
  replay->op_bytes[at] = account.bytes;
  replay->cost_ns += cost;
  replay->compute_ns += account.time_ns;
  if (at == 0 || account.bytes > replay->peak_bytes) {
    replay->peak_bytes = account.bytes;
    replay->peak_op = at;
  }
  finish_op(held, op, loose);
  return NULL;
}

// The cheapest a step can compute: every block in its fastest mode, once.
static int64_t least_compute(const Chain *chain) {
  int64_t sum = 0;
  for (int i = 0; i < chain->block_count; i++) {
    int64_t best = INT64_MAX;
    for (int k = 0; k < chain->blocks[i].mode_count; k++) {
      const ChainMode *mode = &chain->blocks[i].modes[k];
      if (mode->forward_ns + mode->backward_ns < best) best = mode->forward_ns + mode->backward_ns;
    }
    sum += best;
  }
  return sum;
}

const char *chain_replay(const Chain *chain, const ChainOp *ops, size_t count, Arena *arena, ChainReplay *replay) {
  int blocks = chain->block_count;
  Held held = {.chain = chain,
               .arena = arena,
               .checkpoint = arena_array(arena, bool, blocks),
               .saved = arena_array(arena, int, blocks),
               .residency = arena_array(arena, ChainResidency, blocks),
               .offloaded = arena_array(arena, bool, blocks),
               .statistics = arena_array(arena, bool, blocks),
               .pending = blocks - 1,
               .copying = -1};
  for (int i = 0; i < blocks; i++) held.saved[i] = -1;
  *replay = (ChainReplay){.op_cost_ns = arena_array(arena, int64_t, count + 1),
                          .op_bytes = arena_array(arena, int64_t, count + 1)};
  for (size_t at = 0; at < count; at++) {
    const char *error = replay_op(&held, ops, count, at, replay);
    if (error) return error;
  }
  if (held.pending >= 0) return arena_printf(arena, "'%s' never goes backward", chain->blocks[held.pending].name);
  replay->recompute_ns = replay->compute_ns - least_compute(chain);
  return NULL;
}
