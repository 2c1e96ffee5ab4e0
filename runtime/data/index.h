// The index of a set of shards: one file that says where every picture lies and what is known of it, so that a run
// over a billion pictures starts at once. It is memory-mapped; opening reads its header, its table of shards and the
// names of its labels, and a look-up touches one or two pages.
//
// FORMAT, version 1. Numbers are little-endian and unsigned; sections begin at multiples of 8 and follow each other in
// the order of their table with at most 7 zero bytes between, the last one included.
//   header, 64 bytes: "SEERIDX\n"; u32 version; u32 sections; u64 pictures; u64 bytes of the file; 28 bytes of zero;
//     u32 CRC-32C of header and section table, this field taken as 0
//   section table, 32 bytes each: u32 kind; u32 column; u64 offset; u64 bytes; u32 CRC-32C of the section; u32 zero
// Kinds, 1 to 4 once each:
//   1 shards: u64 count; count times {u64 bytes, 16 bytes XXH3-128 of the file, high half first, zero: not known};
//     then a list of words, the shards' paths, absolute or relative to the index's folder. A shard is a tar archive, or
//     a picture's file by itself.
//   2 entries, 48 bytes a picture: u64 offset in the shard; u64 XXH3-64 of its bytes, 0: not known; u64 place of its
//     name in section 3; u32 bytes; u32 shard; u32 label, 0xFFFFFFFF: none; u16 width, u16 height as stored, before
//     EXIF orientation, 0: not known; u16 length of its name; u16 flags, 1: the shard is the picture's own file; u32
//     CRC-32C of the entry's number as u64 and of the 44 bytes before
//   3 names: for each picture its name in the shard, and a u32 CRC-32C of it
//   4 labels: a list of words in strcmp order
// and for each column of metadata, numbered from 0:
//   5 its words: a list, the first its name; of a column of text then the values that occur, in strcmp order
//   6 its values: u32 a picture, the number of a word, 0: no value; of a column of numbers f64, NaN: no value
//   7 u32 CRC-32C of each 65,536 bytes of section 6
// and, if there are any, once:
//   8 perceptual hashes: u64 a picture, 0: none. Bit i of one says whether a coefficient of the cosine transform of the
//     picture's brightness, averaged over 32 x 32 fields, is above the median of all 64: that of frequency i / 8 from
//     top to bottom and i % 8 from left to right; bit 0 that of 8 and 0.
// A list of words: u64 count; count + 1 times u64 place in the text, from 0 to its length; the text.
// A column with but one word in section 5 and 8 bytes a picture in section 6 is of numbers.
//
// Nothing in the file is trusted. Sections of kind 1, 4, 5 and 7 are checked against their CRC before they are used,
// entries, names and blocks of values whenever they are read, section 8 before near duplicates are looked for; CRCs of
// whole sections 2, 3, 6 and 8 by 'seerc data verify'.
#ifndef SEER_RUNTIME_DATA_INDEX_H
#define SEER_RUNTIME_DATA_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

#define SEER_INDEX_NAME "pictures.index"  // in a folder of shards
#define SEER_INDEX_MAGIC "SEERIDX\n"

enum {
  SEER_INDEX_VERSION = 1,
  SEER_INDEX_HEADER_BYTES = 64,
  SEER_INDEX_CRC_AT = 60,
  SEER_INDEX_SECTION_BYTES = 32,
  SEER_INDEX_ENTRY_BYTES = 48,
  SEER_INDEX_SHARD_BYTES = 24,
  SEER_INDEX_BLOCK_BYTES = 65536,
  SEER_INDEX_WHOLE_FILE = 1,  // flag of an entry
  SEER_INDEX_COLUMNS_MAX = 256,
  SEER_INDEX_NAME_MAX = 4096,
};

