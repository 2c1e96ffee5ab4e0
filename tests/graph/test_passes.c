// Every pass, judged by the interpreter: the graph before and after on the same numbers. Gradients of whole models
// against finite differences; the optimizer against its formulas; accumulation against the mean.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/pipeline.h"
#include "tests/graph/graph_tools.h"

typedef struct Models { Arena *arena; Graph *graphs[2]; } Models;

static Models build_models(bool hard) {
  Models models = {.arena = arena_make("pass test")};
  ModelOptions *swav = arena_new(models.arena, ModelOptions), *supervised = arena_new(models.arena, ModelOptions);
  *swav = small_swav_model();
  *supervised = small_supervised_model();
  swav->hard_codes = hard;
  models.graphs[0] = model_build(models.arena, swav, MODEL_TRAIN);
  models.graphs[1] = model_build(models.arena, supervised, MODEL_TRAIN);
  return models;
}

static void expect_sound(const Graph *graph, Arena *arena) {
  const char *error = graph_verify(graph, arena);
  if (error) fail_msg("%s", error);
}

static double loss_of(const Graph *graph, double **tensors) {
  Arena *arena = arena_make("loss");
  double **copy = arena_array(arena, double *, graph->values.count);
  memcpy(copy, tensors, sizeof(double *) * graph->values.count);
  graph_evaluate_phases(graph, arena, copy, PHASE_FORWARD, PHASE_FORWARD);
  double loss = copy[graph_find_output(graph, "loss")][0];
  arena_release(arena);
  return loss;
}

static void expect_gradient(const Graph *graph, Arena *arena, double **tensors, ValueId parameter, int64_t index) {
  const Value *value = graph_value(graph, parameter);
  ValueId gradient = graph_find_value(graph, arena_printf(arena, "%s.gradient", value->name));
  if (gradient == VALUE_NONE) fail_msg("'%s' has no gradient", value->name);
  double *number = &tensors[parameter][index], kept = *number, step = 1e-6;
  *number = kept + step;
  double above = loss_of(graph, tensors);
  *number = kept - step;
  double below = loss_of(graph, tensors);
  *number = kept;
  double expected = (above - below) / (2 * step), got = tensors[gradient][index];
  if (!(fabs(got - expected) <= 1e-5 * (0.1 + fabs(expected))))
    fail_msg("gradient of '%s' at %lld is %.10g, by differences %.10g", value->name, (long long)index, got, expected);
}

// One-hot codes do not move under small steps, so the differences see what is differentiated.
static void test_gradients(void **state) {
  (void)state;
  Models models = build_models(true);
  for (int i = 0; i < 2; i++) {
    Graph *graph = differentiate_run(models.arena, models.graphs[i], NULL);
    expect_sound(graph, models.arena);
    assert_true(worst_difference(models.graphs[i], graph, models.arena) == 0);
    double **tensors = filled_tensors(graph, models.arena);
    graph_evaluate(graph, models.arena, tensors);
    int checked = 0;
    for (ValueId p = 0; p < graph->values.count; p++) {
      const Value *value = graph_value(graph, p);
      if (value->kind != VALUE_PARAMETER) continue;
      int64_t count = shape_elements(value->shape);
      expect_gradient(graph, models.arena, tensors, p, 0);
      expect_gradient(graph, models.arena, tensors, p, count / 2);
      checked++;
    }
    assert_true(checked > 20);
  }
  arena_release(models.arena);
}

static const double *bound_tensor(const Graph *graph, double **tensors, const char *name) {
  ValueId id = graph_find_value(graph, name);
  assert_true(id != VALUE_NONE && graph_value(graph, id)->bound != VALUE_NONE);
  return tensors[graph_value(graph, id)->bound];
}

// Statistics are updated once per size group, in order, with the unbiased variance.
static void test_running_statistics(void **state) {
  (void)state;
  Models models = build_models(false);
  Graph *graph = models.graphs[0];
  double **tensors = filled_tensors(graph, models.arena);
  graph_evaluate(graph, models.arena, tensors);
  ValueId running = graph_find_value(graph, "stem.1.running_var");
  double expected = tensors[running][3];
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    if (op->kind != OP_batch_norm || strcmp(op->name, "stem") != 0) continue;
    double rows = (double)shape_elements(graph_value(graph, op->results[0])->shape) / 8;
    expected = 0.9 * expected + 0.1 * tensors[op->results[2]][3] * rows / (rows - 1);
  }
  assert_true(fabs(bound_tensor(graph, tensors, "stem.1.running_var")[3] - expected) < 1e-12);
  assert_int_equal(graph_op(graph, graph_value(graph, graph_value(graph, running)->bound)->producer)->phase,
                   PHASE_BACKWARD);
  arena_release(models.arena);
}

