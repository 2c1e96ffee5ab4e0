// What ranks share out: of which values a rank keeps a part, and how parts make a unit, the parameters or gradients of
// one block that travel together.
//
// A value in parts is cut in row-major order into `count` parts of equal length, the last padded with zeros. Unit
// buffers hold whole values, part behind part, each beginning at a multiple of PLAN_ALIGNMENT.
#ifndef SEER_PLAN_SHARD_H
#define SEER_PLAN_SHARD_H

#include "compiler/graph/graph.h"

typedef enum ShardKind {
  SHARD_NONE,       // every rank keeps everything
  SHARD_GRADIENTS,  // whole parameters; a part of gradients and optimizer state
  SHARD_FULL,       // a part of parameters, too: blocks gather theirs before use
  SHARD_KIND_COUNT
} ShardKind;
extern const char *const shard_kind_names[SHARD_KIND_COUNT];

typedef struct PlanShards {
  ShardKind kind;
  int count;             // ranks; 1: nothing is shared out
  const uint64_t *part;  // by ValueId: elements of one part, for parameters, their gradients and their optimizer state
                         // (the unit of their sums, too, where every rank keeps them whole); 0: no such value
  const bool *kept;      // by ValueId: does a rank keep its part alone
  const bool *in_unit;   // by ValueId: a gradient that goes into an accumulator and is never apart from its unit
} PlanShards;

PlanShards plan_shards_make(Arena *arena, const Graph *graph, ShardKind kind, int ranks);
// Elements that a rank keeps of a value: its part, or all. Whole parameters of SHARD_GRADIENTS are padded to whole
// parts; what is in the unit alone takes nothing.
uint64_t plan_shards_kept(const PlanShards *shards, const Graph *graph, ValueId value);
static inline bool plan_shards_any(const PlanShards *shards) { return shards->kind != SHARD_NONE; }

#endif
