// The plan: one ordered list of steps and the address of every byte they touch.
//
// Made from a graph and a target's byte counts; read by the report, the code generator and the trainer's arena. Two
// memory spaces: the state (parameters, velocities, statistics, queues: lives across steps, saved in snapshots) and the
// arena (everything else, reused as lifetimes end). Sizes are whole bytes, offsets multiples of PLAN_ALIGNMENT.
#ifndef SEER_PLAN_PLAN_H
#define SEER_PLAN_PLAN_H

#include "compiler/graph/graph.h"

enum { PLAN_ALIGNMENT = 64 };
#define PLAN_NO_OFFSET UINT64_MAX

// What takes memory, for the account by kind.
typedef enum PlanItemKind {
  ITEM_ACTIVATION,  // results of forward ops
  ITEM_GRADIENT,    // results of backward ops
  ITEM_UPDATE,      // results of update ops that are not written straight into the state
  ITEM_WORKSPACE,   // scratch of one op
  ITEM_KIND_COUNT
} PlanItemKind;

typedef struct PlanItem {
  PlanItemKind kind;
  ValueId value;        // VALUE_NONE for workspace
  OpId op;              // the op that makes it or works in it
  uint64_t bytes;       // rounded up to PLAN_ALIGNMENT
  uint32_t begin, end;  // live in steps begin..end, both included
  uint64_t offset;      // in the arena
} PlanItem;

// One op of the schedule. Steps before `update_begin` are a micro-step, the others the update.
typedef struct PlanStep {
  OpId op;
  int64_t time_ns;
  uint64_t live_bytes;  // of the arena while it runs
} PlanStep;

// What a target says of a graph: bytes of each value in its layout, scratch of each op, time of each op.
typedef struct PlanCosts {
  const uint64_t *value_bytes;      // by ValueId
  const uint64_t *workspace_bytes;  // by OpId
  const int64_t *time_ns;           // by OpId
} PlanCosts;

typedef struct Plan {
  const Graph *graph;
  PlanStep *steps;
  uint32_t step_count, update_begin;
  PlanItem *items;
  uint32_t item_count;
  uint64_t *value_offsets;      // by ValueId: in the space that value_in_state tells; PLAN_NO_OFFSET: not placed
  bool *value_in_state;         // by ValueId
  OpId *first_use;              // by ValueId: the first op that reads it, or OP_NONE
  uint64_t *workspace_offsets;  // by OpId, in the arena
  uint64_t state_bytes, arena_bytes, live_peak_bytes;
  uint32_t peak_step;
  uint64_t peak_by_kind[ITEM_KIND_COUNT];  // of the items live at peak_step
} Plan;

// States and parameters get addresses in the order of the graph's values, unless `state` (the training graph's plan)
// is given: then they take its addresses by name, as feature extraction does.
Plan *plan_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const Plan *state);
// NULL when the plan holds, else what is broken: every read was written and not overwritten, every item inside the
// arena and aligned, no two live items overlap. Replays the steps on byte intervals, apart from the planner's code.
const char *plan_verify(const Plan *plan, Arena *arena);
void plan_print(const Plan *plan, Writer *out);

#endif
