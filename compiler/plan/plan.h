// The plan: one ordered list of steps and the address of every byte they touch.
//
// Made from a graph, a schedule and a target's byte counts; read by the report, the code generator and the trainer's
// arena. Two memory spaces: the state (parameters, velocities, statistics, queues: lives across steps, saved in
// snapshots) and the arena (everything else, reused as lifetimes end); and a third one where activations are offloaded:
// memory of the host. An item is one making of one value: a value that is computed again, or fetched from the host, has
// one item for each time. Sizes are whole bytes, offsets multiples of PLAN_ALIGNMENT.
#ifndef SEER_PLAN_PLAN_H
#define SEER_PLAN_PLAN_H

#include "compiler/graph/graph.h"
#include "compiler/plan/schedule.h"
#include "compiler/plan/shard.h"

enum { PLAN_ALIGNMENT = 64 };
#define PLAN_NO_OFFSET UINT64_MAX
#define PLAN_NO_ITEM UINT32_MAX

// What takes memory, for the account by kind.
typedef enum PlanItemKind {
  ITEM_ACTIVATION,  // results of forward ops
  ITEM_GRADIENT,    // results of backward ops
  ITEM_GATHERED,    // parameters gathered from the ranks, and their gradients on the way back
  ITEM_UPDATE,      // results of update ops that are not written straight into the state
  ITEM_WORKSPACE,   // scratch of one op
  ITEM_KIND_COUNT
} PlanItemKind;
extern const char *const plan_item_kind_names[ITEM_KIND_COUNT];

typedef struct PlanItem {
  PlanItemKind kind;
  ValueId value;  // VALUE_NONE for workspaces and what is gathered
  ValueForm form;
  int block;            // of the chain; -1: none
  uint64_t bytes;       // rounded up to PLAN_ALIGNMENT
  uint32_t begin, end;  // live in steps begin..end, both included
  uint64_t offset;      // in the arena
  uint64_t host_offset;  // where its copy lies in the host's memory, or PLAN_NO_OFFSET: it is not offloaded or fetched
} PlanItem;

// Steps before `update_begin` are a micro-step, the others the update.
typedef struct PlanStep {
  StepKind kind;
  OpId op;
  RunVariant variant;
  StepPass pass;
  int block, operation;      // of the chain; -1: none
  bool node_share;           // STEP_GATHER: from the node's own share
  int64_t time_ns, sync_ns;  // sync: of the op's all-reduce behind it, in which all streams stand still
  int64_t start_ns;          // set by the simulation
  uint64_t live_bytes;       // of the arena while it runs
  // Items in the arena that the step reads, writes and works in: of `uses` in plan->uses.
  uint32_t use_begin, use_count;
  uint32_t workspace;  // PLAN_NO_ITEM: none
} PlanStep;

typedef struct PlanUse {
  uint32_t item;
  bool written;
} PlanUse;

// What a target says of a graph: bytes of each value in its layout and as a mask, scratch and time of each op's run.
typedef struct PlanCosts {
  const uint64_t *value_bytes, *mask_bytes;            // by ValueId; mask 0: the target has no masks
  const uint64_t *workspace_bytes[RUN_VARIANT_COUNT];  // by OpId
  const int64_t *time_ns[RUN_VARIANT_COUNT];           // by OpId
  const int64_t *sync_ns;                              // by OpId: of its small all-reduce, which only a first run does
} PlanCosts;

typedef struct PlanUnitTensor {
  ValueId parameter, gradient;  // VALUE_NONE: it has no gradient
} PlanUnitTensor;

// The parameters of a block, which travel together; 0 bytes: they do not travel.
typedef struct PlanUnit {
  struct {
    PlanUnitTensor *items;
    size_t count, capacity;
  } tensors;
  uint64_t parameters, part_elements;  // elements of all ranks, without padding; of one rank, with it
  uint64_t parameter_bytes, gradient_bytes, node_share_bytes;  // of buffers
  uint64_t gather_sent_bytes, reduce_sent_bytes;               // by one rank, in one gather and one reduction
  int64_t gather_ns, node_gather_ns, reduce_ns;
  uint64_t refresh_sent_bytes;  // between groups, of what was updated, once a step
  int64_t refresh_ns;
} PlanUnit;

typedef struct PlanUnits {
  const Graph *graph;
  const PlanShards *shards;
  PlanUnit *items;  // by block of the chain
  int count;
  uint64_t *offsets;  // by ValueId: of parameters and of gradients in their unit's buffer; or PLAN_NO_OFFSET
} PlanUnits;

typedef struct Plan {
  const Graph *graph;
  const PlanUnits *units;  // NULL: everything is whole
  PlanStep *steps;
  uint32_t step_count, update_begin;
  PlanItem *items;
  uint32_t item_count;
  PlanUse *uses;
  uint64_t *value_offsets;  // by ValueId, of its last making: in the space that value_in_state tells; or
                            // PLAN_NO_OFFSET: not placed
  bool *value_in_state;     // by ValueId
  OpId *first_use;          // by ValueId: the first op that reads it, or OP_NONE
  uint64_t state_bytes, arena_bytes, live_peak_bytes;
  uint64_t host_bytes;  // of the host's memory, for what is offloaded
  uint32_t peak_step;
  uint32_t norms;  // the item with the norms of all parts, or PLAN_NO_ITEM
  uint64_t peak_by_kind[ITEM_KIND_COUNT];  // of the items live at peak_step
} Plan;

uint64_t plan_align(uint64_t bytes);
// The item that holds `value` for a step, or PLAN_NO_ITEM when the step has none in the arena.
uint32_t plan_find_use(const Plan *plan, uint32_t step, ValueId value, ValueForm form);

// States and parameters get addresses in the order of the graph's values, unless `state` (the training graph's plan)
// is given: then they take its addresses by name, as feature extraction does. `units` (or NULL): parameters that the
// schedule's gathers bring into the arena, and gradients that its reductions take from there.
Plan *plan_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const Schedule *schedule, const Plan *state,
                const PlanUnits *units);
// The unit buffer that a step reads its block's parameters from, or, `written`, writes its gradients to.
uint32_t plan_find_unit(const Plan *plan, uint32_t step, bool written);
// The norms of parts: two doubles for each op that wants them, in the order of the update; first this rank's, then, at
// plan_norms_bytes, those of all ranks.
uint64_t plan_norms_bytes(const Graph *graph);
// Addresses anew, with patience, where the arena has come out larger than the largest live sum.
void plan_place_thoroughly(Plan *plan, Arena *arena);
// Addresses of parameters and states alone: they do not depend on the schedule.
const Plan *plan_place_state(Arena *arena, const Graph *graph, const PlanCosts *costs, const Schedule *schedule);
// NULL when the plan holds, else what is broken: every read was written and not overwritten, every item inside the
// arena and aligned, no two live items overlap; what is on its way to the host or back stays untouched until the
// operation beside it ends. Replays the steps on byte intervals, apart from the planner's code.
const char *plan_verify(const Plan *plan, Arena *arena);
void plan_print(const Plan *plan, Writer *out);

#endif
