// IDX files by chance damaged, plain and packed, pictures and labels: pictures that can all be decoded, or an error
// that names the file; never a crash, and no more memory than the file can fill.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "cm.h"
#include "heap.h"
#include "runtime/data/source.h"
#include "runtime/random.h"

enum { MUTANTS = 20000, PICTURES = 6, SIDE = 5, FILE_BYTES_MOST = 1 << 12, PACKED_MOST = 1032 };

typedef struct Bytes {
  uint8_t bytes[FILE_BYTES_MOST];
  size_t count;
} Bytes;

static void idx_make(Bytes *file, int dimensions, const uint32_t *sizes) {
  size_t values = 1;
  *file = (Bytes){.bytes = {0, 0, 8, (uint8_t)dimensions}, .count = 4};
  for (int i = 0; i < dimensions; i++) {
    for (int shift = 24; shift >= 0; shift -= 8) { file->bytes[file->count++] = (uint8_t)(sizes[i] >> shift); }
    values *= sizes[i];
  }
  for (size_t i = 0; i < values; i++) { file->bytes[file->count++] = (uint8_t)(i * 7 % 10); }
}

static void gzip(Bytes *file) {
  Bytes packed;
  z_stream stream = {0};
  assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = file->bytes;
  stream.avail_in = (unsigned)file->count;
  stream.next_out = packed.bytes;
  stream.avail_out = sizeof packed.bytes;
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.count = stream.total_out;
  deflateEnd(&stream);
  *file = packed;
}

static void mutate(Bytes *file, SeerRandom *random) {
  static const uint8_t odd[] = {0, 1, 0x7F, 0x80, 0xFF};
  uint32_t changes = seer_random_below(random, 4);
  for (uint32_t i = 0; i < changes; i++) {
    uint32_t room = seer_random_below(random, 2) && file->count > 20 ? 20 : (uint32_t)file->count;
    uint8_t *at = file->bytes + seer_random_below(random, room);
    *at = seer_random_below(random, 2) ? (uint8_t)seer_random_word(random) : odd[seer_random_below(random, 5)];
  }
  if (seer_random_below(random, 10) == 0) { file->count = 1 + seer_random_below(random, (uint32_t)file->count); }
}

static const char *file_write(int file, const Bytes *content, char name[64]) {
  assert_int_equal(ftruncate(file, (off_t)content->count), 0);
  assert_int_equal(pwrite(file, content->bytes, content->count, 0), content->count);
  snprintf(name, 64, "/proc/self/fd/%d", file);
  return name;
}

static void pictures_decode(const SeerSource *source) {
  SeerPicture picture = {0};
  const char *reason = NULL;
  for (int64_t i = 0; i < seer_source_count(source); i++) {
    assert_int_equal(seer_source_decode(source, i, 1 << 20, &picture, &reason), SEER_OK);
    int32_t label = seer_source_label(source, i);
    assert_true(label >= 0 && label < seer_source_label_count(source));
    assert_non_null(seer_source_name(source, i));
  }
  seer_picture_release(&picture);
}

static void test_mutants(void **state) {
  static const uint32_t sizes[] = {PICTURES, SIDE, SIDE, 3}, label_sizes[] = {PICTURES};
  char names[2][64];
  int files[2], opened = 0;
  for (int i = 0; i < 2; i++) { files[i] = memfd_create("idx", MFD_CLOEXEC); }
  assert_true(files[0] >= 0 && files[1] >= 0);
  for (uint64_t round = 0; round < MUTANTS; round++) {
    SeerRandom random = seer_random_make(19, SEER_STREAM_STEP, 0, round, 0);
    Bytes pictures, labels;
    idx_make(&pictures, round % 2 ? 4 : 3, sizes);
    idx_make(&labels, 1, label_sizes);
    bool packed = round % 3 == 0, before = round % 5 != 0;  // damaged before it is packed, or as it is
    if (packed && !before) { gzip(&pictures); }
    mutate(round % 8 ? &pictures : &labels, &random);
    if (packed && before) { gzip(&pictures); }
    const char *patterns[] = {file_write(files[0], &pictures, names[0]), NULL};
    SeerSource *source = NULL;
    seer_error_clear();
    int64_t held = heap_begin();
    SeerStatus status = seer_source_open(patterns, file_write(files[1], &labels, names[1]), &source);
    assert_in_range(atomic_load(&heap_most) - held, 0, (2 << 20) + (int64_t)pictures.count * PACKED_MOST * 40);
    assert_true(status == SEER_OK || (status == SEER_INPUT && strstr(seer_error(), "/proc/self/fd/") != NULL));
    if (status == SEER_OK) { pictures_decode(source); }
    opened += status == SEER_OK;
    seer_source_close(source);
    assert_int_equal(atomic_load(&heap_held), held);
  }
  seer_error_clear();
  for (int i = 0; i < 2; i++) { close(files[i]); }
  print_message("%d of %d mutants are read\n", opened, MUTANTS);
  assert_true(opened > MUTANTS / 10 && opened < MUTANTS * 9 / 10);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
