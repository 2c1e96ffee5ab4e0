// The inside of an index that its reader's files share: numbers as they lie in it, and lists of words.
#ifndef SEER_RUNTIME_DATA_INDEX_BYTES_H
#define SEER_RUNTIME_DATA_INDEX_BYTES_H

#include <endian.h>
#include <string.h>

#include "runtime/data/index.h"
#include "runtime/data/kept.h"
#include "runtime/keep.h"

typedef struct SeerIndexSection {
  const uint8_t *bytes;  // NULL: there is none
  uint64_t size;
  uint32_t crc;
} SeerIndexSection;

struct SeerIndex {
  char *path;
  size_t folder_length;  // of `path`, with its '/'
  const uint8_t *map;
  uint64_t bytes;
  int64_t count;
  SeerIndexSection sections[SEER_INDEX_LABELS + 1];  // by kind
  uint64_t shard_count, label_count;
  const uint8_t *shard_names;  // a list of words
  int column_count;
  SeerIndexSection columns[SEER_INDEX_COLUMNS_MAX][3];  // words, values, sums
  SeerIndexSection perceptual;
  const SeerKeep *keep;  // NULL: all pictures are there
  SeerKept kept;         // those that are
};

static inline uint16_t seer_load16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return le16toh(value);
}

static inline uint32_t seer_load32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return le32toh(value);
}

static inline uint64_t seer_load64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return le64toh(value);
}

// Whether [bytes, bytes + size) is a list of words, all of them; *count gets how many.
bool seer_words_check(const uint8_t *bytes, uint64_t size, uint64_t *count);
// A word of a list that was checked.
static inline const char *seer_word(const uint8_t *list, uint64_t number, size_t *length) {
  uint64_t count = seer_load64(list);
  const uint8_t *places = list + 8 + number * 8;
  uint64_t begin = seer_load64(places);
  *length = (size_t)(seer_load64(places + 8) - begin);
  return (const char *)list + 8 + (count + 1) * 8 + begin;
}

// Where in the file a picture stands.
static inline int64_t seer_index_place(const SeerIndex *index, int64_t picture) {
  return index->keep != NULL ? seer_kept_select(&index->kept, picture) : picture;
}

// Of the index's file: "... is damaged", with what to do.
SeerStatus seer_index_damaged(const SeerIndex *index, const char *what);

#endif
