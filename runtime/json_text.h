// What jansson takes no other: texts of any bytes, and numbers that may be none; and lists of texts.
#ifndef SEER_RUNTIME_JSON_TEXT_H
#define SEER_RUNTIME_JSON_TEXT_H

#include <jansson.h>

#include "runtime/status.h"

// Bytes that are no UTF-8 are replaced. NULL without memory.
json_t *seer_text_pack(const char *text);
// null where it is not finite.
json_t *seer_number_pack(double value);

// Reads a JSON list of texts. The list and each of its *count texts are to be freed; on failure there is none.
// SEER_INPUT: it is none, told as 'WHAT' of 'ORIGIN'.
SeerStatus seer_text_list_read(const char *json, const char *what, const char *origin, char ***texts, int *count);

#endif
