// Groups of hashes that are near each other are those that comparing every pair gives, at every distance and on any
// number of threads; and a million of them (or as many as the second argument says) are compared in little time.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cm.h"
#include "compiler/data/near.h"
#include "runtime/random.h"

enum { SMALL = 1500 };

static size_t many = 200000;

static uint64_t hash_draw(SeerRandom *random) {
  uint64_t high = seer_random_below(random, UINT32_MAX);
  return high << 32 | seer_random_below(random, UINT32_MAX);
}

// A quarter are others with some bits turned.
static void hashes_draw(uint64_t *hashes, size_t count, uint64_t seed) {
  SeerRandom random = seer_random_make(seed, SEER_STREAM_STEP, 0, 0, 0);
  for (size_t i = 0; i < count; i++) {
    hashes[i] = hash_draw(&random);
    if (i % 4 != 3) continue;
    hashes[i] = hashes[seer_random_below(&random, (uint32_t)i)];
    for (uint32_t turns = seer_random_below(&random, 18); turns > 0; turns--)
      hashes[i] ^= (uint64_t)1 << seer_random_below(&random, 64);
  }
}

static uint32_t root_of(const uint32_t *group, uint32_t place) {
  while (group[place] != place) place = group[place];
  return place;
}

static void test_pairs(void **state) {
  static uint64_t hashes[SMALL];
  static uint32_t wanted[SMALL], groups[SMALL];
  for (int distance = 0; distance <= DATA_NEAR_MOST; distance++) {
    hashes_draw(hashes, SMALL, (uint64_t)distance);
    for (uint32_t i = 0; i < SMALL; i++) wanted[i] = i;
    for (uint32_t i = 0; i < SMALL; i++) {
      for (uint32_t j = 0; j < i; j++) {
        if (__builtin_popcountll(hashes[i] ^ hashes[j]) > distance) continue;
        uint32_t a = root_of(wanted, i), b = root_of(wanted, j);
        wanted[a > b ? a : b] = a > b ? b : a;
      }
    }
    assert_int_equal(data_near_groups(hashes, SMALL, distance, distance % 3 + 1, groups), SEER_OK);
    for (uint32_t i = 0; i < SMALL; i++) assert_int_equal(groups[i], root_of(wanted, i));
  }
  (void)state;
}

static void test_few(void **state) {
  const uint64_t one = 7, same[3] = {9, 9, 9};
  uint32_t groups[3] = {5, 5, 5};
  assert_int_equal(data_near_groups(NULL, 0, 6, 2, groups), SEER_OK);
  assert_int_equal(data_near_groups(&one, 1, 6, 2, groups), SEER_OK);
  assert_int_equal(groups[0], 0);
  assert_int_equal(data_near_groups(same, 3, 0, 2, groups), SEER_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(groups[i], 0);
  (void)state;
}

static void test_many(void **state) {
  uint64_t *hashes = malloc(many * sizeof *hashes);
  uint32_t *groups = malloc(many * sizeof *groups);
  assert_true(hashes != NULL && groups != NULL);
  SeerRandom random = seer_random_make(77, SEER_STREAM_STEP, 0, 0, 0);
  for (size_t i = 0; i < many; i++) hashes[i] = hash_draw(&random);
  for (size_t i = 0; i < 100; i++) hashes[many - 1 - i] = hashes[i * 31] ^ (uint64_t)0x8004000200010101;  // six bits
  struct timespec start, end;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  assert_int_equal(data_near_groups(hashes, many, DATA_NEAR_USUAL, 2, groups), SEER_OK);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
  size_t joined = 0;
  for (size_t i = 0; i < many; i++) joined += groups[i] != i;
  for (size_t i = 0; i < 100; i++) assert_int_equal(groups[many - 1 - i], i * 31);
  print_message("%zu hashes: %.2f s of one core, %zu pairs by chance\n", many, seconds, joined - 100);
  // Of 10^6 hashes drawn at random 2.3 pairs differ in no more than 6 bits.
  double pairs = (double)many * (double)many / 2 * 4.6e-12;
  assert_true((double)(joined - 100) < 10 + 6 * pairs);
  free(hashes);
  free(groups);
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_few),
                                     cmocka_unit_test(test_many)};
  if (count > 2) many = (size_t)atoll(arguments[2]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