static void test_queue(void **state) {
  (void)state;
  Models models = build_models(false);
  Graph *graph = models.graphs[0];
  double **tensors = filled_tensors(graph, models.arena);
  graph_evaluate(graph, models.arena, tensors);
  ValueId queue = graph_find_value(graph, "queue.1");
  const double *pushed = bound_tensor(graph, tensors, "queue.1");
  // Rows of crop 1 are the embeddings 3..5, then the first half of the old queue.
  const double *embeddings = NULL;
  for (OpId i = 0; i < graph->ops.count; i++) {
    if (graph_op(graph, i)->kind == OP_l2_normalize) embeddings = tensors[graph_op(graph, i)->results[0]];
  }
  assert_non_null(embeddings);
  for (int i = 0; i < 18; i++) assert_true(pushed[i] == embeddings[18 + i] && pushed[18 + i] == tensors[queue][i]);
  arena_release(models.arena);
}

// Parameter and velocity by the published formulas, from the gradient.
static void expect_update(const Graph *graph, double **tensors, const char *name, const OptimizerOptions *o,
                          bool plain) {
  Arena *arena = graph->arena;
  ValueId id = graph_find_value(graph, name),
          velocity = graph_find_value(graph, arena_printf(arena, "%s.velocity", name));
  const double *gradient = tensors[graph_find_value(graph, arena_printf(arena, "%s.gradient", name))];
  int64_t count = shape_elements(graph_value(graph, id)->shape);
  double p2 = 0, g2 = 0, ratio = 1, decay = plain ? 0 : o->weight_decay;
  for (int64_t i = 0; i < count; i++) {
    p2 += tensors[id][i] * tensors[id][i];
    g2 += gradient[i] * gradient[i];
  }
  if (!plain && o->kind == OPTIMIZER_LARC) ratio = o->trust * sqrt(p2) / (sqrt(g2) + decay * sqrt(p2) + o->epsilon);
  for (int64_t i = 0; i < count; i++) {
    double g = ratio * (gradient[i] + decay * tensors[id][i]), v = o->momentum * tensors[velocity][i] + g;
    double p = tensors[id][i] - 0.3 * (o->nesterov ? g + o->momentum * v : v);
    assert_true(fabs(tensors[graph_value(graph, velocity)->bound][i] - v) < 1e-12);
    if (!graph_value(graph, id)->normalize_rows_at_start)
      assert_true(fabs(tensors[graph_value(graph, id)->bound][i] - p) < 1e-12);
  }
}

static void test_optimizer(void **state) {
  (void)state;
  Models models = build_models(false);
  for (int i = 0; i < 4; i++) {
    PassOptions options = small_optimizer(i & 1 ? OPTIMIZER_SGD : OPTIMIZER_LARC, 1);
    options.optimizer.nesterov = i == 1;
    options.optimizer.decay_norm_and_bias = i < 2;
    Graph *before = differentiate_run(models.arena, models.graphs[i / 2], &options);
    Graph *graph = optimize_run(models.arena, before, &options);
    expect_sound(graph, models.arena);
    assert_true(worst_difference(before, graph, models.arena) == 0);
    double **tensors = filled_tensors(graph, models.arena);
    graph_evaluate(graph, models.arena, tensors);
    for (ValueId p = 0; p < graph->values.count; p++) {
      const Value *value = graph_value(graph, p);
      if (value->kind == VALUE_PARAMETER)
        expect_update(graph, tensors, value->name, &options.optimizer, i >= 2 && value->shape.rank == 1);
    }
  }
  arena_release(models.arena);
}

