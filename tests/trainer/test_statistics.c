// Intervals of groups hold what they promise: simulated many times over with units of several cases each, they cover
// the truth as often as they say. Figures by hand; same bits for any number of threads.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/data/shares.h"
#include "runtime/evaluate/statistics.h"
#include "runtime/random.h"

#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 40, CHANCE_ROUNDS = 20 };
#else
enum { ROUNDS = 1000, CHANCE_ROUNDS = 200 };
#endif
enum { UNITS = 80, CASES_MOST = 4, DRAWS = 1000 };

typedef struct Sample {
  int64_t count;
  int32_t unit_count;  // 0: UNITS
  float hits[UNITS * CASES_MOST];
  int32_t units[UNITS * CASES_MOST], groups[UNITS * CASES_MOST];
} Sample;

static SeerStatistics judge(const Sample *sample, int group_count, uint64_t seed, int64_t least, int threads) {
  const float *columns[] = {sample->hits};
  SeerMeasureColumns measure = {0, -1};
  SeerPartition partition = {group_count, sample->groups};
  SeerObservations observations = {.case_count = sample->count,
                                   .unit_count = sample->unit_count ? sample->unit_count : UNITS,
                                   .units = sample->units,
                                   .column_count = 1,
                                   .columns = columns,
                                   .measure_count = 1,
                                   .measures = &measure,
                                   .partition_count = 1,
                                   .partitions = &partition};
  SeerBootstrap bootstrap = {seed, DRAWS, least};
  SeerStatistics statistics;
  SeerPool *pool = seer_pool_make(threads);
  assert_int_equal(seer_statistics_make(&observations, &bootstrap, pool, &statistics), SEER_OK);
  seer_pool_release(pool);
  return statistics;
}

// Units of two groups; a unit's cases are alike, all hits or none in `alike` of the units.
static void sample_draw(SeerRandom *random, const double shares[2], double alike, Sample *sample) {
  sample->count = sample->unit_count = 0;
  for (int32_t u = 0; u < UNITS; u++) {
    int32_t group = u % 2;
    int cases = 1 + (int)seer_random_below(random, CASES_MOST);
    bool is_alike = seer_random_uniform(random) < alike, all = seer_random_uniform(random) < shares[group];
    for (int c = 0; c < cases; c++, sample->count++) {
      sample->hits[sample->count] = is_alike ? all : seer_random_uniform(random) < shares[group];
      sample->units[sample->count] = u;
      sample->groups[sample->count] = group;
    }
  }
}

static void coverage_check(const double shares[2], double alike) {
  int covered[2] = {0}, difference = 0, apart = 0;
  SeerRandom random = seer_random_make(11, SEER_STREAM_STEP, 0, (uint64_t)(1000 * shares[0]), 0);
  Sample sample;
  for (int round = 0; round < ROUNDS; round++) {
    sample_draw(&random, shares, alike, &sample);
    SeerStatistics s = judge(&sample, 2, (uint64_t)round, 30, 1);
    for (int g = 0; g < 2; g++) covered[g] += s.values[g].low <= shares[g] && shares[g] <= s.values[g].high;
    SeerEstimate d = s.disparities[0].difference;
    double truth = s.disparities[0].high == 1 ? shares[1] - shares[0] : shares[0] - shares[1];
    difference += d.low <= truth && truth <= d.high;
    apart += s.apart[0].low <= shares[0] - shares[1] && shares[0] - shares[1] <= s.apart[0].high;
    seer_statistics_release(&s);
  }
  // Three deviations of a share of 95 %: 930 to 970 of 1000.
  int off = (int)(3 * sqrt(0.95 * 0.05 * ROUNDS)), expected = ROUNDS * 95 / 100;
  print_message("cover %.3f %.3f, difference %.3f, apart %.3f\n", covered[0] / (double)ROUNDS,
                covered[1] / (double)ROUNDS, difference / (double)ROUNDS, apart / (double)ROUNDS);
  assert_in_range(covered[0], expected - off, expected + off);
  assert_in_range(covered[1], expected - off, expected + off);
  assert_in_range(difference, expected - off, expected + off);
  assert_in_range(apart, expected - off, expected + off);
}

static void test_intervals_cover(void **state) {
  (void)state;
  coverage_check((const double[]){0.3, 0.5}, 0);
  coverage_check((const double[]){0.6, 0.25}, 0.7);  // an interval that took cases for independent would be too narrow
}

