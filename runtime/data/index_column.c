// Columns of metadata of an index, and the check of all of it.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/crc32c.h"
#include "runtime/data/catalogue.h"
#include "runtime/data/index_bytes.h"

static SeerStatus column_damaged(const SeerIndex *index, int number, const char *what) {
  char text[128];
  snprintf(text, sizeof text, "%s of column %d do not have their checksum", what, number + 1);
  return seer_index_damaged(index, text);
}

SeerStatus seer_index_column_open(const SeerIndex *index, int number, SeerIndexColumn *column) {
  const SeerIndexSection *words = &index->columns[number][0], *values = &index->columns[number][1],
                         *sums = &index->columns[number][2];
  uint64_t count = 0;
  *column = (SeerIndexColumn){.index = index,
                              .words = words->bytes,
                              .values = values->bytes,
                              .sums = sums->bytes,
                              .words_bytes = words->size,
                              .values_bytes = values->size};
  if (seer_crc32c(words->bytes, (size_t)words->size) != words->crc ||
      seer_crc32c(sums->bytes, (size_t)sums->size) != sums->crc) {
    return column_damaged(index, number, "the words");
  }
  if (!seer_words_check(words->bytes, words->size, &count) || count == 0 || count > UINT32_MAX) {
    return seer_index_damaged(index, "the words of a column are no list");
  }
  column->name = seer_word(words->bytes, 0, &column->name_length);
  column->word_count = (int64_t)count - 1;
  column->is_number = count == 1 && values->size == (uint64_t)index->count * 8;
  if (!column->is_number && values->size != (uint64_t)index->count * 4) {
    return seer_index_damaged(index, "the values of a column are of no known size");
  }
  column->checked = calloc((size_t)(sums->size / 32) + 1, 1);
  return column->checked != NULL ? SEER_OK : seer_no_memory("a column of an index");
}

void seer_index_column_close(SeerIndexColumn *column) {
  free(column->checked);
  column->checked = NULL;
}

// Checks the block that byte `at` of the values lies in, once, or once by each of several threads that ask at once.
static SeerStatus block_check(SeerIndexColumn *column, uint64_t at) {
  uint64_t block = at / SEER_INDEX_BLOCK_BYTES, begin = block * SEER_INDEX_BLOCK_BYTES;
  uint8_t *checked = column->checked + block / 8, bit = (uint8_t)(1u << block % 8);
  if (__atomic_load_n(checked, __ATOMIC_RELAXED) & bit) { return SEER_OK; }
  uint64_t size = column->values_bytes - begin;
  if (size > SEER_INDEX_BLOCK_BYTES) { size = SEER_INDEX_BLOCK_BYTES; }
  if (seer_crc32c(column->values + begin, (size_t)size) != seer_load32(column->sums + block * 4)) {
    return seer_index_damaged(column->index, "the values of a column do not have their checksum");
  }
  __atomic_fetch_or(checked, bit, __ATOMIC_RELAXED);
  return SEER_OK;
}

SeerStatus seer_index_column_word(SeerIndexColumn *column, int64_t picture, uint32_t *word) {
  picture = seer_index_place(column->index, picture);
  SeerStatus status = block_check(column, (uint64_t)picture * 4);
  if (status != SEER_OK) { return status; }
  *word = seer_load32(column->values + (uint64_t)picture * 4);
  if (*word <= (uint64_t)column->word_count) { return SEER_OK; }
  return seer_index_damaged(column->index, "a column has a value that is none of its words");
}

SeerStatus seer_index_column_number(SeerIndexColumn *column, int64_t picture, double *number) {
  picture = seer_index_place(column->index, picture);
  SeerStatus status = block_check(column, (uint64_t)picture * 8);
  if (status != SEER_OK) { return status; }
  uint64_t bits = seer_load64(column->values + (uint64_t)picture * 8);
  memcpy(number, &bits, sizeof bits);
  return SEER_OK;
}

const char *seer_index_column_text(const SeerIndexColumn *column, uint32_t word, size_t *length) {
  return seer_word(column->words, word, length);
}

static SeerStatus column_verify(const SeerIndex *index, int number) {
  SeerIndexColumn column;
  SeerStatus status = seer_index_column_open(index, number, &column);
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(index); i++) {
    uint32_t word;
    double value;
    status =
        column.is_number ? seer_index_column_number(&column, i, &value) : seer_index_column_word(&column, i, &word);
  }
  seer_index_column_close(&column);
  const SeerIndexSection *values = &index->columns[number][1];
  if (status == SEER_OK && seer_crc32c(values->bytes, (size_t)values->size) != values->crc) {
    status = column_damaged(index, number, "the values");
  }
  return status;
}

SeerStatus seer_index_verify(const SeerIndex *index) {
  SeerStatus status = SEER_OK;
  char text[96];
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(index); i++) {
    SeerIndexEntry entry;
    bool sound = seer_index_entry(index, i, &entry);
    if (sound && seer_index_name(index, &entry) != NULL) { continue; }
    snprintf(text, sizeof text, "the %s of picture %lld does not have its checksum", sound ? "name" : "entry",
             (long long)i);
    status = seer_index_damaged(index, text);
  }
  static const char *const names[] = {"", "shards", "entries", "names", "labels"};
  for (int kind = SEER_INDEX_SHARDS; status == SEER_OK && kind <= SEER_INDEX_LABELS; kind++) {
    const SeerIndexSection *section = &index->sections[kind];
    if (seer_crc32c(section->bytes, (size_t)section->size) == section->crc) { continue; }
    snprintf(text, sizeof text, "the checksum of its %s is wrong", names[kind]);
    status = seer_index_damaged(index, text);
  }
  for (int i = 0; status == SEER_OK && i < index->column_count; i++) { status = column_verify(index, i); }
  if (status == SEER_OK && seer_index_has_perceptual(index)) { status = seer_index_perceptual_check(index); }
  return status;
}
