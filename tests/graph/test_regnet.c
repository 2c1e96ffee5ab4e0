// The generator and the trunk against the table of published RegNets: facts/seer.md 1.4, which reproduces pycls
// dev/model_complexity.json, torchvision's num_params and the SEER configurations.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/model.h"

typedef struct Net {
  const char *name;
  int depth;
  int64_t w0;
  double wa, wm;
  int64_t group_width;
  bool squeeze;
  int depths[4];
  int64_t widths[4], group_widths[4];
  int64_t parameters, trunk_parameters;  // with a classifier of 1000 classes; without
  const char *gmacs;                     // of a picture of 224 px, as printed
} Net;

#define SAME(g) {g, g, g, g}
static const Net nets[] = {
    {"X-200MF", 13, 24, 36.44, 2.49, 8, false, {1, 1, 4, 7}, {24, 56, 152, 368}, SAME(8), 2684792, 2315792, "0.199"},
    {"X-400MF", 22, 24, 24.48, 2.54, 16, false, {1, 2, 7, 12}, {32, 64, 160, 384}, SAME(16), 5157512, 4772512, "0.398"},
    {"X-600MF", 16, 48, 36.97, 2.24, 24, false, {1, 3, 5, 7}, {48, 96, 240, 528}, SAME(24), 6196040, 5667040, "0.601"},
    {"X-800MF", 16, 56, 35.73, 2.28, 16, false, {1, 3, 7, 5}, {64, 128, 288, 672}, SAME(16), 7259656, 6586656, "0.800"},
    {"X-1.6GF", 18, 80, 34.01, 2.25, 24, false, {2, 4, 10, 2}, {72, 168, 408, 912},
     SAME(24), 9190136, 8277136, "1.603"},
    {"X-3.2GF", 25, 88, 26.31, 2.25, 48, false, {2, 6, 15, 2}, {96, 192, 432, 1008},
     SAME(48), 15296552, 14287552, "3.177"},
    {"X-4.0GF", 23, 96, 38.65, 2.43, 40, false, {2, 5, 14, 2}, {80, 240, 560, 1360},
     SAME(40), 22118248, 20757248, "3.964"},
    {"X-6.4GF", 17, 184, 60.83, 2.07, 56, false, {2, 4, 10, 1}, {168, 392, 784, 1624},
     SAME(56), 26209256, 24584256, "6.460"},
    {"X-8.0GF", 23, 80, 49.56, 2.88, 120, false, {2, 5, 15, 1}, {80, 240, 720, 1920}, {80, 120, 120, 120},
     39572648, 37651648, "7.995"},
    {"X-12GF", 19, 168, 73.36, 2.37, 112, false, {2, 5, 11, 1}, {224, 448, 896, 2240},
     SAME(112), 46106056, 43865056, "12.087"},
    {"X-16GF", 22, 216, 55.59, 2.1, 128, false, {2, 6, 13, 1}, {256, 512, 896, 2048},
     SAME(128), 54278536, 52229536, "15.941"},
    {"X-32GF", 23, 320, 69.86, 2.0, 168, false, {2, 7, 13, 1}, {336, 672, 1344, 2520},
     SAME(168), 107811560, 105290560, "31.736"},
    {"Y-200MF", 13, 24, 36.44, 2.49, 8, true, {1, 1, 4, 7}, {24, 56, 152, 368}, SAME(8), 3162996, 2793996, "0.200"},
    {"Y-400MF", 16, 48, 27.89, 2.09, 8, true, {1, 3, 6, 6}, {48, 104, 208, 440}, SAME(8), 4344144, 3903144, "0.402"},
    {"Y-600MF", 15, 48, 32.54, 2.32, 16, true, {1, 3, 7, 4}, {48, 112, 256, 608}, SAME(16), 6055160, 5446160, "0.601"},
    {"Y-800MF", 14, 56, 38.84, 2.4, 16, true, {1, 3, 8, 2}, {64, 128, 320, 768}, SAME(16), 6263168, 5494168, "0.797"},
    {"Y-1.6GF", 27, 48, 20.71, 2.65, 24, true, {2, 6, 17, 2}, {48, 120, 336, 888},
     SAME(24), 11202430, 10313430, "1.612"},
    {"Y-3.2GF", 21, 80, 42.63, 2.66, 24, true, {2, 5, 13, 1}, {72, 216, 576, 1512},
     SAME(24), 19436338, 17923338, "3.176"},
    {"Y-4.0GF", 22, 96, 31.41, 2.24, 64, true, {2, 6, 12, 2}, {128, 192, 512, 1088},
     SAME(64), 20646656, 19557656, "3.973"},
    {"Y-6.4GF", 25, 112, 33.22, 2.27, 72, true, {2, 7, 14, 2}, {144, 288, 576, 1296},
     SAME(72), 30583252, 29286252, "6.355"},
    {"Y-8.0GF", 17, 192, 76.82, 2.19, 56, true, {2, 4, 10, 1}, {168, 448, 896, 2016},
     SAME(56), 39180068, 37163068, "7.963"},
    {"Y-12GF", 19, 168, 73.36, 2.37, 112, true, {2, 5, 11, 1}, {224, 448, 896, 2240},
     SAME(112), 51822544, 49581544, "12.092"},
    {"Y-16GF", 18, 200, 106.23, 2.48, 112, true, {2, 4, 11, 1}, {224, 448, 1232, 3024},
     SAME(112), 83590140, 80565140, "15.912"},
    {"Y-32GF", 20, 232, 115.89, 2.53, 232, true, {2, 5, 12, 1}, {232, 696, 1392, 3712},
     SAME(232), 145046770, 141333770, "32.280"},
    {"Y-64GF", 20, 352, 147.48, 2.4, 328, true, {2, 5, 12, 1}, {328, 984, 1968, 4920},
     SAME(328), 281378786, 276457786, "64.070"},
    {"Y-128GF", 27, 456, 160.83, 2.52, 264, true, {2, 7, 17, 1}, {528, 1056, 2904, 7392},
     SAME(264), 644812894, 637419894, "127.518"},
    {"Y-256GF ClassyVision", 27, 640, 124.47, 2.04, 848, true, {3, 7, 16, 1}, {640, 1696, 2544, 5088},
     {640, 848, 848, 848}, 826140008, 821051008, "256.898"},
    {"Y-256GF SEER", 27, 640, 230.83, 2.53, 373, true, {2, 7, 17, 1}, {746, 1492, 4103, 10444},
     SAME(373), 1282601138, 1272156138, "254.385"},
    {"Y-10B SEER", 27, 1744, 620.83, 2.52, 1010, true, {2, 7, 17, 1}, {2020, 4040, 11110, 28280},
     SAME(1010), 9352215872, 9323934872, "1863.313"},
};
enum { NET_COUNT = sizeof nets / sizeof nets[0] };

