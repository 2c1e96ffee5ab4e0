// Every op of ops.def: result shapes, rejection of operands that do not fit, gradients against central finite
// differences in double precision, and values against a second formula. An op without a case fails.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/graph/op.h"
#include "tests/graph/graph_tools.h"
#include "tests/ops/op_checks.h"

#define S1(a) {1, {a}}
#define S2(a, b) {2, {a, b}}
#define S4(a, b, c, d) {4, {a, b, c, d}}
#define IMAGE S4(2, 5, 4, 6)
#define NORM .epsilon = 1e-3
#define SWAP .temperature = 0.3, .crops = 3, .assign_crops = 2
#define LARC .momentum = 0.9, .weight_decay = 0.05, .trust = 0.02, .epsilon = 1e-8

// `gradients`: bit i says that operand i is differentiated.
static const OpCase cases[] = {
    {OP_normalize_images, {.mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.3, 0.1}}, 1, {S4(2, 3, 2, 3)}, {S4(2, 3, 2, 3)},
     0, check_normalize_images},
    {OP_conv2d, {.stride = 1, .padding = 1, .groups = 2}, 2, {IMAGE, S4(4, 3, 3, 3)}, {S4(2, 5, 4, 4)},
     3, check_conv2d},
    {OP_conv2d, {.stride = 2, .padding = 1, .groups = 3}, 2, {IMAGE, S4(9, 2, 3, 3)}, {S4(2, 3, 2, 9)},
     3, check_conv2d},
    {OP_conv2d, {.stride = 2, .padding = 0, .groups = 1}, 2, {IMAGE, S4(3, 6, 1, 1)}, {S4(2, 3, 2, 3)},
     3, check_conv2d},
    {OP_conv2d_backward_input, {.stride = 2, .padding = 1, .groups = 2}, 3, {S4(2, 3, 2, 4), S4(4, 3, 3, 3), IMAGE},
     {IMAGE}, 0, NULL},
    {OP_conv2d_backward_input, {.stride = 1, .padding = 1, .groups = 2}, 2, {S4(2, 5, 4, 4), S4(4, 3, 3, 3)},
     {IMAGE}, 0, NULL},
    {OP_conv2d_backward_weight, {.stride = 2, .padding = 1, .groups = 2},
     3, {IMAGE, S4(2, 3, 2, 4), S4(4, 3, 3, 3)}, {S4(4, 3, 3, 3)}, 0, NULL},
    {OP_linear, {0}, 3, {S2(4, 3), S2(5, 3), S1(5)}, {S2(4, 5)}, 7, check_linear},
    {OP_linear, {0}, 2, {S2(4, 3), S4(5, 3, 1, 1)}, {S2(4, 5)}, 3, check_linear},
    {OP_linear_backward_input, {0}, 2, {S2(4, 5), S2(5, 3)}, {S2(4, 3)}, 0, NULL},
    {OP_linear_backward_weight, {0}, 3, {S2(4, 3), S2(4, 5), S4(5, 3, 1, 1)}, {S4(5, 3, 1, 1)}, 0, NULL},
    {OP_linear_backward_weight, {0}, 2, {S2(4, 3), S2(4, 5)}, {S2(5, 3)}, 0, NULL},
    {OP_sum_rows, {0}, 1, {S2(4, 3)}, {S1(3)}, 0, NULL},
    {OP_batch_norm, {NORM}, 3, {IMAGE, S1(6), S1(6)}, {IMAGE, S1(6), S1(6)}, 7, check_batch_norm},
    {OP_batch_norm, {NORM}, 3, {S2(7, 3), S1(3), S1(3)}, {S2(7, 3), S1(3), S1(3)}, 7, check_batch_norm},
    {OP_batch_norm_backward, {NORM}, 5, {IMAGE, IMAGE, S1(6), S1(6), S1(6)}, {IMAGE, S1(6), S1(6)}, 0, NULL},
    {OP_batch_normalize, {NORM}, 5, {IMAGE, S1(6), S1(6), S1(6), S1(6)}, {IMAGE}, 0, check_batch_normalize},
    {OP_batch_normalize, {NORM, .relu = true}, 6, {IMAGE, S1(6), S1(6), S1(6), S1(6), IMAGE}, {IMAGE},
     0, check_batch_normalize},
    {OP_running_update, {.momentum = 0.1, .scale = 1.25}, 2, {S1(6), S1(6)}, {S1(6)}, 0, check_running_update},
    {OP_l2_normalize, {.epsilon = 1e-12}, 1, {S2(3, 4)}, {S2(3, 4), S1(3)}, 1, check_l2_normalize},
    {OP_l2_normalize, {.epsilon = 50}, 1, {S2(3, 4)}, {S2(3, 4), S1(3)}, 1, check_l2_normalize},
    {OP_l2_normalize_backward, {.epsilon = 1e-12}, 3, {S2(3, 4), S2(3, 4), S1(3)}, {S2(3, 4)}, 0, NULL},
    {OP_relu, {0}, 1, {IMAGE}, {IMAGE}, 1, check_relu},
    {OP_relu_backward, {0}, 2, {IMAGE, IMAGE}, {IMAGE}, 0, NULL},
    {OP_sigmoid, {0}, 1, {S2(3, 4)}, {S2(3, 4)}, 1, check_sigmoid},
    {OP_sigmoid_backward, {0}, 2, {S2(3, 4), S2(3, 4)}, {S2(3, 4)}, 0, NULL},
    {OP_add, {0}, 2, {IMAGE, IMAGE}, {IMAGE}, 3, check_add},
    {OP_scale, {.scale = -2.5}, 1, {S1(7)}, {S1(7)}, 1, check_scale},
    {OP_scale_channels, {0}, 2, {IMAGE, S2(2, 6)}, {IMAGE}, 3, check_scale_channels},
    {OP_scale_channels_backward, {0}, 3, {IMAGE, IMAGE, S2(2, 6)}, {IMAGE, S2(2, 6)}, 0, NULL},
    {OP_pool_average, {0}, 1, {IMAGE}, {S2(2, 6)}, 1, check_pool_average},
    {OP_pool_average_backward, {.begin = 5, .end = 4}, 1, {S2(2, 6)}, {IMAGE}, 0, NULL},
    {OP_concat_rows, {0}, 3, {S2(1, 3), S2(4, 3), S2(2, 3)}, {S2(7, 3)}, 7, check_concat_rows},
    {OP_concat_rows, {0}, 1, {S2(2, 3)}, {S2(2, 3)}, 1, check_concat_rows},
    {OP_slice_rows, {.begin = 1, .end = 3}, 1, {S2(4, 3)}, {S2(2, 3)}, 1, check_slice_rows},
    {OP_pad_rows, {.begin = 1, .end = 3}, 2, {S2(2, 3), S2(4, 3)}, {S2(4, 3)}, 0, NULL},
    {OP_sinkhorn, {.epsilon = 0.3, .iterations = 4}, 1, {S2(5, 3)}, {S2(5, 3)}, 0, check_sinkhorn},
    {OP_sinkhorn, {.epsilon = 0.3, .iterations = 4}, 3, {S2(5, 3), S2(4, 3), S1(1)}, {S2(5, 3)}, 0, check_sinkhorn},
    {OP_sinkhorn, {.epsilon = 0.3, .iterations = 4, .hard = true}, 1, {S2(5, 3)}, {S2(5, 3)}, 0, check_sinkhorn},
    {OP_swapped_prediction, {SWAP}, 2, {S2(12, 5), S2(8, 5)}, {S1(1)}, 1, check_swapped_prediction},
    {OP_swapped_prediction_backward, {SWAP}, 2, {S2(12, 5), S2(8, 5)}, {S2(12, 5)}, 0, NULL},
    {OP_softmax_cross_entropy, {.label_smoothing = 0.1}, 2, {S2(6, 4), S1(3)}, {S1(1)}, 1, check_cross_entropy},
    {OP_softmax_cross_entropy, {0}, 2, {S2(6, 4), S1(6)}, {S1(1)}, 1, check_cross_entropy},
    {OP_softmax_cross_entropy_backward, {0}, 2, {S2(6, 4), S1(3)}, {S2(6, 4)}, 0, NULL},
    {OP_count_assignments, {0}, 1, {S2(6, 4)}, {S1(4)}, 0, check_count_assignments},
    {OP_queue_push, {0}, 2, {S2(6, 3), S2(2, 3)}, {S2(6, 3)}, 0, check_queue_push},
    {OP_accumulate, {.scale = 0.25}, 3, {S2(2, 3), S2(2, 3), S1(1)}, {S2(2, 3)}, 0, check_accumulate},
    {OP_accumulate, {.scale = 0.25}, 2, {S2(2, 3), S2(2, 3)}, {S2(2, 3)}, 0, check_accumulate},
    {OP_sgd_update, {.momentum = 0.9, .weight_decay = 0.05}, 4, {S2(2, 3), S2(2, 3), S2(2, 3), S1(1)},
     {S2(2, 3), S2(2, 3)}, 0, check_update},
    {OP_sgd_update, {.momentum = 0.9, .nesterov = true}, 5, {S2(2, 3), S2(2, 3), S2(2, 3), S1(1), S1(1)},
     {S2(2, 3), S2(2, 3)}, 0, check_update},
    {OP_larc_update, {LARC}, 5, {S2(2, 3), S2(2, 3), S2(2, 3), S1(1), S1(1)}, {S2(2, 3), S2(2, 3)}, 0, check_update},
    {OP_larc_update, {LARC, .clip = true, .nesterov = true}, 4, {S2(2, 3), S2(2, 3), S2(2, 3), S1(1)},
     {S2(2, 3), S2(2, 3)}, 0, check_update},
    {OP_normalize_rows, {0}, 1, {S2(4, 3)}, {S2(4, 3)}, 0, check_normalize_rows},
    {OP_conv2d_statistics, {.stride = 2, .padding = 1, .groups = 3}, 2, {IMAGE, S4(9, 2, 3, 3)},
     {S4(2, 3, 2, 9), S1(9), S1(9)}, 0, check_conv2d_statistics},
    {OP_batch_norm_relu_backward, {NORM}, 6, {IMAGE, IMAGE, IMAGE, S1(6), S1(6), S1(6)},
     {IMAGE, S1(6), S1(6), IMAGE}, 0, check_batch_norm_relu_backward},
    {OP_conv2d_statistics, {.stride = 1, .padding = 1, .groups = 3}, 4,
     {IMAGE, S4(9, 2, 3, 3), S2(3, 6), S2(2, 6)}, {S4(2, 5, 4, 9), S1(9), S1(9)}, 0, NULL},
    {OP_conv2d_backward_input, {.stride = 2, .padding = 1, .groups = 2, .gradient = true, .adds = true}, 5,
     {S4(2, 3, 2, 4), S4(4, 3, 3, 3), S4(2, 3, 2, 4), S2(4, 4), IMAGE}, {IMAGE}, 0, NULL},
    {OP_conv2d_backward_weight, {.stride = 2, .padding = 1, .groups = 2, .gradient = true}, 7,
     {IMAGE, S4(2, 3, 2, 4), S4(4, 3, 3, 3), S2(3, 6), S2(2, 6), S4(2, 3, 2, 4), S2(4, 4)}, {S4(4, 3, 3, 3)}, 0, NULL},
    {OP_scale_channels, {0}, 3, {IMAGE, S2(2, 6), S2(3, 6)}, {IMAGE}, 0, NULL},
    {OP_batch_norm_relu_backward, {NORM}, 6, {IMAGE, S2(3, 6), IMAGE, S1(6), S1(6), S1(6)},
     {IMAGE, S1(6), S1(6), IMAGE}, 0, check_batch_norm_relu_backward},
    {OP_batch_norm_relu_backward, {NORM}, 8, {IMAGE, S2(3, 6), IMAGE, S1(6), S1(6), S1(6), S2(2, 6), S2(2, 6)},
     {IMAGE, S1(6), S1(6), IMAGE}, 0, check_batch_norm_relu_backward},
    {OP_pool_average, {0}, 2, {IMAGE, S2(3, 6)}, {S2(2, 6)}, 0, NULL},
    {OP_normalization_factors, {NORM}, 4, {S1(6), S1(6), S1(6), S1(6)}, {S2(3, 6)}, 0, check_normalization_factors},
    {OP_batch_norm_sums, {NORM}, 5, {IMAGE, IMAGE, S1(6), S1(6), S1(6)}, {S1(6), S1(6), S2(4, 6)},
     0, check_batch_norm_sums},
    {OP_batch_norm_relu_sums, {NORM}, 6, {IMAGE, IMAGE, S1(6), S1(6), S1(6), IMAGE},
     {S1(6), S1(6), S2(4, 6), IMAGE}, 0, check_batch_norm_relu_sums},
    {OP_batch_norm_relu_sums, {NORM}, 8, {IMAGE, IMAGE, S1(6), S1(6), S1(6), S2(3, 6), S2(2, 6), S2(2, 6)},
     {S1(6), S1(6), S2(4, 6), IMAGE}, 0, check_batch_norm_relu_sums},
    {OP_scale_gradient, {0}, 3, {IMAGE, IMAGE, S2(3, 6)}, {S2(2, 6)}, 0, check_scale_gradient},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };

