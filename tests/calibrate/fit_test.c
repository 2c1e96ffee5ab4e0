// The fit of rates on times that are made up, so that the answer is known: exact ones, noisy ones, and ones of which
// some were disturbed. None of it looks at a clock.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <math.h>

#include "compiler/driver/calibrate_fit.h"
#include "runtime/random.h"

enum { PER_KIND = 60, MOST = 8 * PER_KIND };

typedef struct Made {
  RateSample samples[MOST];
  int count;
  Rates truth;
} Made;

// Sizes from those of the smallest layers to those of the largest, evenly by their logarithm.
static double between(SeerRandom *random, double low, double high) {
  return low * pow(high / low, seer_random_uniform(random));
}

// Of three kinds: one that computes and moves, one that moves, one that computes; each with a start.
static Made make(uint64_t seed, double noise, double disturbed, double cache_bytes, double memory_byte_seconds) {
  static const struct {
    RateKind kind;
    Rate rate;
  } kinds[] = {{RATE_conv1x1_forward, {true, 20e-6, 1 / 200e9, 1 / 80e9}},
               {RATE_normalize, {true, 3e-6, 0, 1 / 40e9}},
               {RATE_linear, {true, 1e-6, 1 / 90e9, 0}}};
  SeerRandom random = seer_random_make(seed, SEER_STREAM_STEP, 0, 0, 0);
  Made made = {.truth = {.cache_bytes = cache_bytes, .memory_byte_seconds = memory_byte_seconds}};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    made.truth.items[kinds[k].kind] = kinds[k].rate;
    for (int i = 0; i < PER_KIND; i++) {
      RateWork work = {.kind = kinds[k].kind,
                       .flops = kinds[k].rate.flop_seconds > 0 ? between(&random, 1e5, 2e9) : 0,
                       .bytes = between(&random, 1e4, 100e6)};
      double seconds = rate_seconds(&made.truth, work, 1);
      seconds *= 1 + noise * (2 * seer_random_uniform(&random) - 1);
      if (seer_random_uniform(&random) < disturbed) seconds *= between(&random, 1.5, 10);
      made.samples[made.count++] = (RateSample){work, seconds};
    }
  }
  return made;
}

// Of a coefficient: to within a share of the true one; of one that is zero, to within what no run would show.
static void assert_near(const char *what, double got, double wanted, double share, double zero) {
  double allowed = wanted > 0 ? share * wanted : zero;
  if (fabs(got - wanted) > allowed) fail_msg("%s: %g, not %g", what, got, wanted);
}

static void assert_truth(const Made *made, const Rates *rates, double share) {
  for (int kind = 0; kind < RATE_KIND_COUNT; kind++) {
    const Rate *wanted = &made->truth.items[kind], *got = &rates->items[kind];
    assert_int_equal(got->known, wanted->known);
    if (!wanted->known) continue;
    assert_near(rate_names[kind], got->flop_seconds, wanted->flop_seconds, share, 1e-13);
    assert_near(rate_names[kind], got->byte_seconds, wanted->byte_seconds, share, 1e-13);
    assert_near(rate_names[kind], got->start_seconds, wanted->start_seconds, 3 * share, 1e-6);
  }
}

// What counts is what is said of other runs: their times, undisturbed, are off by at most `share` of their sum.
static void assert_tells(const Made *made, const Rates *rates, double share) {
  Made others = make(99, 0, 0, made->truth.cache_bytes, made->truth.memory_byte_seconds);
  double off[RATE_KIND_COUNT] = {0}, all[RATE_KIND_COUNT] = {0};
  for (int i = 0; i < others.count; i++) {
    RateWork work = others.samples[i].work;
    off[work.kind] += fabs(rate_seconds(rates, work, 1) - others.samples[i].seconds);
    all[work.kind] += others.samples[i].seconds;
  }
  for (int kind = 0; kind < RATE_KIND_COUNT; kind++) {
    assert_int_equal(rates->items[kind].known, all[kind] > 0);
    if (off[kind] > share * all[kind]) fail_msg("%s: off by %g", rate_names[kind], off[kind] / all[kind]);
  }
}