// Where torchvision's rule gives another net. GMAC with the digits printed.
typedef struct Difference {
  const char *name;
  int64_t widths[4], parameters;
  const char *gmacs;
} Difference;
static const Difference differences[] = {
    {"X-400MF", {32, 64, 160, 400}, 5495976, "0.414"},     {"X-4.0GF", {120, 240, 560, 1360}, 22193368, "4.188"},
    {"Y-800MF", {64, 144, 320, 784}, 6432512, "0.834"},    {"Y-4.0GF", {128, 256, 512, 1088}, 21360224, "4.458"},
    {"Y-8.0GF", {224, 448, 896, 2016}, 39381472, "8.473"},
};
enum { DIFFERENCE_COUNT = sizeof differences / sizeof differences[0] };

static RegNetShape generate(const Net *net, GroupRule rule) {
  RegNetGenerator generator = {net->depth, net->w0, net->wa, net->wm, net->group_width, 1, rule};
  RegNetShape shape = {.stem_width = 32, .stem_stride = 2, .se_ratio = net->squeeze ? 0.25 : 0};
  assert_true(regnet_generate(&generator, &shape));
  return shape;
}

static void expect_widths(const char *name, const RegNetShape *shape, const int64_t *widths) {
  assert_int_equal(shape->stage_count, 4);
  for (int i = 0; i < 4; i++) {
    if (shape->stages[i].width != widths[i])
      fail_msg("%s: stage %d is %lld wide, not %lld", name, i + 1, (long long)shape->stages[i].width,
               (long long)widths[i]);
  }
}

