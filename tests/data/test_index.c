// The index of shards: what is written is read again, every fault of it is an error that says what to do, and no mutant
// of it makes the reader leave its mapping (the sanitized build would tell).
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm.h"
#include "compiler/data/index_write.h"
#include "runtime/crc32c.h"
#include "runtime/data/index.h"
#include "runtime/data/source.h"
#include "runtime/random.h"

enum { PICTURES = 300, SHARD_BYTES = 100000, MUTANTS = 20000 };

static char folder[] = "/tmp/seer-index-XXXXXX";
static char path[64], shard[2][64];

static void file_write(const char *name, const void *bytes, size_t count) {
  int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  assert_true(file >= 0);
  assert_int_equal(write(file, bytes, count), count);
  assert_int_equal(close(file), 0);
}

// Opens an index that lies in memory: thousands of files would keep a disk busy.
static SeerStatus bytes_open(const void *bytes, size_t count, SeerIndex **index) {
  char name[64];
  int file = memfd_create("index", MFD_CLOEXEC);
  assert_true(file >= 0);
  assert_int_equal(write(file, bytes, count), count);
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  seer_error_clear();
  SeerStatus status = seer_index_open(name, index);
  close(file);
  return status;
}

static uint8_t *file_read(const char *name, size_t *count) {
  struct stat info;
  int file = open(name, O_RDONLY);
  assert_true(file >= 0 && fstat(file, &info) == 0);
  *count = (size_t)info.st_size;
  uint8_t *bytes = malloc(*count + 1);
  assert_non_null(bytes);
  assert_int_equal(read(file, bytes, *count), *count);
  close(file);
  return bytes;
}

static IndexRow row_of(int i, char *name, IndexValue *values) {
  int length = snprintf(name, 64, "cats/%d.jpg", i);
  values[0].word = (uint32_t)i % 3;
  values[1].number = i % 7 == 0 ? (double)NAN : i * 0.5;
  return (IndexRow){.name = name,
                    .name_length = (size_t)length,
                    .offset = (uint64_t)i * 300,
                    .hash = (uint64_t)i * 977 + 1,
                    .bytes = 200,
                    .shard = (uint32_t)i % 2,
                    .label = i % 5 == 0 ? UINT32_MAX : (uint32_t)i % 2,
                    .width = i + 1,
                    .height = 1000 - i,
                    .values = values};
}

static void index_write(void) {
  static const char *const labels[] = {"birds", "cats"}, *const country[] = {"country", "de", "fr"};
  static const char *const age[] = {"age"}, *const shards[] = {"a.tar", "b.tar"};
  static const char *const hashes[] = {"000102030405060708090a0b0c0d0e0f", ""};
  const uint64_t bytes[] = {SHARD_BYTES, SHARD_BYTES};
  IndexColumnPlan columns[2] = {{.is_number = false}, {.is_number = true}};
  IndexPlan plan = {.pictures = PICTURES, .columns = columns, .column_count = 2};
  IndexWriter *writer;
  IndexValue values[2];
  char name[64];
  index_words_print(&columns[0].words, country, 3);
  index_words_print(&columns[1].words, age, 1);
  index_words_print(&plan.labels, labels, 2);
  index_shards_print(&plan.shards, shards, bytes, hashes, 2);
  for (int i = 0; i < PICTURES; i++) plan.name_bytes += row_of(i, name, values).name_length;
  assert_int_equal(index_writer_open(path, &plan, &writer), SEER_OK);
  SeerStatus status = SEER_OK;
  for (int i = 0; status == SEER_OK && i < PICTURES; i++) {
    IndexRow row = row_of(i, name, values);
    status = index_writer_add(writer, &row);
  }
  assert_int_equal(index_writer_finish(writer, status), SEER_OK);
  for (int i = 0; i < 2; i++) writer_release(&columns[i].words);
  writer_release(&plan.labels);
  writer_release(&plan.shards);
}

