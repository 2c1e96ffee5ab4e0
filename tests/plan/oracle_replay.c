// Replays a list of operations by the rules of docs/planner.md: what is held at each, what it costs.
// Takes nothing from the planner: what lives how long is found by looking ahead in the list for the last use.
#include <stddef.h>

#include "tests/plan/oracle.h"

typedef struct Replay {
  const Chain *chain;
  const ChainOp *ops;
  size_t count;
  int pending;                          // t of d(t)
  bool output_live[ORACLE_MAX_BLOCKS];  // a(i), apart from a saved set
  int save_at[ORACLE_MAX_BLOCKS];       // the save whose set is held, -1: none
  int backward_at[ORACLE_MAX_BLOCKS];   // of that set
  bool ran[ORACLE_MAX_BLOCKS];          // forward, at least once
} Replay;

static int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

static const ChainMode *mode_of(const Replay *replay, const ChainOp *op) {
  return &replay->chain->blocks[op->block].modes[op->mode];
}

// Whether a(block), there after op x, is read later before it is made again.
static bool is_output_used(const Replay *replay, int block, size_t x) {
  for (size_t y = x + 1; y < replay->count; y++) {
    const ChainOp *op = &replay->ops[y];
    if (op->block == block + 1) return true;
    if (op->block == block && op->kind != CHAIN_BACKWARD) return false;
  }
  return false;
}

// The backward that reads what the save at x makes, or -1.
static int find_backward(const Replay *replay, size_t x) {
  for (size_t y = x + 1; y < replay->count; y++) {
    if (replay->ops[y].block != replay->ops[x].block) continue;
    if (replay->ops[y].kind == CHAIN_BACKWARD) return (int)y;
    if (replay->ops[y].kind == CHAIN_SAVE) return -1;
  }
  return -1;
}

static int64_t resident_bytes(const Replay *replay, int block) {
  const ChainBlock *of = &replay->chain->blocks[block];
  if (replay->save_at[block] < 0) return 0;
  ChainResidency residency = replay->ops[replay->save_at[block]].residency;
  if (residency == RESIDENCY_KEEP) return of->parameter_bytes;
  return residency == RESIDENCY_NODE_SHARE ? of->node_share_bytes : 0;
}

// On the way to the host during the op after the save, on the way back during the op before the backward.
static bool is_away(const Replay *replay, int block, size_t x) {
  int save = replay->save_at[block];
  return replay->ops[save].offload && (int)x > save + 1 && (int)x < replay->backward_at[block] - 1;
}

static int64_t held_bytes(const Replay *replay, size_t x) {
  const Chain *chain = replay->chain;
  int64_t bytes = replay->pending >= 0 ? chain->blocks[replay->pending].output_gradient_bytes : 0;
  for (int i = 0; i < chain->block_count; i++) {
    const ChainBlock *block = &chain->blocks[i];
    if (replay->output_live[i]) bytes += block->output_bytes;
    if (replay->save_at[i] >= 0) {
      bool away = is_away(replay, i, x);
      bytes += away ? block->output_bytes : mode_of(replay, &replay->ops[replay->save_at[i]])->saved_bytes;
      bytes += resident_bytes(replay, i);
    }
    bool runs_now = replay->ops[x].block == i;
    if (i <= replay->pending && (replay->ran[i] || runs_now)) bytes += block->statistics_bytes;
    if (i > replay->pending || (runs_now && replay->ops[x].kind == CHAIN_BACKWARD)) bytes += block->kept_gradient_bytes;
  }
  return bytes;
}

// What the op makes, and its transient bytes.
static int64_t made_bytes(const Replay *replay, size_t x) {
  const ChainOp *op = &replay->ops[x];
  const ChainBlock *block = &replay->chain->blocks[op->block];
  int input = op->block - 1;
  bool loose = input >= 0 && replay->output_live[input] && !is_output_used(replay, input, x);
  if (op->kind == CHAIN_FORWARD)
    return block->output_bytes +
           (loose ? block->forward_only_loose_transient_bytes : block->forward_only_transient_bytes);
  const ChainMode *mode = mode_of(replay, op);
  if (op->kind == CHAIN_SAVE)
    return mode->saved_bytes + (loose ? mode->loose_transient_bytes : mode->forward_transient_bytes);
  int64_t gradient = input >= 0 ? replay->chain->blocks[input].output_gradient_bytes : 0;
  return gradient + mode->backward_transient_bytes;
}

// Bytes and time of the gather that runs during op x for the op behind it.
static void weigh_gather(const Replay *replay, size_t x, int64_t *bytes, int64_t *time_ns) {
  *bytes = *time_ns = 0;
  if (x + 1 == replay->count || replay->ops[x + 1].block == replay->ops[x].block) return;
  int next = replay->ops[x + 1].block;
  const ChainBlock *block = &replay->chain->blocks[next];
  ChainResidency residency =
      replay->save_at[next] >= 0 ? replay->ops[replay->save_at[next]].residency : RESIDENCY_GATHER;
  if (residency == RESIDENCY_KEEP) return;
  *bytes = block->parameter_bytes;
  *time_ns = residency == RESIDENCY_NODE_SHARE ? block->node_gather_ns : block->gather_ns;
}