// The trunk's graph for one picture, with its counts.
static void expect_counts(const char *name, const RegNetShape *shape, int64_t parameters, int64_t trunk,
                          const char *gmacs) {
  Arena *arena = arena_make("regnet test");
  ModelOptions options = {.name = name, .shape = *shape, .bn_epsilon = 1e-5, .batch = 1, .norm_ranks = 1,
                          .size_group_count = 1,
                          .size_groups = {{1, 224}}, .std = {1, 1, 1}};
  Graph *graph = model_build(arena, &options, MODEL_FEATURES);
  assert_null(graph_verify(graph, arena));
  int64_t width = shape->stages[3].width, macs = 0, counted = model_parameters(graph);
  for (OpId i = 0; i < graph->ops.count; i++) macs += op_macs(graph, graph_op(graph, i));
  // pycls counts the classifier and adds biases to its multiply-adds: squeeze-and-excitation's and the classifier's.
  macs += width * 1000 + 1000;
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    if (op->kind == OP_linear) macs += shape_elements(graph_value(graph, op->results[0])->shape);
  }
  if (trunk && counted != trunk)
    fail_msg("%s: %lld trunk parameters, not %lld", name, (long long)counted, (long long)trunk);
  int64_t all = counted + width * 1000 + 1000;
  if (all != parameters) fail_msg("%s: %lld parameters, not %lld", name, (long long)all, (long long)parameters);
  char printed[32];
  snprintf(printed, sizeof printed, "%.3f", (double)macs / 1e9);
  assert_string_equal(printed, gmacs);
  arena_release(arena);
}

static void test_table(void **state) {
  (void)state;
  for (int i = 0; i < NET_COUNT; i++) {
    RegNetShape shape = generate(&nets[i], GROUP_NEAREST);
    expect_widths(nets[i].name, &shape, nets[i].widths);
    for (int s = 0; s < 4; s++) {
      assert_int_equal(shape.stages[s].depth, nets[i].depths[s]);
      assert_int_equal(shape.stages[s].group_width, nets[i].group_widths[s]);
      assert_int_equal(shape.stages[s].stride, 2);
    }
    expect_counts(nets[i].name, &shape, nets[i].parameters, nets[i].trunk_parameters, nets[i].gmacs);
  }
}

static void test_torchvision_rule(void **state) {
  (void)state;
  int different = 0;
  for (int i = 0; i < NET_COUNT; i++) {
    RegNetShape shape = generate(&nets[i], GROUP_TORCHVISION);
    const Difference *difference = NULL;
    for (int j = 0; j < DIFFERENCE_COUNT; j++) {
      if (strcmp(differences[j].name, nets[i].name) == 0) difference = &differences[j];
    }
    expect_widths(nets[i].name, &shape, difference ? difference->widths : nets[i].widths);
    if (!difference) continue;
    different++;
    expect_counts(nets[i].name, &shape, difference->parameters, 0, difference->gmacs);
  }
  assert_int_equal(different, DIFFERENCE_COUNT);
}

// Half to even: 746 / 4 and 11110 / 4 are the published shapes; the stem's 32 gives 8.
static void test_rounding(void **state) {
  (void)state;
  RegNetShape shape = {.bottleneck = 1, .se_ratio = 0.25};
  assert_int_equal(regnet_se_width(&shape, 746), 186);
  assert_int_equal(regnet_se_width(&shape, 11110), 2778);
  assert_int_equal(regnet_se_width(&shape, 32), 8);
  assert_int_equal(regnet_se_width(&shape, 1), 1);
  shape.bottleneck = 0.5;
  assert_int_equal(regnet_inner_width(&shape, 25), 12);
  assert_int_equal(regnet_inner_width(&shape, 27), 14);
}

static void test_too_many_stages(void **state) {
  (void)state;
  RegNetGenerator generator = {1000, 8, 100, 1.01, 1, 1, GROUP_NEAREST};
  RegNetShape shape;
  assert_false(regnet_generate(&generator, &shape));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_torchvision_rule),
                                     cmocka_unit_test(test_rounding), cmocka_unit_test(test_too_many_stages)};
  return cmocka_run_group_tests_name("regnet", tests, NULL, NULL);
}
