// Archives of others, by chance damaged: what `seerc data` makes of their members, companions and names is sound, or an
// error; never a crash, never a key that leaves the folder.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cm.h"
#include "compiler/data/facts.h"
#include "compiler/data/keys.h"
#include "compiler/data/samples.h"
#include "compiler/data/tar_write.h"
#include "runtime/random.h"
#include "runtime/status.h"
#include "runtime/utf8.h"

enum { MUTANTS = 20000, KEY_BYTES_MOST = 1100 };

static void member_add(Writer *out, const char *name, const char *content) {
  tar_member_print(out, name, content, strlen(content));
}

static void archive_print(Writer *out) {
  char longer[400];
  snprintf(longer, sizeof longer, "deep/%0300d/1.jpg", 7);
  member_add(out, "cats/1.jpg", "\xFF\xD8\xFF");
  member_add(out, "cats/1.json",
             "{\"label\": \"tabby\", \"age\": 3, \"columns\": {\"country\": \"fr\", \"list\": [1, [2]]}}");
  member_add(out, "2.x.png", "\x89PNG\r\n\x1A\n");
  member_add(out, "2.cls", " 17 \n");
  member_add(out, "2.txt", "a caption \xC3\xA9\n");
  member_add(out, longer, "picture");
  member_add(out, "no_suffix", "\xFF\xD8\xFF\xE0");
  tar_end_print(out);
}

static void checksums_repair(char *bytes, size_t count) {
  for (size_t at = 0; at + TAR_BLOCK_BYTES <= count; at += TAR_BLOCK_BYTES) {
    if (memcmp(bytes + at + 257, "ustar", 5) != 0) { continue; }
    unsigned sum = 0;
    memset(bytes + at + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) { sum += (unsigned char)bytes[at + i]; }
    snprintf(bytes + at + 148, 8, "%06o", sum & 0777777u);
  }
}

static void key_check(const char *key) {
  assert_true(key[0] != '\0' && key[0] != '/' && strlen(key) <= KEY_BYTES_MOST);
  for (const char *at = key; *at != '\0'; at++) {
    unsigned char byte = (unsigned char)*at;
    assert_true(byte >= 0x20 && byte != 0x7F && byte != '\\');
    assert_true(seer_utf8_length(at) > 0 || (byte & 0xC0) == 0x80);
    assert_false((at == key || at[-1] == '/') && at[0] == '.');  // neither "..", nor hidden
  }
  const char *slash = strrchr(key, '/');
  assert_null(strchr(slash != NULL ? slash : key, '.'));
}

// Gathers from bytes. *companions counts the metadata that was read.
static SeerStatus bytes_gather(const char *bytes, size_t count, DataSamples *samples, Arena *arena, int *companions) {
  char name[64];
  const char *sources[] = {name};
  int file = memfd_create("archive", MFD_CLOEXEC);
  assert_true(file >= 0);
  assert_int_equal(write(file, bytes, count), count);
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  seer_error_clear();
  SeerStatus status = data_samples_gather(arena, sources, 1, true, samples);
  const char **keys = status == SEER_OK ? data_keys_make(arena, samples) : NULL;
  for (size_t i = 0; status == SEER_OK && i < samples->count; i++) {
    DataFacts facts = {0};
    const char *left;
    assert_non_null(keys);
    key_check(keys[i]);
    for (size_t j = 0; j < i; j++) { assert_string_not_equal(keys[i], keys[j]); }
    assert_int_equal(data_companions_read(&samples->items[i], &facts, &left), SEER_OK);
    assert_true(json_is_object(facts.columns));
    *companions += json_object_size(facts.columns) > 0 && left == NULL;
    data_facts_release(&facts);
  }
  close(file);
  return status;
}

static void test_sound(void **state) {
  Writer archive = {0};
  Arena *arena = arena_make("archive");
  DataSamples samples = {0};
  int companions = 0;
  archive_print(&archive);
  assert_int_equal(bytes_gather(archive.text, archive.size, &samples, arena, &companions), SEER_OK);
  assert_int_equal(samples.count, 4);
  assert_int_equal(companions, 2);
  assert_string_equal(samples.items[0].name, "2.x.png");
  assert_non_null(samples.items[0].companions[COMPANION_CLS].path);
  assert_string_equal(samples.items[1].label, "cats");
  arena_release(arena);
  writer_release(&archive);
  (void)state;
}

static void test_mutants(void **state) {
  Writer archive = {0};
  int gathered = 0, refused = 0, companions = 0;
  archive_print(&archive);
  char *bytes = malloc(archive.size);
  assert_non_null(bytes);
  for (uint64_t round = 0; round < MUTANTS; round++) {
    SeerRandom random = seer_random_make(13, SEER_STREAM_STEP, 0, round, 0);
    size_t count = archive.size;
    memcpy(bytes, archive.text, count);
    for (uint32_t i = 0; i < 1 + round % 4; i++) {
      // Half of them at the beginning of a block: in names, sizes, JSON.
      uint32_t at = seer_random_below(&random, (uint32_t)count);
      if (seer_random_below(&random, 2)) { at = at / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES + at % 160; }
      if (at < count) {
        bytes[at] = seer_random_below(&random, 2) ? (char)seer_random_word(&random) : "./\"{}0"[at % 6];
      }
    }
    if (round % 8 != 0) { checksums_repair(bytes, count); }
    if (round % 10 == 0) { count = seer_random_below(&random, (uint32_t)count) + 1; }
    Arena *arena = arena_make("mutant");
    DataSamples samples = {0};
    SeerStatus status = bytes_gather(bytes, count, &samples, arena, &companions);
    assert_true(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
    gathered += status == SEER_OK;
    refused += status != SEER_OK;
    arena_release(arena);
  }
  seer_error_clear();
  print_message("%d mutants read, %d refused, metadata of %d pictures\n", gathered, refused, companions);
  assert_true(gathered > MUTANTS / 10 && refused > MUTANTS / 10 && companions > MUTANTS / 10);
  free(bytes);
  writer_release(&archive);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sound), cmocka_unit_test(test_mutants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
