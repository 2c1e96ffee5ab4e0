// Writes an index (runtime/data/index.h) picture by picture, through a temporary name: it appears whole or not at all.
#ifndef SEER_COMPILER_DATA_INDEX_WRITE_H
#define SEER_COMPILER_DATA_INDEX_WRITE_H

#include "compiler/base/writer.h"
#include "runtime/data/index.h"

typedef struct IndexColumnPlan {
  bool is_number;
  Writer words;  // a list of words as it stands in the file: name, then values in strcmp order
} IndexColumnPlan;

// What must be known before the first picture; lists of words are made by index_words_*.
typedef struct IndexPlan {
  uint64_t pictures, name_bytes;  // name_bytes: of all names together
  Writer shards;                  // the section
  Writer labels;
  const IndexColumnPlan *columns;
  int column_count;
  bool has_perceptual;
} IndexPlan;

typedef union IndexValue {
  uint32_t word;
  double number;
} IndexValue;

typedef struct IndexRow {
  const char *name;
  size_t name_length;  // longer names are cut at SEER_INDEX_NAME_MAX - 1
  uint64_t offset, hash;
  uint32_t bytes, shard, label;  // label UINT32_MAX: none
  int width, height;
  bool is_whole_file;
  const IndexValue *values;  // by column
  uint64_t perceptual;
} IndexRow;

typedef struct IndexWriter IndexWriter;

// The list of `count` words, NUL-terminated and in order.
void index_words_print(Writer *list, const char *const *words, size_t count);
// The section of shards; `hashes` of 32 hexadecimal digits, or "" where not known.
void index_shards_print(Writer *section, const char *const *paths, const uint64_t *bytes, const char *const *hashes,
                        size_t count);

SeerStatus index_writer_open(const char *path, const IndexPlan *plan, IndexWriter **writer);
SeerStatus index_writer_add(IndexWriter *writer, const IndexRow *row);
// Flushes and renames into place when `status` is SEER_OK and as many pictures came as were planned; else removes what
// was written and returns `status`.
SeerStatus index_writer_finish(IndexWriter *writer, SeerStatus status);

#endif