static int
    backward_uses[OP_KIND_COUNT];  // how often a gradient rule made the op, for ops that have no check of their own

static Graph *case_graph(Arena *arena, const OpCase *c, OpId *id) {
  Graph *graph = graph_make(arena, "case");
  Op op = {.kind = c->kind, .operand_count = c->operand_count, .attributes = c->attributes, .name = "op", .block = -1,
           .size_group = -1};
  for (int i = 0; i < c->operand_count; i++) {
    const char *name = arena_printf(arena, "operand%d", i);
    DataType type = c->kind == OP_normalize_images ? DATA_U8
                    : i == 1 && (c->kind == OP_softmax_cross_entropy || c->kind == OP_softmax_cross_entropy_backward)
                        ? DATA_I32 : DATA_F32;
    op.operands[i] = graph_add_input(graph, name, type, c->operands[i]);
  }
  *id = graph_add_op(graph, op);
  return graph;
}

// Random operands: away from ReLU's kink, variances positive, labels in range, scalars set.
static void fill_operands(const Graph *graph, const Op *op, double **tensors) {
  for (int i = 0; i < op->operand_count; i++) {
    const Value *value = graph_value(graph, op->operands[i]);
    int64_t count = shape_elements(value->shape);
    bool variance = (op->kind == OP_batch_norm_backward && i == 4) || (op->kind == OP_batch_normalize && i == 4) ||
                    (op->kind == OP_batch_norm_relu_backward && i == 5) ||
                    (op->kind == OP_normalization_factors && i == 3) ||
                    ((op->kind == OP_batch_norm_sums || op->kind == OP_batch_norm_relu_sums) && i == 4);
    for (int64_t j = 0; j < count; j++) {
      double random = noise(1000 + (uint64_t)i, (uint64_t)j);
      double *number = &tensors[op->operands[i]][j];
      *number = value->type == DATA_U8 ? floor((random + 1) * 127.9) : value->type == DATA_I32 ? (double)(j % 3)
                : variance ? 1.5 + random : 2 * random + (random > 0 ? 0.05 : -0.05);
    }
    if (op->kind == OP_sinkhorn && i == 2) tensors[op->operands[i]][0] = 1;
    if ((op->kind == OP_sgd_update || op->kind == OP_larc_update) && i > 2)
      tensors[op->operands[i]][0] = i == 3 ? 0.3 : 1;
    if (op->kind == OP_accumulate && i == 2) tensors[op->operands[i]][0] = 1;
  }
}

