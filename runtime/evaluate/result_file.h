// Results as files of JSON: read back, with all that is read of them looked at first.
#ifndef SEER_RUNTIME_EVALUATE_RESULT_FILE_H
#define SEER_RUNTIME_EVALUATE_RESULT_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "runtime/status.h"

typedef struct SeerResultKind {
  const char *command;     // that writes it
  const char *format_key;  // the member with the number of its format
  int format;
  bool (*is_whole)(const json_t *result);  // it has all that is read of it, in the kinds and lengths that belong there
} SeerResultKind;

// SEER_INPUT when it is none, of another format, or not whole.
SeerStatus seer_result_read(const char *path, const SeerResultKind *kind, json_t **result);
// Whether all these members, up to NULL, are texts.
bool seer_result_has_texts(const json_t *object, const char *const *keys);
// "" and 0: it has no such text, or number.
const char *seer_result_text(const json_t *object, const char *key);
double seer_result_number(const json_t *object, const char *key);

#endif
