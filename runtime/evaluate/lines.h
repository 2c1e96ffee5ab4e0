// JSON objects, one a line: what runtime/data/table.h reads as rows, taken apart.
#ifndef SEER_RUNTIME_EVALUATE_LINES_H
#define SEER_RUNTIME_EVALUATE_LINES_H

#include "runtime/data/table.h"

struct json_t;

typedef struct SeerLines {
  TableReader reader;
  uint64_t number;  // of the line that was read last, from 1
} SeerLines;

// SEER_INPUT: see table_open. To be closed even so.
SeerStatus seer_lines_open(const char *path, SeerLines *lines);
// The next object, for the caller to release, blank lines passed over; NULL at the end. SEER_INPUT names the line.
SeerStatus seer_lines_next(SeerLines *lines, struct json_t **object);
// Says of the line that was read last what is wrong with it: "has no 'img'". SEER_INPUT.
SeerStatus seer_lines_fail(const SeerLines *lines, const char *what);
void seer_lines_close(SeerLines *lines);

// The object of a row of JSONL, for the caller to release; NULL: the row is blank. SEER_INPUT names the line.
SeerStatus seer_line_parse(const char *path, const TableRow *row, struct json_t **object);

#endif
