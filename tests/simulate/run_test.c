// What the slowest of many ranks takes, and what failures cost, against draws.
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants these four before it.
#include <cmocka.h>

#include "compiler/simulate/failures.h"
#include "compiler/simulate/spread.h"

static uint64_t random_state = 1;

// Uniform in (0, 1].
static double draw(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return ((double)(random_state >> 11) + 1) / 9007199254740992.0;
}

static double draw_normal(void) { return sqrt(-2 * log(draw())) * cos(6.283185307179586 * draw()); }

static double draw_factor(const Spread *spread, bool slow) {
  double factor = exp(spread->jitter * draw_normal() - spread->jitter * spread->jitter / 2);
  return slow ? factor * spread->slow_factor : factor;
}

static void assert_near(double found, double wanted, double share) {
  if (!(fabs(found - wanted) <= share * fabs(wanted))) fail_msg("%g, expected %g", found, wanted);
}

static const Spread spreads[] = {{0.02, 0, 1}, {0.1, 0, 1}, {0.3, 0, 1}, {0, 0.01, 1.5}, {0.05, 0.01, 1.3}};
enum { SPREADS = sizeof spreads / sizeof *spreads };

static void test_largest(void **state) {
  (void)state;
  const int ranks[] = {2, 8, 64};
  for (int i = 0; i < SPREADS; i++) {
    for (int r = 0; r < 3; r++) {
      enum { DRAWS = 4000 };
      double sum = 0, squares = 0;
      for (int d = 0; d < DRAWS; d++) {
        double largest = 0;
        for (int rank = 0; rank < ranks[r]; rank++)
          largest = fmax(largest, draw_factor(&spreads[i], draw() <= spreads[i].slow_share));
        sum += largest;
        squares += largest * largest;
      }
      double mean = sum / DRAWS, deviation = sqrt(fmax(0, squares / DRAWS - mean * mean));
      Moments found = spread_largest(&spreads[i], ranks[r]);
      double error = 5 * deviation / sqrt(DRAWS) + 1e-9;
      if (fabs(found.mean - mean) > error) fail_msg("%g, drawn %g +- %g", found.mean, mean, error);
      assert_near(sqrt(found.variance), deviation, 0.15);
    }
  }
}

// One rank's mean is 1; without jitter the two factors alone count; more ranks are never faster.
static void test_limits(void **state) {
  (void)state;
  for (int i = 0; i < SPREADS; i++) {
    double last = 0;
    for (double ranks = 1; ranks <= 1e6; ranks *= 10) {
      double now = spread_largest(&spreads[i], ranks).mean;
      assert_true(now >= last);
      last = now;
    }
  }
  assert_near(spread_largest(&(Spread){0.1, 0, 1}, 1).mean, 1, 1e-9);
  assert_near(spread_largest(&(Spread){0, 0.01, 1.5}, 1e6).mean, 1.5, 1e-9);
  assert_near(spread_largest(&(Spread){0, 0.5, 3}, 2).mean, 1 + 2 * 0.75, 1e-9);
  // The largest of n normals grows as sqrt(2 ln n): known values of the expectation at 10 and 1000.
  assert_near(log(spread_largest(&(Spread){1e-4, 0, 1}, 10).mean) / 1e-4, 1.538753, 1e-3);
  assert_near(log(spread_largest(&(Spread){1e-4, 0, 1}, 1000).mean) / 1e-4, 3.241436, 1e-3);
}

// Groups of 8 wait for each other 20 times, then all 16 groups; slow ranks stay slow.
static void test_groups(void **state) {
  (void)state;
  enum { GROUPS = 16, RANKS = 8, MEETINGS = 20, DRAWS = 300 };
  for (int i = 0; i < SPREADS; i++) {
    double sum = 0;
    for (int d = 0; d < DRAWS; d++) {
      double latest = 0;
      for (int group = 0; group < GROUPS; group++) {
        bool slow[RANKS];
        double time = 0;
        for (int rank = 0; rank < RANKS; rank++) slow[rank] = draw() <= spreads[i].slow_share;
        for (int meeting = 0; meeting < MEETINGS; meeting++) {
          double largest = 0;
          for (int rank = 0; rank < RANKS; rank++) largest = fmax(largest, draw_factor(&spreads[i], slow[rank]));
          time += largest;
        }
        latest = fmax(latest, time);
      }
      sum += latest;
    }
    GroupMoments one = spread_largest_of_group(&spreads[i], RANKS), all = {.slow_share = one.slow_share};
    all.even = (Moments){MEETINGS * one.even.mean, MEETINGS * one.even.variance};
    all.slow = (Moments){MEETINGS * one.slow.mean, MEETINGS * one.slow.variance};
    assert_near(spread_latest(&all, GROUPS), sum / DRAWS, 0.02);
  }
}

// Time goes on until so much work counts; every failure goes back to the last snapshot that was written in time.
static double drawn_share(const FailureCase *at, double wanted) {
  double time = 0, kept = 0, next = -at->mean_seconds * log(draw());
  while (kept < wanted) {
    double begin = time, period = at->work_seconds + at->pause_seconds;
    double done = 0;
    while (begin + (done + 1) * period + at->write_seconds <= next && kept + done * at->work_seconds < wanted) done++;
    kept += done * at->work_seconds;
    if (kept >= wanted) return kept / (begin + done * period + at->write_seconds);
    do {  // a restart may fail as well
      time = next;
      next = time - at->mean_seconds * log(draw());
    } while (next - time < at->restart_seconds);
    time += at->restart_seconds;
  }
  return kept / time;
}

static void test_failures(void **state) {
  (void)state;
  const FailureCase cases[] = {{3600, 60, 600, 10, 0},
                               {3600, 600, 1200, 30, 0},
                               {3600, 60, 600, 1, 300},
                               {600, 500, 300, 5, 100},
                               {86400, 600, 3600, 2, 60}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_near(failures_effective_share(&cases[i]), drawn_share(&cases[i], cases[i].mean_seconds * 20000), 0.03);
  assert_near(failures_effective_share(&(FailureCase){0, 60, 600, 10, 0}), 600.0 / 610, 1e-12);
}

// The best interval is no worse than any other, and Young's rule where snapshots are cheap and failures rare.
static void test_best_interval(void **state) {
  (void)state;
  FailureCase at = {86400, 600, 0, 20, 0};
  double best = failures_best_work_seconds(&at), daly = failures_daly_seconds(&at);
  assert_near(best, sqrt(2 * 20 * 86400.0), 0.02);
  assert_near(daly, best, 0.005);
  at.work_seconds = best;
  double share = failures_effective_share(&at);
  for (double other = best / 8; other < best * 8; other *= 1.1) {
    at.work_seconds = other;
    assert_true(failures_effective_share(&at) <= share * (1 + 1e-12));
  }
  assert_true(failures_best_work_seconds(&(FailureCase){0, 60, 600, 10, 0}) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_largest),  cmocka_unit_test(test_limits),        cmocka_unit_test(test_groups),
      cmocka_unit_test(test_failures), cmocka_unit_test(test_best_interval),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
