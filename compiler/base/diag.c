// The list of diagnostics, and its printing as text with carets or as JSON lines; see diag.h.
#include "compiler/base/diag.h"

#include <stdarg.h>
#include <stdlib.h>

#include "compiler/base/bug.h"

DiagList *diag_list_make(Arena *arena, const SourceMap *sources) {
  DiagList *list = arena_new(arena, DiagList);
  list->arena = arena;
  list->sources = sources;
  return list;
}

static void append(DiagList *list, DiagSeverity severity, SourceSpan span, const char *check, const char *text) {
  Diag diag = {.severity = severity, .span = span, .check = check, .text = text};
  arena_push(list->arena, list, Diag, diag);
  if (severity == DIAG_ERROR) list->error_count++;
}

void diag_error(DiagList *list, SourceSpan span, const char *check, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(list, DIAG_ERROR, span, check, arena_vprintf(list->arena, format, arguments));
  va_end(arguments);
}

void diag_warning(DiagList *list, SourceSpan span, const char *check, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(list, DIAG_WARNING, span, check, arena_vprintf(list->arena, format, arguments));
  va_end(arguments);
}

void diag_note(DiagList *list, SourceSpan span, const char *format, ...) {
  if (!list->count) BUG("a note without a diagnostic");
  va_list arguments;
  va_start(arguments, format);
  DiagNote *note = arena_new(list->arena, DiagNote);
  note->span = span;
  note->text = arena_vprintf(list->arena, format, arguments);
  va_end(arguments);
  DiagNote **tail = &list->items[list->count - 1].notes;
  while (*tail) tail = &(*tail)->next;
  *tail = note;
}

static bool comes_before(const Diag *a, const Diag *b) {
  if (a->span.file != b->span.file) return a->span.file < b->span.file;
  return a->span.begin < b->span.begin;
}

// Insertion sort: lists are short, and equal places keep the order in which they were found.
static void sort_by_place(DiagList *list) {
  for (size_t i = 1; i < list->count; i++) {
    Diag diag = list->items[i];
    size_t j = i;
    for (; j > 0 && comes_before(&diag, &list->items[j - 1]); j--) list->items[j] = list->items[j - 1];
    list->items[j] = diag;
  }
}

static void print_carets(Writer *out, const SourcePlace *place, bool colour) {
  writer_printf(out, "%5u | ", place->line);
  writer_bytes(out, place->line_text, place->line_length);
  writer_text(out, "\n      | ");
  for (uint32_t i = 0; i + 1 < place->column; i++) writer_text(out, place->line_text[i] == '\t' ? "\t" : " ");
  if (colour) writer_text(out, "\033[1;32m");
  for (uint32_t i = 0; i < place->caret_length; i++) writer_text(out, i ? "~" : "^");
  writer_text(out, colour ? "\033[0m\n" : "\n");
}

static void print_place(Writer *out, const SourceMap *sources, SourceSpan span) {
  if (span.file == 0) {
    writer_text(out, "seerc: ");
    return;
  }
  SourcePlace place = source_place(sources, span);
  writer_printf(out, "%s:%u:%u: ", place.file, place.line, place.column);
}

static void print_one(const DiagList *list, const Diag *diag, Writer *out, bool colour) {
  bool is_error = diag->severity == DIAG_ERROR;
  print_place(out, list->sources, diag->span);
  if (colour) writer_text(out, is_error ? "\033[1;31m" : "\033[1;35m");
  writer_text(out, is_error ? "error: " : "warning: ");
  if (colour) writer_text(out, "\033[0m");
  writer_printf(out, "%s [%s]\n", diag->text, diag->check);
  if (diag->span.file) {
    SourcePlace place = source_place(list->sources, diag->span);
    print_carets(out, &place, colour);
  }
  for (const DiagNote *note = diag->notes; note; note = note->next) {
    print_place(out, list->sources, note->span);
    writer_printf(out, "note: %s\n", note->text);
    if (note->span.file) {
      SourcePlace place = source_place(list->sources, note->span);
      print_carets(out, &place, colour);
    }
  }
}

void diag_print(DiagList *list, Writer *out, bool colour) {
  sort_by_place(list);
  for (size_t i = 0; i < list->count; i++) print_one(list, &list->items[i], out, colour);
}

static void print_place_json(Writer *out, const SourceMap *sources, SourceSpan span) {
  if (span.file == 0) return;
  SourcePlace place = source_place(sources, span);
  writer_text(out, ",\"file\":");
  writer_json_string(out, place.file);
  writer_printf(out, ",\"line\":%u,\"column\":%u,\"end_column\":%u", place.line, place.column,
                place.column + place.caret_length);
}

void diag_print_json(DiagList *list, Writer *out) {
  sort_by_place(list);
  for (size_t i = 0; i < list->count; i++) {
    const Diag *diag = &list->items[i];
    writer_printf(out, "{\"severity\":\"%s\",\"check\":", diag->severity == DIAG_ERROR ? "error" : "warning");
    writer_json_string(out, diag->check);
    writer_text(out, ",\"message\":");
    writer_json_string(out, diag->text);
    print_place_json(out, list->sources, diag->span);
    writer_text(out, ",\"notes\":[");
    for (const DiagNote *note = diag->notes; note; note = note->next) {
      writer_text(out, note == diag->notes ? "{\"message\":" : ",{\"message\":");
      writer_json_string(out, note->text);
      print_place_json(out, list->sources, note->span);
      writer_text(out, "}");
    }
    writer_text(out, "]}\n");
  }
}
