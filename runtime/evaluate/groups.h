// Groups of cases: by attributes of theirs and by crossings of several.
#ifndef SEER_RUNTIME_EVALUATE_GROUPS_H
#define SEER_RUNTIME_EVALUATE_GROUPS_H

#include "runtime/evaluate/cases.h"

enum { SEER_GROUPINGS_MAX = 64, SEER_GROUPS_MAX = 200, SEER_CROSSED_MAX = 6 };

typedef struct SeerGrouping {
  char *name;  // "gender", "gender+skin", "all"
  int attribute_count;
  int attributes[SEER_CROSSED_MAX];
  int32_t group_count;
  char **names;     // "female", "female, darker"; in order: brackets by their numbers, all else by the alphabet
  int32_t *groups;  // [cases]; -1: in none
} SeerGrouping;

typedef struct SeerGroupings {
  SeerGrouping items[SEER_GROUPINGS_MAX];
  int count;
} SeerGroupings;

// What `by` lists, "gender,skin,gender+skin"; the first grouping is always "all". Only cases that are used are in
// groups, and only groups that have a case are there. SEER_INPUT names an attribute that the cases do not have, or one
// with more than SEER_GROUPS_MAX values.
SeerStatus seer_groupings_make(const SeerCases *cases, const char *by, SeerGroupings *groupings);
void seer_groupings_release(SeerGroupings *groupings);

#endif
