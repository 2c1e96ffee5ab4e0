// The best of all schedules, for small chains without offload: A* over whole states. A state holds what is live
// (outputs, saved sets with mode and residency, the pending gradient), the operation that runs next, and whether a
// backward ran before it; choosing the operation after that one fixes its gather, hence its cost and its bytes.
// Nothing is gained by dropping a thing later than at its last use, so things are dropped only there. The estimate of
// what is left (each saved block's backward, each other block's cheapest forward and backward) is never too high.
#include <stdlib.h>
#include <string.h>

#include "tests/plan/oracle.h"

// Sets of a block: 0 none, 1 + 3 * mode + residency. `next` of kind CHAIN_BACKWARD is on block `pending`.
typedef struct State {
  int pending;
  bool reducing;  // the operation before `next` was the backward of block pending + 1
  bool output[ORACLE_SEARCH_BLOCKS];
  uint8_t set[ORACLE_SEARCH_BLOCKS];
  ChainOp next;
} State;

typedef struct Node {
  uint64_t key;
  int64_t cost_ns;
  uint32_t parent;
  bool closed;
} Node;

typedef struct HeapItem {
  int64_t estimate_ns, cost_ns;
  uint32_t node;
} HeapItem;

typedef struct Search {
  Arena *arena;
  const OracleSearch *ask;
  const Chain *chain;
  int64_t least_ns[ORACLE_SEARCH_BLOCKS];  // cheapest forward and backward of a block
  struct {
    Node *items;
    size_t count, capacity;
  } nodes;
  struct {
    HeapItem *items;
    size_t count, capacity;
  } heap;
  uint32_t *table;  // node + 1
  size_t table_capacity;
  int64_t best_ns;
  uint32_t best_node;
} Search;

static uint64_t pack(const State *state) {
  const ChainOp *next = &state->next;
  uint64_t key = (uint64_t)(state->pending + 1) | (uint64_t)state->reducing << 3 | (uint64_t)next->kind << 4 |
                 (uint64_t)next->block << 6 | (uint64_t)next->mode << 9 | (uint64_t)next->residency << 13;
  for (int i = 0; i < ORACLE_SEARCH_BLOCKS; i++)
    key |= (uint64_t)state->output[i] << (15 + i) | (uint64_t)state->set[i] << (24 + 6 * i);
  return key;
}

static State unpack(uint64_t key) {
  State state = {.pending = (int)(key & 7) - 1, .reducing = key >> 3 & 1};
  state.next = (ChainOp){.kind = (ChainOpKind)(key >> 4 & 3),
                         .block = (int)(key >> 6 & 7),
                         .mode = (int)(key >> 9 & 15),
                         .residency = (ChainResidency)(key >> 13 & 3)};
  for (int i = 0; i < ORACLE_SEARCH_BLOCKS; i++) {
    state.output[i] = key >> (15 + i) & 1;
    state.set[i] = key >> (24 + 6 * i) & 63;
  }
  return state;
}

static bool has_output(const State *state, int i) { return i < 0 || state->output[i] || state->set[i]; }
static int mode_in(uint8_t set) { return (set - 1) / 3; }
static ChainResidency residency_in(uint8_t set) {
  return set == 0 ? RESIDENCY_GATHER : (ChainResidency)((set - 1) % 3);
}

static int64_t resident_bytes(const ChainBlock *block, ChainResidency residency) {
  if (residency == RESIDENCY_KEEP) return block->parameter_bytes;
  return residency == RESIDENCY_NODE_SHARE ? block->node_share_bytes : 0;
}

static int64_t held_bytes(const Search *search, const State *state) {
  int64_t bytes = search->chain->blocks[state->pending].output_gradient_bytes;
  for (int i = 0; i < search->chain->block_count; i++) {
    const ChainBlock *block = &search->chain->blocks[i];
    if (state->output[i]) bytes += block->output_bytes;
    if (state->set[i] == 0) continue;
    bytes += block->modes[mode_in(state->set[i])].saved_bytes + resident_bytes(block, residency_in(state->set[i]));
  }
  return bytes;
}

