// See json_text.h.
#include "runtime/json_text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/utf8.h"

json_t *seer_text_pack(const char *text) {
  char *clean = seer_utf8_clean(text);
  json_t *packed = json_string(clean ? clean : "");
  free(clean);
  return packed;
}

json_t *seer_number_pack(double value) { return isfinite(value) ? json_real(value) : json_null(); }

SeerStatus seer_text_list_read(const char *json, const char *what, const char *origin, char ***texts, int *count) {
  json_t *list = json_loads(json, 0, NULL);
  size_t length = json_array_size(list);
  SeerStatus status = json_is_array(list) && length <= INT32_MAX
                          ? SEER_OK
                          : seer_fail(SEER_INPUT, "'%s' of '%s' is no JSON list", what, origin);
  char **made = status ? NULL : calloc(length + 1, sizeof *made);
  if (!status && !made) status = seer_fail(SEER_MACHINE, "no memory to read '%s'", origin);
  size_t read = 0;
  for (; read < length && !status; read++) {
    const char *text = json_string_value(json_array_get(list, read));
    made[read] = text ? strdup(text) : NULL;
    if (!text)
      status = seer_fail(SEER_INPUT, "'%s' of '%s' has something that is no text", what, origin);
    else if (!made[read])
      status = seer_fail(SEER_MACHINE, "no memory to read '%s'", origin);
  }
  json_decref(list);
  for (size_t i = 0; status && made && i < read; i++) free(made[i]);
  if (status) free(made);
  *texts = status ? NULL : made;
  *count = status ? 0 : (int)length;
  return status;
}
