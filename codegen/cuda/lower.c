// Lowers a graph for target cuda: images lie as channels.h says, all else row-major in f32; each op becomes launches of
// the kernels in kernels/cuda.
#include "codegen/cuda/lower_cuda.h"
#include "codegen/lowerings.h"
#include "compiler/base/bug.h"

bool is_of_images(const Lower *lower, ValueId value) {
  return lower->channels[value].all && graph_value(lower->graph, value)->shape.rank == 4;
}

Images images_of(const Lower *lower, ValueId value) {
  const Shape *shape = &graph_value(lower->graph, value)->shape;
  if (!is_of_images(lower, value)) BUG("'%s' takes value %u for images", lower->op->name, value);
  return (Images){shape->size[0], shape->size[1], shape->size[2], lower->channels[value]};
}

// Factors are a line (kernels/cuda/view.h).
static int64_t count(const Lower *lower, ValueId value) {
  const Shape *shape = &graph_value(lower->graph, value)->shape;
  if (lower->channels[value].all && shape->rank == 2) return 2 * lower->channels[value].all;
  if (!is_of_images(lower, value)) return shape_elements(*shape);
  return shape->size[0] * shape->size[1] * shape->size[2] * lower->channels[value].all;
}

static KernelOperand scalar(const Lower *lower, OperandKind kind) {
  return (KernelOperand){.kind = lower->graph->image_type == DATA_F16 ? kind : OPERAND_NONE, .value = VALUE_NONE};
}
KernelOperand loss_scale_operand(const Lower *lower) { return scalar(lower, OPERAND_LOSS_SCALE); }
KernelOperand unscale_operand(const Lower *lower) { return scalar(lower, OPERAND_UNSCALE); }

static LowerOp *const ops[OP_KIND_COUNT] = {
#define OP(name, ...) cuda_lower_##name,
#include "compiler/graph/ops.def"
#undef OP
};

Lowering *lower_for_cuda(Arena *arena, const Graph *graph, const CudaTuning *tuning, int norm_ranks, SeerFormat reduce,
                         const PlanShards *shards) {
  static const LowerTarget target = {
      .ops = ops, .count = count, .average_parts = cuda_average_parts, .narrow_parts = cuda_narrow_parts};
  Lower lower = {.arena = arena,
                 .graph = graph,
                 .target = &target,
                 .channels = channel_layouts_make(arena, graph),
                 .cuda = tuning,
                 .norm_ranks = norm_ranks,
                 .shards = shards};
  return lower_graph(&lower, reduce);
}
