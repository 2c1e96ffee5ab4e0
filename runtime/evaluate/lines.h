// JSON objects, one a line.
#ifndef SEER_RUNTIME_EVALUATE_LINES_H
#define SEER_RUNTIME_EVALUATE_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/status.h"

struct json_t;

typedef struct SeerLines {
  const char *path;
  FILE *file;
  char *text;
  size_t capacity;
  int64_t number;  // of the line that was read last, from 1
} SeerLines;

SeerStatus seer_lines_open(const char *path, SeerLines *lines);
// The next object, for the caller to release, blank lines passed over; NULL at the end. SEER_INPUT names the line.
SeerStatus seer_lines_next(SeerLines *lines, struct json_t **object);
void seer_lines_close(SeerLines *lines);

#endif