// Where nobody, or next to nobody, is a hit, intervals must not pretend to know.
static void test_rare_is_not_nothing(void **state) {
  (void)state;
  Sample sample = {.count = UNITS};
  for (int32_t u = 0; u < UNITS; u++) sample.units[u] = u, sample.groups[u] = u % 2;
  sample.hits[1] = 1;
  SeerStatistics s = judge(&sample, 2, 0, 30, 1);
  double low, high;
  share_interval(0, 40, &low, &high);
  assert_float_equal(s.values[0].low, low, 1e-12);
  assert_float_equal(s.values[0].high, high, 1e-12);
  share_interval(1, 40, &low, &high);
  assert_float_equal(s.values[1].low, low, 1e-12);
  assert_float_equal(s.values[1].high, high, 1e-12);
  assert_int_equal(s.disparities[0].high, 1);
  assert_false(s.disparities[0].is_clear);
  assert_true(isnan(s.disparities[0].ratio.value));
  seer_statistics_release(&s);
}

// Of 8 groups that are alike the largest disparity is rarely called clear, though the farthest of 28 pairs is picked.
static void test_chance_is_not_clear(void **state) {
  (void)state;
  enum { GROUPS = 8 };
  SeerRandom random = seer_random_make(5, SEER_STREAM_STEP, 0, 0, 0);
  int clear = 0;
  for (int round = 0; round < CHANCE_ROUNDS; round++) {
    Sample sample = {.count = UNITS * CASES_MOST, .unit_count = UNITS * CASES_MOST};
    for (int32_t i = 0; i < sample.count; i++) {
      sample.units[i] = i;
      sample.groups[i] = i % GROUPS;
      sample.hits[i] = seer_random_uniform(&random) < 0.5;
    }
    SeerStatistics s = judge(&sample, GROUPS, (uint64_t)round, 30, 1);
    assert_int_equal(s.disparities[0].pairs, GROUPS * (GROUPS - 1) / 2);
    clear += s.disparities[0].is_clear;
    seer_statistics_release(&s);
  }
  print_message("%d of %d called clear\n", clear, CHANCE_ROUNDS);
  assert_in_range(clear, 0, CHANCE_ROUNDS / 10);
}

static void test_small_groups_are_not_compared(void **state) {
  (void)state;
  Sample sample = {.count = UNITS};
  for (int32_t u = 0; u < UNITS; u++) {
    sample.units[u] = u;
    sample.groups[u] = u < 4 ? 2 : u < 42 ? 0 : u < 78 ? 1 : -1;
    sample.hits[u] = u < 4 || u % 4 == 0;
  }
  SeerStatistics s = judge(&sample, 3, 0, 30, 1);
  assert_int_equal(s.sizes[2].units, 4);
  assert_true(s.sizes[2].small);
  assert_int_equal(s.disparities[0].compared, 2);
  assert_true(s.disparities[0].high != 2 && s.disparities[0].low != 2);
  assert_true(isnan(s.apart[2].value));
  assert_float_equal(s.values[2].value, 1, 0);
  seer_statistics_release(&s);
}

static void test_threads_change_no_bit(void **state) {
  (void)state;
  Sample sample;
  SeerRandom random = seer_random_make(3, SEER_STREAM_STEP, 0, 0, 0);
  sample_draw(&random, (const double[]){0.4, 0.5}, 0.5, &sample);
  SeerStatistics one = judge(&sample, 2, 9, 30, 1), three = judge(&sample, 2, 9, 30, 3);
  SeerStatistics other = judge(&sample, 2, 10, 30, 1);
  assert_memory_equal(one.values, three.values, 2 * sizeof *one.values);
  assert_memory_equal(&one.disparities->difference, &three.disparities->difference, sizeof one.disparities->difference);
  assert_true(one.values[0].low < other.values[0].low || one.values[0].low > other.values[0].low);
  seer_statistics_release(&one);
  seer_statistics_release(&three);
  seer_statistics_release(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_intervals_cover),       cmocka_unit_test(test_rare_is_not_nothing),
      cmocka_unit_test(test_chance_is_not_clear),   cmocka_unit_test(test_small_groups_are_not_compared),
      cmocka_unit_test(test_threads_change_no_bit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
