// What a run of an op reads and writes, by variant.
#include "compiler/plan/schedule.h"

#include "compiler/base/bug.h"

static void add_use(ValueUses *uses, ValueId value, ValueForm form) {
  for (int i = 0; i < uses->count; i++) {
    if (uses->items[i].value == value && uses->items[i].form == form) return;
  }
  uses->items[uses->count++] = (ValueUse){value, form};
}

// Operands "for its shape" in compiler/graph/ops.def.
static bool is_shape_only(const Op *op, int operand) {
  switch (op->kind) {
    case OP_conv2d_backward_input: return !op->attributes.adds && operand == (op->attributes.gradient ? 4 : 2);
    case OP_conv2d_backward_weight:
    case OP_linear_backward_weight: return operand == 2;
    case OP_pad_rows: return operand == 1;
    default: return false;
  }
}

int run_sign_operand(const Graph *graph, const Op *op) {
  int y = op->kind == OP_batch_norm_relu_backward ? 1 : op->kind == OP_batch_norm_relu_sums ? 5 : -1;
  if (y < 0) return -1;
  bool lies = shape_equal(graph_value(graph, op->operands[y])->shape, graph_value(graph, op->operands[0])->shape);
  return lies ? y : -1;  // else factors
}

ValueUses run_reads(const Graph *graph, OpId id, RunVariant variant) {
  const Op *op = graph_op(graph, id);
  ValueUses uses = {.count = 0};
  if (variant == RUN_MASK) {
    add_use(&uses, op->results[0], FORM_WHOLE);
    return uses;
  }
  for (int i = 0; i < op->operand_count && (variant != RUN_NORMS || i < 2); i++) {
    if (is_shape_only(op, i)) continue;
    bool masked = variant == RUN_MASKED && i == run_sign_operand(graph, op);
    add_use(&uses, op->operands[i], masked ? FORM_MASK : FORM_WHOLE);
  }
  if (variant == RUN_AGAIN && op->kind == OP_batch_norm) {
    add_use(&uses, op->results[1], FORM_WHOLE);
    add_use(&uses, op->results[2], FORM_WHOLE);
  }
  return uses;
}

ValueUses run_writes(const Graph *graph, OpId id, RunVariant variant) {
  const Op *op = graph_op(graph, id);
  ValueUses uses = {.count = 0};
  if (variant == RUN_NORMS) return uses;
  bool first_only = variant == RUN_AGAIN && (op->kind == OP_conv2d_statistics || op->kind == OP_batch_norm);
  for (int i = 0; i < (first_only || variant == RUN_MASK ? 1 : op->result_count); i++)
    add_use(&uses, op->results[i], variant == RUN_MASK ? FORM_MASK : FORM_WHOLE);
  return uses;
}

bool run_needs_norms(OpKind kind) { return kind == OP_larc_update; }

Schedule schedule_in_graph_order(Arena *arena, const Graph *graph) {
  Schedule schedule = {0};
  for (OpId op = 0; op < graph->ops.count; op++) {
    OpPhase phase = graph_op(graph, op)->phase;
    StepPass pass = phase == PHASE_FORWARD ? PASS_FORWARD : phase == PHASE_BACKWARD ? PASS_BACKWARD : PASS_UPDATE;
    ScheduleEntry entry = {
        .kind = STEP_RUN, .op = op, .pass = pass, .block = graph_op(graph, op)->block, .operation = -1};
    arena_push(arena, &schedule, ScheduleEntry, entry);
  }
  return schedule;
}

const char *step_kind_name(StepKind kind) {
  static const char *const names[] = {"run", "gather", "reduce", "offload", "fetch", "norms"};
  return names[kind];
}

const char *step_pass_name(StepPass pass) {
  static const char *const names[] = {"forward", "reforward", "backward", "update"};
  return names[pass];
}

const char *run_variant_name(RunVariant variant) {
  static const char *const names[] = {"first", "again", "mask", "masked", "norms"};
  return names[variant];
}