// Prototypes have unit rows after the update, and stay where they are while they are frozen.
static void test_prototypes(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 1);
  Graph *graph = optimize_run(models.arena, differentiate_run(models.arena, models.graphs[0], &options), &options);
  double **tensors = filled_tensors(graph, models.arena);
  ValueId id = graph_find_value(graph, "prototypes.weight");
  ValueId velocity = graph_find_value(graph, "prototypes.weight.velocity");
  assert_true(graph_value(graph, id)->normalize_rows_at_start);
  for (int active = 1; active >= 0; active--) {
    *tensors[graph_find_value(graph, "prototypes_active")] = active;
    graph_evaluate(graph, models.arena, tensors);
    double moved = 0;
    for (int k = 0; k < 5; k++) {
      double norm = 0, old = 0;
      for (int i = 0; i < 6; i++) {
        double new = tensors[graph_value(graph, id)->bound][6 * k + i];
        norm += new * new;
        old += tensors[id][6 * k + i] * tensors[id][6 * k + i];
      }
      assert_true(fabs(norm - 1) < 1e-12);
      for (int i = 0; i < 6; i++)
        moved += fabs(tensors[graph_value(graph, id)->bound][6 * k + i] - tensors[id][6 * k + i] / sqrt(old));
    }
    assert_true(active ? moved > 1e-6 : moved < 1e-12);
    bool same = memcmp(tensors[graph_value(graph, velocity)->bound], tensors[velocity], 30 * sizeof(double)) == 0;
    assert_true(same == !active);
  }
  arena_release(models.arena);
}

// Two micro-steps accumulate the mean of their gradients; the update moves by it.
static void test_accumulation(void **state) {
  (void)state;
  Models models = build_models(false);
  Arena *arena = models.arena;
  PassOptions options = small_optimizer(OPTIMIZER_SGD, 2);
  Graph *graph = optimize_run(arena, differentiate_run(arena, models.graphs[1], &options), &options);
  expect_sound(graph, arena);
  double **tensors = filled_tensors(graph, arena);
  ValueId gradient = graph_find_value(graph, "fc.weight.gradient"), images = graph_find_value(graph, "images0");
  ValueId accumulator = graph_find_value(graph, "fc.weight.accumulator"), weight = graph_find_value(graph, "fc.weight");
  int64_t count = shape_elements(graph_value(graph, weight)->shape);
  double *mean = arena_array(arena, double, count);
  for (int step = 0; step < 2; step++) {
    *tensors[graph_find_value(graph, "accumulate_restart")] = step == 0;
    for (int i = 0; i < 100; i++) tensors[images][i] = 50 * step + i;
    graph_evaluate_phases(graph, arena, tensors, PHASE_FORWARD, PHASE_BACKWARD);
    graph_take_bindings(graph, tensors, PHASE_BACKWARD);
    for (int64_t i = 0; i < count; i++) mean[i] += tensors[gradient][i] / 2;
  }
  assert_true(relative_error(tensors[accumulator], mean, count) < 1e-14);
  graph_evaluate_phases(graph, arena, tensors, PHASE_UPDATE, PHASE_UPDATE);
  double velocity = tensors[graph_find_value(graph, "fc.weight.velocity")][2];
  double expected = tensors[weight][2] - 0.3 * (0.9 * velocity + mean[2] + 1e-2 * tensors[weight][2]);
  graph_take_bindings(graph, tensors, PHASE_UPDATE);
  assert_true(fabs(tensors[weight][2] - expected) < 1e-13);
  arena_release(arena);
}

static void expect_fused(const Graph *graph) {
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    assert_true(op->kind != OP_conv2d || op->phase != PHASE_FORWARD);
    if (op->kind != OP_batch_norm && op->kind != OP_relu) continue;
    // What is left belongs to the head and to squeeze-and-excitation.
    if (!strstr(op->name, "projection_head") && !strstr(op->name, ".se.")) fail_msg("'%s' is not fused", op->name);
  }
}

static void test_fusion(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 1);
  for (int i = 0; i < 2; i++) {
    Graph *before = optimize_run(models.arena, differentiate_run(models.arena, models.graphs[i], &options), &options);
    Graph *after = fuse_normalization_run(models.arena, before, &options);
    expect_sound(after, models.arena);
    expect_fused(after);
    double worst = worst_difference(before, after, models.arena);
    if (!(worst < 1e-12)) fail_msg("fusion changed results by %g", worst);
    // Three ReLUs with a BatchNorm in front in each of three blocks, and the stem's; one backward for each.
    int groups = i == 0 ? 2 : 1;
    assert_int_equal(count_ops(after, OP_batch_norm_relu_backward), groups * 10);
    assert_int_equal(count_ops(after, OP_conv2d_statistics), groups * 11);
    assert_int_equal(count_ops(after, OP_batch_norm_backward), groups + (i == 0));
    assert_int_equal(count_ops(after, OP_batch_norm), i == 0);
  }
  arena_release(models.arena);
}

