// The schedule: which op runs when, in which variant. One list, made from the chain's operations; the planner gives its
// results addresses, the report times it, the code generator prints it.
#ifndef SEER_PLAN_SCHEDULE_H
#define SEER_PLAN_SCHEDULE_H

#include "compiler/graph/graph.h"

typedef enum RunVariant {
  RUN_FIRST,   // as the graph says
  RUN_AGAIN,   // a forward op once more: statistics are those of the first run, nothing else is written
  RUN_MASK,    // makes the mask of a ReLU's result: one bit an element, set where it is above zero
  RUN_MASKED,  // a backward op that reads a mask in place of the ReLU's result
  RUN_NORMS,   // of an update: sums of squares of this rank's part, for the norms of all parts
  RUN_VARIANT_COUNT
} RunVariant;

typedef enum StepKind {
  STEP_RUN,
  STEP_GATHER,
  STEP_REDUCE,
  STEP_OFFLOAD,
  STEP_FETCH,
  STEP_NORMS  // the norms of all parts, from all ranks at once
} StepKind;
typedef enum StepPass { PASS_FORWARD, PASS_REFORWARD, PASS_BACKWARD, PASS_UPDATE } StepPass;

// A value as one run touches it.
typedef enum ValueForm { FORM_WHOLE, FORM_MASK, FORM_COUNT } ValueForm;
typedef struct ValueUse {
  ValueId value;
  ValueForm form;
} ValueUse;
typedef struct ValueUses {
  ValueUse items[MAX_OPERANDS + MAX_RESULTS];
  int count;
} ValueUses;

typedef struct ScheduleEntry {
  StepKind kind;
  OpId op;  // STEP_RUN
  RunVariant variant;
  StepPass pass;
  int block;              // of the chain, -1: none
  int operation;          // of the chain's schedule, -1: none
  bool node_share;        // STEP_GATHER: from the node's own share
  const ValueUse *moved;  // STEP_OFFLOAD, STEP_FETCH: what goes to the host or comes back
  int moved_count;
  int64_t time_ns;  // of all but STEP_RUN
} ScheduleEntry;

typedef struct Schedule {
  ScheduleEntry *items;
  size_t count, capacity;
} Schedule;

// The operand, a ReLU's result, of which the op needs no more than where it is positive; -1: none.
int run_sign_operand(const Graph *graph, const Op *op);
// Operands that an op needs for their shape alone are not among its reads.
ValueUses run_reads(const Graph *graph, OpId op, RunVariant variant);
ValueUses run_writes(const Graph *graph, OpId op, RunVariant variant);
// Does an update need the norms of whole parameters and gradients?
bool run_needs_norms(OpKind kind);

// Every op once, in the graph's order.
Schedule schedule_in_graph_order(Arena *arena, const Graph *graph);

const char *step_kind_name(StepKind kind);
const char *step_pass_name(StepPass pass);
const char *run_variant_name(RunVariant variant);

#endif
