// Builds the trunk for every size group, block by block, and the supervised head. Formulas: RegNet's residual
// bottleneck block with squeeze-and-excitation on the block's input width (classy_vision anynet.py).
#include "compiler/passes/model.h"

#include <math.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/passes/model_builder.h"

void builder_open_block(ModelBuilder *b, const char *name, SourceSpan span) {
  Graph *graph = b->graph;
  size_t count = (size_t)graph->block_count;
  const char **names = arena_grow(graph->arena, graph->block_names, count, count + 1, sizeof(char *));
  names[count] = name;
  graph->block_names = names;
  b->block = graph->block_count++;
  b->span = span;
}

Op builder_op(const ModelBuilder *b, OpKind kind, const char *name, int size_group, int count,
              const ValueId *operands) {
  Op op = {.kind = kind, .phase = PHASE_FORWARD, .operand_count = count, .name = name, .block = b->block,
           .size_group = size_group, .span = b->span};
  for (int i = 0; i < count; i++) op.operands[i] = operands[i];
  return op;
}

ValueId builder_op1(ModelBuilder *b, OpKind kind, const char *name, int size_group, ValueId operand) {
  return graph_add_op1(b->graph, builder_op(b, kind, name, size_group, 1, &operand));
}

ValueId builder_linear(ModelBuilder *b, const char *name, int size_group, ValueId x, ValueId weight, ValueId bias) {
  ValueId operands[] = {x, weight, bias};
  return graph_add_op1(b->graph, builder_op(b, OP_linear, name, size_group, bias == VALUE_NONE ? 2 : 3, operands));
}

static const char *joined(const ModelBuilder *b, const char *name, const char *part) {
  return arena_printf(b->graph->arena, "%s.%s", name, part);
}

BatchNormValues builder_batch_norm_values(ModelBuilder *b, const char *name, int64_t channels, bool zero_gamma) {
  Shape shape = shape_make(1, channels, 0, 0, 0);
  BatchNormValues values;
  values.gamma = graph_add_parameter(b->graph, joined(b, name, "weight"), shape, zero_gamma ? INIT_ZERO : INIT_ONE, 0,
                                     b->span);
  values.beta = graph_add_parameter(b->graph, joined(b, name, "bias"), shape, INIT_ZERO, 0, b->span);
  values.running_mean = graph_add_state(b->graph, joined(b, name, "running_mean"), DATA_F32, shape, INIT_ZERO, 0);
  values.running_var = graph_add_state(b->graph, joined(b, name, "running_var"), DATA_F32, shape, INIT_ONE, 0);
  return values;
}

static void remember_statistics(ModelBuilder *b, const BatchNormValues *values, const Op *op, ValueId x) {
  Shape shape = graph_value(b->graph, x)->shape;
  double rows = (double)(shape_elements(shape) / shape.size[shape.rank - 1] * b->options->norm_ranks);
  RunningStatistic statistic = {.state = values->running_mean, .batch = op->results[1], .scale = 1, .name = op->name,
                                .block = op->block, .size_group = op->size_group, .span = op->span};
  arena_push(b->graph->arena, &b->statistics, RunningStatistic, statistic);
  statistic.state = values->running_var;
  statistic.batch = op->results[2];
  statistic.scale = rows > 1 ? rows / (rows - 1) : 1;
  arena_push(b->graph->arena, &b->statistics, RunningStatistic, statistic);
}

ValueId builder_batch_norm(ModelBuilder *b, const BatchNormValues *values, const char *name, int size_group,
                           ValueId x) {
  ValueId operands[] = {x, values->gamma, values->beta, values->running_mean, values->running_var};
  Op op =
      builder_op(b, b->training ? OP_batch_norm : OP_batch_normalize, name, size_group, b->training ? 3 : 5, operands);
  op.attributes.epsilon = b->options->bn_epsilon;
  OpId id = graph_add_op(b->graph, op);
  Op made = *graph_op(b->graph, id);
  if (b->training) remember_statistics(b, values, &made, x);
  return made.results[0];
}