static void test_normalize_on_read(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 1);
  options.target = (GraphTarget){.normalize_on_read = NORMALIZE_ALWAYS, .gradients_on_read = true};
  for (int i = 0; i < 2; i++) {
    Graph *before = optimize_run(models.arena, differentiate_run(models.arena, models.graphs[i], &options), &options);
    before = fuse_normalization_run(models.arena, before, &options);
    Graph *after = normalize_on_read_run(models.arena, before, &options);
    expect_sound(after, models.arena);
    double worst = worst_difference(before, after, models.arena);
    if (!(worst < 1e-12)) fail_msg("normalising on read changed results by %g", worst);
    // Written is what is read by an addition: the end of a block, its projection, and here the stem, which has none.
    int groups = i == 0 ? 2 : 1;
    assert_int_equal(count_ops(after, OP_normalization_factors), groups * 6);
    assert_int_equal(count_ops(after, OP_batch_norm_relu_backward), 0);
    assert_int_equal(count_ops(after, OP_batch_norm_relu_sums), groups * 10);
    assert_int_equal(count_ops(after, OP_batch_norm_sums), groups);
    assert_int_equal(count_ops(after, OP_scale_channels) + count_ops(after, OP_scale_channels_backward), 0);
    assert_int_equal(count_ops(after, OP_scale_gradient), count_ops(before, OP_scale_channels));
    assert_int_equal(count_ops(after, OP_pool_average_backward), groups);  // the trunk's own
    // Where the later of two gradients is that of a convolution's input, and no sum's other addend.
    int sums = count_ops(after, OP_add);
    options.target.additions = true;
    Graph *added = fuse_additions_run(models.arena, after, &options);
    expect_sound(added, models.arena);
    worst = worst_difference(after, added, models.arena);
    if (!(worst < 1e-12)) fail_msg("adding in convolutions changed results by %g", worst);
    int by_convolutions = 0;
    for (OpId op = 0; op < added->ops.count; op++) by_convolutions += graph_op(added, op)->attributes.adds;
    assert_true(by_convolutions > 0);
    assert_int_equal(count_ops(added, OP_add), sums - by_convolutions);
  }
  arena_release(models.arena);
}

// As a GPU wants it: BatchNorm's gradient is written, its mask is made, and what is scaled is seen or written by bytes.
static void test_normalize_on_read_for_gpus(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 1);
  static const NormalizeOnRead wanted[] = {NORMALIZE_ALWAYS, NORMALIZE_WHERE_IT_PAYS};
  for (int i = 0; i < 4; i++) {
    options.target = (GraphTarget){.normalize_on_read = wanted[i / 2],
                                   .view_percent = 100,
                                   .tile_channels = 128,
                                   .scales_on_read = true,
                                   .images = DATA_BF16};
    Graph *before = models.graphs[i % 2];
    before = optimize_run(models.arena, differentiate_run(models.arena, before, &options), &options);
    before = fuse_normalization_run(models.arena, before, &options);
    Graph *after = dead_code_run(models.arena, normalize_on_read_run(models.arena, before, &options), &options);
    expect_sound(after, models.arena);
    double worst = worst_difference(before, after, models.arena);
    if (!(worst < 1e-12)) fail_msg("normalising on read changed results by %g", worst);
    int groups = i % 2 == 0 ? 2 : 1, written = count_ops(before, OP_batch_normalize) - groups * 6;
    // Masks are made where BatchNorm's result is all that ReLU had, the stem's, too.
    assert_int_equal(count_ops(after, OP_normalization_factors), groups * 7);
    if (i < 2) assert_int_equal(count_ops(after, OP_batch_normalize), written);
    if (i >= 2) assert_true(count_ops(after, OP_batch_normalize) > written);
    if (i >= 2) assert_true(count_ops(after, OP_batch_normalize) < written + groups * 6);
    assert_int_equal(count_ops(after, OP_batch_norm_relu_backward), groups * 10);
    assert_int_equal(count_ops(after, OP_batch_norm_backward), count_ops(before, OP_batch_norm_backward));
    assert_int_equal(count_ops(after, OP_batch_norm_relu_sums) + count_ops(after, OP_batch_norm_sums), 0);
    assert_int_equal(count_ops(after, OP_scale_channels_backward), 0);
    assert_int_equal(count_ops(after, OP_scale_gradient), count_ops(before, OP_scale_channels));
    assert_int_equal(count_ops(after, OP_scale_channels), 0);
    assert_int_equal(count_ops(after, OP_pool_average_backward), groups);
  }
  arena_release(models.arena);
}

