// Looks a code up in the table, which is small.
#include "runtime/data/countries.h"

#include <strings.h>

static const Country countries[] = {
#define COUNTRY(alpha2, alpha3, name) {alpha2, alpha3, name},
#include "runtime/data/countries.def"
#undef COUNTRY
};

const Country *country_find(const char *text, size_t length) {
  for (size_t i = 0; (length == 2 || length == 3) && i < sizeof countries / sizeof *countries; i++) {
    if (strncasecmp(length == 2 ? countries[i].alpha2 : countries[i].alpha3, text, length) == 0) return &countries[i];
  }
  return NULL;
}