static void exact_times_give_the_rates_back(void **state) {
  Arena *arena = *state;
  Made made = make(1, 0, 0, INFINITY, 0);
  Rates rates;
  RateFit fits[RATE_KIND_COUNT];
  rates_fit(arena, made.samples, made.count, NULL, &rates, fits);
  assert_truth(&made, &rates, 1e-6);
  assert_true(isinf(rates.cache_bytes));
  assert_int_equal(fits[RATE_normalize].samples, PER_KIND);
  assert_true(fits[RATE_normalize].mean_error < 1e-6);
}

static void noise_hardly_moves_them(void **state) {
  Arena *arena = *state;
  for (uint64_t seed = 2; seed < 12; seed++) {
    Made made = make(seed, 0.1, 0, INFINITY, 0);
    Rates rates;
    RateFit fits[RATE_KIND_COUNT];
    rates_fit(arena, made.samples, made.count, NULL, &rates, fits);
    assert_truth(&made, &rates, 0.1);
    assert_tells(&made, &rates, 0.05);
  }
}

// A fifth of the runs took up to ten times as long.
static void disturbed_runs_count_less(void **state) {
  Arena *arena = *state;
  for (uint64_t seed = 20; seed < 30; seed++) {
    Made made = make(seed, 0.05, 0.2, INFINITY, 0);
    Rates rates;
    RateFit fits[RATE_KIND_COUNT];
    rates_fit(arena, made.samples, made.count, NULL, &rates, fits);
    assert_tells(&made, &rates, 0.1);
  }
}

static void cache_and_memory_are_found(void **state) {
  Arena *arena = *state;
  for (uint64_t seed = 40; seed < 45; seed++) {
    Made made = make(seed, 0.03, 0, 8 << 20, 1 / 25e9);
    Rates rates;
    RateFit fits[RATE_KIND_COUNT];
    rates_fit(arena, made.samples, made.count, NULL, &rates, fits);
    assert_in_range((uint64_t)rates.cache_bytes, 4 << 20, 16 << 20);
    assert_near("memory", rates.memory_byte_seconds, 1 / 25e9, 0.5, 0);
    assert_tells(&made, &rates, 0.05);
    // Another precision has the same memory, and its own rates.
    Rates other;
    rates_fit(arena, made.samples, made.count, &made.truth, &other, fits);
    assert_true(other.cache_bytes == made.truth.cache_bytes &&
                other.memory_byte_seconds == made.truth.memory_byte_seconds);
    assert_truth(&made, &other, 0.1);
  }
}

static void shares_of_cores_take_longer(void **state) {
  Made made = make(50, 0, 0, 8 << 20, 1 / 25e9);
  RateWork work = {.kind = RATE_normalize, .bytes = 32 << 20};
  (void)state;
  double all = rate_seconds(&made.truth, work, 1), half = rate_seconds(&made.truth, work, 0.5);
  double start = made.truth.items[RATE_normalize].start_seconds;
  assert_true(fabs((half - start) - 2 * (all - start)) < 1e-12);
  made.truth.items[RATE_gradients] = (Rate){.known = true, .byte_seconds = 1e-9};
  work.kind = RATE_gradients;  // one core looks through them, however many there are
  assert_true(rate_seconds(&made.truth, work, 0.5) == rate_seconds(&made.truth, work, 1));
}

static void lines_are_fitted(void **state) {
  Arena *arena = *state;
  ExchangeSample samples[12];
  for (int i = 0; i < 12; i++) {
    double bytes = ldexp(256, i), seconds = 4e-6 + bytes / 5e9;
    samples[i] = (ExchangeSample){bytes, i == 7 ? 20 * seconds : seconds};
  }
  double start, byte;
  line_fit(arena, samples, 12, &start, &byte);
  assert_near("start", start, 4e-6, 0.05, 0);
  assert_near("byte", byte, 1 / 5e9, 0.05, 0);
}

static int arena_setup(void **state) {
  *state = arena_make("test");
  return 0;
}

static int arena_teardown(void **state) {
  arena_release(*state);
  return 0;
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, arena_setup, arena_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_ARENA(exact_times_give_the_rates_back), WITH_ARENA(noise_hardly_moves_them),
      WITH_ARENA(disturbed_runs_count_less),       WITH_ARENA(cache_and_memory_are_found),
      WITH_ARENA(shares_of_cores_take_longer),     WITH_ARENA(lines_are_fitted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
