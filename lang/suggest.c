// "Did you mean": the nearest of the offered names by edit distance, transpositions counted as one edit and case
// ignored.
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "lang/schema.h"

#define LONGEST_NAME 64

static const struct {
  const char *name, *key;
} aliases[] = {
#define ALIAS(name, key) {name, key},
#include "lang/aliases.def"
#undef ALIAS
};

const char *schema_find_alias(const char *name) {
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (strcmp(aliases[i].name, name) == 0) return aliases[i].key;
  }
  return NULL;
}

static int folded(char c) { return c == '-' ? '_' : tolower((unsigned char)c); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Optimal string alignment over three rolling rows.
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t rows[3][LONGEST_NAME + 1];
  for (size_t j = 0; j <= b_length; j++) rows[0][j] = j;
  for (size_t i = 1; i <= a_length; i++) {
    size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t cost = folded(a[i - 1]) != folded(b[j - 1]);
      row[j] = least(above[j - 1] + cost, 1 + least(above[j], row[j - 1]));
      bool swapped = i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]);
      if (swapped) row[j] = least(row[j], two_above[j - 2] + 1);
    }
  }
  return rows[a_length % 3][b_length];
}

Suggestion suggestion_make(const char *wanted) {
  return (Suggestion){.wanted = wanted, .best = NULL, .best_distance = SIZE_MAX};
}

void suggestion_offer(Suggestion *suggestion, const char *candidate) {
  size_t wanted_length = strlen(suggestion->wanted), length = strlen(candidate);
  if (wanted_length > LONGEST_NAME || length > LONGEST_NAME || wanted_length == 0) return;
  size_t longer = wanted_length > length ? wanted_length : length;
  size_t allowed = longer <= 2 ? (longer == 2) : longer <= 5 ? 1 + (longer > 3) : longer / 3;
  size_t distance = edit_distance(suggestion->wanted, wanted_length, candidate, length);
  bool starts_alike =
      least(wanted_length, length) >= 4 && strncmp(suggestion->wanted, candidate, least(wanted_length, length)) == 0;
  if (distance > allowed && !starts_alike) return;
  if (distance >= longer) return;
  if (distance < suggestion->best_distance) {
    suggestion->best = candidate;
    suggestion->best_distance = distance;
  }
}

void suggestion_offer_names(Suggestion *suggestion, Arena *arena, const char *names) {
  for (const char *at = names; at && *at;) {
    const char *end = strchr(at, '|');
    size_t size = end ? (size_t)(end - at) : strlen(at);
    suggestion_offer(suggestion, arena_string(arena, at, size));
    at = end ? end + 1 : NULL;
  }
}

const char *suggestion_best(const Suggestion *suggestion) { return suggestion->best; }
