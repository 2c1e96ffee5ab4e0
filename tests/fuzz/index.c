// libFuzzer target: any bytes as an index of shards. What opens gives entries, names, labels and columns that lie
// within the file, or says that they are damaged. Checksums are mended in most inputs, or only they would be tried.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/crc32c.h"
#include "runtime/data/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sum;  // keeps the reads

static void expect(bool holds) {
  if (!holds) abort();
}

static uint64_t load(const uint8_t *at, size_t bytes) {
  uint64_t value = 0;
  memcpy(&value, at, bytes);
  return value;
}

static void store(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

static void entries_repair(uint8_t *entries, uint64_t count) {
  for (uint64_t i = 0; i < count; i++, entries += SEER_INDEX_ENTRY_BYTES) {
    uint32_t crc = seer_crc32c_extend(seer_crc32c(&i, sizeof i), entries, SEER_INDEX_ENTRY_BYTES - 4);
    store(entries + SEER_INDEX_ENTRY_BYTES - 4, crc);
  }
}

static void checksums_repair(uint8_t *bytes, size_t count) {
  if (count < SEER_INDEX_HEADER_BYTES) return;
  memcpy(bytes, SEER_INDEX_MAGIC, 8);
  uint64_t sections = load(bytes + 12, 4) % 32, end = SEER_INDEX_HEADER_BYTES + sections * SEER_INDEX_SECTION_BYTES;
  store(bytes + 12, (uint32_t)sections);
  memcpy(bytes + 24, &(uint64_t){count}, 8);
  if (end > count) return;
  for (uint64_t i = 0; i < sections; i++) {
    uint8_t *row = bytes + SEER_INDEX_HEADER_BYTES + i * SEER_INDEX_SECTION_BYTES;
    uint64_t offset = load(row + 8, 8), bytes_of = load(row + 16, 8);
    if (offset < end || offset > count || bytes_of > count - offset) continue;
    if (load(row, 4) == SEER_INDEX_ENTRIES) entries_repair(bytes + offset, bytes_of / SEER_INDEX_ENTRY_BYTES);
    store(row + 24, seer_crc32c(bytes + offset, (size_t)bytes_of));
  }
  store(bytes + SEER_INDEX_CRC_AT, 0);
  store(bytes + SEER_INDEX_CRC_AT, seer_crc32c(bytes, (size_t)end));
}

static void text_read(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) sum += (unsigned char)text[i];
}

static void column_read(const SeerIndex *index, int number) {
  SeerIndexColumn column;
  size_t length;
  SeerStatus status = seer_index_column_open(index, number, &column);
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(index); i++) {
    uint32_t word = 0;
    double value;
    status =
        column.is_number ? seer_index_column_number(&column, i, &value) : seer_index_column_word(&column, i, &word);
    if (status != SEER_OK || word == 0) continue;
    const char *text = seer_index_column_text(&column, word, &length);
    text_read(text, length);
  }
  seer_index_column_close(&column);
}

static void index_read(const SeerIndex *index) {
  char text[2 * SEER_INDEX_NAME_MAX];
  size_t length;
  for (int64_t i = 0; i < seer_index_count(index); i++) {
    SeerIndexEntry entry;
    const char *name = seer_index_entry(index, i, &entry) ? seer_index_name(index, &entry) : NULL;
    if (name == NULL) continue;
    text_read(name, (size_t)entry.name_length);
    expect(entry.shard < seer_index_shard_count(index) && entry.label < seer_index_label_count(index));
    expect(entry.offset + entry.bytes <= seer_index_shard_bytes(index, entry.shard));
  }
  for (int64_t i = 0; i < seer_index_shard_count(index); i++) {
    if (seer_index_shard_path(index, i, text, sizeof text)) text_read(text, strlen(text));
    if (seer_index_shard_hash(index, i, text)) text_read(text, 32);
  }
  for (int i = 0; i < seer_index_label_count(index); i++) {
    const char *label = seer_index_label(index, i, &length);
    text_read(label, length);
  }
  for (int i = 0; i < seer_index_column_count(index); i++) column_read(index, i);
  seer_index_verify(index);
  seer_index_hash(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  uint8_t *bytes = malloc(size + 1);
  int file = memfd_create("index", MFD_CLOEXEC);
  expect(bytes != NULL && file >= 0);
  memcpy(bytes, data, size);
  if (size % 8 != 0) checksums_repair(bytes, size);
  expect(write(file, bytes, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  SeerIndex *index = NULL;
  seer_error_clear();
  SeerStatus status = seer_index_open(path, &index);
  expect(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
  if (status == SEER_OK) index_read(index);
  seer_index_close(index);
  close(file);
  free(bytes);
  return 0;
}