// Statistics take their updates once per size group, in the order of the size groups.
static void update_running_statistics(ModelBuilder *b) {
  for (size_t i = 0; i < b->statistics.count; i++) {
    const RunningStatistic *s = &b->statistics.items[i];
    ValueId bound = graph_value(b->graph, s->state)->bound;
    Op op = {.kind = OP_running_update, .phase = PHASE_BACKWARD, .operand_count = 2, .name = s->name,
             .block = s->block, .size_group = s->size_group, .span = s->span};
    op.operands[0] = bound == VALUE_NONE ? s->state : bound;
    op.operands[1] = s->batch;
    op.attributes.momentum = b->options->bn_momentum;
    op.attributes.scale = s->scale;
    graph_bind(b->graph, s->state, graph_add_op1(b->graph, op));
  }
}

// One value per size group.
typedef struct GroupValues { ValueId of[MODEL_MAX_SIZE_GROUPS]; } GroupValues;

typedef struct ConvOptions {
  int64_t inputs, outputs, group_width;
  int kernel, stride;
  bool zero_gamma, relu;
} ConvOptions;

// Convolution NAME.0, BatchNorm NAME.1 and, if wanted, ReLU.
static GroupValues add_conv_norm(ModelBuilder *b, const char *name, GroupValues x, ConvOptions conv) {
  int groups = (int)(conv.inputs / conv.group_width);
  double fan_out = (double)conv.kernel * conv.kernel * (double)conv.outputs;
  if (b->options->init.fan_out_by_group) fan_out /= groups;
  const char *norm = joined(b, name, "1");
  ValueId weight = graph_add_parameter(b->graph, joined(b, name, "0.weight"),
                                       shape_make(4, conv.outputs, conv.group_width, conv.kernel, conv.kernel),
                                       INIT_NORMAL, sqrt(2 / fan_out), b->span);
  BatchNormValues values = builder_batch_norm_values(b, norm, conv.outputs, conv.zero_gamma);
  for (int g = 0; g < b->options->size_group_count; g++) {
    Op op = builder_op(b, OP_conv2d, name, g, 2, (ValueId[]){x.of[g], weight});
    op.attributes.stride = conv.stride;
    op.attributes.padding = conv.kernel / 2;
    op.attributes.groups = groups;
    x.of[g] = builder_batch_norm(b, &values, name, g, graph_add_op1(b->graph, op));
    if (conv.relu) x.of[g] = builder_op1(b, OP_relu, name, g, x.of[g]);
  }
  return x;
}

// A 1x1 convolution over a pooled image, in torchvision's shape.
static ValueId dense_weight(ModelBuilder *b, const char *name, int64_t outputs, int64_t inputs, ValueId *bias) {
  const ModelInit *init = &b->options->init;
  double fan_out = (double)outputs;
  ValueId weight = graph_add_parameter(b->graph, joined(b, name, "weight"), shape_make(4, outputs, inputs, 1, 1),
                                       INIT_NORMAL, sqrt(2 / fan_out), b->span);
  *bias = graph_add_parameter(b->graph, joined(b, name, "bias"), shape_make(1, outputs, 0, 0, 0),
                              init->zero_conv_bias ? INIT_ZERO : INIT_UNIFORM,
                              init->zero_conv_bias ? 0 : 1 / sqrt((double)inputs), b->span);
  return weight;
}

static GroupValues add_squeeze_excitation(ModelBuilder *b, const char *name, GroupValues x, int64_t width,
                                          int64_t squeezed) {
  const char *fc1 = joined(b, name, "fc1"), *fc2 = joined(b, name, "fc2");
  ValueId bias1, bias2;
  ValueId weight1 = dense_weight(b, fc1, squeezed, width, &bias1);
  ValueId weight2 = dense_weight(b, fc2, width, squeezed, &bias2);
  for (int g = 0; g < b->options->size_group_count; g++) {
    ValueId s = builder_op1(b, OP_pool_average, name, g, x.of[g]);
    s = builder_linear(b, fc1, g, s, weight1, bias1);
    s = builder_op1(b, OP_relu, fc1, g, s);
    s = builder_linear(b, fc2, g, s, weight2, bias2);
    s = builder_op1(b, OP_sigmoid, fc2, g, s);
    ValueId operands[] = {x.of[g], s};
    x.of[g] = graph_add_op1(b->graph, builder_op(b, OP_scale_channels, name, g, 2, operands));
  }
  return x;
}

