// Lowers a graph for target c: decides which values lie in lanes, then asks each op for its launches.
#include "codegen/c/lower_c.h"
#include "codegen/lowerings.h"

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

static int64_t count(const Lower *lower, ValueId v) {
  const Value *value = graph_value(lower->graph, v);
  if (!lower->in_lanes[v]) return shape_elements(value->shape);
  Extent e = extent_of_shape(&value->shape);
  return lane_tensor_floats(e.n, e.h, e.w, e.c, lower->tuning);
}

// Results of ReLUs have masks where images are the lanes: a whole number of bytes a pixel and channel.
static bool has_mask(const Lower *lower, ValueId v) {
  OpId producer = graph_value(lower->graph, v)->producer;
  if (producer == OP_NONE || !lower->in_lanes[v]) return false;
  const Op *op = graph_op(lower->graph, producer);
  return op->kind == OP_relu || (op->kind == OP_batch_normalize && op->attributes.relu);
}

static LowerOp *const ops[OP_KIND_COUNT] = {
#define OP(name, ...) c_lower_##name,
#include "compiler/graph/ops.def"
#undef OP
};

Lowering *lower_for_c(Arena *arena, const Graph *graph, const KernelTuning *tuning, int norm_ranks, SeerFormat reduce,
                      const PlanShards *shards) {
  static const LowerTarget target = {ops, count, has_mask, c_lower_mask, c_average_parts, c_narrow_parts};
  Lower lower = {.arena = arena,
                 .graph = graph,
                 .target = &target,
                 .in_lanes = choose_layouts(arena, graph),
                 .tuning = tuning,
                 .norm_ranks = norm_ranks,
                 .shards = shards};
  return lower_graph(&lower, reduce);
}
