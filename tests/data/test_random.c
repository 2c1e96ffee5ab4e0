// Philox against the known answers of its authors, the distributions, and the permutation as a bijection.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "runtime/random.h"

// From kat_vectors of Random123: philox4x32-10.
static void test_known_answers(void **state) {
  static const struct {
    uint32_t counter[4], key[2], expected[4];
  } rows[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    uint32_t random[4];
    seer_philox(rows[i].counter, rows[i].key, random);
    assert_memory_equal(random, rows[i].expected, sizeof random);
  }
  (void)state;
}

static void test_addresses_differ(void **state) {
  SeerRandom base = seer_random_make(1, SEER_STREAM_VIEWS, 2, 3, 4), same = base;
  uint32_t word = seer_random_word(&base);
  assert_int_equal(word, seer_random_word(&same));
  SeerRandom others[] = {
      seer_random_make(2, SEER_STREAM_VIEWS, 2, 3, 4),
      seer_random_make(1, SEER_STREAM_INIT, 2, 3, 4),
      seer_random_make(1, SEER_STREAM_VIEWS, 3, 3, 4),
      seer_random_make(1, SEER_STREAM_VIEWS, 2, 4, 4),
      seer_random_make(1, SEER_STREAM_VIEWS, 2, 3, 5),
      seer_random_make(1ull << 32 | 1, SEER_STREAM_VIEWS, 2, 3, 4),
      seer_random_make(1, SEER_STREAM_VIEWS, 2, 1ull << 32 | 3, 4),
  };
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    assert_int_not_equal(word, seer_random_word(&others[i]));
  }
  (void)state;
}

static void test_seek(void **state) {
  SeerRandom walked = seer_random_make(9, SEER_STREAM_INIT, 0, 0, 0), sought = walked;
  for (int i = 0; i < 4 * 7; i++) { seer_random_word(&walked); }
  seer_random_seek(&sought, 7);
  assert_int_equal(seer_random_word(&walked), seer_random_word(&sought));
  (void)state;
}

static void test_distributions(void **state) {
  enum { DRAWS = 200000 };
  SeerRandom random = seer_random_make(5, SEER_STREAM_VIEWS, 0, 0, 0);
  double sum = 0, normal_sum = 0, normal_squares = 0, normal_fourths = 0;
  int faces[7] = {0};
  for (int i = 0; i < DRAWS; i++) {
    double uniform = seer_random_uniform(&random);
    assert_true(uniform >= 0.0 && uniform < 1.0);
    sum += uniform;
    double normal = seer_random_normal(&random), square = normal * normal;
    normal_sum += normal;
    normal_squares += square;
    normal_fourths += square * square;
    uint32_t face = seer_random_below(&random, 7);
    assert_true(face < 7);
    faces[face]++;
  }
  assert_true(fabs(sum / DRAWS - 0.5) < 0.004);
  assert_true(fabs(normal_sum / DRAWS) < 0.012);
  assert_true(fabs(normal_squares / DRAWS - 1.0) < 0.016);
  assert_true(fabs(normal_fourths / DRAWS - 3.0) < 0.11);
  for (int i = 0; i < 7; i++) { assert_true(abs(faces[i] - DRAWS / 7) < 800); }
  (void)state;
}

static void test_permutation_is_bijection(void **state) {
  static const int64_t counts[] = {1, 2, 3, 4, 5, 16, 17, 100, 1023, 1024, 1025, 20000};
  for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
    char *seen = calloc((size_t)counts[c], 1);
    assert_non_null(seen);
    for (int64_t i = 0; i < counts[c]; i++) {
      int64_t image = seer_permutation(42, 3, counts[c], i);
      assert_true(image >= 0 && image < counts[c]);
      assert_int_equal(seen[image], 0);
      seen[image] = 1;
    }
    free(seen);
  }
  (void)state;
}

static void test_permutation_mixes(void **state) {
  enum { COUNT = 1000, EPOCHS = 400 };
  int fixed = 0, same_as_next_epoch = 0;
  int64_t first_sum = 0;
  for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
    first_sum += seer_permutation(7, epoch, COUNT, 0);
    for (int64_t i = 0; i < COUNT; i++) {
      int64_t image = seer_permutation(7, epoch, COUNT, i);
      fixed += image == i;
      same_as_next_epoch += image == seer_permutation(7, epoch + 1, COUNT, i);
    }
  }
  // A random permutation has one fixed point on average, with variance one.
  assert_true(abs(fixed - EPOCHS) < 5 * 20);
  assert_true(abs(same_as_next_epoch - EPOCHS) < 5 * 20);
  assert_true(fabs((double)first_sum / EPOCHS - 499.5) < 5 * 289.0 / 20);
  assert_true(seer_permutation(7, 0, (int64_t)1 << 40, 12345) < (int64_t)1 << 40);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),
      cmocka_unit_test(test_addresses_differ),
      cmocka_unit_test(test_seek),
      cmocka_unit_test(test_distributions),
      cmocka_unit_test(test_permutation_is_bijection),
      cmocka_unit_test(test_permutation_mixes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