static void picture_check(const SeerIndex *index, SeerIndexColumn *columns, int i) {
  SeerIndexEntry entry;
  IndexValue values[2];
  char wanted[64];
  IndexRow row = row_of(i, wanted, values);
  uint32_t word;
  double number;
  assert_true(seer_index_entry(index, i, &entry));
  const char *name = seer_index_name(index, &entry);
  assert_non_null(name);
  assert_int_equal(entry.name_length, row.name_length);
  assert_memory_equal(name, wanted, row.name_length);
  assert_true(entry.offset == row.offset && entry.hash == row.hash && entry.bytes == row.bytes);
  assert_true(entry.shard == row.shard && entry.width == row.width && entry.height == row.height);
  assert_int_equal(entry.label, row.label == UINT32_MAX ? -1 : (int)row.label);
  assert_int_equal(seer_index_column_word(&columns[0], i, &word), SEER_OK);
  assert_int_equal(word, values[0].word);
  assert_int_equal(seer_index_column_number(&columns[1], i, &number), SEER_OK);
  assert_true(isnan(values[1].number) ? isnan(number) : number == values[1].number);
}

static void test_round_trip(void **state) {
  SeerIndex *index;
  SeerIndexColumn columns[2];
  char hex[33];
  size_t length;
  index_write();
  assert_int_equal(seer_index_open(path, &index), SEER_OK);
  assert_int_equal(seer_index_count(index), PICTURES);
  assert_int_equal(seer_index_shard_count(index), 2);
  assert_int_equal(seer_index_check_shards(index), SEER_OK);
  assert_true(seer_index_shard_hash(index, 0, hex));
  assert_string_equal(hex, "000102030405060708090a0b0c0d0e0f");
  assert_false(seer_index_shard_hash(index, 1, hex));
  assert_int_equal(seer_index_label_count(index), 2);
  assert_memory_equal(seer_index_label(index, 1, &length), "cats", 4);
  assert_int_equal(length, 4);
  assert_int_equal(seer_index_column_count(index), 2);
  for (int i = 0; i < 2; i++) assert_int_equal(seer_index_column_open(index, i, &columns[i]), SEER_OK);
  assert_true(columns[1].is_number && !columns[0].is_number);
  assert_memory_equal(columns[0].name, "country", 7);
  assert_memory_equal(seer_index_column_text(&columns[0], 2, &length), "fr", 2);
  for (int i = 0; i < PICTURES; i++) picture_check(index, columns, i);
  assert_int_equal(seer_index_verify(index), SEER_OK);
  for (int i = 0; i < 2; i++) seer_index_column_close(&columns[i]);
  seer_index_close(index);
  (void)state;
}

static void expect_error(const char *part) {
  SeerIndex *index = NULL;
  seer_error_clear();
  SeerStatus status = seer_index_open(path, &index);
  if (status == SEER_OK) status = seer_index_check_shards(index);
  seer_index_close(index);
  assert_int_equal(status, SEER_INPUT);
  if (strstr(seer_error(), part) == NULL || strstr(seer_error(), path) == NULL || !strstr(seer_error(), "note: "))
    fail_msg("error is '%s', not '%s'", seer_error(), part);
  seer_error_clear();
}

static void store(uint8_t *at, uint64_t value, size_t bytes) { memcpy(at, &value, bytes); }

static uint64_t load(const uint8_t *at, size_t bytes) {
  uint64_t value = 0;
  memcpy(&value, at, bytes);
  return value;
}

// Gives header and section table, and where it can the sections, the checksums of what they are now.
static void checksums_repair(uint8_t *bytes, size_t count) {
  if (count < 64) return;
  uint64_t sections = load(bytes + 12, 4), end = 64 + sections * 32;
  if (sections > 1000 || end > count) return;
  for (uint64_t i = 0; i < sections; i++) {
    uint8_t *row = bytes + 64 + i * 32;
    uint64_t offset = load(row + 8, 8), size = load(row + 16, 8);
    if (offset <= count && size <= count - offset) store(row + 24, seer_crc32c(bytes + offset, (size_t)size), 4);
  }
  store(bytes + 60, 0, 4);
  store(bytes + 60, seer_crc32c(bytes, (size_t)end), 4);
}

