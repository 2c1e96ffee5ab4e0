// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates.
#include "runtime/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t seer_utf8_length(const char *bytes) {
  const unsigned char *text = (const unsigned char *)bytes;
  static const struct {
    unsigned char mask, lead;
    uint32_t least;
  } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
  for (size_t extra = 0; extra < 4; extra++) {
    if ((text[0] & forms[extra].mask) != forms[extra].lead) { continue; }
    uint32_t code = text[0] & (unsigned char)~forms[extra].mask;
    for (size_t i = 1; i <= extra; i++) {
      if ((text[i] & 0xC0) != 0x80) { return 0; }
      code = code << 6 | (text[i] & 0x3Fu);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code >= forms[extra].least && code <= 0x10FFFF && !surrogate ? extra + 1 : 0;
  }
  return 0;
}

bool seer_utf8_is(const char *text) {
  for (size_t length; *text; text += length) {
    length = seer_utf8_length(text);
    if (length == 0) return false;
  }
  return true;
}

char *seer_utf8_clean(const char *text) {
  char *clean = malloc(strlen(text) * 3 + 1), *to = clean;
  for (const char *from = text; clean != NULL && *from != '\0';) {
    size_t length = seer_utf8_length(from);
    const char *source = length > 0 ? from : "\xEF\xBF\xBD";
    memcpy(to, source, length > 0 ? length : 3);
    to += length > 0 ? length : 3;
    from += length > 0 ? length : 1;
  }
  if (clean != NULL) { *to = '\0'; }
  return clean;
}
