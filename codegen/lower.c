// Lowers a graph for target c: decides which values lie in lanes, then asks each op for its launches.
#include "codegen/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "runtime/program.h"

typedef struct KernelRow {
  const char *name, *constants, *pointers;
  bool collective;
} KernelRow;

static const KernelRow kernel_rows[KERNEL_KIND_COUNT] = {
#define KERNEL(name, constants, pointers) {#name, constants, pointers, false},
#define COLLECTIVE(name, constants, pointers) {#name, constants, pointers, true},
#include "codegen/kernels.def"
#undef KERNEL
};

// Copies the next item of a list separated by `separator` into `item`; false at the end.
static bool next_item(const char **list, char separator, char *item, size_t size) {
  while (**list == ' ') (*list)++;
  if (!**list) return false;
  size_t length = 0;
  for (; **list && **list != separator; (*list)++) {
    if (length + 1 >= size) BUG("an item of kernels.def is longer than %zu bytes", size);
    item[length++] = **list;
  }
  while (length && item[length - 1] == ' ') length--;
  item[length] = '\0';
  if (**list) (*list)++;
  return true;
}

static const char *keep(const char *text, size_t length) {
  char *copy = calloc(1, length + 1);
  if (!copy) BUG("out of memory");
  memcpy(copy, text, length);
  return copy;
}

static void split_row(const KernelRow *row, KernelInfo *info) {
  char item[80];
  info->name = row->name;
  info->collective = row->collective;
  for (const char *list = row->constants; next_item(&list, ' ', item, sizeof item);) {
    bool is_real = item[0] == '#';
    info->constant_is_real[info->constant_count] = is_real;
    info->constants[info->constant_count++] = keep(item + is_real, strlen(item + is_real));
  }
  for (const char *list = row->pointers; next_item(&list, ',', item, sizeof item);) {
    char *name = strrchr(item, ' ');
    if (!name) BUG("kernel '%s': pointer '%s' has no type", row->name, item);
    info->pointer_types[info->pointer_count] = keep(item, (size_t)(name - item));
    info->pointers[info->pointer_count++] = keep(name + 1, strlen(name + 1));
  }
}

// The table is split once and kept for the life of the process.
const KernelInfo *kernel_info(KernelKind kernel) {
  static KernelInfo infos[KERNEL_KIND_COUNT];
  if (!infos[kernel].name) split_row(&kernel_rows[kernel], &infos[kernel]);
  return &infos[kernel];
}

static bool result_in_lanes(const Op *op, int index, const bool *in_lanes) {
  bool first = op->operand_count && in_lanes[op->operands[0]];
  switch (op->kind) {
    case OP_normalize_images:
    case OP_conv2d:
    case OP_conv2d_backward_input:
    case OP_scale_channels:
    case OP_scale_channels_backward:
    case OP_pool_average:
    case OP_pool_average_backward:
    case OP_scale_gradient: return true;
    case OP_conv2d_statistics: return index == 0;
    case OP_slice_rows: return op->size_group >= 0;
    case OP_conv2d_backward_weight:
    case OP_linear_backward_weight:
    case OP_sum_rows:
    case OP_concat_rows:
    case OP_normalization_factors:
    case OP_batch_norm_sums: return false;
    case OP_batch_norm_relu_sums: return index == 3;
    case OP_batch_norm:
    case OP_batch_norm_backward: return first && index == 0;
    case OP_batch_norm_relu_backward: return first && (index == 0 || index == 3);
    default: return first;
  }
}

static const bool *choose_layouts(Arena *arena, const Graph *graph) {
  bool *in_lanes = arena_array(arena, bool, graph->values.count + 1);
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    for (int i = 0; i < op->result_count; i++) in_lanes[op->results[i]] = result_in_lanes(op, i, in_lanes);
  }
  return in_lanes;
}

bool is_in_lanes(const Lower *lower, ValueId value) { return lower->in_lanes[value]; }

static Extent extent_of_shape(const Shape *shape) {
  if (shape->rank == 4) return (Extent){shape->size[0], shape->size[1], shape->size[2], shape->size[3]};
  if (shape->rank == 2) return (Extent){shape->size[0], 1, 1, shape->size[1]};
  return (Extent){1, 1, 1, shape->size[0]};
}

Extent extent_of(const Lower *lower, ValueId value) {
  const Value *v = graph_value(lower->graph, value);
  if (v->shape.rank == 3 || v->shape.rank < 1) BUG("value %u has rank %d", value, v->shape.rank);
  return extent_of_shape(&v->shape);
}

static int64_t floats_in_memory(const Value *value, bool in_lanes, const KernelTuning *tuning) {
  if (!in_lanes) return shape_elements(value->shape);
  Extent e = extent_of_shape(&value->shape);
  return lane_tensor_floats(e.n, e.h, e.w, e.c, tuning);
}

