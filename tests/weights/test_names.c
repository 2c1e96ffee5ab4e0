// Names of weights: printed and read back in every format for networks of several shapes, the parts of the released
// 10B, spellings that are nobody's, and what a network is inferred to be from its own tensors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/weights/network.h"

static const SeerNetwork networks[] = {
    {.stage_count = 4,
     .stages = {{1, 48, 48, 8, true}, {3, 104, 104, 8, true}, {6, 208, 208, 8, true}, {6, 440, 440, 8, true}},
     .stem_width = 32,
     .se_ratio = 0.25,
     .classes = 1000},
    // Squeeze widths of 186.5 and 373, which round to even.
    {.stage_count = 4,
     .stages = {{2, 746, 746, 373, true},
                {7, 1492, 1492, 373, true},
                {17, 4103, 4103, 373, true},
                {1, 10444, 10444, 373, true}},
     .stem_width = 32,
     .se_ratio = 0.25,
     .layer_count = 3,
     .layers = {8192, 8192, 256},
     .prototypes = 16000},
    {.stage_count = 2,
     .stages = {{12, 16, 8, 4, false}, {1, 16, 8, 8, true}},
     .stem_width = 16,
     .layer_count = 2,
     .layers = {32, 16},
     .layers_norm = true,
     .prototypes = 12},
    {.stage_count = 1, .stages = {{2, 64, 64, 16, true}}, .stem_width = 8, .se_ratio = 0.5, .classes = 2},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static void tensors_of(int index, SeerNetworkTensors *tensors) {
  assert_int_equal(seer_network_tensors_make(&networks[index], tensors), SEER_OK);
}

static int names_compare(const void *a, const void *b) { return strcmp(a, b); }

static void test_there_and_back(void **state) {
  (void)state;
  for (int n = 0; n < NETWORKS; n++) {
    SeerNetworkTensors tensors;
    tensors_of(n, &tensors);
    int depths[SEER_NETWORK_STAGES_MAX];
    for (int s = 0; s < networks[n].stage_count; s++) depths[s] = networks[n].stages[s].depth;
    for (int format = 0; format < 2 * SEER_FORMAT_COUNT; format++) {
      SeerNaming naming = {.format = (SeerWeightFormat)(format / 2),
                           .wrapped = format % 2,
                           .squeezes = networks[n].se_ratio > 0,
                           .depths = depths};
      char(*names)[SEER_WEIGHT_NAME_MAX] = calloc((size_t)tensors.count, sizeof *names);
      int count = 0;
      assert_non_null(names);
      for (int i = 0; i < tensors.count; i++) {
        SeerWeightName meaning, again;
        assert_true(seer_weight_name_parse(SEER_FORMAT_SEER, tensors.tensors[i].name, &meaning));
        if (!seer_weight_name_print(&naming, &meaning, names[count])) {
          assert_true(seer_part_is_head(meaning.part));
          continue;
        }
        assert_true(seer_weight_name_parse(naming.format, names[count++], &again));
        assert_memory_equal(&meaning, &again, sizeof meaning);
      }
      qsort(names, (size_t)count, sizeof *names, names_compare);
      for (int i = 1; i < count; i++) assert_string_not_equal(names[i - 1], names[i]);
      free(names);
    }
    seer_network_tensors_release(&tensors);
  }
}

static void test_networks_outline_themselves(void **state) {
  (void)state;
  for (int n = 0; n < NETWORKS; n++) {
    SeerNetworkTensors tensors;
    SeerNetwork network;
    tensors_of(n, &tensors);
    SeerMeant *meant = calloc((size_t)tensors.count, sizeof *meant);
    assert_non_null(meant);
    for (int i = 0; i < tensors.count; i++) {
      meant[i].rank = tensors.tensors[i].rank;
      meant[i].size = tensors.tensors[i].size;
      assert_true(seer_weight_name_parse(SEER_FORMAT_SEER, tensors.tensors[i].name, &meant[i].meaning));
    }
    assert_true(seer_network_infer(meant, tensors.count, &network));
    assert_true(seer_network_equal(&network, &networks[n]));
    assert_int_equal(network.classes, networks[n].classes);
    assert_int_equal(network.prototypes, networks[n].prototypes);
    assert_int_equal(network.layers_norm, networks[n].layers_norm);
    assert_memory_equal(network.layers, networks[n].layers, sizeof network.layers);
    for (int m = 0; m < NETWORKS; m++) assert_int_equal(seer_network_equal(&network, &networks[m]), m == n);
    free(meant);
    seer_network_tensors_release(&tensors);
  }
}

static void test_parameters(void **state) {
  static const int64_t trunk[] = {3903144, 1272156138},
                       all[] = {4344144, 1272156138 + 85565440 + 67117056 + 2097408 + 4096000};
  (void)state;
  for (int n = 0; n < 2; n++) {
    SeerNetworkTensors tensors;
    int64_t in_trunk, in_all;
    tensors_of(n, &tensors);
    seer_network_parameters(&tensors, &in_trunk, &in_all);
    assert_int_equal(in_trunk, trunk[n]);
    assert_int_equal(in_all, all[n]);
    seer_network_tensors_release(&tensors);
  }
}

static void test_released_parts(void **state) {
  static const struct {
    int stage, block;
    const char *name;
  } released[] = {
      {1, 1, "trunk._feature_blocks.res2.block1-part0.block1-1.f.a.0.weight"},
      {2, 6, "trunk._feature_blocks.res3.block2-part0.block2-6.f.a.0.weight"},
      {3, 8, "trunk._feature_blocks.res4.block3-part0.block3-8.f.a.0.weight"},
      {3, 9, "trunk._feature_blocks.res4.block3-part1.block3-9.f.a.0.weight"},
      {3, 16, "trunk._feature_blocks.res4.block3-part1.block3-16.f.a.0.weight"},
      {4, 0, "trunk._feature_blocks.res5.block4-part0.block4-0.f.a.0.weight"},
  };
  static const SeerNetwork network = {.stage_count = 4,
                                      .stages = {{2, 2020, 2020, 1010, true},
                                                 {7, 4040, 4040, 1010, true},
                                                 {17, 11110, 11110, 1010, true},
                                                 {1, 28280, 28280, 1010, true}}};
  static const int depths[] = {2, 7, 17, 1};
  SeerNaming naming = {.format = SEER_FORMAT_VISSL, .wrapped = true, .squeezes = true, .depths = depths};
  (void)state;
  naming.part_count = seer_network_vissl_parts(&network, &naming.part_ends);
  assert_true(naming.part_count > 0);
  for (size_t i = 0; i < sizeof released / sizeof *released; i++) {
    SeerWeightName meaning = {.part = SEER_PART_A_CONV, .stage = released[i].stage, .block = released[i].block}, again;
    char name[SEER_WEIGHT_NAME_MAX];
    assert_true(seer_weight_name_print(&naming, &meaning, name));
    assert_string_equal(name, released[i].name);
    assert_true(seer_weight_name_parse(SEER_FORMAT_VISSL, name, &again));
    assert_memory_equal(&meaning, &again, sizeof meaning);
  }
  assert_int_equal(seer_network_vissl_parts(&networks[0], &naming.part_ends), 0);
}

static void test_nobody_s_spellings(void **state) {
  static const char *const names[] = {
      "",
      ".",
      "weight",
      "stem",
      "stem.0",
      "stem.0.",
      "stem.0.bias",
      "stem.0.weights",
      "stem.0.weight.",
      "stem.2.weight",
      "stem.1.running_std",
      "xstem.0.weight",
      "model.stem.0",
      "trunk_output.block1.block2-0.f.a.0.weight",
      "trunk_output.block01.block01-0.f.a.0.weight",
      "trunk_output.block1.block1-00.f.a.0.weight",
      "trunk_output.block1.block1-.f.a.0.weight",
      "trunk_output.block1.block1--1.f.a.0.weight",
      "trunk_output.block1.block1-10000.f.a.0.weight",
      "trunk_output.block0.block0-0.f.a.0.weight",
      "s0.b1.conv1.conv.weight",
      "s1.b0.conv1.conv.weight",
      "encoder.stages.0.layers.0.layer.4.convolution.weight",
      "encoder.stages.-1.layers.0.layer.0.convolution.weight",
      "_feature_blocks.res1.block0-0.f.a.0.weight",
      "_feature_blocks.res2.block1-part0.block2-0.f.a.0.weight",
      "_feature_blocks.res2.block2-part0.block1-0.f.a.0.weight",
      "projection_head..weight",
      "prototypes.bias",
      "prototypes.running_mean",
      "fc.running_mean",
  };
  SeerWeightName meaning;
  char name[700];
  (void)state;
  for (int format = 0; format < SEER_FORMAT_COUNT; format++) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      if (seer_weight_name_parse((SeerWeightFormat)format, names[i], &meaning))
        fail_msg("'%s' is read as a name of '%s'", names[i], seer_format_name((SeerWeightFormat)format));
    }
    memset(name, 'm', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(seer_weight_name_parse((SeerWeightFormat)format, name, &meaning));
    assert_int_equal(seer_format_find(seer_format_name((SeerWeightFormat)format)), format);
  }
  assert_int_equal(seer_format_find("onnx"), SEER_FORMAT_COUNT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_there_and_back),     cmocka_unit_test(test_networks_outline_themselves),
      cmocka_unit_test(test_parameters),         cmocka_unit_test(test_released_parts),
      cmocka_unit_test(test_nobody_s_spellings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
