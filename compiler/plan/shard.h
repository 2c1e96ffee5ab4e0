// What ranks share out: of which values a rank keeps a part, and how parts make a unit, the parameters or gradients of
// one block that travel together.
//
// A value in parts is cut in row-major order into `count` parts of equal length, the last padded with zeros. A rank
// updates one part of each parameter, and keeps as many as its group needs to have all. Unit buffers hold whole values,
// part behind part, each beginning at a multiple of PLAN_ALIGNMENT.
#ifndef SEER_PLAN_SHARD_H
#define SEER_PLAN_SHARD_H

#include "compiler/graph/graph.h"

typedef enum ShardKind {
  SHARD_NONE,       // every rank keeps everything
  SHARD_GRADIENTS,  // whole parameters; a part of gradients and optimizer state
  SHARD_FULL,       // a part of parameters, too: blocks gather theirs before use
  SHARD_HYBRID,     // the same, but each group of ranks has all parameters: blocks gather within it
  SHARD_KIND_COUNT
} ShardKind;
extern const char *const shard_kind_names[SHARD_KIND_COUNT];

typedef struct PlanShards {
  ShardKind kind;
  int count;             // ranks; 1: nothing is shared out
  int group;             // ranks, one behind the other, that have one copy of the parameters: rank r of a group keeps
                         // the parts r, r + group, ...
  bool by_node;          // may a node keep, for a backward, what it gathered for a forward
  const uint64_t *part;  // by ValueId: elements of one part, for parameters, their gradients and their optimizer state
                         // (the unit of their sums, too, where every rank keeps them whole); 0: no such value
  const bool *kept;      // by ValueId: does a rank keep its part alone
  const bool *in_unit;   // by ValueId: a gradient that goes into an accumulator and is never apart from its unit
} PlanShards;

// `group` of SHARD_HYBRID divides `ranks`; of others it is not read.
const PlanShards *plan_shards_make(Arena *arena, const Graph *graph, ShardKind kind, int ranks, int group,
                                   bool by_node);
// Elements that a rank keeps of a value: its parts, or all. Whole parameters that are updated in parts are padded to
// whole parts; what is in the unit alone takes nothing.
uint64_t plan_shards_kept(const PlanShards *shards, const Graph *graph, ValueId value);
static inline bool plan_shards_any(const PlanShards *shards) { return shards->kind != SHARD_NONE; }
// Does a block gather its parameters before it uses them?
static inline bool plan_shards_gather(const PlanShards *shards) { return plan_shards_any(shards) && shards->group > 1; }
// Groups of ranks that have all parameters each: of more than one, they tell each other what they have updated.
static inline int plan_shards_groups(const PlanShards *shards) { return shards->count / shards->group; }

// How a value is cut, as SeerTensor has it.
typedef struct PlanCut {
  int shards;  // 0: every rank has it whole
  uint64_t part, chunk;
} PlanCut;
PlanCut plan_shards_cut(const PlanShards *shards, const Graph *graph, ValueId value);

#endif
