// What bench makes of times: confidence intervals, the profile of launches, sums by op, kind and block, JSON and its
// comparison, the picture.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/bench.h"

static void near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.12g is not within %g of %.12g", value, tolerance, expected);
}

// Ranks and coverage as in the tables of binomial(n, 1/2).
static void intervals_of_the_median(void **state) {
  (void)state;
  const struct {
    int count, low, high;  // ranks from 1
    double coverage;
  } rows[] = {{1, 1, 1, 0},         {2, 1, 2, 0.5},          {5, 1, 5, 0.9375},      {6, 1, 6, 0.96875},
              {9, 2, 8, 0.9609375}, {10, 2, 9, 0.978515625}, {25, 8, 18, 0.9567147}, {100, 40, 61, 0.9647998}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    double values[100];
    for (int k = 0; k < rows[i].count; k++) values[k] = rows[i].count - k;
    SeerSample sample = seer_sample_summarize(values, rows[i].count);
    near(sample.median, (rows[i].count + 1) / 2.0, 0);
    near(sample.least, 1, 0);
    near(sample.low, rows[i].low, 0);
    near(sample.high, rows[i].high, 0);
    near(sample.coverage, rows[i].coverage, 1e-6);
  }
  assert_int_equal(seer_sample_summarize(NULL, 0).count, 0);
  double *many = calloc(100000, sizeof *many);
  for (int i = 0; i < 100000; i++) many[i] = i;
  SeerSample sample = seer_sample_summarize(many, 100000);
  near(sample.coverage, 0.95, 0.002);
  near(sample.high - sample.low, 2 * 1.96 * sqrt(100000) / 2, 4);  // as the normal approximation has it
  free(many);
}

static const SeerLaunch launches[] = {
    {.op = "a",
     .kernel = "pack",
     .pass = "forward",
     .location = "x.seer:1",
     .block = "stem",
     .kind = "conv2d",
     .run = 1},
    {.op = "a",
     .kernel = "multiply",
     .pass = "forward",
     .location = "x.seer:1",
     .block = "stem",
     .kind = "conv2d",
     .run = 1,
     .size_group = 1,
     .flops = 1000,
     .bytes = 100},
    {.op = "a",
     .kernel = "multiply",
     .pass = "reforward",
     .location = "x.seer:1",
     .block = "stem",
     .kind = "conv2d",
     .run = 2,
     .size_group = -1,
     .again = true,
     .flops = 1000,
     .bytes = 100},
    {.op = "<b & c>",
     .kernel = "add",
     .pass = "backward",
     .location = "x.seer:2",
     .block = "head",
     .kind = "add",
     .run = 3,
     .size_group = -1,
     .bytes = 50},
    {.op = "d",
     .kernel = "sgd",
     .pass = "update",
     .location = "",
     .block = "head",
     .kind = "sgd",
     .run = 4,
     .size_group = -1,
     .bytes = 7},
    {.op = "e",
     .kernel = "features",
     .pass = "forward",
     .location = "",
     .block = "head",
     .kind = "add",
     .run = 5,
     .size_group = -1,
     .flops = 5,
     .bytes = 5},
};
enum { LAUNCHES = sizeof launches / sizeof *launches };
static const SeerProgram program = {
    .name = "<x>", .batch = 4, .cpu = "x86-64", .tuning = "default", .model_hash = 0xabc, .launches = launches,
    .launch_count = LAUNCHES};

// Three steps of two micro-steps, the second of them slow.
static void profile_fill(SeerProfile *profile) {
  assert_int_equal(seer_profile_make(LAUNCHES, 3, profile), SEER_OK);
  for (int step = 0; step < 3; step++) {
    seer_profile_next_step(profile);
    for (int i = 0; i < 4; i++)
      for (int micro = 0; micro < 2; micro++) seer_profile_add(profile, i, (i + 1) * (step == 1 ? 100 : 1));
    seer_profile_add(profile, 4, 3);
    near(seer_profile_step_seconds(profile), 2 * (1 + 2 + 3 + 4) * (step == 1 ? 100 : 1) + 3, 0);
  }
}

static SeerBench bench_make(void) {
  SeerProfile profile;
  profile_fill(&profile);
  for (int i = 0; i < 4; i++) near(seer_profile_median(&profile, i), 2 * (i + 1), 0);
  near(seer_profile_median(&profile, 5), 0, 0);
  SeerBench bench = {.program = &program,
                     .machine = "a \"machine\"",
                     .threads = 2,
                     .rest_seconds = 1,
                     .peak = {1000, 100, 8, 1 << 20}};
  double seconds[] = {20, 22, 21, 20.5, 23, 22.5};
  bench.step = seer_sample_summarize(seconds, 6);
  assert_int_equal(seer_bench_gather(&bench, &profile), SEER_OK);
  seer_profile_release(&profile);
  return bench;
}

static void ops_are_summed(void **state) {
  (void)state;
  SeerBench bench = bench_make();
  assert_int_equal(bench.op_count, 4);  // features were not run
  near(bench.ops[0].seconds, 2 + 4, 0);
  assert_int_equal(bench.ops[0].calls, 2);
  near(bench.ops[0].flops, 2000, 0);
  near(bench.ops[0].bytes, 200, 0);
  near(bench.flops, 4000, 0);
  near(bench.recompute_flops, 2000, 0);
  near(bench.ops_seconds, 2 + 4 + 6 + 8 + 3, 0);
  near(bench.profiled_step, bench.ops_seconds + 1, 0);
  near(seer_bench_flops_per_second(&bench), 2000 / bench.step.median, 1e-9);
  assert_int_equal(bench.kinds.count, 3);
  assert_string_equal(bench.kinds.items[0].name, "conv2d");
  near(bench.kinds.items[0].pass_seconds[SEER_BENCH_RECOMPUTE], 6, 0);
  near(bench.kinds.items[0].pass_seconds[SEER_BENCH_FORWARD], 6, 0);
  assert_int_equal(bench.blocks.count, 2);
  assert_string_equal(bench.blocks.items[1].name, "head");
  near(bench.blocks.items[1].pass_seconds[SEER_BENCH_UPDATE], 3, 0);
  near(bench.blocks.items[1].seconds, 11, 0);
  seer_bench_release(&bench);
}

