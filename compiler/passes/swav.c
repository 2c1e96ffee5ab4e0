// SwAV's head and loss: projection, unit embeddings, scores of the prototypes, Sinkhorn codes of the assigned crops,
// swapped prediction. Rows are crop-major. Formulas: vissl/losses/swav_loss.py; the queue: swav/main_swav.py.
#include <limits.h>
#include <math.h>

#include "compiler/base/bug.h"
#include "compiler/passes/model_builder.h"

// Linear layers with ReLU, and BatchNorm if wanted, between; numbered as in the released heads.
ValueId model_add_embeddings(ModelBuilder *b, ValueId x) {
  const ModelOptions *o = b->options;
  Arena *arena = b->graph->arena;
  int index = 0;
  for (int i = 0; i < o->head_layer_count; i++) {
    int64_t inputs = graph_value(b->graph, x)->shape.size[1];
    const char *name = arena_printf(arena, "projection_head.%d", index++);
    double bound = 1 / sqrt((double)inputs);
    ValueId weight = graph_add_parameter(b->graph, arena_printf(arena, "%s.weight", name),
                                         shape_make(2, o->head_widths[i], inputs, 0, 0), INIT_UNIFORM, bound, b->span);
    ValueId bias = graph_add_parameter(b->graph, arena_printf(arena, "%s.bias", name),
                                       shape_make(1, o->head_widths[i], 0, 0, 0), INIT_UNIFORM, bound, b->span);
    x = builder_linear(b, name, -1, x, weight, bias);
    if (i + 1 == o->head_layer_count) break;
    if (o->head_batch_norm) {
      name = arena_printf(arena, "projection_head.%d", index++);
      BatchNormValues norm = builder_batch_norm_values(b, name, o->head_widths[i], false);
      x = builder_batch_norm(b, &norm, name, -1, x);
    }
    x = builder_op1(b, OP_relu, arena_printf(arena, "projection_head.%d", index++), -1, x);
  }
  Op op = builder_op(b, OP_l2_normalize, "embeddings", -1, 1, &x);
  op.attributes.epsilon = 1e-12;
  return graph_add_op1(b->graph, op);
}

static ValueId crop_rows(ModelBuilder *b, const char *name, ValueId matrix, int crop) {
  int64_t batch = b->options->batch, end = (crop + 1) * batch;
  if (end > INT_MAX) BUG("%lld rows", (long long)end);
  Op op = builder_op(b, OP_slice_rows, name, -1, 1, &matrix);
  op.attributes.begin = (int)(crop * batch);
  op.attributes.end = (int)end;
  return graph_add_op1(b->graph, op);
}

// Codes of one assigned crop; with a queue, of it together with the crop's earlier embeddings.
static ValueId add_codes(ModelBuilder *b, int crop, ValueId scores, ValueId prototypes, ValueId *queue) {
  const ModelOptions *o = b->options;
  const char *name = arena_printf(b->graph->arena, "sinkhorn.%d", crop);
  ValueId operands[3] = {crop_rows(b, name, scores, crop)};
  *queue = VALUE_NONE;
  if (o->queue > 0) {
    *queue = graph_add_state(b->graph, arena_printf(b->graph->arena, "queue.%d", crop), DATA_F32,
                             shape_make(2, o->queue, o->head_widths[o->head_layer_count - 1], 0, 0), INIT_ZERO, 0);
    operands[1] = builder_linear(b, name, -1, *queue, prototypes, VALUE_NONE);
    operands[2] = graph_add_scalar(b->graph, "queue_active");
  }
  Op op = builder_op(b, OP_sinkhorn, name, -1, o->queue > 0 ? 3 : 1, operands);
  op.attributes.epsilon = o->sinkhorn_epsilon;
  op.attributes.iterations = o->sinkhorn_iterations;
  op.attributes.hard = o->hard_codes;
  return graph_add_op1(b->graph, op);
}

// concat_rows in as many ops as MAX_OPERANDS asks for.
static ValueId concat_all(ModelBuilder *b, const char *name, ValueId *rows, int count) {
  ValueId all = VALUE_NONE;
  for (int next = 0; next < count;) {
    ValueId operands[MAX_OPERANDS];
    int taken = 0;
    if (next) operands[taken++] = all;
    while (taken < MAX_OPERANDS && next < count) operands[taken++] = rows[next++];
    all = graph_add_op1(b->graph, builder_op(b, OP_concat_rows, name, -1, taken, operands));
  }
  return all;
}

// The queues take this step's embeddings after it: a state's new value belongs to the backward phase.
static void push_queues(ModelBuilder *b, ValueId embeddings, const ValueId *queues) {
  ValueId rows[64];
  for (int i = 0; i < b->options->assign_crops; i++)
    rows[i] = crop_rows(b, arena_printf(b->graph->arena, "queue.%d", i), embeddings, i);
  for (int i = 0; i < b->options->assign_crops; i++) {
    const char *name = arena_printf(b->graph->arena, "queue.%d", i);
    Op op = builder_op(b, OP_queue_push, name, -1, 2, (ValueId[]){queues[i], rows[i]});
    op.phase = PHASE_BACKWARD;
    graph_bind(b->graph, queues[i], graph_add_op1(b->graph, op));
  }
}

void model_add_swav(ModelBuilder *b, ValueId features) {
  const ModelOptions *o = b->options;
  ValueId codes[64], queues[64];
  int crops = 0;
  for (int g = 0; g < o->size_group_count; g++) crops += o->size_groups[g].crops;
  if (o->assign_crops < 1 || o->assign_crops > 64 || o->head_layer_count < 1) BUG("SwAV options are not checked");
  ValueId embeddings = model_add_embeddings(b, features);
  b->span = o->spans.prototypes;
  int64_t width = graph_value(b->graph, embeddings)->shape.size[1];
  ValueId prototypes = graph_add_parameter(b->graph, "prototypes.weight", shape_make(2, o->prototypes, width, 0, 0),
                                           INIT_UNIFORM, 1 / sqrt((double)width), b->span);
  b->graph->values.items[prototypes].normalize_rows_at_start = true;
  ValueId scores = builder_linear(b, "prototypes", -1, embeddings, prototypes, VALUE_NONE);
  builder_open_block(b, "loss", o->spans.sinkhorn);
  for (int i = 0; i < o->assign_crops; i++) codes[i] = add_codes(b, i, scores, prototypes, &queues[i]);
  ValueId all = concat_all(b, "codes", codes, o->assign_crops);
  graph_add_output(b->graph, "usage", builder_op1(b, OP_count_assignments, "usage", -1, all));
  b->span = o->spans.loss;
  Op op = builder_op(b, OP_swapped_prediction, "loss", -1, 2, (ValueId[]){scores, all});
  op.attributes.temperature = o->temperature;
  op.attributes.crops = crops;
  op.attributes.assign_crops = o->assign_crops;
  graph_add_output(b->graph, "loss", graph_add_op1(b->graph, op));
  if (o->queue > 0) push_queues(b, embeddings, queues);
}
