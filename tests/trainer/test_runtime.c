// Unit tests of the runtime: schedule, pool, options, initialisation, checksums, neighbours.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/crc32c.h"
#include "runtime/engine.h"
#include "runtime/finite.h"
#include "runtime/init.h"
#include "runtime/knn.h"
#include "runtime/options.h"
#include "runtime/schedule.h"
#include "runtime/step.h"

static void near(double value, double expected, double tolerance) {
  if (fabs(value - expected) > tolerance) fail_msg("%.12g is not within %g of %.12g", value, tolerance, expected);
}

// The 10B run: 126,008 steps, warm-up over a share of 0.043648 = 5,500 steps, 0.15 -> 9.3 -> 0.0093.
static void schedule_of_seer_10b(void **state) {
  (void)state;
  SeerSchedule schedule = {.start = 0.15,
                           .peak = 9.3,
                           .end = 0.0093,
                           .warmup_steps = -1,
                           .warmup_fraction = 0.043648,
                           .shape = SEER_COSINE,
                           .cosine_from_run = true};
  const int64_t steps = 126008;
  near(seer_schedule_rate(&schedule, 0, steps), 0.15, 1e-12);
  near(seer_schedule_rate(&schedule, 2750, steps), 0.15 + (9.3 - 0.15) * 2750 / (0.043648 * 126008), 1e-9);
  near(seer_schedule_rate(&schedule, 5499, steps), 9.3, 0.002);
  near(seer_schedule_rate(&schedule, 5500, steps), 9.256, 0.0005);  // the released drop
  near(seer_schedule_rate(&schedule, 63004, steps), 0.0093 + 0.5 * (9.3 - 0.0093), 1e-6);
  near(seer_schedule_rate(&schedule, 126007, steps), 0.0093, 1e-5);
  schedule.warmup_steps = 5500;
  near(seer_schedule_rate(&schedule, 5500, steps), 9.256, 0.0005);
  near(seer_schedule_rate(&schedule, 5499, steps), 0.15 + (9.3 - 0.15) * 5499 / 5500, 1e-9);
  schedule.cosine_from_run = false;
  near(seer_schedule_rate(&schedule, 5500, steps), 9.3, 1e-12);
  near(seer_schedule_rate(&schedule, 126008, steps), 0.0093, 1e-9);
}

static void schedule_shapes(void **state) {
  (void)state;
  const double milestones[] = {0.5, 0.75};
  SeerSchedule schedule = {.start = 0,
                           .peak = 2,
                           .end = 1,
                           .warmup_steps = 0,
                           .shape = SEER_STEP,
                           .milestone_count = 2,
                           .milestones = milestones,
                           .gamma = 0.1};
  near(seer_schedule_rate(&schedule, 0, 100), 2, 0);
  near(seer_schedule_rate(&schedule, 49, 100), 2, 0);
  near(seer_schedule_rate(&schedule, 50, 100), 0.2, 1e-15);
  near(seer_schedule_rate(&schedule, 75, 100), 0.02, 1e-15);
  schedule.shape = SEER_CONSTANT;
  near(seer_schedule_rate(&schedule, 99, 100), 2, 0);
  schedule.warmup_steps = 10;
  near(seer_schedule_rate(&schedule, 5, 100), 1, 1e-15);
  schedule.warmup_steps = 200;  // longer than the run
  near(seer_schedule_rate(&schedule, 99, 100), 2 * 0.495, 1e-12);
}

static void schedule_lengths(void **state) {
  (void)state;
  assert_int_equal(seer_schedule_steps(1, 1000, 64, 1), 15);
  assert_int_equal(seer_schedule_steps(100, 1000, 64, 1), 1500);
  assert_int_equal(seer_schedule_steps(1, 1000, 64, 4), 15);  // 62 micro-batches of 16
  assert_int_equal(seer_schedule_steps(0.001, 1000, 64, 1), 1);
  assert_int_equal(seer_schedule_steps(1, 10, 64, 1), 0);
}