// What is scaled is written where too many tiles would make it; BatchNorm's own output, which nobody multiplies, not.
static void test_normalize_where_it_pays(void **state) {
  (void)state;
  Arena *arena = arena_make("pass test");
  ModelOptions model = small_swav_model();
  for (int i = 0; i < model.shape.stage_count; i++) model.shape.stages[i].width = 1024;
  for (int i = 0; i < model.shape.stage_count; i++) model.shape.stages[i].group_width = 1024;
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 1);
  options.target = (GraphTarget){.normalize_on_read = NORMALIZE_WHERE_IT_PAYS,
                                 .view_percent = 100,
                                 .tile_channels = 128,
                                 .scales_on_read = true,
                                 .images = DATA_BF16};
  Graph *graph = optimize_run(arena, differentiate_run(arena, model_build(arena, &model, MODEL_TRAIN), &options),
                              &options);
  Graph *before = fuse_normalization_run(arena, graph, &options);
  int scales = count_ops(before, OP_scale_channels);
  assert_true(scales > 0);
  graph = normalize_on_read_run(arena, before, &options);
  expect_sound(graph, arena);
  assert_int_equal(count_ops(graph, OP_scale_channels), scales);
  int scaled = 0, masked = 0;
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    if (op->kind == OP_scale_channels) assert_int_equal(op->operand_count, 3);
    if (op->kind == OP_conv2d_statistics) assert_int_equal(op->operand_count, 2);
    bool rectified = op->kind == OP_batch_norm_relu_backward && graph_value(graph, op->operands[1])->shape.rank == 2;
    scaled += rectified && op->operand_count == 8;
    masked += rectified && op->operand_count == 6;
  }
  assert_int_equal(scaled, scales);
  assert_int_equal(masked, scales + model.size_group_count);  // those of the stem
  // Wide tiles make it less often; what costs nothing always pays.
  for (int wide = 0; wide < 2; wide++) {
    options.target.view_percent = wide ? 100 : 0;
    options.target.tile_channels = wide ? 1024 : 128;
    graph = dead_code_run(arena, normalize_on_read_run(arena, before, &options), &options);
    assert_int_equal(count_ops(graph, OP_scale_channels), 0);
  }
  arena_release(arena);
}

// A BatchNorm result that somebody else reads must not be fused away.
static void test_fusion_keeps_shared_values(void **state) {
  (void)state;
  Arena *arena = arena_make("pass test");
  Graph *graph = graph_make(arena, "shared");
  ValueId x = graph_add_input(graph, "x", DATA_F32, shape_make(4, 2, 4, 4, 3));
  ValueId w = graph_add_parameter(graph, "w", shape_make(4, 3, 3, 1, 1), INIT_NORMAL, 0.5, (SourceSpan){0});
  ValueId gamma = graph_add_parameter(graph, "gamma", shape_make(1, 3, 0, 0, 0), INIT_ONE, 0, (SourceSpan){0});
  ValueId beta = graph_add_parameter(graph, "beta", shape_make(1, 3, 0, 0, 0), INIT_ZERO, 0, (SourceSpan){0});
  Op base = {.name = "op", .block = -1, .size_group = -1, .attributes = {.stride = 1, .groups = 1, .epsilon = 1e-5}};
  Op conv = base, norm = base, relu = base, pool = base;
  conv.kind = OP_conv2d, conv.operand_count = 2, conv.operands[0] = x, conv.operands[1] = w;
  norm.kind = OP_batch_norm, norm.operand_count = 3;
  norm.operands[0] = graph_add_op1(graph, conv), norm.operands[1] = gamma, norm.operands[2] = beta;
  ValueId y = graph_add_op1(graph, norm);
  relu.kind = OP_relu, relu.operand_count = 1, relu.operands[0] = y;
  pool.kind = OP_pool_average, pool.operand_count = 1, pool.operands[0] = y;
  graph_add_output(graph, "relu", graph_add_op1(graph, relu));
  graph_add_output(graph, "pool", graph_add_op1(graph, pool));
  Graph *after = fuse_normalization_run(arena, graph, NULL);
  expect_sound(after, arena);
  assert_int_equal(count_ops(after, OP_relu), 1);
  assert_true(worst_difference(graph, after, arena) < 1e-12);
  arena_release(arena);
}

