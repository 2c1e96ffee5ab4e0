// Unites values that must lie alike, then gives each set its layout.
#include "codegen/cuda/channels.h"

#include "compiler/base/bug.h"

typedef struct Layouts {
  const Graph *graph;
  ValueId *parent;  // of the sets
  int64_t *groups;  // of a set's first value; 0: no grouped convolution has spoken
} Layouts;

static bool is_factors(const Graph *graph, ValueId value) {
  OpId producer = graph_value(graph, value)->producer;
  return producer != OP_NONE && graph_op(graph, producer)->kind == OP_normalization_factors;
}

// Or the factors of images, by channel too.
static bool is_image(const Graph *graph, ValueId value) {
  const Value *v = graph_value(graph, value);
  return is_factors(graph, value) || (v->type == graph->image_type && v->shape.rank == 4 && v->kind == VALUE_RESULT);
}

static ValueId first_of(const Layouts *layouts, ValueId value) {
  while (layouts->parent[value] != value) {
    layouts->parent[value] = layouts->parent[layouts->parent[value]];
    value = layouts->parent[value];
  }
  return value;
}

static void set_groups(Layouts *layouts, ValueId value, int64_t groups) {
  int64_t *known = &layouts->groups[first_of(layouts, value)];
  if (groups <= 1) return;
  if (*known && *known != groups)
    BUG("value %u is read in %lld groups and in %lld", value, (long long)*known, (long long)groups);
  *known = groups;
}

static void unite(Layouts *layouts, ValueId a, ValueId b) {
  ValueId first = first_of(layouts, a), other = first_of(layouts, b);
  if (first == other) return;
  layouts->parent[other] = first;
  set_groups(layouts, first, layouts->groups[other]);
}

static bool convolves(OpKind kind) { return kind == OP_conv2d || kind == OP_conv2d_statistics; }

// A convolution's input and output are on their own; in backwards, so are dy and dx, but dx lies as x and an addend do.
static void visit(Layouts *layouts, const Op *op) {
  const Graph *graph = layouts->graph;
  if (convolves(op->kind) || op->kind == OP_conv2d_backward_weight || op->kind == OP_conv2d_backward_input) {
    int64_t groups = op->attributes.groups;
    set_groups(layouts, op->operands[0], groups);
    set_groups(layouts, op->kind == OP_conv2d_backward_weight ? op->operands[1] : op->results[0], groups);
    if (op->kind == OP_conv2d_backward_input && op->operand_count > 2) unite(layouts, op->results[0], op->operands[2]);
    int view = op->kind == OP_conv2d_backward_weight ? 3 : 2;
    if (op->kind != OP_conv2d_backward_input && op->operand_count > view)
      unite(layouts, op->operands[0], op->operands[view]);
    return;
  }
  ValueId first = VALUE_NONE;
  for (int i = 0; i < op->operand_count + op->result_count; i++) {
    ValueId value = i < op->operand_count ? op->operands[i] : op->results[i - op->operand_count];
    if (!is_image(graph, value)) continue;
    if (first != VALUE_NONE) unite(layouts, first, value);
    first = value;
  }
}

static int64_t shape_channels(Shape shape) { return shape.size[shape.rank - 1]; }

static ChannelLayout layout_of(int64_t channels, int64_t groups) {
  int64_t width = groups > 1 ? channels / groups : channels;
  if (width % 8 == 0) return (ChannelLayout){channels, channels, channels};
  int64_t pitch = (width + 7) / 8 * 8;
  return (ChannelLayout){width, pitch, channels / width * pitch};
}

const ChannelLayout *channel_layouts_make(Arena *arena, const Graph *graph) {
  size_t count = graph->values.count;
  Layouts layouts = {graph, arena_array(arena, ValueId, count + 1), arena_array(arena, int64_t, count + 1)};
  ChannelLayout *made = arena_array(arena, ChannelLayout, count + 1);
  for (ValueId v = 0; v < count; v++) layouts.parent[v] = v;
  for (OpId i = 0; i < graph->ops.count; i++) visit(&layouts, graph_op(graph, i));
  for (ValueId v = 0; v < count; v++) {
    if (is_image(graph, v))
      made[v] = layout_of(shape_channels(graph_value(graph, v)->shape), layouts.groups[first_of(&layouts, v)]);
  }
  return made;
}
