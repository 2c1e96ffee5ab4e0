// Country codes of ISO 3166-1: 249, of two and of three letters, in any case.
#ifndef SEER_RUNTIME_DATA_COUNTRIES_H
#define SEER_RUNTIME_DATA_COUNTRIES_H

#include <stddef.h>

typedef struct Country {
  const char *alpha2, *alpha3, *name;  // "FR", "FRA", "France"
} Country;

// NULL: it is none of the codes.
const Country *country_find(const char *text, size_t length);

#endif
