// Tables as text, read row by row in one walk: CSV and TSV as RFC 4180 has them, and JSONL, one object a line. UTF-8,
// with or without a byte order mark; lines end with LF or CRLF; empty lines are passed over.
//
// A field that begins with '"' ends at the next one that is not doubled, and may hold delimiters and line ends; in any
// other field a '"' stands for itself.
#ifndef SEER_RUNTIME_DATA_TABLE_H
#define SEER_RUNTIME_DATA_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

enum { TABLE_ROW_BYTES_MAX = 1 << 20, TABLE_FIELDS_MAX = 1024 };

typedef enum TableKind { TABLE_NONE, TABLE_CSV, TABLE_TSV, TABLE_JSONL } TableKind;

// By the suffix: .csv, .tsv, .jsonl, .ndjson.
TableKind table_kind_of(const char *path);

// A row without its line end, and its place in the file. A NUL stands behind its bytes, none in them.
typedef struct TableRow {
  char *bytes;  // NULL: there are no more. Until the next row is read; free to be changed
  size_t length;
  uint64_t offset, line;  // line: from 1, that the row begins in
} TableRow;

typedef struct TableReader {
  const char *path;
  TableKind kind;
  int file;
  char *room;
  size_t start, end;  // of what was read and not yet given
  uint64_t offset, line;
  bool at_end;
  struct XXH3_state_s *hash;  // of all bytes that were read
} TableReader;

// SEER_INPUT: it is no regular file, cannot be read, or is UTF-16. To be closed even so.
SeerStatus table_open(TableReader *reader, const char *path, TableKind kind);
// SEER_INPUT names file and line: a row of more than TABLE_ROW_BYTES_MAX bytes, NUL bytes, bytes that are no UTF-8.
SeerStatus table_next(TableReader *reader, TableRow *row);
// XXH3-128 of the file, once the last row was read.
void table_hash(const TableReader *reader, char hex[33]);
void table_close(TableReader *reader);

// Takes a row of CSV or TSV apart, in place. The count of its fields, or -1 with what is wrong with it.
int table_split(TableKind kind, char *row, size_t length, char *fields[TABLE_FIELDS_MAX], const char **fault);
// Records "line LINE of 'PATH' WHAT", with a note unless it is NULL. SEER_INPUT.
SeerStatus table_fail(const char *path, uint64_t line, const char *what, const char *note);

#endif
