// seerc data stats --by: how the pictures of an index are distributed over the values of columns, and of their
// combinations; and how far that is from a reference.
#ifndef SEER_COMPILER_DATA_BY_H
#define SEER_COMPILER_DATA_BY_H

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"
#include "runtime/data/index.h"

// At most so many columns, different numbers in one, combinations.
enum { DATA_BY_COLUMNS_MAX = 8, DATA_BY_NUMBERS_MAX = 1 << 16, DATA_BY_COMBINATIONS_MAX = 1 << 20 };

// A value, or a combination of values, that pictures have.
typedef struct ByRow {
  const char *const *texts;  // one a column; NULL: unknown
  uint64_t count;
} ByRow;

// Rows are the most frequent first, then by text.
typedef struct ByTable {
  const char *const *names;  // of its columns
  int columns;
  ByRow *rows;  // of one column: its values alone, `unknown` counts pictures without
  size_t count;
  uint64_t unknown;
} ByTable;

typedef struct ByReference {
  const char *path;
  const char **texts;
  double *weights;  // shares or counts, as the file has them; their sum is positive
  size_t count;
} ByReference;

// Whether values are taken for country codes: then "fr", "FR" and "FRA" are "FR".
bool by_is_country(const char *column);
// The text that a value is counted under.
const char *by_value(const char *column, const char *text);

// Counts: tables[0..count-1] for each column ("label" is the label), and for more than one tables[count] for all of
// them. SEER_INPUT: the index has no such column, is damaged, or has more values than above.
SeerStatus by_count(Arena *arena, const SeerIndex *index, const char *const *columns, int count, ByTable *tables);

// A table (CSV or TSV) with a column 'value', or named as `column`, and one 'share' or 'count'. SEER_INPUT with file
// and line.
SeerStatus by_reference_load(Arena *arena, const char *path, const char *column, ByReference *reference);

// `reference` of the first and only column, or NULL.
void by_print(Arena *arena, const SeerIndex *index, const ByTable *tables, int count, const ByReference *reference,
              bool json, Writer *out);

#endif