static void test_shapes_and_values(void **state) {
  (void)state;
  for (int i = 0; i < CASE_COUNT; i++) {
    Arena *arena = arena_make("op test");
    OpId id;
    Graph *graph = case_graph(arena, &cases[i], &id);
    Op op = *graph_op(graph, id);
    const OpInfo *info = op_info(op.kind);
    for (int j = 0; j < info->results; j++)
      assert_true(shape_equal(graph_value(graph, op.results[j])->shape, cases[i].results[j]));
    assert_null(graph_verify(graph, arena));
    double **tensors = graph_make_tensors(graph, arena);
    fill_operands(graph, &op, tensors);
    graph_evaluate(graph, arena, tensors);
    if (cases[i].check) cases[i].check(&(OpCheck){&cases[i], graph, &op, tensors, arena});
    arena_release(arena);
  }
}

static void test_misfits(void **state) {
  (void)state;
  for (int i = 0; i < CASE_COUNT; i++) {
    const OpCase *c = &cases[i];
    if (c->operand_count < 2) continue;
    Arena *arena = arena_make("op test");
    Graph *graph = graph_make(arena, "misfit");
    OpId id;
    Op op = *graph_op(case_graph(arena, c, &id), 0);
    for (int j = 0; j < c->operand_count; j++) {
      Shape shape = j + 1 < c->operand_count ? c->operands[j] : shape_make(3, 7, 7, 7, 0);
      DataType type = j == 1 && (c->kind == OP_softmax_cross_entropy || c->kind == OP_softmax_cross_entropy_backward)
                          ? DATA_I32 : DATA_F32;
      op.operands[j] = graph_add_input(graph, arena_printf(arena, "%d", j), type, shape);
    }
    OpShapeCall call;
    if (!op_infer(graph, &op, &call))
      fail_msg("%s takes a misfit as operand %d", op_kind_name(c->kind), c->operand_count - 1);
    arena_release(arena);
  }
}

