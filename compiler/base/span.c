// Sources and byte spans in them; lines and columns are counted here, when something is printed.
#include "compiler/base/span.h"

#include <string.h>

#include "compiler/base/bug.h"

SourceMap *source_map_make(Arena *arena) {
  SourceMap *map = arena_new(arena, SourceMap);
  map->arena = arena;
  return map;
}

uint32_t source_map_add(SourceMap *map, const char *name, const char *text, size_t size) {
  SourceFile file = {
      .name = arena_printf(map->arena, "%s", name), .text = arena_string(map->arena, text, size), .size = size};
  arena_push(map->arena, map, SourceFile, file);
  return (uint32_t)map->count;
}

const SourceFile *source_map_file(const SourceMap *map, uint32_t file) {
  if (file == 0 || file > map->count) BUG("no source file %u", file);
  return &map->items[file - 1];
}

SourcePlace source_place(const SourceMap *map, SourceSpan span) {
  const SourceFile *file = source_map_file(map, span.file);
  size_t begin = span.begin < file->size ? span.begin : file->size;
  SourcePlace place = {.file = file->name, .line = 1};
  size_t line_begin = 0;
  for (size_t i = 0; i < begin; i++) {
    if (file->text[i] == '\n') {
      place.line++;
      line_begin = i + 1;
    }
  }
  size_t line_end = begin;
  while (line_end < file->size && file->text[line_end] != '\n') line_end++;
  size_t end = span.end < line_end ? span.end : line_end;
  place.column = (uint32_t)(begin - line_begin + 1);
  place.line_text = file->text + line_begin;
  place.line_length = (uint32_t)(line_end - line_begin);
  place.caret_length = end > begin ? (uint32_t)(end - begin) : 1;
  return place;
}

SourceSpan span_join(SourceSpan first, SourceSpan last) {
  if (first.file == 0) return last;
  if (last.file != first.file) return first;
  return (SourceSpan){first.file, first.begin, last.end > first.end ? last.end : first.end};
}

const char *span_label(Arena *arena, const SourceMap *map, SourceSpan span) {
  if (span.file == 0) return "built in";
  SourcePlace place = source_place(map, span);
  const char *slash = strrchr(place.file, '/');
  return arena_printf(arena, "%s:%u", slash ? slash + 1 : place.file, place.line);
}