static void test_faults(void **state) {
  size_t count;
  index_write();
  uint8_t *sound = file_read(path, &count), *bytes = malloc(count + 16);
  assert_non_null(bytes);
  static const struct {
    size_t at, bytes;
    uint64_t value;
    const char *part;
    bool repairs;
  } faults[] = {
      {0, 1, 'X', "no index of pictures", true},
      {8, 4, 2, "version 2, this program reads version 1", true},
      {8, 4, 1 << 24, "version 16777216, this program reads version 1", true},  // by a machine of the other endianness
      {16, 8, PICTURES + 1, "the checksum of its header", false},
      {16, 8, PICTURES + 1, "not as many entries as pictures", true},
      {16, 8, UINT64_MAX, "too many pictures", true},
      {24, 8, 1, "its header says 1", true},
      {12, 4, 100000, "too many sections", true},
      {64, 4, 9, "no known kind", true},
      {64 + 8, 8, 8, "do not fit the file", true},
      {64 + 32 + 8, 8, 64 + 32 * 10, "do not fit the file", true},  // where the first begins
      {64 + 16, 8, UINT64_MAX, "do not fit the file", true},
      {64 + 32, 4, 1, "or one twice", true},
      {64 + 24, 4, 77, "the checksum of its header", false},
  };
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    memcpy(bytes, sound, count);
    store(bytes + faults[i].at, faults[i].value, faults[i].bytes);
    if (faults[i].repairs) checksums_repair(bytes, count);
    file_write(path, bytes, count);
    expect_error(faults[i].part);
  }
  memcpy(bytes, sound, count);
  uint64_t shards = load(bytes + 64 + 8, 8);
  bytes[shards + 8] ^= 1;  // of a shard's size
  file_write(path, bytes, count);
  expect_error("the checksum of its shards or labels");
  checksums_repair(bytes, count);
  file_write(path, bytes, count);
  expect_error("does not fit its shards");
  file_write(path, sound, count - 8);
  expect_error("its header says");
  file_write(path, sound, 10);
  expect_error("no index of pictures");
  file_write(path, "", 0);
  expect_error("it is empty");
  file_write(path, sound, count);
  assert_int_equal(truncate(shard[1], SHARD_BYTES - 1), 0);
  expect_error("does not fit its shards");
  assert_int_equal(unlink(shard[1]), 0);
  expect_error("cannot be read: No such file");
  file_write(shard[1], "", 0);
  assert_int_equal(truncate(shard[1], SHARD_BYTES), 0);
  char other[80];
  snprintf(other, sizeof other, "%s/c.tar", folder);
  file_write(other, "", 0);
  expect_error("names 2 of the 3 tar archives");
  unlink(other);
  free(sound);
  free(bytes);
  (void)state;
}

// Every single flipped bit of it is noticed by seer_index_verify, or lies between sections.
static void test_flips(void **state) {
  size_t count, unnoticed = 0;
  index_write();
  uint8_t *bytes = file_read(path, &count);
  for (size_t at = 0; at < count; at += 3) {
    SeerIndex *index;
    bytes[at] ^= (uint8_t)(1u << at % 8);
    SeerStatus status = bytes_open(bytes, count, &index);
    if (status == SEER_OK) {
      status = seer_index_verify(index);
      seer_index_close(index);
    }
    unnoticed += status == SEER_OK;
    seer_error_clear();
    bytes[at] ^= (uint8_t)(1u << at % 8);
  }
  assert_in_range(unnoticed, 0, 7 * 10);  // at most 7 bytes behind each of 10 sections
  free(bytes);
  (void)state;
}

// Reads all that an index gives.
static void everything_read(const SeerIndex *index) {
  char text[2 * SEER_INDEX_NAME_MAX];
  unsigned sum = 0;
  size_t length;
  for (int64_t i = 0; i < seer_index_count(index); i++) {
    SeerIndexEntry entry;
    const char *name = seer_index_entry(index, i, &entry) ? seer_index_name(index, &entry) : NULL;
    if (name == NULL) continue;
    for (int j = 0; j < entry.name_length; j++) sum += (unsigned char)name[j];
    assert_true(entry.shard < seer_index_shard_count(index) && entry.label < seer_index_label_count(index));
    assert_true(entry.offset + entry.bytes <= seer_index_shard_bytes(index, entry.shard));
  }
  for (int64_t i = 0; i < seer_index_shard_count(index); i++)
    sum += seer_index_shard_path(index, i, text, sizeof text) + (seer_index_shard_hash(index, i, text) ? 1u : 0u);
  for (int i = 0; i < seer_index_label_count(index); i++) {
    const char *label = seer_index_label(index, i, &length);
    for (size_t j = 0; j < length; j++) sum += (unsigned char)label[j];
  }
  for (int i = 0; i < seer_index_column_count(index); i++) {
    SeerIndexColumn column;
    SeerStatus status = seer_index_column_open(index, i, &column);
    for (int64_t j = 0; status == SEER_OK && j < seer_index_count(index); j++) {
      uint32_t word = 0;
      double number;
      status =
          column.is_number ? seer_index_column_number(&column, j, &number) : seer_index_column_word(&column, j, &word);
      if (status != SEER_OK || word == 0) continue;
      const char *value = seer_index_column_text(&column, word, &length);
      for (size_t k = 0; k < length; k++) sum += (unsigned char)value[k];
    }
    seer_index_column_close(&column);
  }
  seer_index_verify(index);
  assert_true(sum != 1);  // keeps the reads
}

