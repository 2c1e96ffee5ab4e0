// Pictures that were made to break a decoder: each decodes or is refused with the reason that make_hostile.py says, in
// bounded memory and time, and leaves nothing behind.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cm.h"
#include "heap.h"
#include "runtime/data/decode.h"

enum { SECONDS_MOST = 20, SLACK_BYTES = 1 << 16 };

static const char *folder;

static double seconds_used(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint8_t *file_load(const char *name, size_t *count) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  *count = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = calloc(1, *count + SEER_BUFFER_PADDING);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *count, file), *count);
  fclose(file);
  return bytes;
}

static void picture_check(const char *name, const char *wanted, int64_t max_pixels) {
  size_t count;
  uint8_t *bytes = file_load(name, &count);
  const char *reason = NULL;
  SeerPicture picture = {0};
  double start = seconds_used();
  int64_t held = heap_begin();
  bool decoded = seer_decode(bytes, count, max_pixels, &picture, &reason);
  uint64_t most = (uint64_t)(atomic_load(&heap_most) - held) + count;
  double seconds = seconds_used() - start;
  seer_picture_release(&picture);
  int64_t left = atomic_load(&heap_held) - held;
  free(bytes);
  bool expected = wanted[0] == '*' || (decoded ? wanted[0] == '\0' : wanted[0] != '\0' && strstr(reason, wanted));
  if (!expected) { fail_msg("%s: '%s', not '%s'", name, decoded ? "decodes" : reason, wanted); }
  uint64_t limit = (uint64_t)max_pixels * SEER_DECODE_BYTES_A_PIXEL + SEER_DECODE_BYTES_BESIDES;
  if (strstr(name, ".webp")) { limit += SEER_WEBP_TABLE_BYTES; }
  if (most > limit) {
    fail_msg("%s: %llu bytes were held, more than %llu", name, (unsigned long long)most, (unsigned long long)limit);
  }
  if (left > SLACK_BYTES) { fail_msg("%s: %lld bytes were not freed", name, (long long)left); }
  if (seconds > SECONDS_MOST) { fail_msg("%s: %.1f s", name, seconds); }
  if (seconds > 0.3 || most > (uint64_t)100 << 20) {
    print_message("%s: %.2f s, %.0f MiB\n", name, seconds, (double)most / (1 << 20));
  }
}

static void every_picture(int64_t max_pixels) {
  char path[512], line[256];
  int count = 0;
  snprintf(path, sizeof path, "%s.tsv", folder);
  FILE *table = fopen(path, "r");
  assert_non_null(table);
  for (; fgets(line, sizeof line, table) != NULL; count++) {
    line[strcspn(line, "\n")] = '\0';
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    *tab = '\0';
    picture_check(line, tab + 1, max_pixels);
  }
  fclose(table);
  assert_true(count >= 70);
}

static void test_as_by_default(void **state) {
  every_picture((int64_t)1 << 26);
  (void)state;
}

// With a limit that all of them but the gigantic are just within, memory is bounded accordingly.
static void test_with_little_memory(void **state) {
  every_picture((int64_t)1 << 20);
  (void)state;
}

int main(int count, char **arguments) {
  static char path[400];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_by_default), cmocka_unit_test(test_with_little_memory)};
  if (count < 2) { return 2; }
  snprintf(path, sizeof path, "%s/hostile", arguments[1]);
  folder = path;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
