// The sample that a run counts over: uniform, as large as it may be, whatever the order; and what becomes of rare
// combinations when there are too many. Batches are made up: a picture's value is its place in the order.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "runtime/data/shares.h"
#include "runtime/monitor_count.h"

enum { BATCH = 512 };

static const char *pictures;

typedef struct Counted {
  SeerProgram program;
  SeerSource *source;
  SeerMonitor *monitor;
} Counted;

static const char *const columns[] = {"label"};

static void counted_make(Counted *counted, int64_t sample, uint64_t seed) {
  const char *const patterns[] = {pictures, NULL};
  *counted = (Counted){.program = {.batch = BATCH, .accumulate = 1, .ranks = 1}};
  counted->program.monitor = (SeerMonitorRule){.column_count = 1, .columns = columns, .sample = sample};
  assert_int_equal(seer_source_open(patterns, NULL, &counted->source), SEER_OK);
  assert_int_equal(seer_monitor_make(&counted->program, counted->source, NULL, seed, &counted->monitor), SEER_OK);
}

static void counted_release(Counted *counted) {
  seer_monitor_release(counted->monitor);
  seer_source_close(counted->source);
}

// One step; codes[slot] is what its pictures have.
static void step_run(SeerMonitor *monitor, int64_t step, const uint64_t *codes, bool line) {
  SeerBatch batch = {.codes = codes, .first_position = (step - 1) * BATCH};
  seer_monitor_take(monitor, &batch);
  assert_int_equal(seer_monitor_step(monitor, step, line), SEER_OK);
}

// Steps first..last, a value for each place; sums every `every` steps and after the last.
static void places_run(SeerMonitor *monitor, int64_t first, int64_t last, int64_t every) {
  uint64_t codes[BATCH];
  for (int64_t step = first; step <= last; step++) {
    for (int i = 0; i < BATCH; i++) codes[i] = (uint64_t)((step - 1) * BATCH + i) + 1;
    step_run(monitor, step, codes, step % every == 0 || step == last);
  }
}

static void sampled_places(const SeerMonitor *monitor, bool *sampled) {
  for (uint32_t i = 0; i < monitor->cells.count; i++) {
    const uint64_t *key = seer_cells_key(&monitor->cells, i);
    assert_int_equal(monitor->cells.counts[i], 1);
    assert_true(key[1] >= monitor->level);
    sampled[key[0] - 1] = true;
  }
}

// Chi-square over bins of places, over seeds: the 1-in-10,000 bound is by Wilson and Hilferty's approximation.
static void test_sample_is_uniform(void **state) {
  enum { STEPS = 8, PLACES = STEPS * BATCH, BINS = 64, SEEDS = 300, SAMPLE = 500 };
  static double bins[BINS];
  double total = 0;
  (void)state;
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    static bool sampled[PLACES];
    Counted counted;
    counted_make(&counted, SAMPLE, seed);
    places_run(counted.monitor, 1, STEPS, 3);
    memset(sampled, 0, sizeof sampled);
    sampled_places(counted.monitor, sampled);
    assert_true(counted.monitor->sampled <= SAMPLE && counted.monitor->sampled == counted.monitor->cells.count);
    // Half of it would have gone for one level less.
    assert_true(counted.monitor->sampled > SAMPLE / 4);
    assert_int_equal(counted.monitor->seen, PLACES);
    for (int i = 0; i < PLACES; i++) bins[i / (PLACES / BINS)] += sampled[i];
    counted_release(&counted);
  }
  for (int i = 0; i < BINS; i++) total += bins[i];
  double expected = total / BINS, square = 0, freedom = BINS - 1;
  for (int i = 0; i < BINS; i++) square += (bins[i] - expected) * (bins[i] - expected) / expected;
  double z = (cbrt(square / freedom) - (1 - 2 / (9 * freedom))) / sqrt(2 / (9 * freedom));
  print_message("chi-square %.1f of %g degrees of freedom, z = %.2f\n", square, freedom, z);
  assert_true(fabs(z) < 3.9);
}

static void test_sums_change_nothing(void **state) {
  enum { STEPS = 40, SAMPLE = 300 };
  static const int64_t every[] = {1, 2, 7, 100};
  char *first = NULL;
  (void)state;
  for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
    Counted counted;
    uint64_t codes[BATCH];
    char *text;
    counted_make(&counted, SAMPLE, 5);
    for (int64_t step = 1; step <= STEPS; step++) {
      for (int slot = 0; slot < BATCH; slot++) codes[slot] = (uint64_t)((step * 31 + slot * 7) % 3);
      step_run(counted.monitor, step, codes, step % every[i] == 0);
    }
    assert_int_equal(seer_monitor_save(counted.monitor, &text), SEER_OK);
    // The window is what came since the last line.
    char *window = strstr(text, "\"window\"");
    assert_non_null(window);
    *window = '\0';
    if (first == NULL)
      first = strdup(text);
    else
      assert_string_equal(text, first);
    free(text);
    counted_release(&counted);
  }
  free(first);
}