// y = relu((projection or identity)(x) + c(se(b(a(x)))))
static GroupValues add_residual_block(ModelBuilder *b, const char *name, GroupValues x, const RegNetStage *stage,
                                      int64_t input_width, int stride) {
  const RegNetShape *shape = &b->options->shape;
  const char *prefix = arena_printf(b->graph->arena, "trunk_output.%.*s.%s", (int)strcspn(name, "-"), name, name);
  int64_t inner = regnet_inner_width(shape, stage->width);
  GroupValues shortcut = x, main = x;
  if (input_width != stage->width || stride != 1)
    shortcut = add_conv_norm(b, joined(b, prefix, "proj"), x,
                             (ConvOptions){.inputs = input_width, .outputs = stage->width, .group_width = input_width,
                                           .kernel = 1, .stride = stride});
  main = add_conv_norm(b, joined(b, prefix, "f.a"), main,
                       (ConvOptions){.inputs = input_width, .outputs = inner, .group_width = input_width, .kernel = 1,
                                     .stride = 1, .relu = true});
  main = add_conv_norm(b, joined(b, prefix, "f.b"), main,
                       (ConvOptions){.inputs = inner, .outputs = inner, .group_width = stage->group_width, .kernel = 3,
                                     .stride = stride, .relu = true});
  if (shape->se_ratio > 0)
    main = add_squeeze_excitation(b, joined(b, prefix, "f.se"), main, inner, regnet_se_width(shape, input_width));
  main = add_conv_norm(b, joined(b, prefix, "f.c"), main,
                       (ConvOptions){.inputs = inner, .outputs = stage->width, .group_width = inner, .kernel = 1,
                                     .stride = 1, .zero_gamma = b->options->init.zero_init_final_gamma});
  for (int g = 0; g < b->options->size_group_count; g++) {
    ValueId operands[] = {main.of[g], shortcut.of[g]};
    main.of[g] = graph_add_op1(b->graph, builder_op(b, OP_add, prefix, g, 2, operands));
    main.of[g] = builder_op1(b, OP_relu, prefix, g, main.of[g]);
  }
  return main;
}

static GroupValues add_images(ModelBuilder *b) {
  const ModelOptions *o = b->options;
  GroupValues images = {{0}};
  for (int g = 0; g < o->size_group_count; g++) {
    const ModelSizeGroup *group = &o->size_groups[g];
    Shape shape = shape_make(4, group->crops * o->batch, group->size, group->size, 3);
    ValueId input = graph_add_input(b->graph, arena_printf(b->graph->arena, "images%d", g), DATA_U8, shape);
    Op op = builder_op(b, OP_normalize_images, "images", g, 1, &input);
    op.span = o->spans.views;
    memcpy(op.attributes.mean, o->mean, sizeof o->mean);
    memcpy(op.attributes.std, o->std, sizeof o->std);
    images.of[g] = graph_add_op1(b->graph, op);
  }
  return images;
}

// Pooled features of all size groups as one matrix, rows crop-major.
static ValueId add_pooling(ModelBuilder *b, const char *name, GroupValues x) {
  for (int g = 0; g < b->options->size_group_count; g++) x.of[g] = builder_op1(b, OP_pool_average, name, g, x.of[g]);
  return graph_add_op1(b->graph, builder_op(b, OP_concat_rows, name, -1, b->options->size_group_count, x.of));
}

// What a probe may look at besides the features: the mean over the pixels of this layer.
static void add_layer(ModelBuilder *b, const char *layer, GroupValues x) {
  if (b->training) return;
  const char *name = arena_printf(b->graph->arena, "%s.avgpool", layer);
  graph_add_output(b->graph, arena_printf(b->graph->arena, "features.%s", layer), add_pooling(b, name, x));
}

