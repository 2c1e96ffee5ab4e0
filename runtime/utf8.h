// Text that may be any bytes, made fit for JSON.
#ifndef SEER_RUNTIME_UTF8_H
#define SEER_RUNTIME_UTF8_H

#include <stdbool.h>
#include <stddef.h>

// Bytes of the UTF-8 sequence at `text`, which a NUL ends; 0 when it is none.
size_t seer_utf8_length(const char *text);
// Whether all of it is.
bool seer_utf8_is(const char *text);
// A copy, to be freed, in which every byte that is no UTF-8 is U+FFFD; NULL without memory.
char *seer_utf8_clean(const char *text);

#endif
