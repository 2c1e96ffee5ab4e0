// See json_text.h.
#include "runtime/json_text.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/utf8.h"

json_t *seer_text_pack(const char *text) {
  char *clean = seer_utf8_clean(text);
  json_t *packed = json_string(clean ? clean : "");
  free(clean);
  return packed;
}

json_t *seer_number_pack(double value) { return isfinite(value) ? json_real(value) : json_null(); }
