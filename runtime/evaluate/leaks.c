// What sets of pictures with texts share; see memes.h.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/evaluate/memes.h"

// Letters and digits of any script stay (bytes above 127 as they are); all else parts words.
static char *words_make(const char *text) {
  size_t length = strlen(text), to = 0;
  char *words = malloc(length + 1);
  for (size_t i = 0; words && i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c > 127 || isalnum(c))
      words[to++] = (char)(c > 127 ? c : tolower(c));
    else if (to && words[to - 1] != ' ')
      words[to++] = ' ';
  }
  if (!words) return NULL;
  if (to && words[to - 1] == ' ') to--;
  words[to] = '\0';
  return words;
}

static uint64_t hash_of(const char *text) { return XXH3_64bits(text, strlen(text)); }

SeerStatus seer_memes_mark(const SeerMemes *memes, const uint64_t *pictures, SeerMemeMarks *marks) {
  size_t n = (size_t)memes->count + 1;
  *marks = (SeerMemeMarks){calloc(n, sizeof(uint64_t)), pictures ? calloc(n, sizeof(uint64_t)) : NULL,
                           calloc(n, sizeof(uint64_t)), calloc(n, sizeof(char *))};
  bool made = marks->ids && marks->texts && marks->words && (!pictures || marks->pictures);
  for (int64_t i = 0; made && i < memes->count; i++) {
    made = (marks->words[i] = words_make(memes->items[i].text)) != NULL;
    if (!made) break;
    marks->ids[i] = hash_of(memes->items[i].id);
    marks->texts[i] = hash_of(marks->words[i]);
    if (pictures) marks->pictures[i] = pictures[i];
  }
  if (made) return SEER_OK;
  seer_memes_marks_release(marks, memes->count);
  return seer_fail(SEER_MACHINE, "no memory to compare the sets");
}

void seer_memes_marks_release(SeerMemeMarks *marks, int64_t count) {
  for (int64_t i = 0; marks->words && i < count; i++) free(marks->words[i]);
  free(marks->words);
  free(marks->ids);
  free(marks->pictures);
  free(marks->texts);
  *marks = (SeerMemeMarks){.words = NULL};
}

static int mark_compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// Which marks of `b` are among those of `a`: counts them and sets found[i].
static bool marks_meet(const uint64_t *a, int64_t of_a, const uint64_t *b, int64_t of_b, bool *found, int64_t *met) {
  uint64_t *sorted = calloc((size_t)of_a + 1, sizeof *sorted);
  if (!sorted) return false;
  memcpy(sorted, a, (size_t)of_a * sizeof *sorted);
  qsort(sorted, (size_t)of_a, sizeof *sorted, mark_compare);
  for (int64_t i = 0; i < of_b; i++) {
    if (!bsearch(&b[i], sorted, (size_t)of_a, sizeof *sorted, mark_compare)) continue;
    ++*met;
    found[i] = true;
  }
  free(sorted);
  return true;
}

// The words of a text as sorted hashes, each once.
typedef struct WordSet {
  uint64_t *words;
  int count;
} WordSet;

static bool word_set_make(const char *text, WordSet *set) {
  *set = (WordSet){calloc(strlen(text) / 2 + 2, sizeof(uint64_t)), 0};
  if (!set->words) return false;
  for (const char *at = text; *at;) {
    size_t length = strcspn(at, " ");
    set->words[set->count++] = XXH3_64bits(at, length);
    at += length + (at[length] == ' ');
  }
  qsort(set->words, (size_t)set->count, sizeof(uint64_t), mark_compare);
  int kept = 0;
  for (int i = 0; i < set->count; i++) {
    if (!kept || set->words[i] != set->words[kept - 1]) set->words[kept++] = set->words[i];
  }
  set->count = kept;
  return true;
}

static double sets_likeness(const WordSet *a, const WordSet *b) {
  int i = 0, j = 0, common = 0;
  while (i < a->count && j < b->count) {
    uint64_t x = a->words[i], y = b->words[j];
    common += x == y;
    i += x <= y;
    j += y <= x;
  }
  int all = a->count + b->count - common;
  return all ? (double)common / all : 0;
}

// Every pair is looked at: ten thousand texts against a thousand take seconds.
static bool texts_near(const SeerMemeMarks *a, int64_t of_a, const SeerMemeMarks *b, int64_t of_b, double near,
                       bool *found, int64_t *met) {
  WordSet *sets = calloc((size_t)of_a + 1, sizeof *sets), own = {0};
  bool made = sets != NULL;
  for (int64_t i = 0; made && i < of_a; i++) made = word_set_make(a->words[i], &sets[i]);
  for (int64_t j = 0; made && j < of_b; j++) {
    made = word_set_make(b->words[j], &own);
    bool is_near = false;
    for (int64_t i = 0; made && i < of_a && !is_near; i++)
      is_near = a->texts[i] != b->texts[j] && sets_likeness(&sets[i], &own) >= near;
    *met += is_near;
    found[j] = found[j] || is_near;
    free(own.words);
  }
  for (int64_t i = 0; sets && i < of_a; i++) free(sets[i].words);
  free(sets);
  return made;
}

SeerStatus seer_memes_leaks(const SeerMemes *a, const SeerMemeMarks *of_a, const SeerMemes *b,
                            const SeerMemeMarks *of_b, double near, SeerLeak *leak) {
  *leak = (SeerLeak){0};
  bool *found = calloc((size_t)b->count + 1, sizeof *found);
  bool made = found && marks_meet(of_a->ids, a->count, of_b->ids, b->count, found, &leak->ids) &&
              marks_meet(of_a->texts, a->count, of_b->texts, b->count, found, &leak->texts);
  if (made && of_a->pictures && of_b->pictures)
    made = marks_meet(of_a->pictures, a->count, of_b->pictures, b->count, found, &leak->pictures);
  if (made && near > 0) made = texts_near(of_a, a->count, of_b, b->count, near, found, &leak->near_texts);
  for (int64_t i = 0; made && i < b->count && !leak->first; i++) leak->first = found[i] ? b->items[i].id : NULL;
  free(found);
  return made ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to compare the sets");
}