int64_t count_of(const Lower *lower, ValueId value) {
  return floats_in_memory(graph_value(lower->graph, value), lower->in_lanes[value], lower->tuning);
}

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

void launch(Lower *lower, KernelKind kernel, int64_t tasks, const KernelConstant *constants, int constant_count,
            const KernelOperand *operands, int operand_count) {
  const KernelInfo *info = kernel_info(kernel);
  if (constant_count != info->constant_count || operand_count != info->pointer_count) {
    BUG("'%s' takes %d constants and %d pointers, was given %d and %d", info->name, info->constant_count,
        info->pointer_count, constant_count, operand_count);
  }
  if (tasks == 0) return;
  ProgramLaunch added = {.kernel = kernel, .tasks = tasks, .op = lower->id, .checked = VALUE_NONE};
  memcpy(added.constants, constants, (size_t)constant_count * sizeof *constants);
  memcpy(added.operands, operands, (size_t)operand_count * sizeof *operands);
  arena_push(lower->arena, &lower->lowering->launches, ProgramLaunch, added);
}

typedef void LowerOp(Lower *lower);
static LowerOp *const lower_op[OP_KIND_COUNT] = {
#define OP(name, ...) lower_##name,
#include "compiler/graph/ops.def"
#undef OP
};

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
  lower_run(lower, RUN_FIRST, lower_op[lower->op->kind]);
  if (again_differs(lower->op->kind)) {
    lower_run(lower, RUN_AGAIN, lower_op[lower->op->kind]);
  } else {
    same_run(lower, RUN_AGAIN);
  }
  if (lower->lowering->mask_bytes[lower->op->results[0]]) lower_run(lower, RUN_MASK, lower_mask);
  int sign = run_sign_operand(lower->graph, lower->op);
  if (sign >= 0 && lower->lowering->mask_bytes[lower->op->operands[sign]])
    lower_run(lower, RUN_MASKED, lower_op[lower->op->kind]);
  if (plan_shards_any(lower->shards) && run_needs_norms(lower->op->kind))
    lower_run(lower, RUN_NORMS, lower_op[lower->op->kind]);
}

// Results of ReLUs have masks where images are the lanes: a whole number of bytes a pixel and channel.
static bool has_mask(const Graph *graph, const bool *in_lanes, ValueId v) {
  OpId producer = graph_value(graph, v)->producer;
  if (producer == OP_NONE || !in_lanes[v]) return false;
  const Op *op = graph_op(graph, producer);
  return op->kind == OP_relu || (op->kind == OP_batch_normalize && op->attributes.relu);
}

// Elements of a value in memory; what ranks share out is never in lanes.
static uint64_t elements_kept(const Lower *lower, ValueId value) {
  if (lower->shards->part[value]) return plan_shards_kept(lower->shards, lower->graph, value);
  return (uint64_t)floats_in_memory(graph_value(lower->graph, value), lower->in_lanes[value], lower->tuning);
}

Lowering *lower_for_c(Arena *arena, const Graph *graph, const KernelTuning *tuning, int norm_ranks, SeerFormat reduce,
                      const PlanShards *shards) {
  Lowering *lowering = arena_new(arena, Lowering);
  *lowering = (Lowering){.graph = graph,
                         .tuning = tuning,
                         .ranks = shards->count,
                         .reduce = reduce,
                         .value_bytes = arena_array(arena, uint64_t, graph->values.count + 1),
                         .mask_bytes = arena_array(arena, uint64_t, graph->values.count + 1)};
  for (int variant = 0; variant < RUN_VARIANT_COUNT; variant++) {
    lowering->runs[variant] = arena_array(arena, LaunchRange, graph->ops.count + 1);
    lowering->workspace_bytes[variant] = arena_array(arena, uint64_t, graph->ops.count + 1);
  }
  Lower lower = {.arena = arena,
                 .graph = graph,
                 .lowering = lowering,
                 .in_lanes = choose_layouts(arena, graph),
                 .tuning = tuning,
                 .ranks = shards->count,
                 .norm_ranks = norm_ranks,
                 .shards = shards};
  for (ValueId v = 0; v < graph->values.count; v++) {
    uint64_t count = elements_kept(&lower, v);
    lowering->value_bytes[v] = count * (uint64_t)data_type_bytes(graph_value(graph, v)->type);
    if (has_mask(graph, lower.in_lanes, v)) lowering->mask_bytes[v] = count / 8;
  }
  for (OpId id = 0; id < graph->ops.count; id++) {
    lower.id = id;
    lower.op = graph_op(graph, id);
    lower_runs(&lower);
  }
  return lowering;
}
