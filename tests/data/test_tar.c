// Hostile and odd archives, written header by header: what no honest program writes must be an error that names the
// member; random damage must never crash.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cm.h"
#include "runtime/data/source.h"
#include "runtime/random.h"

typedef struct Archive {
  uint8_t bytes[1 << 16];
  size_t count;
} Archive;

static Archive archive;
enum { MUTANTS = 20000 };

static char path[64];  // of a file in memory
static int file;
static size_t archive_tail;  // zeros behind the archive of the next test

static void checksum_set(uint8_t *header) {
  unsigned sum = 0;
  memset(header + 148, ' ', 8);
  for (int i = 0; i < 512; i++) { sum += header[i]; }
  snprintf((char *)header + 148, 8, "%06o", sum & 0777777);
}

static uint8_t *member_add(const char *name, char type, const void *content, size_t size) {
  uint8_t *header = archive.bytes + archive.count;
  memset(header, 0, 512);
  snprintf((char *)header, 101, "%s", name);
  snprintf((char *)header + 124, 24, "%011o", (unsigned)size);
  memcpy(header + 257,
         "ustar\0"
         "00",
         8);
  header[156] = (uint8_t)type;
  checksum_set(header);
  memset(header + 512, 0, (size + 511) / 512 * 512);
  if (content != NULL) { memcpy(header + 512, content, size); }
  archive.count += 512 + (size + 511) / 512 * 512;
  return header;
}

static SeerStatus archive_open(SeerSource **source) {
  const char *patterns[] = {path, NULL};
  assert_int_equal(ftruncate(file, (off_t)(archive.count + archive_tail)), 0);
  archive_tail = 0;
  assert_int_equal(pwrite(file, archive.bytes, archive.count, 0), archive.count);
  seer_error_clear();
  return seer_source_open(patterns, NULL, source);
}

static void end_add(void) {
  memset(archive.bytes + archive.count, 0, 1024);
  archive.count += 1024;
}

static void expect_error(const char *part, const char *member) {
  SeerSource *source = NULL;
  assert_int_equal(archive_open(&source), SEER_INPUT);
  assert_null(source);
  if (strstr(seer_error(), part) == NULL || strstr(seer_error(), member) == NULL) {
    fail_msg("error is '%s'", seer_error());
  }
  archive.count = 0;
}

static int64_t expect_count(void) {
  SeerSource *source = NULL;
  if (archive_open(&source) != SEER_OK) { fail_msg("error is '%s'", seer_error()); }
  int64_t count = seer_source_count(source);
  seer_source_close(source);
  archive.count = 0;
  return count;
}

static void test_sound(void **state) {
  member_add("cats/2.jpg", '0', "abc", 3);
  member_add("cats/1.jpg", '\0', "abc", 3);
  member_add("dogs/", '5', NULL, 0);
  member_add("link.jpg", '2', NULL, 0);
  member_add("hard.jpg", '1', NULL, 0);
  member_add("null.jpg", '3', NULL, 0);
  member_add("sparse.jpg", 'S', NULL, 0);
  member_add("notes.txt", '0', "abc", 3);
  member_add("unnamed", '0', "\xFF\xD8\xFF\xE0", 4);
  member_add("./dogs/.hidden.jpg", '0', "abc", 3);
  member_add("./dogs/3.png", '0', NULL, 0);
  end_add();
  SeerSource *source = NULL;
  assert_int_equal(archive_open(&source), SEER_OK);
  assert_int_equal(seer_source_count(source), 4);
  assert_int_equal(seer_source_label_count(source), 2);
  char name[300];
  snprintf(name, sizeof name, "%s:cats/1.jpg", path);
  assert_string_equal(seer_source_name(source, 0), name);
  assert_string_equal(seer_source_label_name(source, seer_source_label(source, 0)), "cats");
  assert_string_equal(seer_source_label_name(source, seer_source_label(source, 2)), "dogs");
  assert_int_equal(seer_source_label(source, 3), -1);
  const char *reason = NULL;
  SeerPicture picture = {0};
  assert_int_equal(seer_source_decode(source, 0, 1 << 20, &picture, &reason), SEER_INPUT);
  assert_string_equal(reason, "does not start like a JPEG, PNG or WebP");
  seer_picture_release(&picture);
  seer_source_close(source);
  archive.count = 0;
  (void)state;
}

