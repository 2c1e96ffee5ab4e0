// Judges of the planner that share no code with it and know docs/planner.md alone: a replay of a list of operations,
// the class of schedules by exhaustion, and the best of all schedules by search over whole states.
// Blocks count from 0 here as in chain.h; a(i) is the output of block i, a(-1) the caller's input.
#ifndef SEER_TESTS_ORACLE_H
#define SEER_TESTS_ORACLE_H

#include "compiler/plan/chain.h"

enum { ORACLE_MAX_OPS = 512, ORACLE_MAX_BLOCKS = 16, ORACLE_SEARCH_BLOCKS = 6 };

typedef struct OracleReplay {
  int64_t cost_ns, peak_bytes;
} OracleReplay;

// Returns NULL, or why the list is no schedule. Everything ends with its last use. A save that no backward
// follows counts as one whose inside is dropped at once; a forward that nobody reads is allowed.
const char *oracle_replay(const Chain *chain, const ChainOp *ops, size_t count, OracleReplay *replay);

// Sorted: peaks rise, costs fall. A schedule is given with each point.
typedef struct OraclePoint {
  int64_t peak_bytes, cost_ns;
} OraclePoint;
typedef struct OracleFront {
  OraclePoint *items;
  size_t count, capacity;
} OracleFront;

// The least cost within the budget, or CHAIN_INFEASIBLE.
int64_t oracle_front_cost(const OracleFront *front, int64_t budget_bytes);

// Every schedule of the class written out and replayed, one by one: for four blocks at most.
OracleFront oracle_naive_front(Arena *arena, const Chain *chain, const ChainClass *class, int64_t *schedule_count);

// The same front composed from the fronts of subproblems. Every point's schedule is written out and replayed; when
// the replay disagrees, `*fault` says so.
OracleFront oracle_class_front(Arena *arena, const Chain *chain, const ChainClass *class, const char **fault);

// All schedules, for six blocks at most and chains without offload and extras: any order of operations, anything
// dropped at any time. Looks for one that costs less than `below_ns`; returns `below_ns` when there is none.
// `waits` adds forwards whose result nobody reads: they cost time, but part a large gather from a large operation.
typedef struct OracleSearch {
  const Chain *chain;
  int64_t budget_bytes, below_ns;
  bool waits;
  uint64_t state_limit;  // gives up beyond so many states, 0: never
} OracleSearch;
typedef struct OracleFound {
  int64_t cost_ns;
  bool finished;  // false: the limit was reached, cost_ns means nothing
  uint64_t states;
  ChainOp *ops;  // of a schedule found, without waits
  size_t op_count;
} OracleFound;
OracleFound oracle_search(Arena *arena, const OracleSearch *search);

#endif