static void crc32c_known(void **state) {
  (void)state;
  unsigned char zeros[32] = {0}, ones[32], rising[32];
  memset(ones, 0xff, sizeof ones);
  for (int i = 0; i < 32; i++) rising[i] = (unsigned char)i;
  assert_int_equal(seer_crc32c("123456789", 9), 0xe3069283u);
  assert_int_equal(seer_crc32c(zeros, 32), 0x8a9136aau);  // RFC 3720, B.4
  assert_int_equal(seer_crc32c(ones, 32), 0x62a8ab43u);
  assert_int_equal(seer_crc32c(rising, 32), 0x46dd794eu);
  assert_int_equal(seer_crc32c("", 0), 0);
}

typedef struct Tally {
  int *counts;
  int workers;
} Tally;

static void tally(const void *arguments, int task, int worker) {
  const Tally *tally_of = arguments;
  if (worker < 0 || worker >= tally_of->workers) abort();
  tally_of->counts[task]++;
}

static void pool_runs_each_task_once(void **state) {
  (void)state;
  enum { TASKS = 37, LAUNCHES = 3000 };
  const int threads[] = {1, 2, 3, 8};
  for (int t = 0; t < 4; t++) {
    int counts[TASKS] = {0}, expected = 0;
    SeerPool *pool = seer_pool_make(threads[t]);
    assert_non_null(pool);
    assert_int_equal(seer_pool_threads(pool), threads[t]);
    Tally arguments = {counts, threads[t]};
    for (int i = 0; i < LAUNCHES; i++) {
      int tasks = i % (TASKS + 1);
      seer_pool_run(pool, tally, &arguments, tasks);
      expected += tasks > 5;
      assert_int_equal(counts[5], expected);
    }
    for (int i = 0; i < TASKS; i++) {
      int times = 0;
      for (int l = 0; l < LAUNCHES; l++) times += l % (TASKS + 1) > i;
      assert_int_equal(counts[i], times);
    }
    seer_pool_release(pool);
  }
}

static SeerStatus read_words(SeerOptions *options, int count, const char *const *words) {
  char *argv[16] = {(char *)(uintptr_t) "tiny"};
  for (int i = 0; i < count; i++) argv[i + 1] = (char *)(uintptr_t)words[i];
  seer_error_clear();
  return seer_options_read(count + 1, argv, options);
}
#define READ(options, ...) \
  read_words(options, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__})

static void options_good(void **state) {
  (void)state;
  SeerOptions options;
  assert_int_equal(READ(&options, "--data", "a", "--data=b", "--steps", "7", "--quiet", "--resume"), SEER_OK);
  assert_int_equal(options.command, SEER_COMMAND_TRAIN);
  assert_int_equal(options.data.count, 2);
  assert_string_equal(options.data.items[1], "b");
  assert_null(options.data.items[2]);
  assert_int_equal(options.steps, 7);
  assert_int_equal(options.seed, -1);
  assert_true(options.quiet);
  assert_string_equal(options.resume, "");
  assert_int_equal(READ(&options, "train", "--resume", "run1", "--seed", "0"), SEER_OK);
  assert_string_equal(options.resume, "run1");
  assert_int_equal(options.seed, 0);
  assert_int_equal(READ(&options, "check", "run1", "--json"), SEER_OK);
  assert_string_equal(options.operand, "run1");
  assert_int_equal(READ(&options, "knn", "--help"), SEER_OK);
  assert_true(options.help);
}

