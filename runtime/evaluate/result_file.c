// See result_file.h.
#include "runtime/evaluate/result_file.h"

#include <stdlib.h>

#include "runtime/files.h"

enum { RESULT_BYTES_MAX = 256 << 20 };

SeerStatus seer_result_read(const char *path, const SeerResultKind *kind, json_t **result) {
  char *text = NULL;
  uint64_t bytes = 0;
  json_error_t error;
  *result = NULL;
  SeerStatus status = seer_file_read(path, RESULT_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  const json_t *format = json_object_get(root, kind->format_key);
  free(text);
  if (!json_is_integer(format))
    status = seer_fail(SEER_INPUT, "'%s' is no result of '%s'%s%.120s", path, kind->command, root ? "" : ": ",
                       root ? "" : error.text);
  else if (json_integer_value(format) != kind->format)
    status = seer_fail(SEER_INPUT, "'%s' has format %lld, and this trainer reads format %d", path,
                       (long long)json_integer_value(format), kind->format);
  else if (!kind->is_whole(root))
    status = seer_fail(SEER_INPUT, "'%s' is damaged: it lacks parts of a result", path);
  if (status)
    json_decref(root);
  else
    *result = root;
  return status;
}

bool seer_result_has_texts(const json_t *object, const char *const *keys) {
  for (; *keys; keys++) {
    if (!json_is_string(json_object_get(object, *keys))) return false;
  }
  return true;
}

const char *seer_result_text(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

double seer_result_number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}
