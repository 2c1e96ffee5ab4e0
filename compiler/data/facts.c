// Reads a picture's bytes and the files beside it; see facts.h.
#include "compiler/data/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "compiler/data/manifest.h"
#include "runtime/data/decode.h"
#include "runtime/utf8.h"

enum { COMPANION_BYTES_MAX = 1 << 20 };

static _Thread_local int place_error;  // errno of the last data_place_read, 0: it was none

bool data_place_read(const DataPlace *place, uint64_t limit, SeerBuffer *buffer, const char **reason) {
  place_error = 0;
  if (place->bytes > limit) {
    *reason = seer_decode_reason("%llu bytes are more than the %llu that are read", (unsigned long long)place->bytes,
                                 (unsigned long long)limit);
    return false;
  }
  if (!seer_buffer_reserve(buffer, (size_t)place->bytes)) {
    *reason = "not enough memory to read it";
    return false;
  }
  int file = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool fine = file >= 0;
  uint64_t done = 0;
  while (fine && done < place->bytes) {
    ssize_t got = pread(file, buffer->bytes + done, (size_t)(place->bytes - done), (off_t)(place->offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = ENODATA;
    fine = got > 0;
    if (fine) done += (uint64_t)got;
  }
  place_error = fine ? 0 : errno;
  if (!fine) *reason = seer_decode_reason("cannot be read: %s", strerror(place_error));
  if (file >= 0) close(file);
  return fine;
}

bool data_machine_failed(const char *reason) {
  static const int errors[] = {EIO, ENOMEM, EMFILE, ENFILE, ESTALE, ENODEV, ENXIO, ETIMEDOUT};
  bool failed = strstr(reason, "not enough memory") != NULL || strstr(reason, "Insufficient memory") != NULL;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) failed |= place_error == errors[i];
  return failed;
}

void data_facts_measure(const uint8_t *bytes, size_t count, DataFacts *facts) {
  facts->hash = XXH3_64bits(bytes, count);
  facts->bytes = (uint32_t)count;
  if (!seer_picture_size(bytes, count, &facts->width, &facts->height)) facts->width = facts->height = 0;
  data_profile_find(bytes, count, facts->profile);
}

void data_facts_release(DataFacts *facts) {
  free(facts->label);
  json_decref(facts->columns);
  *facts = (DataFacts){0};
}

bool data_label_set(DataFacts *facts, const char *text) {
  char *clean = seer_utf8_clean(text);
  if (clean == NULL) return false;
  free(facts->label);
  facts->label = *clean != '\0' ? clean : NULL;
  if (facts->label == NULL) free(clean);
  return true;
}

bool data_label_from_json(DataFacts *facts, const json_t *label) {
  char number[32];
  if (json_is_string(label)) return data_label_set(facts, json_string_value(label));
  if (!json_is_integer(label)) return true;
  snprintf(number, sizeof number, "%lld", (long long)json_integer_value(label));
  return data_label_set(facts, number);
}

static bool columns_from_json(DataFacts *facts, json_t *object) {
  static const char *const known[] = {"key", "label", "width", "height", "hash"};
  json_t *columns = json_object_get(object, "columns");
  const char *name;
  json_t *value;
  bool nested = json_is_object(columns);
  json_object_foreach(nested ? columns : object, name, value) {
    bool is_known = false;
    for (size_t i = 0; !nested && i < sizeof known / sizeof *known; i++) is_known |= strcmp(name, known[i]) == 0;
    if (!is_known && json_object_set(facts->columns, name, value) != 0) return false;
  }
  return data_label_from_json(facts, json_object_get(object, "label"));
}

// Without the line end and blanks around it.
static char *text_trim(char *text) {
  text += strspn(text, " \t\r\n");
  size_t length = strlen(text);
  while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL) length--;
  text[length] = '\0';
  return text;
}

static bool companion_take(DataCompanion kind, char *bytes, size_t count, DataFacts *facts, const char **reason) {
  if (kind == COMPANION_JSON) {
    json_error_t error;
    json_t *object = json_loadb(bytes, count, 0, &error);
    if (!json_is_object(object)) {
      *reason = seer_decode_reason("is no JSON object: %s", object == NULL ? error.text : "another value");
      json_decref(object);
      return true;
    }
    bool fine = columns_from_json(facts, object);
    json_decref(object);
    return fine;
  }
  bytes[count] = '\0';
  char *text = text_trim(bytes);
  if (kind == COMPANION_CLS) return data_label_set(facts, text);
  char *clean = seer_utf8_clean(text);
  bool fine = clean != NULL && json_object_set_new(facts->columns, "txt", json_string(clean)) == 0;
  free(clean);
  return fine;
}

static SeerStatus companions_read(const DataSample *sample, DataFacts *facts, const char **left) {
  SeerBuffer buffer = {0};
  *left = NULL;
  facts->columns = json_object();
  if (facts->columns != NULL && sample->row != NULL) return data_manifest_row_read(sample->row, facts);
  bool fine = facts->columns != NULL && (sample->label == NULL || data_label_set(facts, sample->label));
  for (DataCompanion kind = COMPANION_JSON; fine && kind < COMPANION_KINDS; kind++) {
    const DataPlace *place = &sample->companions[kind];
    if (place->path == NULL) continue;
    if (data_place_read(place, COMPANION_BYTES_MAX, &buffer, left))
      fine = companion_take(kind, (char *)buffer.bytes, (size_t)place->bytes, facts, left);
  }
  seer_buffer_release(&buffer);
  return fine ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory for the metadata of pictures");
}

SeerStatus data_companions_read(const DataSample *sample, DataFacts *facts, const char **left) {
  static const char name[] = "colour_profile";
  SeerStatus status = companions_read(sample, facts, left);
  if (status != SEER_OK || facts->profile[0] == '\0' || json_object_get(facts->columns, name) != NULL) return status;
  char *clean = seer_utf8_clean(facts->profile);
  bool fine = clean != NULL && json_object_set_new(facts->columns, name, json_string(clean)) == 0;
  free(clean);
  return fine ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory for the metadata of pictures");
}