static void test_names(void **state) {
  member_add("../evil.jpg", '0', "abc", 3);
  expect_error("points outside", "../evil.jpg");
  member_add("a/../../evil.jpg", '0', "abc", 3);
  expect_error("points outside", "a/../../evil.jpg");
  member_add("a/..", '0', "abc", 3);
  expect_error("points outside", "a/..");
  member_add("/etc/passwd", '0', "abc", 3);
  expect_error("absolute", "/etc/passwd");
  member_add("", '0', "abc", 3);
  expect_error("no name", "''");
  member_add("a/1.jpg", '0', "abc", 3);
  member_add("a/1.jpg", '0', "abc", 3);
  end_add();
  expect_error("occurs twice", "a/1.jpg");
  member_add("a..b/..c/1.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  (void)state;
}

static void test_headers(void **state) {
  uint8_t *header = member_add("sum.jpg", '0', "abc", 3);
  header[0] = 't';
  expect_error("wrong checksum", "tum.jpg");
  header = member_add("size.jpg", '0', "abc", 3);
  memcpy(header + 124, "77x77777777", 11);
  checksum_set(header);
  expect_error("size that is no number", "size.jpg");
  header = member_add("huge.jpg", '0', "abc", 3);
  memset(header + 124, 0xFF, 12);
  header[124] = 0x80;
  checksum_set(header);
  expect_error("size that is no number", "huge.jpg");
  header = member_add("large.jpg", '0', "abc", 3);
  memset(header + 124, 0, 12);
  header[124] = 0x80;
  header[128] = 0x7F;
  checksum_set(header);
  expect_error("cut off", "large.jpg");
  member_add("cut.jpg", '0', NULL, 5000);
  archive.count -= 3000;
  expect_error("cut off", "cut.jpg");
  member_add("a.jpg", '0', "abc", 3);
  archive.count += 100;
  expect_error("cut off", "'?'");
  header = member_add("binary.jpg", '0', "abc", 3);
  memset(header + 124, 0, 12);
  header[124] = 0x80;
  header[135] = 3;
  checksum_set(header);
  assert_int_equal(expect_count(), 1);
  (void)state;
}

static void pax_add(const char *records, size_t size) { member_add("PaxHeader", 'x', records, size); }

static void test_pax(void **state) {
  static const struct {
    const char *records, *part;
  } bad[] = {
      {"9 path=..\n", "cannot be read"},
      {"99 path=a.jpg\n", "cannot be read"},
      {"0 path=a.jpg\n", "cannot be read"},
      {"path=a.jpg\n", "cannot be read"},
      {"14 path=a.jpg ", "cannot be read"},
      {"8 path=\n", "path that is empty"},
      {"9 nothing\n", "cannot be read"},
      {"10 size=x\n", "size that is no number"},
      {"32 size=99999999999999999999999\n", "size that is no number"},
      {"8 size=\n", "size that is no number"},
      {"9999999999999999999999 path=a\n", "cannot be read"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    pax_add(bad[i].records, strlen(bad[i].records));
    member_add("next.jpg", '0', "abc", 3);
    expect_error(bad[i].part, "PaxHeader");
  }
  pax_add("15 path=a\0.jpg\n", 15);
  expect_error("zero byte", "PaxHeader");
  pax_add("17 path=../a.jpg\n", 17);
  member_add("next.jpg", '0', "abc", 3);
  expect_error("points outside", "../a.jpg");
  pax_add("16 size=1000000\n", 16);
  member_add("next.jpg", '0', "abc", 3);
  expect_error("cut off", "next.jpg");
  pax_add("22 GNU.sparse.major=1\n", 22);
  member_add("sparse.jpg", '0', "abc", 3);
  pax_add("17 path=long.jpg\n10 size=4\n", 27);
  member_add("short.txt", '0', "abcd", 0);
  memcpy(archive.bytes + archive.count, "abcd", 4);
  archive.count += 512;
  end_add();
  assert_int_equal(expect_count(), 1);
  (void)state;
}

static void test_long_names(void **state) {
  static char name[6000];
  memset(name, 'n', sizeof name);
  member_add("././@LongLink", 'L', name, sizeof name);
  expect_error("impossible length", "@LongLink");
  member_add("././@LongLink", 'L', NULL, 0);
  expect_error("impossible length", "@LongLink");
  memcpy(name + 3000, ".jpg", 5);
  member_add("././@LongLink", 'L', name, 3005);
  member_add("nnn", '0', "abc", 3);
  end_add();
  assert_int_equal(expect_count(), 1);
  (void)state;
}

// What GNU and pax headers say is bounded, whatever they say and however many there are.
static void test_extensions(void **state) {
  static char large[3 << 10];
  uint8_t *header = member_add("negative.jpg", '0', "abc", 3);
  memset(header + 124, 0xFF, 12);  // minus one
  checksum_set(header);
  expect_error("size that is no number", "negative.jpg");
  header = member_add("PaxHeader", 'x', NULL, 512);
  snprintf((char *)header + 124, 24, "%011o", (1u << 20) + 1);
  checksum_set(header);
  archive_tail = 2 << 20;
  expect_error("pax header of more than 1 MiB", "PaxHeader");
  for (int i = 0; i < 40; i++) pax_add("16 path=one.jpg\n", 16);
  member_add("two.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  memset(large, 'k', sizeof large);
  memcpy(large, "3072 comment=", 13);
  large[sizeof large - 1] = '\n';
  pax_add(large, sizeof large);
  member_add("commented.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  member_add("pax_global_header", 'g', "17 path=../a.jpg\n", 17);  // says nothing of any one member
  member_add("a.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  member_add("././@LongLink", 'K', "/etc/passwd", 12);
  member_add("link.jpg", '2', NULL, 0);
  member_add("volume", 'V', NULL, 0);
  member_add("folder.jpg", 'D', "abc", 3);
  member_add("continued.jpg", 'M', "abc", 3);
  member_add("device.jpg", '4', NULL, 0);
  member_add("queue.jpg", '6', NULL, 0);
  member_add("real.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  header = member_add("linked.jpg", '1', NULL, 0);
  snprintf((char *)header + 124, 24, "%011o", 07777777777u);
  checksum_set(header);
  member_add("real.jpg", '0', "abc", 3);
  assert_int_equal(expect_count(), 1);
  (void)state;
}

// Any bytes at all: an index or an error, never a crash.
static void test_damage(void **state) {
  int opened = 0;
  for (uint64_t round = 0; round < MUTANTS; round++) {
    archive.count = 0;
    member_add("././@LongLink", 'L', "long/name.jpg", 14);
    member_add("x", '0', "abc", 3);
    pax_add("17 path=long.jpg\n10 size=4\n", 27);
    member_add("y", '0', "abcd", 4);
    member_add("s", 'S', NULL, 0);
    member_add("cats/2.jpg", '0', "abc", 3);
    end_add();
    SeerRandom random = seer_random_make(3, SEER_STREAM_STEP, 0, round, 0);
    for (int i = 0; i < 3; i++) {
      archive.bytes[seer_random_below(&random, (uint32_t)archive.count)] = (uint8_t)seer_random_word(&random);
    }
    for (size_t at = 0; at < archive.count && round % 2 == 0; at += 512) {
      if (memcmp(archive.bytes + at + 257, "ustar", 5) == 0) {
        checksum_set(archive.bytes + at);  // get past the checksum
      }
    }
    archive.count -= seer_random_below(&random, 4) == 0 ? seer_random_below(&random, (uint32_t)archive.count) : 0;
    SeerSource *source = NULL;
    SeerStatus status = archive_open(&source);
    assert_true(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
    opened += status == SEER_OK;
    seer_source_close(source);
  }
  print_message("%d of %d mutants are read\n", opened, MUTANTS);
  assert_true(opened > MUTANTS / 10 && opened < MUTANTS * 9 / 10);
  archive.count = 0;
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sound),  cmocka_unit_test(test_names),      cmocka_unit_test(test_headers),
      cmocka_unit_test(test_pax),    cmocka_unit_test(test_long_names), cmocka_unit_test(test_extensions),
      cmocka_unit_test(test_damage),
  };
  file = memfd_create("archive", MFD_CLOEXEC);
  if (file < 0) { return 2; }
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