static void test_dead_code(void **state) {
  (void)state;
  Models models = build_models(false);
  Graph *graph = models.graphs[0];
  ValueId scores = graph_op(graph, graph_value(graph, graph_find_output(graph, "loss"))->producer)->operands[0];
  Op op = {.kind = OP_scale, .phase = PHASE_UPDATE, .operand_count = 1, .attributes.scale = 2, .name = "unused",
           .block = -1, .size_group = -1};
  op.operands[0] = scores;
  op.operands[0] = graph_add_op1(graph, op);
  graph_add_op1(graph, op);
  Graph *after = dead_code_run(models.arena, graph, NULL);
  expect_sound(after, models.arena);
  assert_int_equal(after->ops.count, graph->ops.count - 2);
  assert_true(worst_difference(graph, after, models.arena) == 0);
  arena_release(models.arena);
}

static void watch_pass(void *data, const char *pass, const Graph *graph) {
  assert_true(graph->ops.count > 0);
  writer_printf(data, "%s ", pass);
}

static void test_pipeline(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 2);
  Writer seen = {0};
  Graph *graph = pipeline_run(models.arena, models.graphs[0], MODEL_TRAIN, &options, (PassWatch){watch_pass, &seen});
  const char *passes =
      "model differentiate optimize fuse_normalization normalize_on_read fuse_additions dead_code store_images ";
  assert_string_equal(seen.text, passes);
  writer_release(&seen);
  expect_sound(graph, models.arena);
  assert_true(worst_difference(models.graphs[0], graph, models.arena) < 1e-12);
  arena_release(models.arena);
}

static void test_features(void **state) {
  (void)state;
  Arena *arena = arena_make("pass test");
  ModelOptions options = small_swav_model();
  options.size_group_count = 1;
  options.size_groups[0] = (ModelSizeGroup){1, 20};
  Graph *model = model_build(arena, &options, MODEL_FEATURES);
  Writer seen = {0};
  Graph *graph = pipeline_run(arena, model, MODEL_FEATURES, &(PassOptions){0}, (PassWatch){watch_pass, &seen});
  assert_string_equal(seen.text, "model fuse_normalization dead_code store_images ");
  writer_release(&seen);
  expect_sound(graph, arena);
  assert_true(worst_difference(model, graph, arena) < 1e-12);
  assert_int_equal(count_ops(graph, OP_add), 0);
  assert_int_equal(count_ops(graph, OP_concat_rows), options.shape.stage_count + 1);
  assert_true(shape_equal(graph_value(graph, graph_find_output(graph, "features"))->shape, shape_make(2, 3, 16, 0, 0)));
  arena_release(arena);
}

static bool has_shape_of_parameter(const Graph *graph, Shape shape) {
  for (ValueId i = 0; i < graph->values.count; i++) {
    if (graph_value(graph, i)->kind == VALUE_PARAMETER && shape_equal(graph_value(graph, i)->shape, shape)) return true;
  }
  return false;
}

// In bf16 are all images, their gradients, and nothing else.
static void test_store_images(void **state) {
  (void)state;
  Models models = build_models(false);
  PassOptions options = small_optimizer(OPTIMIZER_LARC, 2);
  options.target = (GraphTarget){.normalize_on_read = NORMALIZE_ALWAYS, .gradients_on_read = true, .images = DATA_BF16};
  Graph *graph = pipeline_run(models.arena, models.graphs[0], MODEL_TRAIN, &options, (PassWatch){0});
  expect_sound(graph, models.arena);
  int images = 0, weights = 0;
  for (ValueId i = 0; i < graph->values.count; i++) {
    const Value *value = graph_value(graph, i);
    if (value->type == DATA_U8 || value->type == DATA_I32) continue;
    bool is_weight = has_shape_of_parameter(graph, value->shape), is_image = value->shape.rank == 4 && !is_weight;
    images += is_image, weights += value->shape.rank == 4 && is_weight;
    assert_int_equal(value->type, is_image ? DATA_BF16 : DATA_F32);
  }
  assert_true(images > 20 && weights > 20);
  arena_release(models.arena);
}

