// What the targets' lowerings share: operands, launches, the runs of each op.
#include "codegen/lower.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "runtime/program.h"

Extent extent_of_shape(const Shape *shape) {
  if (shape->rank == 4) return (Extent){shape->size[0], shape->size[1], shape->size[2], shape->size[3]};
  if (shape->rank == 2) return (Extent){shape->size[0], 1, 1, shape->size[1]};
  return (Extent){1, 1, 1, shape->size[0]};
}

Extent extent_of(const Lower *lower, ValueId value) {
  const Value *v = graph_value(lower->graph, value);
  if (v->shape.rank == 3 || v->shape.rank < 1) BUG("value %u has rank %d", value, v->shape.rank);
  return extent_of_shape(&v->shape);
}

int64_t count_of(const Lower *lower, ValueId value) { return lower->target->count(lower, value); }

int64_t own_count(const Lower *lower, ValueId value) {
  return plan_shards_any(lower->shards) ? (int64_t)lower->shards->part[value] : count_of(lower, value);
}

KernelOperand norms_operand(const Lower *lower, bool all) {
  uint64_t slot = 0;
  for (OpId id = 0; id < lower->id; id++) slot += run_needs_norms(graph_op(lower->graph, id)->kind);
  return (KernelOperand){.kind = OPERAND_NORMS,
                         .value = VALUE_NONE,
                         .relative = slot * 2 * sizeof(double) + (all ? plan_norms_bytes(lower->graph) : 0)};
}

int64_t norms_stride(const Lower *lower) { return (int64_t)(plan_norms_bytes(lower->graph) / sizeof(double)); }

KernelOperand no_operand(void) { return (KernelOperand){.kind = OPERAND_NONE, .value = VALUE_NONE}; }

KernelOperand value_operand(ValueId value) { return (KernelOperand){.kind = OPERAND_VALUE, .value = value}; }

KernelOperand mask_operand(ValueId value) { return (KernelOperand){.kind = OPERAND_MASK, .value = value}; }

KernelOperand operand(const Lower *lower, int index) {
  return index < lower->op->operand_count ? value_operand(lower->op->operands[index]) : no_operand();
}

KernelOperand result(const Lower *lower, int index) { return value_operand(lower->op->results[index]); }

