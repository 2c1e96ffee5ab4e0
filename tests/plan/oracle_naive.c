// The class of schedules by plain exhaustion: the grammar of docs/planner.md as rules that rewrite the first
// unfinished part V(s,t) of a sentence, until only operations are left; each sentence is then replayed.
// For tiny chains: the number of sentences grows faster than any power.
#include <stdlib.h>
#include <string.h>

#include "tests/plan/oracle.h"

enum { SENTENCE_MAX = 96 };

// An operation, or V(s,t), or V+(s,t) whose last block `op` has saved already.
typedef struct Symbol {
  bool is_op, is_saved;
  int s, t;
  ChainOp op;
} Symbol;

typedef struct Sentence {
  Symbol items[SENTENCE_MAX];
  int count;
} Sentence;

typedef struct Naive {
  Arena *arena;
  const Chain *chain;
  const ChainClass *class;
  OracleFront front;
  int64_t schedule_count;
} Naive;

int64_t oracle_front_cost(const OracleFront *front, int64_t budget_bytes) {
  int64_t cost = CHAIN_INFEASIBLE;
  for (size_t i = 0; i < front->count && front->items[i].peak_bytes <= budget_bytes; i++)
    cost = front->items[i].cost_ns;
  return cost;
}

static void front_insert(Arena *arena, OracleFront *front, OraclePoint point) {
  size_t at = 0;
  while (at < front->count && front->items[at].peak_bytes <= point.peak_bytes) {
    if (front->items[at].cost_ns <= point.cost_ns) return;
    at++;
  }
  // Behind the place are larger peaks, before it cheaper-in-memory points; one of equal peak is worse and goes.
  while (at > 0 && front->items[at - 1].peak_bytes == point.peak_bytes) at--;
  size_t end = at;
  while (end < front->count && front->items[end].cost_ns >= point.cost_ns) end++;
  arena_push(arena, front, OraclePoint, point);
  memmove(&front->items[at + 1], &front->items[end], (front->count - 1 - end) * sizeof(OraclePoint));
  front->items[at] = point;
  front->count -= end - at;
}

static void expand(Naive *naive, const Sentence *sentence, int at);

static Symbol part(int s, int t, const ChainOp *saved) {
  Symbol symbol = {.s = s, .t = t, .is_saved = saved != NULL};
  if (saved) symbol.op = *saved;
  return symbol;
}

static Symbol forward(int block) {
  ChainOp op = {.kind = CHAIN_FORWARD, .block = block};
  return (Symbol){.is_op = true, .op = op};
}

static Symbol saving(ChainOp op) { return (Symbol){.is_op = true, .op = op}; }

static Symbol backward(const ChainOp *saved) {
  ChainOp op = {.kind = CHAIN_BACKWARD, .block = saved->block, .mode = saved->mode};
  return (Symbol){.is_op = true, .op = op};
}

// Puts `count` symbols in the place of the one at `at`, and goes on with the first of them.
static void rewrite(Naive *naive, const Sentence *sentence, int at, const Symbol *symbols, int count) {
  Sentence next;
  if (sentence->count - 1 + count > SENTENCE_MAX) abort();
  memcpy(next.items, sentence->items, (size_t)at * sizeof(Symbol));
  memcpy(next.items + at, symbols, (size_t)count * sizeof(Symbol));
  memcpy(next.items + at + count, sentence->items + at + 1, (size_t)(sentence->count - at - 1) * sizeof(Symbol));
  next.count = sentence->count - 1 + count;
  expand(naive, &next, at);
}

static bool next_residency(const Naive *naive, int block, ChainResidency *residency) {
  const ChainBlock *of = &naive->chain->blocks[block];
  if (!naive->class->residency || (of->parameter_bytes == 0 && of->gather_ns == 0)) return false;
  ++*residency;
  if (*residency == RESIDENCY_NODE_SHARE && of->node_gather_ns < 0) ++*residency;
  return *residency < RESIDENCY_COUNT;
}

static bool is_mode_allowed(const Naive *naive, int mode) {
  return naive->class->only_modes == 0 || (naive->class->only_modes >> mode & 1);
}

