// Text that grows; see writer.h.
#include "compiler/base/writer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"

void writer_release(Writer *writer) {
  free(writer->text);
  *writer = (Writer){0};
}

static void reserve(Writer *writer, size_t extra) {
  size_t needed = writer->size + extra + 1;
  if (needed <= writer->capacity) return;
  size_t capacity = writer->capacity ? writer->capacity * 2 : 4096;
  while (capacity < needed) capacity *= 2;
  char *text = realloc(writer->text, capacity);
  if (!text) {
    fprintf(stderr, "seerc: error: out of memory asking for %zu bytes\n", capacity);
    _Exit(3);
  }
  writer->text = text;
  writer->capacity = capacity;
}

void writer_bytes(Writer *writer, const char *bytes, size_t size) {
  reserve(writer, size);
  if (size) memcpy(writer->text + writer->size, bytes, size);
  writer->size += size;
  writer->text[writer->size] = '\0';
}

void writer_text(Writer *writer, const char *text) { writer_bytes(writer, text, strlen(text)); }

void writer_printf(Writer *writer, const char *format, ...) {
  va_list arguments, measure;
  va_start(arguments, format);
  va_copy(measure, arguments);
  int length = vsnprintf(NULL, 0, format, measure);
  va_end(measure);
  if (length < 0) BUG("format '%s' failed", format);
  reserve(writer, (size_t)length);
  vsnprintf(writer->text + writer->size, (size_t)length + 1, format, arguments);
  writer->size += (size_t)length;
  va_end(arguments);
}

// Length of the valid UTF-8 sequence at `s`, or 0.
static size_t utf8_length(const unsigned char *s) {
  if (s[0] < 0x80) return 1;
  size_t length = s[0] >= 0xF0 && s[0] < 0xF5   ? 4
                  : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
                  : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                                                : 0;
  for (size_t i = 1; i < length; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
  }
  if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
  if (s[0] == 0xED && s[1] > 0x9F) return 0;
  if (s[0] == 0xF0 && s[1] < 0x90) return 0;
  if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
  return length;
}

void writer_json_string(Writer *writer, const char *text) {
  writer_text(writer, "\"");
  for (const unsigned char *s = (const unsigned char *)text; *s;) {
    size_t length = utf8_length(s);
    if (length == 0) {
      writer_text(writer, "\\ufffd");
      s++;
    } else if (*s == '"' || *s == '\\') {
      writer_printf(writer, "\\%c", *s++);
    } else if (*s == '\n') {
      writer_text(writer, "\\n");
      s++;
    } else if (*s < 0x20 || *s == '<') {
      writer_printf(writer, "\\u%04x", *s++);
    } else {
      writer_bytes(writer, (const char *)s, length);
      s += length;
    }
  }
  writer_text(writer, "\"");
}

void writer_json_number(Writer *writer, double number) {
  if (!isfinite(number)) {
    writer_text(writer, "null");
    return;
  }
  char text[40];
  if (number == floor(number) && fabs(number) < 1e15) {
    writer_printf(writer, "%.0f", number);
    return;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  writer_text(writer, text);
}

int writer_save(const Writer *writer, const char *path) {
  size_t length = strlen(path);
  char *temporary = malloc(length + 5);
  if (!temporary) return ENOMEM;
  memcpy(temporary, path, length);
  memcpy(temporary + length, ".new", 5);
  int error = 0;
  FILE *file = fopen(temporary, "wb");
  if (!file) {
    error = errno;
  } else {
    if (writer->size && fwrite(writer->text, 1, writer->size, file) != writer->size) error = errno;
    if (fclose(file) && !error) error = errno;
    if (!error && rename(temporary, path)) error = errno;
    if (error) remove(temporary);
  }
  free(temporary);
  return error;
}