// The sum of results weighted by the upstream gradients.
static double weighted_sum(const Graph *graph, const Op *op, double **tensors, const ValueId *upstream) {
  Arena *arena = arena_make("difference");
  double **copy = arena_array(arena, double *, graph->values.count);
  memcpy(copy, tensors, sizeof(double *) * graph->values.count);
  graph_evaluate_phases(graph, arena, copy, PHASE_FORWARD, PHASE_FORWARD);
  double sum = 0;
  int64_t count = shape_elements(graph_value(graph, op->results[0])->shape);
  for (int64_t i = 0; i < count; i++)
    sum += copy[op->results[0]][i] * (upstream[0] == VALUE_NONE ? 1 : tensors[upstream[0]][i]);
  arena_release(arena);
  return sum;
}

static void check_gradient(const Graph *graph, const Op *op, double **tensors, const OpGradientCall *call,
                           int operand) {
  ValueId id = op->operands[operand];
  int64_t count = shape_elements(graph_value(graph, id)->shape);
  assert_true(call->operand_gradients[operand] != VALUE_NONE);
  assert_true(shape_equal(graph_value(graph, id)->shape, graph_value(graph, call->operand_gradients[operand])->shape));
  for (int64_t i = 0; i < count; i++) {
    double kept = tensors[id][i], step = 1e-4;
    tensors[id][i] = kept + step;
    double above = weighted_sum(graph, op, tensors, call->result_gradients);
    tensors[id][i] = kept - step;
    double below = weighted_sum(graph, op, tensors, call->result_gradients);
    tensors[id][i] = kept;
    double expected = (above - below) / (2 * step), got = tensors[call->operand_gradients[operand]][i];
    if (!(fabs(got - expected) <= 2e-6 * (1 + fabs(expected))))
      fail_msg("%s: gradient %lld of operand %d is %.12g, by differences %.12g", op_kind_name(op->kind), (long long)i,
               operand, got, expected);
  }
}

