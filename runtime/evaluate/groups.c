// Sorts cases into groups; see groups.h.
#include "runtime/evaluate/groups.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Where a group stands among others: brackets by where they begin.
static double place_of(const char *name) {
  static const char *const ordered[] = {"low", "medium", "high"};
  if (strncmp(name, "under ", 6) == 0) return -1;
  if (isdigit((unsigned char)*name)) return strtod(name, NULL);
  for (int i = 0; i < 3; i++) {
    if (strcmp(name, ordered[i]) == 0) return 1e9 + i;
  }
  return 2e9;
}

static int value_compare(const char *a, const char *b) {
  double one = place_of(a), other = place_of(b);
  return one != other ? (one > other) - (one < other) : strcmp(a, b);
}

typedef struct Found {
  int32_t values[SEER_CROSSED_MAX];
  int count;
  const SeerWords *words;
  int32_t number;  // as it was found
} Found;

static int found_compare(const void *a, const void *b) {
  const Found *one = a, *other = b;
  for (int i = 0; i < one->count; i++) {
    int order = value_compare(one->words->items[one->values[i]], other->words->items[other->values[i]]);
    if (order != 0) return order;
  }
  return 0;
}

// The number of the group of a case, found before or not; -1: a value is unknown, or -2: there are too many.
static int32_t group_find(const SeerCases *cases, const SeerGrouping *grouping, int64_t at, Found *found,
                          int32_t *count) {
  Found own = {.count = grouping->attribute_count, .words = &cases->words, .number = *count};
  for (int i = 0; i < own.count; i++) {
    own.values[i] = cases->values[at * cases->attribute_count + grouping->attributes[i]];
    if (own.values[i] < 0) return -1;
  }
  for (int32_t i = 0; i < *count; i++) {
    if (memcmp(found[i].values, own.values, (size_t)own.count * sizeof *own.values) == 0) return i;
  }
  if (*count == SEER_GROUPS_MAX) return -2;
  found[*count] = own;
  return (*count)++;
}

static char *name_make(const SeerCases *cases, const Found *found) {
  char *name = NULL;
  size_t bytes = 0;
  FILE *stream = open_memstream(&name, &bytes);
  if (!stream) return NULL;
  if (found->count == 0) fputs("all", stream);
  for (int i = 0; i < found->count; i++) fprintf(stream, "%s%s", i ? ", " : "", cases->words.items[found->values[i]]);
  return fclose(stream) == 0 ? name : NULL;
}

static SeerStatus grouping_fill(const SeerCases *cases, SeerGrouping *grouping) {
  Found found[SEER_GROUPS_MAX];
  int32_t count = 0, places[SEER_GROUPS_MAX];
  grouping->groups = malloc(((size_t)cases->count + 1) * sizeof *grouping->groups);
  grouping->names = calloc(SEER_GROUPS_MAX, sizeof *grouping->names);
  if (!grouping->groups || !grouping->names || !grouping->name)
    return seer_fail(SEER_MACHINE, "no memory for groups of pictures");
  for (int64_t i = 0; i < cases->count; i++) {
    grouping->groups[i] = cases->items[i].used ? group_find(cases, grouping, i, found, &count) : -1;
    if (grouping->groups[i] == -2)
      return seer_fail(SEER_INPUT, "'%s' makes more than %d groups\nnote: name other attributes with --by",
                       grouping->name, SEER_GROUPS_MAX);
  }
  qsort(found, (size_t)count, sizeof *found, found_compare);
  for (int32_t i = 0; i < count; i++) {
    places[found[i].number] = i;
    grouping->names[i] = name_make(cases, &found[i]);
    if (!grouping->names[i]) return seer_fail(SEER_MACHINE, "no memory for groups of pictures");
    grouping->group_count = i + 1;
  }
  for (int64_t i = 0; i < cases->count; i++) {
    if (grouping->groups[i] >= 0) grouping->groups[i] = places[grouping->groups[i]];
  }
  return SEER_OK;
}

static SeerStatus attribute_missing(const SeerCases *cases, const char *name) {
  char known[600] = "";
  for (int i = 0, used = 0; i < cases->attribute_count && used < 500; i++)
    used += snprintf(known + used, sizeof known - (size_t)used, "%s%.60s", i ? ", " : "", cases->attributes[i]);
  return seer_fail(SEER_INPUT, "the pictures have no attribute '%s'\nnote: they have %s", name,
                   *known ? known : "none at all");
}

// One item of the list, "gender+skin".
static SeerStatus grouping_read(const SeerCases *cases, const char *item, size_t length, SeerGrouping *grouping) {
  grouping->name = strndup(item, length);
  for (const char *at = item; at < item + length;) {
    char name[256];
    size_t bytes = strcspn(at, "+,");
    snprintf(name, sizeof name, "%.*s", (int)(bytes < 255 ? bytes : 255), at);
    at += bytes + 1;
    int attribute = seer_cases_attribute(cases, name);
    if (attribute < 0) return attribute_missing(cases, name);
    if (grouping->attribute_count == SEER_CROSSED_MAX)
      return seer_fail(SEER_INPUT, "'%s' crosses more than %d attributes", grouping->name, SEER_CROSSED_MAX);
    grouping->attributes[grouping->attribute_count++] = attribute;
  }
  return grouping->attribute_count > 0 ? grouping_fill(cases, grouping) : attribute_missing(cases, "");
}

SeerStatus seer_groupings_make(const SeerCases *cases, const char *by, SeerGroupings *groupings) {
  *groupings = (SeerGroupings){.count = 1};
  groupings->items[0] = (SeerGrouping){.name = strdup("all")};
  SeerStatus status = grouping_fill(cases, &groupings->items[0]);
  for (const char *at = by; !status && at;) {
    size_t length = strcspn(at, ",");
    if (groupings->count == SEER_GROUPINGS_MAX) {
      status = seer_fail(SEER_INPUT, "--by lists more than %d groupings", SEER_GROUPINGS_MAX - 1);
    } else {
      SeerGrouping *grouping = &groupings->items[groupings->count++];
      *grouping = (SeerGrouping){.name = NULL};
      status = grouping_read(cases, at, length, grouping);
    }
    at = at[length] == ',' ? at + length + 1 : NULL;
  }
  if (status) seer_groupings_release(groupings);
  return status;
}

void seer_groupings_release(SeerGroupings *groupings) {
  for (int i = 0; i < groupings->count; i++) {
    SeerGrouping *grouping = &groupings->items[i];
    for (int g = 0; g < grouping->group_count; g++) free(grouping->names[g]);
    free(grouping->names);
    free(grouping->name);
    free(grouping->groups);
  }
  groupings->count = 0;
}