static void options_bad(void **state) {
  (void)state;
  SeerOptions options;
  const struct {
    const char *words[3], *expected;
  } cases[] = {
      {{"--sted", "3"}, "did you mean '--seed'"},
      {{"--stpes", "3"}, "did you mean '--steps'"},
      {{"tran"}, "did you mean 'train'"},
      {{"--steps"}, "'--steps' needs a value"},
      {{"--steps", "x"}, "whole number of at least 1, not 'x'"},
      {{"--steps", "0"}, "at least 1"},
      {{"--steps", "-5"}, "at least 1, not '-5'"},
      {{"--steps", "3.5"}, "not '3.5'"},
      {{"--steps=99999999999999999999"}, "at least 1"},
      {{"--epochs", "nan"}, "above 0"},
      {{"--epochs", "-1"}, "above 0"},
      {{"--quiet=yes"}, "takes no value"},
      {{"-q"}, "is no option"},
      {{"train", "photos"}, "does not know what to do with 'photos'"},
      {{"check", "a", "b"}, "does not know what to do with 'b'"},
      {{"bench", "--data", "x"}, "unknown option '--data' of 'bench'"},
      {{"--out="}, "needs a value"},
      {{"--xyzzyplugh"}, "see tiny train --help"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int count = 0;
    while (count < 3 && cases[i].words[count]) count++;
    assert_int_equal(read_words(&options, count, cases[i].words), SEER_USAGE);
    if (!strstr(seer_error(), cases[i].expected)) fail_msg("'%s' lacks '%s'", seer_error(), cases[i].expected);
  }
  seer_error_clear();
}

enum { PART_COUNT = 1000 };

// Each float of the whole is in the part of one shard and no other, and starts there as it does in the whole.
static void parts_make_the_whole(void **state) {
  (void)state;
  const struct {
    int shards;
    uint64_t part, chunk;
  } cuts[] = {{1, 0, 0}, {3, 336, 336}, {7, 150, 150}, {4, 250, 50}, {4, 252, 84}, {128, 16, 16}};
  float whole[PART_COUNT], part[PART_COUNT];
  SeerPool *pool = seer_pool_make(1);
  for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
    SeerTensor tensor = {"a", SEER_PARAMETER, 2, {100, 10}, 0, 0, SEER_INIT_NORMAL, 1, false, 1, 0, 0, 0};
    SeerProgram program = {.tensor_count = 1, .tensors = &tensor};
    seer_state_init(&program, 7, 0, pool, (unsigned char *)whole);
    tensor.shards = cuts[c].shards;
    tensor.part = cuts[c].part;
    tensor.chunk = cuts[c].chunk;
    int seen[PART_COUNT] = {0};
    for (int rank = 0; rank < 2 * tensor.shards; rank++) {
      memset(part, 0, sizeof part);
      seer_state_init(&program, 7, rank, pool, (unsigned char *)part);
      assert_int_equal(seer_part_is_first(&tensor, rank), rank < tensor.shards);
      for (SeerPiece piece = {0}; seer_part_next(&tensor, rank, &piece);) {
        assert_true(piece.count > 0 && piece.local + piece.count <= seer_part_count(&tensor));
        for (uint64_t i = 0; i < piece.count; i++) seen[piece.begin + i] += seer_part_is_first(&tensor, rank);
        assert_memory_equal(part + piece.local, whole + piece.begin, piece.count * sizeof(float));
      }
    }
    for (int i = 0; i < PART_COUNT; i++) assert_int_equal(seen[i], 1);
  }
  seer_pool_release(pool);
}

enum { INIT_COUNT = 50000 };