KernelOperand workspace(Lower *lower, int64_t floats) {
  if (floats == 0) return no_operand();
  KernelOperand scratch = {.kind = OPERAND_WORKSPACE, .value = VALUE_NONE, .relative = lower->workspace_bytes};
  uint64_t bytes = (uint64_t)floats * 4;
  lower->workspace_bytes += (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
  return scratch;
}

KernelOperand behind(KernelOperand operand, int64_t floats) {
  operand.relative += (uint64_t)floats * 4;
  return operand;
}

KernelOperand gather_norms(Lower *lower, KernelOperand mine, int64_t floats) {
  KernelOperand all = workspace(lower, lower->norm_ranks * floats);
  if (lower->norm_ranks == lower->ranks)
    LAUNCH(lower, gather_ranks, 1, (INT(floats)), (mine, all));
  else
    LAUNCH(lower, gather_group, 1, (INT(floats)), (mine, all));
  return all;
}

KernelOperand average_over_ranks(Lower *lower, KernelOperand mine, int64_t count, SeerFormat format) {
  KernelOperand scratch = workspace(lower, lower->ranks * seer_average_share(count, lower->ranks));
  KernelOperand average = workspace(lower, count);
  LAUNCH(lower, average_ranks, 1, (INT(count), INT(format)), (mine, scratch, average));
  return average;
}

KernelOperand reduced_gradient(Lower *lower, int index, int64_t count) {
  if (lower->ranks == 1 || plan_shards_any(lower->shards)) return operand(lower, index);
  return average_over_ranks(lower, operand(lower, index), count, lower->lowering->reduce);
}

// By shares of ranks even where each rank has the whole, so that sharing out changes no bit.
static Norms norms_of_whole(Lower *lower, const LarcLaunches *launches, KernelOperand gradient, int64_t count) {
  int64_t share = lower->ranks > 1 ? (int64_t)lower->shards->part[lower->op->operands[0]] : count;
  Norms sums = launches->sum(lower, gradient, count, share);
  if (lower->ranks == 1 && sums.pairs <= launches->pairs_most) return sums;
  int64_t shares = (count + share - 1) / share;
  KernelOperand folded = workspace(lower, 4 * shares);
  launches->fold(lower, sums, count, share, folded);
  return (Norms){shares, 2, folded};
}

void lower_larc(Lower *lower, const LarcLaunches *launches) {
  int64_t count = own_count(lower, lower->op->results[0]);
  if (lower->variant == RUN_NORMS) {
    Norms sums = launches->sum(lower, operand(lower, 1), count, count);
    launches->fold(lower, sums, count, count, norms_operand(lower, false));
    return;
  }
  KernelOperand gradient = reduced_gradient(lower, 1, count);
  Norms norms = {lower->ranks, norms_stride(lower), norms_operand(lower, true)};
  if (!plan_shards_any(lower->shards)) norms = norms_of_whole(lower, launches, gradient, count);
  launches->update(lower, gradient, count, norms);
}

static ProgramLaunch *add_launch(Lower *lower, KernelKind kernel, const KernelConstant *constants, int constant_count,
                                 const KernelOperand *operands, int operand_count) {
  const KernelInfo *info = kernel_info(kernel);
  if (constant_count != info->constant_count || operand_count != info->pointer_count) {
    BUG("'%s' takes %d constants and %d pointers, was given %d and %d", info->name, info->constant_count,
        info->pointer_count, constant_count, operand_count);
  }
  ProgramLaunch added = {.kernel = kernel, .op = lower->id, .checked = VALUE_NONE};
  memcpy(added.constants, constants, (size_t)constant_count * sizeof *constants);
  memcpy(added.operands, operands, (size_t)operand_count * sizeof *operands);
  arena_push(lower->arena, &lower->lowering->launches, ProgramLaunch, added);
  return &lower->lowering->launches.items[lower->lowering->launches.count - 1];
}

void launch(Lower *lower, KernelKind kernel, int64_t tasks, const KernelConstant *constants, int constant_count,
            const KernelOperand *operands, int operand_count) {
  if (tasks == 0) return;
  add_launch(lower, kernel, constants, constant_count, operands, operand_count)->tasks = tasks;
}

ProgramLaunch with_grid(ProgramLaunch launch, LaunchGrid grid) {
  launch.grid = grid;
  launch.tasks = grid.x * grid.y * grid.z;
  return launch;
}

void launch_grid(Lower *lower, KernelKind kernel, LaunchGrid grid, const KernelConstant *constants, int constant_count,
                 const KernelOperand *operands, int operand_count) {
  ProgramLaunch *added = add_launch(lower, kernel, constants, constant_count, operands, operand_count);
  *added = with_grid(*added, grid);
}

// Lowers one run of an op and notes its launches and scratch.
static void lower_run(Lower *lower, RunVariant variant, LowerOp *lower_it) {
  Lowering *lowering = lower->lowering;
  lower->variant = variant;
  lower->workspace_bytes = 0;
  size_t begin = lowering->launches.count;
  lower_it(lower);
  if (lowering->launches.count == begin)
    BUG("op '%s' (%s) has no launch", lower->op->name, op_kind_name(lower->op->kind));
  bool makes_result = variant != RUN_MASK && variant != RUN_NORMS;
  if (makes_result) lowering->launches.items[lowering->launches.count - 1].checked = lower->op->results[0];
  lowering->runs[variant][lower->id] = (LaunchRange){begin, lowering->launches.count};
  lowering->workspace_bytes[variant][lower->id] = lower->workspace_bytes;
}

static void same_run(Lower *lower, RunVariant variant) {
  lower->lowering->runs[variant][lower->id] = lower->lowering->runs[RUN_FIRST][lower->id];
  lower->lowering->workspace_bytes[variant][lower->id] = lower->lowering->workspace_bytes[RUN_FIRST][lower->id];
}

static bool again_differs(OpKind kind) { return kind == OP_conv2d_statistics || kind == OP_batch_norm; }

static void lower_runs(Lower *lower) {
  lower_run(lower, RUN_FIRST, lower->target->ops[lower->op->kind]);
  if (again_differs(lower->op->kind)) {
    lower_run(lower, RUN_AGAIN, lower->target->ops[lower->op->kind]);
  } else {
    same_run(lower, RUN_AGAIN);
  }
  if (lower->lowering->mask_bytes[lower->op->results[0]]) lower_run(lower, RUN_MASK, lower->target->mask);
  int sign = run_sign_operand(lower->graph, lower->op);
  if (sign >= 0 && lower->lowering->mask_bytes[lower->op->operands[sign]])
    lower_run(lower, RUN_MASKED, lower->target->ops[lower->op->kind]);
  if (plan_shards_any(lower->shards) && run_needs_norms(lower->op->kind))
    lower_run(lower, RUN_NORMS, lower->target->ops[lower->op->kind]);
}

// Elements of a value in memory; what ranks share out is as it is, whatever the target.
static uint64_t elements_kept(const Lower *lower, ValueId value) {
  if (lower->shards->part[value]) return plan_shards_kept(lower->shards, lower->graph, value);
  return (uint64_t)count_of(lower, value);
}

Lowering *lower_graph(Lower *lower, SeerFormat reduce) {
  Arena *arena = lower->arena;
  const Graph *graph = lower->graph;
  Lowering *lowering = arena_new(arena, Lowering);
  *lowering = (Lowering){.graph = graph,
                         .tuning = lower->tuning,
                         .average_parts = lower->target->average_parts,
                         .narrow_parts = lower->target->narrow_parts,
                         .ranks = lower->shards->count,
                         .reduce = reduce,
                         .value_bytes = arena_array(arena, uint64_t, graph->values.count + 1),
                         .mask_bytes = arena_array(arena, uint64_t, graph->values.count + 1)};
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) {
    lowering->runs[variant] = arena_array(arena, LaunchRange, graph->ops.count + 1);
    lowering->workspace_bytes[variant] = arena_array(arena, uint64_t, graph->ops.count + 1);
  }
  lower->lowering = lowering;
  lower->ranks = lower->shards->count;
  for (ValueId v = 0; v < graph->values.count; v++) {
    uint64_t count = elements_kept(lower, v);
    lowering->value_bytes[v] = count * (uint64_t)data_type_bytes(graph_value(graph, v)->type);
    if (lower->target->has_mask && lower->target->has_mask(lower, v)) lowering->mask_bytes[v] = count / 8;
  }
  for (OpId id = 0; id < graph->ops.count; id++) {
    lower->id = id;
    lower->op = graph_op(graph, id);
    lower_runs(lower);
  }
  return lowering;
}
