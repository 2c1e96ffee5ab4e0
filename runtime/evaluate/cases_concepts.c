// What pictures are to show; see cases.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/cases.h"

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "no memory for what pictures show"); }

static SeerStatus concept_add(SeerCases *cases, SeerCase *item, const char *text, int *added) {
  int32_t word = seer_words_add(&cases->words, text), last = -1;
  if (word < 0) return no_memory();
  for (int32_t at = item->concepts; at >= 0; at = cases->concepts[at].next) {
    if (cases->concepts[at].word == word) return SEER_OK;
    last = at;
  }
  if (cases->concept_count == cases->concept_room) {
    int32_t room = cases->concept_room ? 2 * cases->concept_room : 1024;
    SeerConcept *concepts = realloc(cases->concepts, (size_t)room * sizeof *concepts);
    if (!concepts) return no_memory();
    cases->concepts = concepts;
    cases->concept_room = room;
  }
  cases->concepts[cases->concept_count] = (SeerConcept){word, -1};
  *(last < 0 ? &item->concepts : &cases->concepts[last].next) = cases->concept_count++;
  ++*added;
  return SEER_OK;
}

// The next text of a list, whose quote *from is at, into `text`; goes to what follows it and a comma. False: this is no
// list of quoted texts.
static bool text_next(const char **from, char *text) {
  char quote = **from;
  if (quote != '\'' && quote != '"') return false;
  for (++*from; **from && **from != quote; ++*from) {
    if (**from == '\\' && (*from)[1]) ++*from;
    *text++ = **from;
  }
  *text = '\0';
  if (!**from) return false;
  ++*from;
  *from += strspn(*from, " ");
  if (**from != ',') return **from == ']';
  *from += 1 + strspn(*from + 1, " ");
  return true;
}

SeerStatus seer_cases_add_concepts(SeerCases *cases, SeerCase *item, const char *text, int *added) {
  *added = 0;
  if (!*text) return SEER_OK;
  if (*text != '[') return concept_add(cases, item, text, added);
  char *one = malloc(strlen(text) + 1);
  if (!one) return no_memory();
  const char *first = text + 1 + strspn(text + 1, " "), *at = first;
  bool listed = true;
  while (listed && *at != ']') listed = text_next(&at, one);
  SeerStatus status = listed ? SEER_OK : concept_add(cases, item, text, added);  // a word with a bracket
  for (at = first; listed && !status && *at != ']';) {
    text_next(&at, one);
    status = concept_add(cases, item, one, added);
  }
  free(one);
  return status;
}
