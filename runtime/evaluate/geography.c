// The second indicator: whether things are known as they look where people live. A picture is a hit when one of the
// labels that stand for what it shows is among the classifier's first five; the share of hits is the mean over
// households, each of which is the mean over its pictures.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/label_lists.h"
#include "runtime/evaluate/study.h"

// Households are the observations: what is the same in all pictures of one is its attribute.
typedef struct Households {
  const SeerStudySet *set;
  SeerStudyMeasure measure;  // column: shares of hits
  int32_t *units;            // [households]: itself
  int32_t *pictures;         // [households]
  int32_t *groups[SEER_GROUPINGS_MAX];
} Households;

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "no memory for households"); }

// The list of a concept's labels, -1: there is none, or the classifier has none of it, told as *why.
static int32_t list_of(const SeerStudySet *set, const SeerLabelLists *lists, const bool *member, int32_t word,
                       const char **why) {
  size_t classes = (size_t)set->table.label_count;
  int32_t list = seer_words_find(&lists->names, set->cases.words.items[word]);
  *why = list < 0 ? "the mapping has no labels for" : "the classifier has no label of";
  return list >= 0 && seer_label_list_is_known(member + (size_t)list * classes, 0, (int)classes) ? list : -1;
}

// Leaves pictures out none of whose concepts has labels that the classifier has: they cannot be hits.
static SeerStatus concepts_check(const SeerLabelLists *lists, const bool *member, SeerTold *told, SeerStudySet *set) {
  int64_t left = 0;
  for (int64_t i = 0; i < set->cases.count; i++) {
    SeerCase *item = &set->cases.items[i];
    if (set->rows[i] < 0) continue;
    const char *name = set->cases.words.items[item->name], *why;
    bool fine = false;
    for (int32_t at = item->concepts; at >= 0 && !fine; at = set->cases.concepts[at].next)
      fine = list_of(set, lists, member, set->cases.concepts[at].word, &why) >= 0;
    if (item->concepts < 0) seer_told_add(told, true, name, "the picture has no concept");
    for (int32_t at = item->concepts; at >= 0; at = set->cases.concepts[at].next) {
      int32_t word = set->cases.concepts[at].word;
      if (list_of(set, lists, member, word, &why) < 0)
        seer_told_add(told, !fine, name, "%s '%.80s'%s", why, set->cases.words.items[word],
                      fine ? ", one of several concepts: the others count" : "");
    }
    if (!fine) set->rows[i] = -1, item->used = false;
    left += fine;
  }
  return left > 0 ? SEER_OK
                  : seer_fail(SEER_INPUT, "no picture has a concept that is mapped to a label of the classifier");
}

// Whether one of the first labels stands for one of the picture's concepts.
static bool is_hit(const SeerStudySet *set, const SeerTopLabels *top, const SeerLabelLists *lists, const bool *member,
                   int64_t at) {
  const char *why;
  for (int32_t c = set->cases.items[at].concepts; c >= 0; c = set->cases.concepts[c].next) {
    int32_t list = list_of(set, lists, member, set->cases.concepts[c].word, &why);
    for (int i = 0; list >= 0 && i < SEER_TOP; i++) {
      int32_t label = top->labels[at * SEER_TOP + i];
      if (label >= 0 && top->probabilities[at * SEER_TOP + i] > 0 &&
          member[(size_t)list * (size_t)set->table.label_count + (size_t)label])
        return true;
    }
  }
  return false;
}

static SeerStatus households_make(const SeerTopLabels *top, const SeerLabelLists *lists, const bool *member,
                                  Households *h) {
  const SeerCases *cases = &h->set->cases;
  SeerStatus status = seer_measure_make(&h->measure, cases->units.count, false);
  h->units = malloc(((size_t)cases->units.count + 1) * sizeof *h->units);
  h->pictures = calloc((size_t)cases->units.count + 1, sizeof *h->pictures);
  if (!status && (!h->units || !h->pictures)) status = no_memory();
  if (status) return status;
  snprintf(h->measure.name, sizeof h->measure.name, "hits");
  for (int64_t i = 0; i < cases->count; i++) {
    int32_t unit = cases->items[i].unit;
    if (h->set->rows[i] < 0) continue;
    h->pictures[unit]++;
    h->measure.column[unit] += is_hit(h->set, top, lists, member, i);
  }
  for (int32_t u = 0; u < cases->units.count; u++) {
    h->units[u] = u;
    if (h->pictures[u] > 0) h->measure.column[u] /= (float)h->pictures[u];
  }
  return SEER_OK;
}

