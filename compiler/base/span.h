// Source files and spans. A position is a byte range in a file; line and column are computed when printing.
#ifndef SEER_BASE_SPAN_H
#define SEER_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "compiler/base/arena.h"

// file: index in the SourceMap plus one; 0 means "no place" (made by the compiler).
typedef struct SourceSpan {
  uint32_t file, begin, end;
} SourceSpan;

typedef struct SourceFile {
  const char *name;  // as the user wrote it, shown in messages
  const char *text;  // NUL-terminated
  size_t size;
} SourceFile;

typedef struct SourceMap {
  Arena *arena;
  SourceFile *items;
  size_t count, capacity;
} SourceMap;

typedef struct SourcePlace {
  const char *file;
  uint32_t line, column;  // from 1; columns count bytes
  const char *line_text;  // not NUL-terminated
  uint32_t line_length;   // without the newline
  uint32_t caret_length;  // at least 1, ends with the line
} SourcePlace;

SourceMap *source_map_make(Arena *arena);
// Returns the file number for spans. The text is copied.
uint32_t source_map_add(SourceMap *map, const char *name, const char *text, size_t size);
const SourceFile *source_map_file(const SourceMap *map, uint32_t file);
SourcePlace source_place(const SourceMap *map, SourceSpan span);
SourceSpan span_join(SourceSpan first, SourceSpan last);
// "rg.seer:12" without folders, so that emitted files do not depend on where a spec lies; "built in" for no place.
const char *span_label(Arena *arena, const SourceMap *map, SourceSpan span);

#endif