static int64_t estimate(const Search *search, const State *state) {
  int64_t ns = 0;
  for (int i = 0; i <= state->pending; i++)
    ns += state->set[i] ? search->chain->blocks[i].modes[mode_in(state->set[i])].backward_ns : search->least_ns[i];
  return ns;
}

static void heap_push(Search *search, HeapItem item) {
  arena_push(search->arena, &search->heap, HeapItem, item);
  size_t at = search->heap.count - 1;
  HeapItem *items = search->heap.items;
  while (at > 0 && items[(at - 1) / 2].estimate_ns > item.estimate_ns) {
    items[at] = items[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  items[at] = item;
}

static HeapItem heap_pop(Search *search) {
  HeapItem *items = search->heap.items, top = items[0], last = items[--search->heap.count];
  size_t at = 0, count = search->heap.count;
  while (2 * at + 1 < count) {
    size_t child = 2 * at + 1;
    if (child + 1 < count && items[child + 1].estimate_ns < items[child].estimate_ns) child++;
    if (items[child].estimate_ns >= last.estimate_ns) break;
    items[at] = items[child];
    at = child;
  }
  if (count > 0) items[at] = last;
  return top;
}

static size_t table_slot(const Search *search, uint64_t key) {
  size_t mask = search->table_capacity - 1, slot = (size_t)((key * 0x9e3779b97f4a7c15u) >> 30) & mask;
  while (search->table[slot] && search->nodes.items[search->table[slot] - 1].key != key) slot = (slot + 1) & mask;
  return slot;
}

static void table_grow(Search *search) {
  search->table_capacity = search->table_capacity ? 2 * search->table_capacity : 1024;
  search->table = arena_array(search->arena, uint32_t, search->table_capacity);
  for (size_t i = 0; i < search->nodes.count; i++)
    search->table[table_slot(search, search->nodes.items[i].key)] = (uint32_t)i + 1;
}

static void reach(Search *search, const State *state, int64_t cost_ns, uint32_t parent) {
  int64_t estimate_ns = cost_ns + estimate(search, state);
  if (estimate_ns >= search->best_ns) return;
  if (2 * search->nodes.count >= search->table_capacity) table_grow(search);
  uint64_t key = pack(state);
  size_t slot = table_slot(search, key);
  if (search->table[slot] == 0) {
    Node fresh = {.key = key, .cost_ns = INT64_MAX};
    arena_push(search->arena, &search->nodes, Node, fresh);
    search->table[slot] = (uint32_t)search->nodes.count;
  }
  uint32_t index = search->table[slot] - 1;
  Node *node = &search->nodes.items[index];
  if (node->cost_ns <= cost_ns) return;
  node->cost_ns = cost_ns;
  node->parent = parent;
  node->closed = false;
  heap_push(search, (HeapItem){estimate_ns, cost_ns, index});
}

// What an operation takes whatever comes next.
typedef struct Run {
  const Search *search;
  const State *before;
  uint32_t parent;
  int64_t cost_ns;  // up to this operation
  int64_t bytes, time_ns, traffic_ns;
} Run;

// `state` is what is live behind the operation, without a next one.
static void try_next(Search *search, const Run *run, State *state, int64_t saved_bytes, ChainOp next) {
  const ChainBlock *block = &search->chain->blocks[next.block];
  int64_t bytes = run->bytes - saved_bytes, traffic_ns = run->traffic_ns;
  ChainResidency residency = residency_in(state->set[next.block]);
  if (next.block != run->before->next.block && residency != RESIDENCY_KEEP) {
    bytes += block->parameter_bytes;
    traffic_ns += residency == RESIDENCY_NODE_SHARE ? block->node_gather_ns : block->gather_ns;
  }
  if (bytes > search->ask->budget_bytes) return;
  state->next = next;
  int64_t cost_ns = run->cost_ns + (run->time_ns > traffic_ns ? run->time_ns : traffic_ns);
  reach(search, state, cost_ns, run->parent);
}

static bool next_residency(const ChainBlock *block, ChainResidency *residency) {
  ++*residency;
  if (*residency == RESIDENCY_NODE_SHARE && block->node_gather_ns < 0) ++*residency;
  return (block->parameter_bytes > 0 || block->gather_ns > 0) && *residency < RESIDENCY_COUNT;
}

// Every operation that could come next; `saved_bytes` is what dropping the input early takes off this one.
static void try_all(Search *search, const Run *run, State *state, int64_t saved_bytes) {
  if (state->set[state->pending] && has_output(state, state->pending - 1)) {
    ChainOp backward = {.kind = CHAIN_BACKWARD, .block = state->pending, .mode = mode_in(state->set[state->pending])};
    try_next(search, run, state, saved_bytes, backward);
  }
  int last = search->ask->waits ? search->chain->block_count - 1 : state->pending;
  for (int i = 0; i <= last; i++) {
    bool saved = state->set[i] != 0;
    // Where a(i) is held already it could have been dropped; where S(i,k) is, N(i) is a wait.
    if (!has_output(state, i - 1) || state->output[i] || (saved && !search->ask->waits)) continue;
    try_next(search, run, state, saved_bytes, (ChainOp){.kind = CHAIN_FORWARD, .block = i});
    if (saved || i > state->pending) continue;
    const ChainBlock *block = &search->chain->blocks[i];
    for (int k = 0; k < block->mode_count; k++) {
      ChainResidency residency = RESIDENCY_GATHER;
      do {
        ChainOp save = {.kind = CHAIN_SAVE, .block = i, .mode = k, .residency = residency};
        try_next(search, run, state, saved_bytes, save);
      } while (next_residency(block, &residency));
    }
  }
}

// The two fates of the input: it stays, or this was its last use.
static void try_inputs(Search *search, const Run *run, State state) {
  const ChainOp *op = &run->before->next;
  int input = op->block - 1;
  bool is_separate = input >= 0 && run->before->output[input];
  if (!(op->kind == CHAIN_BACKWARD && is_separate && !search->ask->waits)) try_all(search, run, &state, 0);
  if (!is_separate) return;
  const ChainBlock *block = &search->chain->blocks[op->block];
  int64_t loose = 0;
  if (op->kind == CHAIN_FORWARD)
    loose = block->forward_only_transient_bytes - block->forward_only_loose_transient_bytes;
  if (op->kind == CHAIN_SAVE)
    loose = block->modes[op->mode].forward_transient_bytes - block->modes[op->mode].loose_transient_bytes;
  state.output[input] = false;
  try_all(search, run, &state, loose);
}

static void run_forward(Search *search, Run *run) {
  const State *before = run->before;
  const ChainOp *op = &before->next;
  const ChainBlock *block = &search->chain->blocks[op->block];
  State after = *before;
  after.reducing = false;
  if (op->kind == CHAIN_FORWARD) {
    run->time_ns = block->forward_only_ns;
    run->bytes += block->output_bytes + block->forward_only_transient_bytes;
  } else {
    const ChainMode *mode = &block->modes[op->mode];
    run->time_ns = mode->forward_ns;
    run->bytes += mode->saved_bytes + mode->forward_transient_bytes;
  }
  bool lost = op->kind == CHAIN_FORWARD || op->residency == RESIDENCY_GATHER;
  if (search->ask->waits && lost) try_inputs(search, run, after);
  if (op->block > before->pending || before->set[op->block]) return;
  if (lost) {
    after.output[op->block] = true;
    try_inputs(search, run, after);
  }
  if (op->kind == CHAIN_FORWARD) return;
  after.output[op->block] = false;
  after.set[op->block] = (uint8_t)(1 + 3 * op->mode + (int)op->residency);
  try_inputs(search, run, after);
}

static void run_backward(Search *search, Run *run) {
  const State *before = run->before;
  int i = before->pending;
  const ChainBlock *block = &search->chain->blocks[i];
  const ChainMode *mode = &block->modes[before->next.mode];
  State after = *before;
  run->time_ns = mode->backward_ns;
  run->bytes += mode->backward_transient_bytes + block->gradient_bytes;
  if (i > 0) run->bytes += search->chain->blocks[i - 1].output_gradient_bytes;
  after.set[i] = 0;
  after.pending--;
  after.reducing = true;
  if (i > 0) {
    try_inputs(search, run, after);
    return;
  }
  int64_t cost_ns = run->cost_ns + (run->time_ns > run->traffic_ns ? run->time_ns : run->traffic_ns);
  if (run->bytes > search->ask->budget_bytes || cost_ns >= search->best_ns) return;
  search->best_ns = cost_ns;
  search->best_node = run->parent;
}

static void expand(Search *search, uint32_t index) {
  State state = unpack(search->nodes.items[index].key);
  const ChainBlock *block = &search->chain->blocks[state.next.block];
  Run run = {.search = search, .before = &state, .parent = index, .cost_ns = search->nodes.items[index].cost_ns};
  run.bytes = held_bytes(search, &state) + block->parameter_bytes -
              resident_bytes(block, residency_in(state.set[state.next.block]));
  if (state.reducing) {
    run.bytes += search->chain->blocks[state.pending + 1].gradient_bytes;
    run.traffic_ns = search->chain->blocks[state.pending + 1].reduce_ns;
  }
  if (state.next.kind == CHAIN_BACKWARD)
    run_backward(search, &run);
  else
    run_forward(search, &run);
}

static void start(Search *search) {
  const Chain *chain = search->chain;
  for (int i = 0; i < chain->block_count; i++) {
    search->least_ns[i] = INT64_MAX;
    for (int k = 0; k < chain->blocks[i].mode_count; k++) {
      const ChainMode *mode = &chain->blocks[i].modes[k];
      int64_t ns = mode->forward_ns + mode->backward_ns;
      if (ns < search->least_ns[i]) search->least_ns[i] = ns;
    }
  }
  // Node 0 stands for 'nothing has run'.
  Node nothing = {.key = UINT64_MAX, .closed = true};
  arena_push(search->arena, &search->nodes, Node, nothing);
  State state = {.pending = chain->block_count - 1, .next = {.kind = CHAIN_FORWARD}};
  reach(search, &state, 0, 0);
  for (int k = 0; k < chain->blocks[0].mode_count; k++) {
    ChainResidency residency = RESIDENCY_GATHER;
    do {
      state.next = (ChainOp){.kind = CHAIN_SAVE, .mode = k, .residency = residency};
      reach(search, &state, 0, 0);
    } while (next_residency(&chain->blocks[0], &residency));
  }
}

// From the last operation back.
static void write_ops(const Search *search, Arena *arena, OracleFound *found) {
  for (uint32_t node = search->best_node; node != 0; node = search->nodes.items[node].parent) found->op_count++;
  found->ops = arena_array(arena, ChainOp, found->op_count + 1);
  size_t at = found->op_count;
  for (uint32_t node = search->best_node; node != 0; node = search->nodes.items[node].parent) {
    ChainOp *op = &found->ops[--at];
    *op = unpack(search->nodes.items[node].key).next;
  }
}

OracleFound oracle_search(Arena *arena, const OracleSearch *ask) {
  if (ask->chain->block_count > ORACLE_SEARCH_BLOCKS) abort();
  Arena *scratch = arena_make("search");
  Search search = {.arena = scratch, .ask = ask, .chain = ask->chain, .best_ns = ask->below_ns};
  OracleFound found = {.finished = true};
  start(&search);
  while (search.heap.count > 0) {
    HeapItem item = heap_pop(&search);
    if (item.estimate_ns >= search.best_ns) break;
    Node *node = &search.nodes.items[item.node];
    if (node->closed || node->cost_ns != item.cost_ns) continue;
    node->closed = true;
    expand(&search, item.node);
    if (ask->state_limit && search.nodes.count > ask->state_limit) found.finished = false;
    if (!found.finished) break;
  }
  found.cost_ns = search.best_ns;
  found.states = search.nodes.count;
  if (found.finished && search.best_node) write_ops(&search, arena, &found);
  arena_release(scratch);
  return found;
}