static void init_is_a_function_of_seed_name_index(void **state) {
  (void)state;
  const SeerTensor tensors[] = {
      {"a", SEER_PARAMETER, 2, {500, 100}, 0, 0, SEER_INIT_NORMAL, 0.5, false, 1, 0, 0, 0},
      {"b", SEER_PARAMETER, 2, {500, 100}, INIT_COUNT * 4, 0, SEER_INIT_UNIFORM, 2, false, 1, 0, 0, 0},
      {"c", SEER_PARAMETER, 2, {500, 100}, INIT_COUNT * 8, 0, SEER_INIT_NORMAL, 1, true, 1, 0, 0, 0},
      {"d", SEER_STATISTIC, 1, {INIT_COUNT}, INIT_COUNT * 12, 0, SEER_INIT_ONE, 0, false, 1, 0, 0, 0},
  };
  SeerProgram program = {.tensor_count = 4, .tensors = tensors};
  float *states[3];
  const int threads[] = {1, 4, 1};
  for (int i = 0; i < 3; i++) {
    SeerPool *pool = seer_pool_make(threads[i]);
    states[i] = malloc(INIT_COUNT * 16);
    seer_state_init(&program, i == 2 ? 8 : 7, 0, pool, (unsigned char *)states[i]);
    seer_pool_release(pool);
  }
  assert_memory_equal(states[0], states[1], INIT_COUNT * 16);
  assert_memory_not_equal(states[0], states[2], INIT_COUNT * 4);
  double mean[2] = {0}, square[2] = {0}, fourth = 0, low = 0, high = 0;
  for (int i = 0; i < INIT_COUNT; i++) {
    for (int t = 0; t < 2; t++) {
      double value = (double)states[0][t * INIT_COUNT + i];
      mean[t] += value / INIT_COUNT;
      square[t] += value * value / INIT_COUNT;
      if (t == 0) fourth += value * value * value * value / INIT_COUNT;
      if (t == 1) {
        low = fmin(low, value);
        high = fmax(high, value);
      }
    }
  }
  near(mean[0], 0, 0.01);
  near(square[0], 0.25, 0.006);
  near(fourth, 3 * 0.0625, 0.015);  // a normal's kurtosis
  near(square[1], 4.0 / 3, 0.02);
  near(low, -2, 0.01);
  near(high, 2, 0.01);
  for (int row = 0; row < 500; row++) {
    double squares = 0;
    for (int i = 0; i < 100; i++) squares += pow((double)states[0][2 * INIT_COUNT + row * 100 + i], 2);
    near(squares, 1, 1e-5);
  }
  assert_true(states[0][3 * INIT_COUNT + 17] == 1.0f);
  states[0][2 * INIT_COUNT + 3] = NAN;
  assert_ptr_equal(seer_state_find_not_finite(&program, (unsigned char *)states[0]), &tensors[2]);
  assert_null(seer_state_find_not_finite(&program, (unsigned char *)states[1]));
  for (int i = 0; i < 3; i++) free(states[i]);
}

static void finite_sees_each_place(void **state) {
  (void)state;
  enum { COUNT = 3000 };
  float values[COUNT];
  for (int i = 0; i < COUNT; i++) values[i] = (i % 2 ? -1 : 1) * 3e38f;
  assert_true(seer_floats_finite(values, COUNT));
  assert_true(seer_floats_finite(values, 0));
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < COUNT; i++) {
    float kept = values[i];
    values[i] = bad[i % 3];
    assert_false(seer_floats_finite(values, COUNT));
    assert_true(seer_floats_finite(values, (uint64_t)i));
    values[i] = kept;
  }
}

static void neighbours_against_sorting(void **state) {
  (void)state;
  enum { COUNT = 60, DIMENSIONS = 37, K = 9 };
  float values[COUNT * DIMENSIONS];
  int32_t labels[COUNT];
  unsigned seed = 5;
  for (int i = 0; i < COUNT * DIMENSIONS; i++) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
  }
  memcpy(values + 10 * DIMENSIONS, values + 20 * DIMENSIONS, DIMENSIONS * sizeof(float));  // equal rows: ties by index
  for (int i = 0; i < COUNT; i++) labels[i] = i % 4;
  SeerPool *pool = seer_pool_make(3);
  SeerVectors set = {COUNT, DIMENSIONS, values, labels};
  SeerNeighbour found[COUNT * K];
  seer_vectors_normalize(&set, pool);
  assert_int_equal(seer_neighbours_find(&set, &set, K, pool, found), SEER_OK);
  for (int q = 0; q < COUNT; q++) {
    double before = 2;
    for (int k = 0; k < K; k++) {
      const SeerNeighbour *n = &found[q * K + k];
      double exact = 0;
      int better = 0;
      for (int i = 0; i < DIMENSIONS; i++)
        exact += (double)values[q * DIMENSIONS + i] * (double)values[n->index * DIMENSIONS + i];
      near((double)n->similarity, exact, 1e-5);
      assert_true((double)n->similarity <= before);
      assert_true(n->index != q);
      for (int other = 0; other < COUNT; other++) {
        double similarity = 0;
        for (int i = 0; i < DIMENSIONS; i++)
          similarity += (double)values[q * DIMENSIONS + i] * (double)values[other * DIMENSIONS + i];
        better += other != q && similarity > exact + 1e-5;
      }
      assert_true(better <= k);
      before = (double)n->similarity;
    }
  }
  assert_int_equal(found[10 * K].index, 20);
  assert_int_equal(found[20 * K].index, 10);
  assert_int_equal(seer_neighbours_find(&set, &set, COUNT, pool, found), SEER_INPUT);
  seer_error_clear();
  seer_pool_release(pool);
}