static void test_dropped_steps_do_not_count(void **state) {
  Counted counted;
  uint64_t codes[BATCH] = {0};
  SeerBatch batch = {.codes = codes, .first_position = 0};
  (void)state;
  counted_make(&counted, 1 << 20, 1);
  seer_monitor_take(counted.monitor, &batch);
  seer_monitor_drop(counted.monitor);
  step_run(counted.monitor, 1, codes, true);
  assert_int_equal(counted.monitor->seen, BATCH);
  assert_int_equal(counted.monitor->sampled, BATCH);
  counted_release(&counted);
}

// More combinations than are kept: half of the pictures have one of ten values, the others one of their own each.
static void test_the_rarest_become_others(void **state) {
  enum { STEPS = 2 * SEER_MONITOR_CELLS / BATCH + 600 };
  Counted one, other;
  uint64_t codes[BATCH];
  (void)state;
  counted_make(&one, INT64_MAX, 3);
  counted_make(&other, INT64_MAX, 3);
  for (int64_t step = 1; step <= STEPS; step++) {
    for (int i = 0; i < BATCH; i++) codes[i] = i % 2 ? (uint64_t)(i % 10) + 1 : (uint64_t)(step * BATCH + i) + 1000;
    step_run(one.monitor, step, codes, step % 100 == 0);
    step_run(other.monitor, step, codes, step == STEPS || step % 999 == 0);
  }
  step_run(one.monitor, STEPS + 1, codes, true);
  step_run(other.monitor, STEPS + 1, codes, true);
  uint64_t others = 0, frequent = 0, all = 0;
  for (uint32_t i = 0; i < one.monitor->cells.count; i++) {
    const uint64_t *key = seer_cells_key(&one.monitor->cells, i);
    all += one.monitor->cells.counts[i];
    others += key[0] == SEER_CODE_OTHERS ? one.monitor->cells.counts[i] : 0;
    frequent += key[0] <= 10 ? one.monitor->cells.counts[i] : 0;
    uint32_t same = seer_cells_find(&other.monitor->cells, key);
    assert_true(same != UINT32_MAX && other.monitor->cells.counts[same] == one.monitor->cells.counts[i]);
  }
  print_message("%u cells, %llu of %llu pictures in others\n", one.monitor->cells.count, (unsigned long long)others,
                (unsigned long long)all);
  assert_int_equal(other.monitor->cells.count, one.monitor->cells.count);
  assert_true(one.monitor->cells.count <= SEER_MONITOR_CELLS + SEER_MONITOR_PICTURES);
  assert_int_equal(all, (uint64_t)(STEPS + 1) * BATCH);
  assert_int_equal(frequent, all / 2);
  assert_true(others > 0 && others < all / 2);
  uint64_t in_sums = 0;
  for (uint32_t i = 0; i < one.monitor->sums[0].count; i++) in_sums += one.monitor->sums[0].counts[i];
  assert_int_equal(in_sums, all);
  counted_release(&one);
  counted_release(&other);
}

static void test_columns_that_are_not_there(void **state) {
  const char *const wanted[] = {"country"};
  Counted counted;
  SeerMonitor *monitor;
  (void)state;
  counted_make(&counted, 10, 0);
  counted.program.monitor.columns = wanted;
  assert_int_equal(seer_monitor_make(&counted.program, counted.source, NULL, 0, &monitor), SEER_INPUT);
  assert_null(monitor);
  assert_non_null(strstr(seer_error(), "monitor.columns: there is no column 'country'"));
  assert_non_null(strstr(seer_error(), "seerc data index"));
  seer_error_clear();
  const char *const broken[] = {"a\xff"};
  counted.program.monitor.columns = broken;
  assert_int_equal(seer_monitor_make(&counted.program, counted.source, NULL, 0, &monitor), SEER_INPUT);
  assert_non_null(strstr(seer_error(), "no UTF-8"));
  seer_error_clear();
  counted_release(&counted);
}

int main(int count, char **arguments) {
  assert_true(count > 1);
  pictures = arguments[1];
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sample_is_uniform),          cmocka_unit_test(test_sums_change_nothing),
      cmocka_unit_test(test_dropped_steps_do_not_count), cmocka_unit_test(test_the_rarest_become_others),
      cmocka_unit_test(test_columns_that_are_not_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