// The group of a household is that of its pictures; one whose pictures are of several is in none, and told.
static SeerStatus grouping_take(const SeerGrouping *grouping, SeerTold *told, int32_t **groups, const Households *h) {
  enum { OPEN = -2, TORN = -3 };
  const SeerCases *cases = &h->set->cases;
  *groups = malloc(((size_t)cases->units.count + 1) * sizeof **groups);
  if (!*groups) return no_memory();
  for (int32_t u = 0; u < cases->units.count; u++) (*groups)[u] = OPEN;
  for (int64_t i = 0; i < cases->count; i++) {
    int32_t unit = cases->items[i].unit, *group = &(*groups)[unit];
    if (h->set->rows[i] < 0 || *group == TORN) continue;
    if (*group != OPEN && *group != grouping->groups[i]) {
      seer_told_add(told, false, cases->units.items[unit], "%s of more than one '%.80s', which count for none of them",
                    cases->unit ? "households" : "pictures", grouping->name);
      *group = TORN;
    } else {
      *group = grouping->groups[i];
    }
  }
  for (int32_t u = 0; u < cases->units.count; u++) {
    if ((*groups)[u] < 0) (*groups)[u] = -1;
  }
  return SEER_OK;
}

static SeerStatus survey(const SeerProgram *program, const SeerOptions *options, SeerTold *told, SeerStudySet *set,
                         const SeerTopLabels *top, const SeerLabelLists *lists, json_t **result) {
  Households h = {.set = set};
  SeerGroupings groupings = {.count = 0};
  const char *by = options->by;
  bool *member = seer_label_lists_match(lists, "concept", set->table.label_names, set->table.label_count, told);
  SeerStatus status = member ? SEER_OK : no_memory();
  if (!status) status = concepts_check(lists, member, told, set);
  if (!status && !by) {
    bool income = seer_cases_attribute(&set->cases, "income") >= 0,
         region = seer_cases_attribute(&set->cases, "region") >= 0;
    by = income && region ? "income,region" : income ? "income" : region ? "region" : NULL;
    if (!by)
      status = seer_fail(SEER_USAGE,
                         "which groups?\nnote: the manifest has neither income nor region; name its "
                         "attributes with --by");
  }
  if (!status && !set->cases.unit)
    seer_told_add(told, false, set->cases.words.items[set->cases.items[0].name],
                  "no column names the household: every picture counts for itself");
  if (!status) status = seer_groupings_make(&set->cases, by, &groupings);
  if (!status) status = households_make(top, lists, member, &h);
  for (int g = 0; !status && g < groupings.count; g++)
    status = grouping_take(&groupings.items[g], told, &h.groups[g], &h);
  json_t *extra = status ? NULL
                         : json_pack("{s:o, s:b, s:i}", "mapping", seer_text_pack(options->mapping), "from_logits",
                                     top->from_logits, "concepts", (int)lists->names.count);
  SeerStudy study = {.protocol = "geography",
                     .program = program,
                     .options = options,
                     .set = set,
                     .told = told,
                     .case_count = set->cases.units.count,
                     .unit_count = set->cases.units.count,
                     .units = h.units,
                     .groupings = &groupings,
                     .groups = (const int32_t *const *)h.groups,
                     .measures = &h.measure,
                     .measure_count = 1,
                     .extra = extra};
  if (!status) status = seer_study_result(&study, result);
  json_decref(extra);
  for (int g = 0; g < SEER_GROUPINGS_MAX; g++) free(h.groups[g]);
  seer_groupings_release(&groupings);
  free(h.measure.column);
  free(h.units);
  free(h.pictures);
  free(member);
  return status;
}

SeerStatus seer_study_geography(const SeerProgram *program, const SeerOptions *options, SeerTold *told,
                                json_t **result) {
  SeerStudySource source = seer_study_source_of_labels(options);
  SeerStudySet set;
  SeerTopLabels top = {.labels = NULL};
  SeerLabelLists lists = {.count = 0};
  if (!options->mapping)
    return seer_fail(
        SEER_USAGE,
        "which labels stand for which concept?\nnote: --mapping FILE, a table with the columns concept and label");
  SeerStatus status = seer_label_lists_load(options->mapping, &lists);
  if (status) return status;
  status = seer_study_set_make(program, options, &source, told, &set);
  if (!status && !set.cases.has_concepts)
    status = seer_fail(SEER_INPUT,
                       "'%s' does not say what pictures show\nnote: in a column concept, topic or label, or "
                       "one named with --concept",
                       options->manifest);
  if (!status) status = seer_top_labels_make(&set, options->scores, &top);
  if (!status) status = survey(program, options, told, &set, &top, &lists, result);
  seer_label_lists_release(&lists);
  seer_top_labels_release(&top);
  seer_study_set_release(&set);
  return status;
}