static void vote_is_weighted(void **state) {
  (void)state;
  float bank_values[] = {1, 0, 0.8f, 0.6f, 0.8f, -0.6f, 0, 1}, query_values[] = {1, 0, 1, 0};
  const int32_t bank_labels[] = {0, 1, 1, -1}, query_labels[] = {0, 1};
  SeerVectors bank = {4, 2, bank_values, bank_labels}, queries = {2, 2, query_values, query_labels};
  SeerPool *pool = seer_pool_make(1);
  SeerNeighbour found[2 * 4];
  assert_int_equal(seer_neighbours_find(&queries, &bank, 3, pool, found), SEER_OK);
  // Sharp: the nearest wins (label 0). Flat: two votes of label 1 outweigh it. Each is right for one of the queries.
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){3, 3, 2, 0.01}, found), 0.5, 0);
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){1, 3, 2, 10}, found), 0.5, 0);  // the nearest alone
  const int32_t zeros[] = {0, 0}, ones[] = {1, 1}, none[] = {-1, -1};
  queries.labels = zeros;
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){3, 3, 2, 0.01}, found), 1, 0);
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){3, 3, 2, 1e-300}, found), 1, 0);
  queries.labels = ones;
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){3, 3, 2, 10}, found), 1, 0);
  queries.labels = none;
  near(seer_neighbours_accuracy(&queries, &bank, &(SeerVote){3, 3, 2, 10}, found), 0, 0);
  near(seer_labels_majority(bank_labels, 4, 2), 2.0 / 3, 1e-15);
  seer_pool_release(pool);
}

static void entropy_of_usage(void **state) {
  (void)state;
  const double even[] = {2, 2, 2, 2}, one[] = {0, 5, 0, 0}, half[] = {1, 1, 0, 0, 0}, none[] = {0, 0};
  near(seer_entropy_share(even, 4), 1, 1e-12);
  near(seer_entropy_share(one, 4), 0, 1e-12);
  near(seer_entropy_share(half, 4), 0.5, 1e-12);
  near(seer_entropy_share(none, 2), 0, 0);
}

static void memory_is_aligned_and_refused(void **state) {
  (void)state;
  unsigned char *memory = NULL;
  const uint64_t sizes[] = {1, 4096, (2u << 20) + 1, 64u << 20};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(seer_memory_map(sizes[i], "a test", &memory), SEER_OK);
    assert_int_equal((uintptr_t)memory % SEER_ALIGNMENT, 0);
    assert_int_equal(memory[0] | memory[sizes[i] - 1], 0);
    memory[0] = memory[sizes[i] - 1] = 1;
    seer_memory_unmap(memory, sizes[i]);
  }
  assert_int_equal(seer_memory_map(UINT64_MAX - 4096, "a test", &memory), SEER_MACHINE);
  assert_int_equal(seer_memory_map(1ull << 50, "a test", &memory), SEER_MACHINE);
  seer_error_clear();
  assert_true(seer_memory_available() > 1 << 20);
}

static void cpu_levels(void **state) {
  (void)state;
  const char *missing = "?";
  assert_true(seer_cpu_supports(seer_cpu_level(), &missing));
  assert_null(missing);
  assert_true(seer_cpu_supports("x86-64", &missing));
  assert_true(seer_cpu_count() >= 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(schedule_of_seer_10b),
      cmocka_unit_test(schedule_shapes),
      cmocka_unit_test(schedule_lengths),
      cmocka_unit_test(crc32c_known),
      cmocka_unit_test(pool_runs_each_task_once),
      cmocka_unit_test(options_good),
      cmocka_unit_test(options_bad),
      cmocka_unit_test(parts_make_the_whole),
      cmocka_unit_test(init_is_a_function_of_seed_name_index),
      cmocka_unit_test(finite_sees_each_place),
      cmocka_unit_test(neighbours_against_sorting),
      cmocka_unit_test(vote_is_weighted),
      cmocka_unit_test(entropy_of_usage),
      cmocka_unit_test(memory_is_aligned_and_refused),
      cmocka_unit_test(cpu_levels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