static void expand_save(Naive *naive, const Sentence *sentence, int at, ChainOp op) {
  const Symbol *v = &sentence->items[at];
  const ChainOp *saved = v->is_saved ? &v->op : NULL;
  ChainResidency residency = RESIDENCY_GATHER;
  do {
    op.residency = residency;
    op.offload = false;
    Symbol symbols[3] = {saving(op), part(v->s + 1, v->t, saved), backward(&op)};
    rewrite(naive, sentence, at, symbols, 3);
    bool room = !(v->s + 1 == v->t && saved);  // V+(t,t) is one operation: too few for two copies
    if (!naive->class->offload || !room || naive->chain->blocks[op.block].modes[op.mode].offload_ns < 0) continue;
    symbols[0].op.offload = true;
    rewrite(naive, sentence, at, symbols, 3);
  } while (next_residency(naive, op.block, &residency));
}

static void expand_leaf(Naive *naive, const Sentence *sentence, int at, int j) {
  const Symbol *v = &sentence->items[at];
  Symbol symbols[SENTENCE_MAX];
  int count = 0;
  for (int i = v->s; i < j; i++) symbols[count++] = forward(i);
  symbols[count++] = part(j, v->t, v->is_saved ? &v->op : NULL);
  symbols[count++] = part(v->s, j - 1, NULL);
  rewrite(naive, sentence, at, symbols, count);
}

static void expand_hole(Naive *naive, const Sentence *sentence, int at, ChainOp op) {
  const Symbol *v = &sentence->items[at];
  Symbol symbols[SENTENCE_MAX];
  ChainResidency residency = RESIDENCY_GATHER;
  do {
    int count = 0;
    op.residency = residency;
    for (int i = v->s; i < op.block; i++) symbols[count++] = forward(i);
    symbols[count++] = saving(op);
    symbols[count++] = part(op.block + 1, v->t, v->is_saved ? &v->op : NULL);
    symbols[count++] = part(v->s, op.block, &op);
    rewrite(naive, sentence, at, symbols, count);
  } while (next_residency(naive, op.block, &residency));
}

static void expand_part(Naive *naive, const Sentence *sentence, int at) {
  const Symbol *v = &sentence->items[at];
  if (v->s == v->t && v->is_saved) {
    Symbol symbol = backward(&v->op);
    rewrite(naive, sentence, at, &symbol, 1);
    return;
  }
  for (int j = v->s; j <= v->t; j++) {
    if (j > v->s) expand_leaf(naive, sentence, at, j);
    for (int k = 0; k < naive->chain->blocks[j].mode_count; k++) {
      ChainOp op = {.kind = CHAIN_SAVE, .block = j, .mode = k};
      if (!is_mode_allowed(naive, k)) continue;
      if (v->s == v->t) {
        Symbol symbols[2] = {saving(op), backward(&op)};
        rewrite(naive, sentence, at, symbols, 2);
      } else if (j == v->s) {
        expand_save(naive, sentence, at, op);
      } else if (j < v->t && naive->class->holes) {
        expand_hole(naive, sentence, at, op);
      }
    }
  }
}

static void expand(Naive *naive, const Sentence *sentence, int at) {
  while (at < sentence->count && sentence->items[at].is_op) at++;
  if (at < sentence->count) {
    expand_part(naive, sentence, at);
    return;
  }
  ChainOp ops[SENTENCE_MAX];
  for (int i = 0; i < sentence->count; i++) ops[i] = sentence->items[i].op;
  OracleReplay replay;
  if (oracle_replay(naive->chain, ops, (size_t)sentence->count, &replay)) abort();
  front_insert(naive->arena, &naive->front, (OraclePoint){replay.peak_bytes, replay.cost_ns});
  naive->schedule_count++;
}

OracleFront oracle_naive_front(Arena *arena, const Chain *chain, const ChainClass *class, int64_t *schedule_count) {
  Naive naive = {.arena = arena, .chain = chain, .class = class};
  Sentence sentence = {.count = 1};
  sentence.items[0] = part(0, chain->block_count - 1, NULL);
  expand(&naive, &sentence, 0);
  *schedule_count = naive.schedule_count;
  return naive.front;
}