static void test_gradients(void **state) {
  (void)state;
  memset(backward_uses, 0, sizeof backward_uses);
  for (int i = 0; i < CASE_COUNT; i++) {
    if (!cases[i].gradients) continue;
    Arena *arena = arena_make("op test");
    OpId id;
    Graph *graph = case_graph(arena, &cases[i], &id);
    OpGradientCall call = {.graph = graph, .op = *graph_op(graph, id)};
    for (int j = 0; j < MAX_RESULTS; j++) call.result_gradients[j] = VALUE_NONE;
    for (int j = 0; j < MAX_OPERANDS; j++) {
      call.operand_gradients[j] = VALUE_NONE;
      call.wanted[j] = (cases[i].gradients >> j & 1) != 0;
    }
    bool loss = cases[i].kind == OP_swapped_prediction || cases[i].kind == OP_softmax_cross_entropy;
    if (!loss) call.result_gradients[0] = graph_add_input(graph, "upstream", DATA_F32, cases[i].results[0]);
    assert_non_null(op_info(cases[i].kind)->gradient);
    op_info(cases[i].kind)->gradient(&call);
    assert_null(graph_verify(graph, arena));
    double **tensors = graph_make_tensors(graph, arena);
    fill_operands(graph, &call.op, tensors);
    if (!loss) {
      int64_t count = shape_elements(cases[i].results[0]);
      for (int64_t j = 0; j < count; j++) tensors[call.result_gradients[0]][j] = noise(5, (uint64_t)j);
    }
    graph_evaluate(graph, arena, tensors);
    for (int j = 0; j < cases[i].operand_count; j++) {
      if (call.wanted[j]) check_gradient(graph, &call.op, tensors, &call, j);
    }
    for (OpId j = 0; j < graph->ops.count; j++) {
      if (graph_op(graph, j)->phase == PHASE_BACKWARD) backward_uses[graph_op(graph, j)->kind]++;
    }
    arena_release(arena);
  }
}

