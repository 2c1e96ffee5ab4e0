// seerc data list and stats: what an index tells of its pictures.
#ifndef SEER_COMPILER_DATA_LIST_H
#define SEER_COMPILER_DATA_LIST_H

#include "compiler/base/writer.h"
#include "runtime/data/index.h"

// One picture a line: place, bytes, width x height, label, columns; or as JSON. Written to standard output as it goes.
// SEER_INPUT after a damaged entry or column.
SeerStatus data_list(const SeerIndex *index, bool json);
// Counts, bytes, formats, sides, labels, values of columns, exact duplicates; as text or one JSON object. near_distance
// -1, or as for data_near_print: near duplicates, too.
SeerStatus data_stats(const SeerIndex *index, int near_distance, int jobs, bool json, Writer *out);

// All columns of an index, opened.
typedef struct DataColumns {
  SeerIndexColumn items[SEER_INDEX_COLUMNS_MAX];
  int count;
} DataColumns;

SeerStatus data_columns_open(const SeerIndex *index, DataColumns *columns);
void data_columns_close(DataColumns *columns);

// Length of a member's key: its name up to the first dot of the last part, as WebDataset has it.
size_t data_key_length(const char *name, size_t length);
// A text of `length` bytes as a JSON string.
void data_json_text(Writer *out, const char *text, size_t length);
// For a terminal: '?' stands for control characters.
void data_plain_text(Writer *out, const char *text, size_t length);

#endif