static int64_t op_bytes(const Replay *replay, size_t x) {
  const ChainOp *op = &replay->ops[x];
  const ChainBlock *block = &replay->chain->blocks[op->block];
  int64_t gather_bytes, gather_ns, bytes = held_bytes(replay, x) + made_bytes(replay, x);
  weigh_gather(replay, x, &gather_bytes, &gather_ns);
  // A kept copy or a share is part of the gathered parameters.
  bytes += block->parameter_bytes - resident_bytes(replay, op->block) + gather_bytes;
  if (op->kind == CHAIN_BACKWARD) bytes += block->gradient_bytes;
  if (x > 0 && replay->ops[x - 1].kind == CHAIN_BACKWARD)
    bytes += replay->chain->blocks[replay->ops[x - 1].block].gradient_bytes;
  return bytes;
}

static int64_t op_cost(const Replay *replay, size_t x) {
  const ChainOp *op = &replay->ops[x];
  int64_t gather_bytes, traffic_ns, time_ns = replay->chain->blocks[op->block].forward_only_ns;
  if (op->kind == CHAIN_SAVE) time_ns = mode_of(replay, op)->forward_ns;
  if (op->kind == CHAIN_BACKWARD) time_ns = mode_of(replay, op)->backward_ns;
  weigh_gather(replay, x, &gather_bytes, &traffic_ns);
  if (x > 0 && replay->ops[x - 1].kind == CHAIN_BACKWARD)
    traffic_ns += replay->chain->blocks[replay->ops[x - 1].block].reduce_ns;
  int64_t cost = max_of(time_ns, traffic_ns);
  for (int i = 0; i < replay->chain->block_count; i++) {
    int save = replay->save_at[i];
    if (save < 0 || !replay->ops[save].offload) continue;
    bool copied = (int)x == save + 1 || (int)x == replay->backward_at[i] - 1;
    if (copied) cost = max_of(cost, mode_of(replay, &replay->ops[save])->offload_ns);
  }
  return cost;
}

static const char *check_op(const Replay *replay, size_t x) {
  const ChainOp *op = &replay->ops[x];
  int input = op->block - 1;
  if (op->block < 0 || op->block >= replay->chain->block_count) return "no such block";
  if (input >= 0 && !replay->output_live[input] && replay->save_at[input] < 0) return "the input is not there";
  if (op->kind == CHAIN_BACKWARD) {
    if (op->block != replay->pending) return "a backward out of order";
    if (replay->save_at[op->block] < 0) return "a backward without its saved set";
    if (op->mode != replay->ops[replay->save_at[op->block]].mode) return "a backward of another mode";
    return NULL;
  }
  if (op->kind == CHAIN_FORWARD) return NULL;
  if (op->block > replay->pending) return "a save behind its backward";
  if (replay->save_at[op->block] >= 0) return "a save of a block that is saved";
  if (op->mode < 0 || op->mode >= replay->chain->blocks[op->block].mode_count) return "no such mode";
  if (op->residency == RESIDENCY_NODE_SHARE && replay->chain->blocks[op->block].node_gather_ns < 0)
    return "no such residency";
  if (!op->offload) return NULL;
  if (mode_of(replay, op)->offload_ns < 0) return "this mode cannot be offloaded";
  // Both copies in one operation are forbidden.
  return find_backward(replay, x) < (int)x + 3 ? "no room for an offload" : NULL;
}

static void finish_op(Replay *replay, size_t x) {
  const ChainOp *op = &replay->ops[x];
  replay->ran[op->block] = true;
  if (op->kind == CHAIN_BACKWARD) {
    replay->save_at[op->block] = -1;
    replay->output_live[op->block] = false;
    replay->pending--;
  } else if (replay->save_at[op->block] < 0) {
    replay->output_live[op->block] = true;
    int backward = op->kind == CHAIN_SAVE ? find_backward(replay, x) : -1;
    if (backward >= 0) {
      replay->save_at[op->block] = (int)x;
      replay->backward_at[op->block] = backward;
      replay->output_live[op->block] = false;
    }
  }
  for (int i = 0; i < replay->chain->block_count; i++) {
    if (replay->output_live[i] && !is_output_used(replay, i, x)) replay->output_live[i] = false;
  }
}

const char *oracle_replay(const Chain *chain, const ChainOp *ops, size_t count, OracleReplay *result) {
  Replay replay = {.chain = chain, .ops = ops, .count = count, .pending = chain->block_count - 1};
  if (chain->block_count > ORACLE_MAX_BLOCKS) return "too many blocks";
  for (int i = 0; i < chain->block_count; i++) replay.save_at[i] = -1;
  *result = (OracleReplay){0, 0};
  for (size_t x = 0; x < count; x++) {
    const char *fault = check_op(&replay, x);
    if (fault) return fault;
    result->peak_bytes = max_of(result->peak_bytes, op_bytes(&replay, x));
    result->cost_ns += op_cost(&replay, x);
    finish_op(&replay, x);
  }
  return replay.pending < 0 ? NULL : "backwards are missing";
}
