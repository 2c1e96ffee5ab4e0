// Numbers for tests are functions of names and indices, so that no test depends on the order of values in a graph.
#include "tests/graph/graph_tools.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

double noise(uint64_t seed, uint64_t index) {
  uint64_t z = seed * 0x9E3779B97F4A7C15u + (index + 1) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return (double)(z >> 11) / 4503599627370496.0 - 1;
}

uint64_t name_seed(const char *name) {
  uint64_t hash = 1469598103934665603u;
  for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 1099511628211u;
  return hash;
}

static double number_for(const Value *value, int64_t index) {
  double random = noise(name_seed(value->name), (uint64_t)index);
  if (value->type == DATA_U8) return floor((random + 1) * 127.9);
  if (value->type == DATA_I32) return (double)(index % 2);
  if (value->kind == VALUE_SCALAR) return strcmp(value->name, "learning_rate") == 0 ? 0.3 : 1;
  if (strstr(value->name, "running_var")) return 1.5 + random;
  if (value->kind == VALUE_PARAMETER && value->init == INIT_ONE) return 1 + 0.3 * random;
  if (value->kind == VALUE_PARAMETER && value->init == INIT_NORMAL) return 1.7 * value->init_a * random;
  return 0.3 * random;
}

double **filled_tensors(const Graph *graph, Arena *arena) {
  double **tensors = graph_make_tensors(graph, arena);
  for (size_t i = 0; i < graph->values.count; i++) {
    const Value *value = &graph->values.items[i];
    if (value->kind == VALUE_RESULT) continue;
    int64_t count = shape_elements(value->shape);
    for (int64_t j = 0; j < count; j++) tensors[i][j] = number_for(value, j);
  }
  return tensors;
}

double relative_error(const double *a, const double *b, int64_t count) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < count; i++) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  if (difference == 0) return 0;
  return size > 0 ? sqrt(difference / size) : INFINITY;
}

static double compare(const Graph *before, double **old, ValueId a, const Graph *after, double **new, ValueId b) {
  assert_true(a != VALUE_NONE && b != VALUE_NONE);
  assert_true(shape_equal(graph_value(before, a)->shape, graph_value(after, b)->shape));
  return relative_error(new[b], old[a], shape_elements(graph_value(before, a)->shape));
}

double worst_difference(const Graph *before, const Graph *after, Arena *arena) {
  double **old = filled_tensors(before, arena), **new = filled_tensors(after, arena), worst = 0;
  graph_evaluate(before, arena, old);
  graph_evaluate(after, arena, new);
  for (size_t i = 0; i < before->outputs.count; i++) {
    GraphOutput output = before->outputs.items[i];
    worst = fmax(worst, compare(before, old, output.value, after, new, graph_find_output(after, output.name)));
  }
  for (size_t i = 0; i < before->values.count; i++) {
    const Value *value = &before->values.items[i];
    if (value->bound == VALUE_NONE) continue;
    ValueId other = graph_find_value(after, value->name);
    assert_true(other != VALUE_NONE);
    worst = fmax(worst, compare(before, old, value->bound, after, new, graph_value(after, other)->bound));
  }
  return worst;
}

int count_ops(const Graph *graph, OpKind kind) {
  int count = 0;
  for (size_t i = 0; i < graph->ops.count; i++) count += graph->ops.items[i].kind == kind;
  return count;
}

ModelOptions small_swav_model(void) {
  ModelOptions options = {.name = "small",
                          .bn_epsilon = 1e-5,
                          .bn_momentum = 0.1,
                          .mean = {0.485, 0.456, 0.406},
                          .std = {0.229, 0.224, 0.225},
                          .batch = 3, .norm_ranks = 1,
                          .size_group_count = 2,
                          .size_groups = {{2, 18}, {1, 9}},
                          .task = TASK_SWAV,
                          .head_layer_count = 2,
                          .head_widths = {10, 6},
                          .head_batch_norm = true,
                          .prototypes = 5,
                          .queue = 6,
                          .temperature = 0.1,
                          .sinkhorn_epsilon = 0.05,
                          .sinkhorn_iterations = 3,
                          .assign_crops = 2};
  options.shape = (RegNetShape){.stage_count = 2, .stem_width = 8, .stem_stride = 2, .bottleneck = 1, .se_ratio = 0.25,
                                .stages = {{.depth = 2, .stride = 1, .width = 8, .group_width = 4},
                                           {.depth = 1, .stride = 2, .width = 16, .group_width = 8}}};
  return options;
}

ModelOptions small_supervised_model(void) {
  ModelOptions options = small_swav_model();
  options.task = TASK_SUPERVISED;
  options.classes = 4;
  options.label_smoothing = 0.1;
  options.size_group_count = 1;
  options.size_groups[0] = (ModelSizeGroup){2, 10};
  options.shape.se_ratio = 0;
  options.shape.stem_stride = 1;
  return options;
}

PassOptions small_optimizer(OptimizerKind kind, int accumulate) {
  return (PassOptions){.optimizer = {.kind = kind,
                                     .momentum = 0.9,
                                     .weight_decay = 1e-2,
                                     .trust = 0.02,
                                     .epsilon = 1e-8,
                                     .decay_norm_and_bias = true,
                                     .accumulate = accumulate}};
}
