// What jansson takes no other: texts of any bytes, and numbers that may be none.
#ifndef SEER_RUNTIME_JSON_TEXT_H
#define SEER_RUNTIME_JSON_TEXT_H

#include <jansson.h>

// Bytes that are no UTF-8 are replaced. NULL without memory.
json_t *seer_text_pack(const char *text);
// null where it is not finite.
json_t *seer_number_pack(double value);

#endif
