// JSON objects, one a line; see lines.h.
#include "runtime/evaluate/lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

SeerStatus seer_lines_open(const char *path, SeerLines *lines) {
  *lines = (SeerLines){.path = path, .file = fopen(path, "re")};
  return lines->file ? SEER_OK : seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
}

SeerStatus seer_lines_next(SeerLines *lines, json_t **object) {
  *object = NULL;
  for (ssize_t length; (length = getline(&lines->text, &lines->capacity, lines->file)) > 0;) {
    lines->number++;
    if (strspn(lines->text, " \t\r\n") == (size_t)length) continue;
    json_error_t error;
    *object = json_loadb(lines->text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*object)) return SEER_OK;
    SeerStatus status = seer_fail(SEER_INPUT, "'%s', line %lld: %s", lines->path, (long long)lines->number,
                                  *object ? "this is no object" : error.text);
    json_decref(*object);
    *object = NULL;
    return status;
  }
  if (ferror(lines->file)) return seer_fail(SEER_MACHINE, "cannot read '%s': %s", lines->path, strerror(errno));
  return SEER_OK;
}

void seer_lines_close(SeerLines *lines) {
  if (lines->file) fclose(lines->file);
  free(lines->text);
  *lines = (SeerLines){.file = NULL};
}
