// A growing text buffer: the one way that stages print.
#ifndef SEER_BASE_WRITER_H
#define SEER_BASE_WRITER_H

#include <stddef.h>

typedef struct Writer {
  char *text;  // NUL-terminated once anything was written
  size_t size, capacity;
} Writer;

void writer_release(Writer *writer);
void writer_bytes(Writer *writer, const char *bytes, size_t size);
void writer_text(Writer *writer, const char *text);
void writer_printf(Writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Quoted and escaped; bytes that are not UTF-8 become U+FFFD.
void writer_json_string(Writer *writer, const char *text);
// The shortest text that reads back as the same double ("null" when not finite).
void writer_json_number(Writer *writer, double number);
// Writes through a temporary name and a rename. Returns 0 or an errno value.
int writer_save(const Writer *writer, const char *path);

#endif
