// How values of attributes are read: see cases.h. Brackets are those of the indicators as they were published.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/evaluate/cases.h"

static const char *const unknown_words[] = {"", "unknown", "n/a", "na", "nan", "none", "null", "-", "?", "not sure"};

static bool is_among(const char *text, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcasecmp(text, words[i]) == 0) return true;
  }
  return false;
}

// As a whole number, "Type IV" and "type 4" included; 0: it is none.
static int fitzpatrick_of(const char *text) {
  static const char *const roman[] = {"i", "ii", "iii", "iv", "v", "vi"};
  if (strncasecmp(text, "type", 4) == 0) text += 4 + strspn(text + 4, " -_");
  for (int i = 0; i < 6; i++) {
    if (strcasecmp(text, roman[i]) == 0 || (text[0] == '1' + i && (text[1] == '\0' || strcmp(text + 1, ".0") == 0)))
      return i + 1;
  }
  return 0;
}

static const char *skin_group(const char *text) {
  int type = fitzpatrick_of(text);
  if (type > 0) return type <= 3 ? "lighter" : "darker";
  return strcmp(text, "lighter") == 0 ? "lighter" : strcmp(text, "darker") == 0 ? "darker" : NULL;
}

static bool number_read(const char *text, double *number) {
  char *end;
  *number = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*number);
}

// Years to brackets; brackets of others stay.
static const char *age_group(const char *text) {
  double years;
  if (!number_read(text, &years)) return text;
  if (years < 0 || years > 150) return NULL;
  return years < 18 ? "under 18" : years < 30 ? "18-30" : years < 45 ? "30-45" : years < 70 ? "45-70" : "70+";
}

static const char *income_group(const char *text) {
  static const char *const names[] = {"low", "medium", "high"};
  double income;
  if (!number_read(text, &income)) return is_among(text, names, 3) ? text : NULL;
  double bucket = income > 0 ? rint(log(income) / 3) : 0;
  return bucket >= 1 && bucket <= 3 ? names[(int)bucket - 1] : NULL;
}

static const char *region_group(const char *text) {
  static const char *const codes[][2] = {{"af", "africa"}, {"as", "asia"}, {"am", "americas"}, {"eu", "europe"}};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    if (strcmp(text, codes[i][0]) == 0) return codes[i][1];
  }
  return strcmp(text, "the americas") == 0 || strcmp(text, "america") == 0 ? "americas" : text;
}

void seer_attribute_value(const char *attribute, const char *text, char *value, size_t bytes, bool *known,
                          bool *understood) {
  char small[256];
  size_t length = 0;
  while (isspace((unsigned char)*text)) text++;
  for (; text[length] && length + 1 < sizeof small; length++)
    small[length] = (char)tolower((unsigned char)text[length]);
  while (length > 0 && isspace((unsigned char)small[length - 1])) length--;
  small[length] = '\0';
  *understood = true;
  *known = !is_among(small, unknown_words, sizeof unknown_words / sizeof *unknown_words);
  const char *group = small;
  if (strcmp(attribute, "skin") == 0) group = skin_group(small);
  if (strcmp(attribute, "age") == 0) group = age_group(small);
  if (strcmp(attribute, "income") == 0) group = income_group(small);
  if (strcmp(attribute, "region") == 0) group = region_group(small);
  if (*known && !group) *known = *understood = false;
  snprintf(value, bytes, "%s", group ? group : small);
}