static double number_at(const json_t *object, const char *key) {
  assert_true(json_is_number(json_object_get(object, key)));
  return json_number_value(json_object_get(object, key));
}

static void a_bench_is_its_own_equal(void **state) {
  (void)state;
  SeerBench bench = bench_make();
  json_t *old = seer_bench_json(&bench);
  assert_non_null(old);
  json_t *against = seer_against_json(&bench, old);
  assert_non_null(against);
  near(number_at(against, "step_ratio"), 1, 0);
  assert_int_equal(json_array_size(json_object_get(against, "differences")), 0);
  const char *const lists[] = {"kinds", "blocks"};
  for (int i = 0; i < 2; i++) {
    size_t index;
    json_t *item, *list = json_object_get(against, lists[i]);
    assert_int_equal(json_array_size(list), i ? 2 : 3);
    json_array_foreach(list, index, item) near(number_at(item, "ratio"), 1, 0);
  }
  json_decref(against);
  json_decref(old);
  seer_bench_release(&bench);
}

static void differences_are_named(void **state) {
  (void)state;
  SeerBench bench = bench_make();
  json_t *old = seer_bench_json(&bench);
  bench.threads = 3;
  bench.step.median *= 2;
  bench.kinds.items[2].seconds += 0.5;  // the least
  bench.kinds.items[0].seconds += 0.25;
  json_t *against = seer_against_json(&bench, old), *differences = json_object_get(against, "differences");
  near(number_at(against, "step_ratio"), 2, 1e-12);
  assert_int_equal(json_array_size(differences), 1);
  assert_string_equal(json_string_value(json_object_get(json_array_get(differences, 0), "what")), "threads");
  const json_t *first = json_array_get(json_object_get(against, "kinds"), 0);
  assert_string_equal(json_string_value(json_object_get(first, "name")), bench.kinds.items[2].name);
  json_decref(against);
  json_decref(old);
  seer_bench_release(&bench);
}

static void pictures_have_a_dot_for_each_op(void **state) {
  (void)state;
  char path[] = "/tmp/seer-roofline-XXXXXX", text[65536] = {0};
  close(mkstemp(path));
  SeerBench bench = bench_make();
  assert_int_equal(seer_roofline_write(&bench, path), SEER_OK);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_true(fread(text, 1, sizeof text - 1, file) > 0);
  fclose(file);
  unlink(path);
  int dots = 0;
  for (const char *at = text; (at = strstr(at, "<circle")); at++) dots++;
  assert_int_equal(dots, bench.op_count);
  assert_non_null(strstr(text, "&lt;b &amp; c&gt;: add backward (x.seer:2)"));
  assert_non_null(strstr(text, "</svg>\n"));
  assert_null(strstr(text, "nan"));
  assert_null(strstr(text, "inf"));
  seer_bench_release(&bench);
}

static void peaks_are_measured(void **state) {
  (void)state;
  SeerPool *pool = seer_pool_make(2);
  SeerPeak peak;
  assert_int_equal(seer_peak_measure(pool, &peak), SEER_OK);
  assert_true(peak.flops_per_second > 1e8 && peak.flops_per_second < 1e14);
  assert_true(peak.bytes_per_second > 1e7 && peak.bytes_per_second < 1e14);
  assert_true(peak.vector_floats >= 4 && peak.triad_bytes > 0);
  seer_pool_release(pool);
}

static void add_one(const void *arguments, int task, int worker) {
  (void)task;
  (void)worker;
  int *const *count = arguments;
  ++**count;
}

static void launches_are_profiled(void **state) {
  (void)state;
  SeerProfile profile;
  assert_int_equal(seer_profile_make(LAUNCHES, 1, &profile), SEER_OK);
  seer_profile_next_step(&profile);
  int ran = 0, *counter = &ran;
  SeerContext context = {.program = &program, .pool = seer_pool_make(1), .first_not_finite = -1};
  seer_launch(&context, 0, add_one, &counter, 3);
  assert_int_equal(profile.calls[0], 0);  // nobody asked
  context.profile = &profile;
  for (int i = 0; i < 4; i++) seer_launch(&context, 1, add_one, &counter, 2);
  assert_int_equal(ran, 3 + 8);
  assert_int_equal(profile.calls[1], 4);
  assert_true(seer_profile_median(&profile, 1) > 0);
  char label[64];
  seer_launch_label(&launches[1], label, sizeof label);
  assert_string_equal(label, "a multiply forward");
  seer_pool_release(context.pool);
  seer_profile_release(&profile);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(intervals_of_the_median),         cmocka_unit_test(ops_are_summed),
      cmocka_unit_test(a_bench_is_its_own_equal),        cmocka_unit_test(differences_are_named),
      cmocka_unit_test(pictures_have_a_dot_for_each_op), cmocka_unit_test(peaks_are_measured),
      cmocka_unit_test(launches_are_profiled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