static size_t mutate(uint8_t *bytes, size_t count, size_t sound_count, SeerRandom *random) {
  static const uint64_t odd[] = {0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
  uint32_t changes = 1 + seer_random_below(random, 4);
  for (uint32_t i = 0; i < changes; i++) {
    // Most of them where the structure is: the header, the table, and the beginnings of sections.
    uint32_t room = seer_random_below(random, 3) ? 512 : (uint32_t)count;
    size_t at = seer_random_below(random, room);
    if (seer_random_below(random, 4) == 0) {
      uint64_t sections = sound_count < 76 ? 0 : load(bytes + 12, 4);
      uint64_t offset =
          sections > 0 && sections < 20 ? load(bytes + 64 + 8 + seer_random_below(random, 10) * 32, 8) : 0;
      at = (size_t)(offset < count ? offset : 0) + seer_random_below(random, 24);
    }
    if (at >= count) at = count - 1;
    uint32_t kind = seer_random_below(random, 3);
    size_t width = seer_random_below(random, 2) ? 8 : 4;
    if (kind == 0)
      bytes[at] ^= (uint8_t)(1u << seer_random_below(random, 8));
    else if (kind == 1)
      bytes[at] = (uint8_t)seer_random_word(random);
    else if (count - at / 4 * 4 >= width)
      store(bytes + at / 4 * 4, odd[seer_random_below(random, sizeof odd / sizeof *odd)], width);
  }
  if (seer_random_below(random, 10) == 0) count = 1 + seer_random_below(random, (uint32_t)count);
  return count;
}

static void test_mutants(void **state) {
  size_t sound_count;
  int opened = 0, refused = 0;
  index_write();
  uint8_t *sound = file_read(path, &sound_count), *bytes = malloc(sound_count + 16);
  assert_non_null(bytes);
  for (uint64_t round = 0; round < MUTANTS; round++) {
    SeerRandom random = seer_random_make(11, SEER_STREAM_STEP, 0, round, 0);
    memcpy(bytes, sound, sound_count);
    size_t count = mutate(bytes, sound_count, sound_count, &random);
    if (round % 8 != 0) {
      if (count >= 32 && round % 16 != 1) store(bytes + 24, count, 8);
      checksums_repair(bytes, count);
    }
    SeerIndex *index;
    SeerStatus status = bytes_open(bytes, count, &index);
    assert_true(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
    opened += status == SEER_OK;
    refused += status != SEER_OK;
    if (status == SEER_OK) everything_read(index);
    if (status == SEER_OK) seer_index_close(index);
  }
  seer_error_clear();
  print_message("%d mutants opened, %d refused\n", opened, refused);
  assert_true(opened > MUTANTS / 10 && refused > MUTANTS / 10);
  free(sound);
  free(bytes);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_flips),
      cmocka_unit_test(test_mutants),
  };
  if (mkdtemp(folder) == NULL) { return 2; }
  snprintf(path, sizeof path, "%s/%s", folder, SEER_INDEX_NAME);
  for (int i = 0; i < 2; i++) {
    snprintf(shard[i], sizeof shard[i], "%s/%c.tar", folder, 'a' + i);
    int file = open(shard[i], O_WRONLY | O_CREAT, 0666);
    if (file < 0 || ftruncate(file, SHARD_BYTES) != 0) { return 2; }
    close(file);
  }
  int result = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  unlink(shard[0]);
  unlink(shard[1]);
  rmdir(folder);
  return result;
}
