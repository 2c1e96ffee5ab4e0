// Diagnostics as data: stages append to a list and go on; the driver prints it once.
//
// Text: lower case, subject in single quotes, no full stop. `check` is the name in brackets, documented by
// `seerc explain NAME`. Notes say what to do.
#ifndef SEER_BASE_DIAG_H
#define SEER_BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/span.h"
#include "compiler/base/writer.h"

typedef enum DiagSeverity { DIAG_ERROR, DIAG_WARNING } DiagSeverity;

typedef struct DiagNote {
  struct DiagNote *next;
  SourceSpan span;  // file 0: no place
  const char *text;
} DiagNote;

typedef struct Diag {
  DiagSeverity severity;
  SourceSpan span;
  const char *check, *text;
  DiagNote *notes;
} Diag;

typedef struct DiagList {
  Arena *arena;
  const SourceMap *sources;
  Diag *items;
  size_t count, capacity, error_count;
} DiagList;

DiagList *diag_list_make(Arena *arena, const SourceMap *sources);
void diag_error(DiagList *list, SourceSpan span, const char *check, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warning(DiagList *list, SourceSpan span, const char *check, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// Adds a note to the diagnostic appended last.
void diag_note(DiagList *list, SourceSpan span, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Orders by file and position, then prints each with its line and carets.
void diag_print(DiagList *list, Writer *out, bool colour);
// One JSON object a line: severity, check, message, file, line, column, end_column, notes[{message,file,line,column}].
void diag_print_json(DiagList *list, Writer *out);

#endif