typedef enum SeerIndexKind {
  SEER_INDEX_SHARDS = 1,
  SEER_INDEX_ENTRIES,
  SEER_INDEX_NAMES,
  SEER_INDEX_LABELS,
  SEER_INDEX_WORDS,
  SEER_INDEX_VALUES,
  SEER_INDEX_SUMS,
  SEER_INDEX_PERCEPTUAL,
} SeerIndexKind;

typedef struct SeerIndex SeerIndex;

typedef struct SeerIndexEntry {
  uint64_t offset, hash, name_at;
  uint32_t bytes, shard;
  int32_t label;  // -1: none
  int width, height;
  int name_length;
  bool is_whole_file;
} SeerIndexEntry;

// Maps `path` and checks header, section table, shards and labels. SEER_INPUT names the file and what to do.
SeerStatus seer_index_open(const char *path, SeerIndex **index);
// That every shard is there and has the size that the index says, and that the folder of an index named
// SEER_INDEX_NAME holds no other tar archives.
SeerStatus seer_index_check_shards(const SeerIndex *index);
void seer_index_close(SeerIndex *index);

const char *seer_index_path(const SeerIndex *index);
// Of an index that only some pictures of are kept (keep.h), as all that counts pictures: of those.
int64_t seer_index_count(const SeerIndex *index);
// Of everything in the index, and of the condition that pictures are kept by.
uint64_t seer_index_hash(const SeerIndex *index);
// False: the entry is damaged or points outside of its shard. 0 <= picture < count; any thread.
bool seer_index_entry(const SeerIndex *index, int64_t picture, SeerIndexEntry *entry);
// The name of the picture in its shard, without a NUL; NULL: it is damaged.
const char *seer_index_name(const SeerIndex *index, const SeerIndexEntry *entry);

// A shard's path as the index has it, not NUL-terminated, with its length; and where it is from here, false when that
// is longer than `room`.
int64_t seer_index_shard_count(const SeerIndex *index);
const char *seer_index_shard_name(const SeerIndex *index, int64_t shard, size_t *length);
bool seer_index_shard_path(const SeerIndex *index, int64_t shard, char *path, size_t room);
uint64_t seer_index_shard_bytes(const SeerIndex *index, int64_t shard);
// 32 hexadecimal digits and a NUL; false: not known.
bool seer_index_shard_hash(const SeerIndex *index, int64_t shard, char hex[33]);

// Words of labels, not NUL-terminated.
int seer_index_label_count(const SeerIndex *index);
const char *seer_index_label(const SeerIndex *index, int label, size_t *length);

// A column of metadata, opened for reading by any threads.
typedef struct SeerIndexColumn {
  const SeerIndex *index;
  const char *name;  // not NUL-terminated
  size_t name_length;
  bool is_number;
  int64_t word_count;  // of its values; text only
  const uint8_t *words, *values, *sums;
  uint8_t *checked;  // a bit for each block of values that was
  uint64_t words_bytes, values_bytes;
} SeerIndexColumn;

int seer_index_column_count(const SeerIndex *index);
SeerStatus seer_index_column_open(const SeerIndex *index, int number, SeerIndexColumn *column);
void seer_index_column_close(SeerIndexColumn *column);
// SEER_INPUT: damaged. *word from 1, 0: none; *number NaN: none.
SeerStatus seer_index_column_word(SeerIndexColumn *column, int64_t picture, uint32_t *word);
SeerStatus seer_index_column_number(SeerIndexColumn *column, int64_t picture, double *number);
// 1 <= word <= word_count.
const char *seer_index_column_text(const SeerIndexColumn *column, uint32_t word, size_t *length);

// What pictures look like; 0: not known, or none are there.
uint64_t seer_index_perceptual(const SeerIndex *index, int64_t picture);
bool seer_index_has_perceptual(const SeerIndex *index);
// That they are there and what was written.
SeerStatus seer_index_perceptual_check(const SeerIndex *index);

// Every CRC of the file, every entry and name. SEER_INPUT with the first that is wrong.
SeerStatus seer_index_verify(const SeerIndex *index);

#endif
