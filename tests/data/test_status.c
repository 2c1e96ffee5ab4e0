// The record of the first error: first wins, context goes in front, long texts are cut, threads do not tear it.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cm.h"
#include "runtime/status.h"

static void test_first_wins(void **state) {
  seer_error_clear();
  assert_string_equal(seer_error(), "");
  assert_int_equal(seer_context(SEER_BUG, "nothing to say"), SEER_BUG);
  assert_string_equal(seer_error(), "");
  assert_int_equal(seer_fail(SEER_INPUT, "'%s' is empty\nnote: fill it", "a"), SEER_INPUT);
  assert_int_equal(seer_fail(SEER_MACHINE, "second"), SEER_MACHINE);
  assert_string_equal(seer_error(), "'a' is empty\nnote: fill it");
  seer_context(SEER_INPUT, "reading %d", 3);
  assert_string_equal(seer_error(), "reading 3: 'a' is empty\nnote: fill it");
  seer_error_clear();
  assert_string_equal(seer_error(), "");
  (void)state;
}

static void test_long_texts(void **state) {
  static char text[20000];
  memset(text, 'x', sizeof text - 1);
  seer_error_clear();
  seer_fail(SEER_INPUT, "%s", text);
  size_t length = strlen(seer_error());
  assert_true(length > 1000 && length < sizeof text);
  seer_context(SEER_INPUT, "%s", text);
  assert_true(strlen(seer_error()) <= length);
  seer_error_clear();
  (void)state;
}

static void *fail_with_name(void *name) {
  for (int i = 0; i < 100; i++) { seer_fail(SEER_INPUT, "%s %s %s", (char *)name, (char *)name, (char *)name); }
  return NULL;
}

static void test_threads(void **state) {
  static char names[8][16];
  for (int round = 0; round < 20; round++) {
    pthread_t threads[8];
    seer_error_clear();
    for (int i = 0; i < 8; i++) {
      snprintf(names[i], sizeof names[i], "t%d", i);
      assert_int_equal(pthread_create(&threads[i], NULL, fail_with_name, names[i]), 0);
    }
    for (int i = 0; i < 8; i++) { pthread_join(threads[i], NULL); }
    char a[16], b[16], c[16];
    assert_int_equal(sscanf(seer_error(), "%15s %15s %15s", a, b, c), 3);
    assert_string_equal(a, b);
    assert_string_equal(b, c);
  }
  seer_error_clear();
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_wins),
      cmocka_unit_test(test_long_texts),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
