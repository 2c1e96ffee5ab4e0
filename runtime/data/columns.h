// Columns of metadata of a set of pictures, opened together: what a picture has in each, as a code that can be counted.
//
// A column is that of an index (index.h), or 'label', the picture's label, unless an index has a column of that name.
// Where pictures come from several indices, a column has the values of all of them; pictures of an index without it,
// and of folders, archives and IDX files, have none.
//
// CODES. SEER_CODE_UNKNOWN: no value. Words: their place, from 1, in strcmp order among all that the data set has;
// those that came in by seer_columns_code are numbered behind them. Numbers: the bits of the double, its sign turned
// over. SEER_CODE_OTHERS stands for values that are no longer told apart.
#ifndef SEER_RUNTIME_DATA_COLUMNS_H
#define SEER_RUNTIME_DATA_COLUMNS_H

#include "runtime/data/index.h"
#include "runtime/data/source.h"

enum { SEER_COLUMNS_MAX = 8, SEER_NUMBER_BYTES = 32 };
#define SEER_CODE_UNKNOWN UINT64_C(0)
#define SEER_CODE_OTHERS UINT64_MAX

typedef struct SeerColumns SeerColumns;

// SEER_INPUT: there is no such column (the error names those there are), it holds numbers in one index and words in
// another, or an index is damaged. `names` and what is opened must outlive the columns.
SeerStatus seer_columns_open(const SeerSource *source, const char *const *names, int count, SeerColumns **columns);
SeerStatus seer_columns_open_index(const SeerIndex *index, const char *const *names, int count, SeerColumns **columns);
void seer_columns_close(SeerColumns *columns);

int seer_columns_count(const SeerColumns *columns);
const char *const *seer_columns_names(const SeerColumns *columns);
bool seer_columns_is_number(const SeerColumns *columns, int column);
// codes [count]: of one picture. Any thread. SEER_INPUT: the index is damaged there.
SeerStatus seer_columns_look(const SeerColumns *columns, int64_t picture, uint64_t *codes);
// The value's text, in `room` where it has to be made; NULL: unknown.
const char *seer_columns_text(const SeerColumns *columns, int column, uint64_t code, char room[SEER_NUMBER_BYTES]);
// The code of a word, one of its own for a word that the data set does not have. SEER_MACHINE: no memory. One thread,
// and none that looks at the same time.
SeerStatus seer_columns_code(SeerColumns *columns, int column, const char *text, uint64_t *code);

// Not finite: unknown.
uint64_t seer_number_code(double number);
double seer_code_number(uint64_t code);
// The shortest text that reads back as the same number.
const char *seer_number_text(double number, char room[SEER_NUMBER_BYTES]);

// Whether the values of a column of this name are taken for country codes: then "fr", "FR" and "FRA" are "FR".
bool seer_column_is_country(const char *name);
// The text that a value is counted under.
const char *seer_column_value(const char *name, const char *text);

#endif