static GroupValues add_trunk(ModelBuilder *b) {
  const ModelOptions *o = b->options;
  builder_open_block(b, "stem", o->spans.stem);
  GroupValues x = add_images(b);
  x = add_conv_norm(b, "stem", x, (ConvOptions){.inputs = 3, .outputs = o->shape.stem_width, .group_width = 3,
                                                .kernel = 3, .stride = o->shape.stem_stride, .relu = true});
  add_layer(b, "stem", x);
  int64_t width = o->shape.stem_width;
  for (int s = 0; s < o->shape.stage_count; s++) {
    const RegNetStage *stage = &o->shape.stages[s];
    for (int i = 0; i < stage->depth; i++) {
      const char *name = arena_printf(b->graph->arena, "block%d-%d", s + 1, i);
      builder_open_block(b, name, o->spans.blocks);
      x = add_residual_block(b, name, x, stage, width, i == 0 ? stage->stride : 1);
      width = stage->width;
    }
    // The last stage's mean is the features themselves.
    if (s + 1 < o->shape.stage_count) add_layer(b, arena_printf(b->graph->arena, "s%d", s + 1), x);
  }
  return x;
}

static ValueId add_classifier(ModelBuilder *b, ValueId features) {
  const ModelOptions *o = b->options;
  int64_t width = graph_value(b->graph, features)->shape.size[1];
  bool uniform = o->init.uniform_classifier;
  double bound = 1 / sqrt((double)width);
  ValueId weight = graph_add_parameter(b->graph, "fc.weight", shape_make(2, o->classes, width, 0, 0),
                                       uniform ? INIT_UNIFORM : INIT_NORMAL, uniform ? bound : 0.01, b->span);
  ValueId bias = graph_add_parameter(b->graph, "fc.bias", shape_make(1, o->classes, 0, 0, 0),
                                     uniform ? INIT_UNIFORM : INIT_ZERO, uniform ? bound : 0, b->span);
  return builder_linear(b, "fc", -1, features, weight, bias);
}

static void add_supervised(ModelBuilder *b, ValueId features) {
  const ModelOptions *o = b->options;
  ValueId logits = add_classifier(b, features);
  builder_open_block(b, "loss", o->spans.loss);
  ValueId labels = graph_add_input(b->graph, "labels", DATA_I32, shape_make(1, o->batch, 0, 0, 0));
  Op op = builder_op(b, OP_softmax_cross_entropy, "loss", -1, 2, (ValueId[]){logits, labels});
  op.attributes.label_smoothing = o->label_smoothing;
  graph_add_output(b->graph, "loss", graph_add_op1(b->graph, op));
}

Graph *model_build(Arena *arena, const ModelOptions *options, ModelUse use) {
  if (options->size_group_count < 1 || options->size_group_count > MODEL_MAX_SIZE_GROUPS)
    BUG("%d size groups", options->size_group_count);
  ModelBuilder b = {.options = options, .graph = graph_make(arena, options->name), .training = use == MODEL_TRAIN};
  GroupValues x = add_trunk(&b);
  builder_open_block(&b, "head", use == MODEL_FEATURES ? options->spans.features : options->spans.head);
  ValueId features = add_pooling(&b, "avgpool", x);
  if (use == MODEL_FEATURES) {
    graph_add_output(b.graph, "features", features);
    if (options->task == TASK_SUPERVISED && options->classes > 0)
      graph_add_output(b.graph, "features.head", add_classifier(&b, features));
    if (options->task == TASK_SWAV && options->head_layer_count > 0)
      graph_add_output(b.graph, "features.head", model_add_embeddings(&b, features));
  } else if (options->task == TASK_SWAV) {
    model_add_swav(&b, features);
  } else {
    add_supervised(&b, features);
  }
  update_running_statistics(&b);
  return b.graph;
}

int64_t model_parameters(const Graph *graph) {
  int64_t count = 0;
  for (size_t i = 0; i < graph->values.count; i++) {
    if (graph->values.items[i].kind == VALUE_PARAMETER) count += shape_elements(graph->values.items[i].shape);
  }
  return count;
}
