// Every sample once: random schedules of kills, stops and resizes, on the index alone. A run takes steps in some world,
// saves now and then, is killed (and loses the steps since) or stopped, and goes on in another world.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/data/loader.h"
#include "runtime/random.h"

enum { SCHEDULES = 1000, MAX_STEPS = 60, MAX_BATCH = 96, MAX_COUNT = 1000, WORLDS = 6 };

static const int worlds[WORLDS] = {1, 2, 3, 4, 6, 8};

typedef struct Run {
  SeerRandom random;
  int batch, accumulate, steps, save_every, step, saved;
  int64_t count;
  uint8_t seen[MAX_STEPS * MAX_BATCH];  // by position: times, of steps that are not lost
  int segments, kills;
} Run;

static int draw(Run *run, int low, int high) {
  return low + (int)(seer_random_below(&run->random, (uint32_t)(high - low + 1)));
}

// One step of one rank, as its loader is set up at the start of a segment.
static void step_take(Run *run, const SeerLoaderConfig *config, int steps_before) {
  int64_t pictures = (int64_t)config->batch * run->accumulate;
  for (int64_t task = steps_before * pictures; task < (steps_before + 1) * pictures; task++) {
    int64_t position = seer_loader_position(config, task);
    // A step sees the positions of its own batch, in whatever world.
    assert_int_equal(position / run->batch, run->step);
    run->seen[position]++;
  }
}

static void segment_run(Run *run) {
  int ranks = 0;
  do { ranks = worlds[draw(run, 0, WORLDS - 1)]; } while (run->batch / run->accumulate % ranks);
  int begin = run->step = run->saved, steps = draw(run, 1, 2 * run->save_every);
  for (; run->step < run->steps && run->step - begin < steps; run->step++) {
    for (int rank = 0; rank < ranks; rank++) {
      SeerLoaderConfig config = {.batch = run->batch / run->accumulate / ranks,
                                 .rank = rank,
                                 .ranks = ranks,
                                 .first_position = (int64_t)begin * run->batch};
      step_take(run, &config, run->step - begin);
    }
    if ((run->step + 1) % run->save_every == 0) run->saved = run->step + 1;
  }
  bool is_killed = draw(run, 0, 1) && run->step < run->steps;
  if (!is_killed) run->saved = run->step;
  memset(run->seen + run->saved * run->batch, 0, (size_t)((run->step - run->saved) * run->batch));
  run->segments++;
  run->kills += is_killed;
}

// Within an epoch, positions are pictures, each once.
static void epoch_check(const Run *run, uint64_t seed, uint32_t epoch) {
  uint8_t met[MAX_COUNT] = {0};
  for (int64_t place = 0; place < run->count; place++) met[seer_permutation(seed, epoch, run->count, place)]++;
  for (int64_t picture = 0; picture < run->count; picture++) assert_int_equal(met[picture], 1);
}

static void every_sample_once(void **context) {
  (void)context;
  static Run run;
  int segments = 0, kills = 0;
  for (int schedule = 0; schedule < SCHEDULES; schedule++) {
    memset(&run, 0, sizeof run);
    run.random = seer_random_make(17, SEER_STREAM_VIEWS, 0, (uint64_t)schedule, 0);
    run.accumulate = draw(&run, 1, 2);
    run.batch = 24 * run.accumulate * draw(&run, 1, 2);
    run.steps = draw(&run, 1, MAX_STEPS);
    run.save_every = draw(&run, 1, 12);
    run.count = draw(&run, run.batch, MAX_COUNT);
    while (run.saved < run.steps) segment_run(&run);
    for (int i = 0; i < run.steps * run.batch; i++) assert_int_equal(run.seen[i], 1);
    epoch_check(&run, (uint64_t)schedule, (uint32_t)schedule % 5);
    segments += run.segments;
    kills += run.kills;
  }
  print_message("%d schedules, %d segments, %d kills\n", SCHEDULES, segments, kills);
  assert_true(segments > 3 * SCHEDULES && kills > SCHEDULES);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_sample_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