// Runs last: an op is covered by a check of its values, or by the gradient tests that ran through it.
static void test_coverage(void **state) {
  (void)state;
  int shapes[OP_KIND_COUNT] = {0}, checks[OP_KIND_COUNT] = {0}, gradients[OP_KIND_COUNT] = {0};
  for (int i = 0; i < CASE_COUNT; i++) {
    shapes[cases[i].kind]++;
    checks[cases[i].kind] += cases[i].check != NULL;
    gradients[cases[i].kind] += cases[i].gradients != 0;
  }
  for (int i = 0; i < OP_KIND_COUNT; i++) {
    const OpInfo *info = op_info((OpKind)i);
    if (!shapes[i]) fail_msg("op '%s' has no case", info->name);
    if (!checks[i] && !backward_uses[i]) fail_msg("op '%s': its values are not checked", info->name);
    if ((info->gradient != NULL) != (gradients[i] > 0)) fail_msg("op '%s': its gradient is not checked", info->name);
  }
}

// Scores as large as any: codes stay finite, rows sum to one, and an empty prototype does no harm.
static void test_sinkhorn_is_stable(void **state) {
  (void)state;
  Arena *arena = arena_make("sinkhorn");
  Graph *graph = graph_make(arena, "sinkhorn");
  ValueId scores = graph_add_input(graph, "scores", DATA_F32, shape_make(2, 6, 4, 0, 0));
  Op op = {.kind = OP_sinkhorn, .operand_count = 1, .block = -1, .size_group = -1, .name = "sinkhorn",
           .attributes = {.epsilon = 0.03, .iterations = 10}};
  op.operands[0] = scores;
  ValueId codes = graph_add_op1(graph, op);
  double **tensors = graph_make_tensors(graph, arena);
  for (int i = 0; i < 24; i++) tensors[scores][i] = 1e6 * noise(9, (uint64_t)i) - (i % 4 == 2 ? 1e7 : 0);
  graph_evaluate(graph, arena, tensors);
  for (int b = 0; b < 6; b++) {
    double sum = 0;
    for (int k = 0; k < 4; k++) {
      assert_true(isfinite(tensors[codes][4 * b + k]) && tensors[codes][4 * b + k] >= 0);
      sum += tensors[codes][4 * b + k];
    }
    assert_true(fabs(sum - 1) < 1e-9);
  }
  arena_release(arena);
}

static void test_macs(void **state) {
  (void)state;
  Arena *arena = arena_make("macs");
  OpId id;
  for (int i = 0; i < CASE_COUNT; i++) {
    const OpCase *c = &cases[i];
    Graph *graph = case_graph(arena, c, &id);
    int64_t macs = op_macs(graph, graph_op(graph, id));
    if (c->kind == OP_conv2d || c->kind == OP_conv2d_statistics)
      assert_int_equal(macs, shape_elements(c->results[0]) * c->operands[1].size[1] * c->operands[1].size[2] *
                                 c->operands[1].size[3]);
    else if (c->kind == OP_linear) assert_int_equal(macs, 4 * 5 * 3);
    else if (c->kind == OP_relu || c->kind == OP_larc_update) assert_int_equal(macs, 0);
  }
  arena_release(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes_and_values), cmocka_unit_test(test_misfits),   cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_coverage),          cmocka_unit_test(test_sinkhorn_is_stable), cmocka_unit_test(test_macs),
  };
  return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
