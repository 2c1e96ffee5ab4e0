// What a set of pictures is made of: counts of the values of columns and of their combinations, as tables with texts,
// and how far they are from a reference. What `seerc data stats --by` and the pages show is computed here.
#ifndef SEER_RUNTIME_DATA_COMPOSITION_H
#define SEER_RUNTIME_DATA_COMPOSITION_H

#include "runtime/data/cells.h"
#include "runtime/data/columns.h"
#include "runtime/data/countries.h"
#include "runtime/program.h"

// A value, or a combination of values, that pictures have.
typedef struct SeerRow {
  const char **texts;  // one a column; NULL: unknown
  uint64_t count;
} SeerRow;

// Rows are the most frequent first, then by text.
typedef struct SeerTable {
  const char *const *names;  // of its columns
  int columns;
  SeerRow *rows;  // of one column: its values alone, `unknown` counts pictures without
  size_t count;
  uint64_t unknown;
} SeerTable;

typedef struct SeerComposition {
  uint64_t pictures;
  int columns;
  SeerTable tables[SEER_COLUMNS_MAX + 1];  // of each column; of more than one, the last: of all of them
  char **texts;                            // that rows point to
  size_t text_count;
} SeerComposition;

// The text of a code, in `room` where it has to be made; NULL: unknown.
typedef const char *SeerCodeText(const void *context, int column, uint64_t code, char room[SEER_NUMBER_BYTES]);

// Of cells whose keys are the codes of `columns` columns, and perhaps a level: then only those of `least_level` and
// above are taken. `names` must outlive it.
SeerStatus seer_composition_make(const SeerCells *cells, uint64_t least_level, const char *const *names, int columns,
                                 SeerCodeText *text, const void *context, SeerComposition *composition);
void seer_composition_release(SeerComposition *composition);
// seer_columns_text as a SeerCodeText.
const char *seer_composition_text(const void *columns, int column, uint64_t code, char room[SEER_NUMBER_BYTES]);

// NULL: the table is of no column of countries, or of several, or the row is none.
const Country *seer_row_country(const SeerTable *table, const SeerRow *row);
size_t seer_table_countries(const SeerTable *table);
// Entropy of the known values' shares over that of as many equal ones: 1, all are as frequent; 0, there is but one.
// NaN: there are none.
double seer_table_entropy(const SeerTable *table);

// A table of one column beside a reference; shares are among pictures whose value is known.
typedef struct SeerComparison {
  const char **texts;          // of the data the most frequent first, then those of the reference alone
  uint64_t *counts;            // in the data
  double *shares, *reference;  // each of sum 1
  size_t count;
  uint64_t known;
  double distance, divergence;  // shares.h; NaN: no picture has a known value
} SeerComparison;

SeerStatus seer_comparison_make(const SeerTable *table, uint64_t pictures, const SeerReference *reference,
                                SeerComparison *comparison);
void seer_comparison_release(SeerComparison *comparison);
// Whether value `i` is of one side alone: missing in the data, or in the reference.
bool seer_comparison_is_absent(const SeerComparison *comparison, size_t i, bool from_data);

#endif