// Matrices leave the size groups through concat_rows alone, and enter them again through slice_rows.
static void test_size_groups(void **state) {
  (void)state;
  Models models = build_models(false);
  Graph *graph = differentiate_run(models.arena, models.graphs[0], NULL);
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    for (int j = 0; j < op->operand_count; j++) {
      const Value *value = graph_value(graph, op->operands[j]);
      if (value->kind != VALUE_RESULT || value->shape.rank < 2) continue;
      const Op *maker = graph_op(graph, value->producer);
      bool weight =
          maker->kind == OP_linear_backward_weight || maker->kind == OP_conv2d_backward_weight || maker->kind == OP_add;
      if (maker->size_group == op->size_group || (weight && op->kind == OP_add)) continue;
      assert_true(op->kind == OP_concat_rows ? op->size_group == -1
                                             : op->kind == OP_slice_rows && maker->size_group == -1);
    }
  }
  arena_release(models.arena);
}

// Starts as published: standard deviation by fan-out, uniform biases, and what timm and hf do otherwise.
static void test_initialisation(void **state) {
  (void)state;
  Arena *arena = arena_make("pass test");
  ModelOptions options = small_supervised_model();
  options.shape.se_ratio = 0.25;
  const char *grouped = "trunk_output.block2.block2-0.f.b.0.weight",
             *bias = "trunk_output.block2.block2-0.f.se.fc2.bias";
  const char *gamma = "trunk_output.block2.block2-0.f.c.1.weight";
  Graph *graph = model_build(arena, &options, MODEL_TRAIN);
  const Value *value = graph_value(graph, graph_find_value(graph, grouped));
  assert_true(value->init == INIT_NORMAL && fabs(value->init_a - sqrt(2.0 / (9 * 16))) < 1e-15);
  value = graph_value(graph, graph_find_value(graph, bias));
  assert_true(value->init == INIT_UNIFORM && fabs(value->init_a - 1 / sqrt(2.0)) < 1e-15);
  assert_int_equal(graph_value(graph, graph_find_value(graph, gamma))->init, INIT_ONE);
  assert_int_equal(graph_value(graph, graph_find_value(graph, "fc.weight"))->init, INIT_NORMAL);
  options.init = (ModelInit){.fan_out_by_group = true, .zero_conv_bias = true, .uniform_classifier = true,
                             .zero_init_final_gamma = true};
  graph = model_build(arena, &options, MODEL_TRAIN);
  value = graph_value(graph, graph_find_value(graph, grouped));
  assert_true(fabs(value->init_a - sqrt(2.0 / (9 * 8))) < 1e-15);
  assert_int_equal(graph_value(graph, graph_find_value(graph, bias))->init, INIT_ZERO);
  assert_int_equal(graph_value(graph, graph_find_value(graph, gamma))->init, INIT_ZERO);
  assert_int_equal(graph_value(graph, graph_find_value(graph, "stem.1.weight"))->init, INIT_ONE);
  assert_int_equal(graph_value(graph, graph_find_value(graph, "fc.weight"))->init, INIT_UNIFORM);
  arena_release(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),  cmocka_unit_test(test_running_statistics), cmocka_unit_test(test_queue),
      cmocka_unit_test(test_optimizer),  cmocka_unit_test(test_prototypes),         cmocka_unit_test(test_accumulation),
      cmocka_unit_test(test_store_images),
      cmocka_unit_test(test_fusion), cmocka_unit_test(test_normalize_on_read),
      cmocka_unit_test(test_normalize_on_read_for_gpus), cmocka_unit_test(test_normalize_where_it_pays),
      cmocka_unit_test(test_fusion_keeps_shared_values),
      cmocka_unit_test(test_dead_code),  cmocka_unit_test(test_pipeline),           cmocka_unit_test(test_features),
      cmocka_unit_test(test_size_groups), cmocka_unit_test(test_initialisation),
  };
  return cmocka_run_group_tests_name("passes", tests, NULL, NULL);
}
