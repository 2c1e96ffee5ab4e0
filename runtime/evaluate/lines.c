// JSON objects, one a line; see lines.h.
#include "runtime/evaluate/lines.h"

#include <jansson.h>
#include <string.h>

SeerStatus seer_line_parse(const char *path, const TableRow *row, json_t **object) {
  json_error_t error;
  *object = NULL;
  if (strspn(row->bytes, " \t\r") == row->length) return SEER_OK;
  *object = json_loadb(row->bytes, row->length, JSON_REJECT_DUPLICATES, &error);
  if (json_is_object(*object)) return SEER_OK;
  SeerStatus status = table_fail(path, row->line, "is no JSON object", *object ? NULL : error.text);
  json_decref(*object);
  *object = NULL;
  return status;
}

SeerStatus seer_lines_open(const char *path, SeerLines *lines) {
  *lines = (SeerLines){.number = 0};
  return table_open(&lines->reader, path, TABLE_JSONL);
}

SeerStatus seer_lines_next(SeerLines *lines, json_t **object) {
  TableRow row;
  *object = NULL;
  SeerStatus status = table_next(&lines->reader, &row);
  while (!status && row.bytes) {
    lines->number = row.line;
    status = seer_line_parse(lines->reader.path, &row, object);
    if (status || *object) return status;
    status = table_next(&lines->reader, &row);
  }
  return status;
}

SeerStatus seer_lines_fail(const SeerLines *lines, const char *what) {
  return table_fail(lines->reader.path, lines->number, what, NULL);
}

void seer_lines_close(SeerLines *lines) { table_close(&lines->reader); }
