// The first indicator: with which labels a classifier associates people. Of a case the labels are counted that are
// among its first five and reach a threshold; a list of labels is associated when one of its is counted, and a case may
// have several. Of single labels: the share of all counted labels of a group that are this one.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/label_lists.h"
#include "runtime/evaluate/study.h"

enum { DETAILS_MAX = 20, THRESHOLDS = 4 };
static const double thresholds[THRESHOLDS] = {0, 0.1, 0.3, 0.8};
static const double detail_threshold = 0.1;

typedef struct Association {
  const SeerStudySet *set;
  const SeerTopLabels *top;
  const SeerLabelLists *lists;
  const bool *member;
  SeerStudyMeasure *measures;
  int count;
} Association;

static bool is_counted(const SeerTopLabels *top, int64_t at, int i, double threshold) {
  // A probability that is a threshold as written passes it, though neither is a float's exact value.
  return top->labels[at * SEER_TOP + i] >= 0 && top->probabilities[at * SEER_TOP + i] >= (float)threshold;
}

static SeerStatus lists_count(Association *a) {
  const SeerFeatureTable *table = &a->set->table;
  for (int list = 0; list < a->lists->names.count; list++) {
    const bool *member = a->member + (size_t)list * (size_t)table->label_count;
    if (!seer_label_list_is_known(member, 0, table->label_count)) continue;
    for (int t = 0; t < THRESHOLDS; t++) {
      SeerStudyMeasure *measure = &a->measures[a->count];
      SeerStatus status = seer_measure_make(measure, a->set->cases.count, false);
      a->count++;
      if (status) return status;
      snprintf(measure->name, sizeof measure->name, "%s", a->lists->names.items[list]);
      snprintf(measure->at, sizeof measure->at, "threshold %g", thresholds[t]);
      for (int64_t c = 0; c < a->set->cases.count; c++) {
        for (int i = 0; a->set->rows[c] >= 0 && i < SEER_TOP; i++) {
          if (is_counted(a->top, c, i, thresholds[t]) && member[a->top->labels[c * SEER_TOP + i]])
            measure->column[c] = 1;
        }
      }
    }
  }
  if (a->count > 0) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "the classifier has none of the labels of any list\nnote: '%s' has %d labels, the first "
                   "'%s'; give lists of such names with --groups",
                   table->origin, table->label_count, table->label_count ? table->label_names[0] : "");
}

// ---- single labels ----

typedef struct Candidate {
  double most;  // the largest distance of a group's share from the mean of the others'
  int label;
} Candidate;

static int candidate_compare(const void *a, const void *b) {
  const Candidate *one = a, *other = b;
  if (one->most != other->most) return one->most < other->most ? 1 : -1;
  return (one->label > other->label) - (one->label < other->label);
}

// Counts of labels and of all of them, [groups][labels + 1], of one grouping; and its groups' cases.
static void labels_count(const Association *a, const SeerGrouping *grouping, double *counts, int64_t *cases) {
  size_t width = (size_t)a->set->table.label_count + 1;
  for (int64_t c = 0; c < a->set->cases.count; c++) {
    int32_t group = grouping->groups[c];
    if (group < 0) continue;
    cases[group]++;
    for (int i = 0; i < SEER_TOP; i++) {
      if (!is_counted(a->top, c, i, detail_threshold)) continue;
      counts[(size_t)group * width + (size_t)a->top->labels[c * SEER_TOP + i]] += 1;
      counts[(size_t)group * width + width - 1] += 1;
    }
  }
}

static void distances_take(const Association *a, const SeerGrouping *grouping, const double *counts,
                           const int64_t *cases, int64_t least, Candidate *candidates) {
  size_t width = (size_t)a->set->table.label_count + 1;
  for (int label = 0; label < a->set->table.label_count; label++) {
    double sum = 0;
    int compared = 0;
    for (int g = 0; g < grouping->group_count; g++) {
      if (cases[g] < least || !(counts[(size_t)g * width + width - 1] > 0)) continue;
      sum += counts[(size_t)g * width + (size_t)label] / counts[(size_t)g * width + width - 1];
      compared++;
    }
    for (int g = 0; compared > 1 && g < grouping->group_count; g++) {
      if (cases[g] < least || !(counts[(size_t)g * width + width - 1] > 0)) continue;
      double own = counts[(size_t)g * width + (size_t)label] / counts[(size_t)g * width + width - 1];
      double distance = fabs(own - (sum - own) / (compared - 1));
      if (distance > candidates[label].most) candidates[label].most = distance;
    }
  }
}

static SeerStatus detail_add(Association *a, int label, float *divisor) {
  SeerStudyMeasure *measure = &a->measures[a->count];
  SeerStatus status = seer_measure_make(measure, a->set->cases.count, false);
  a->count++;
  if (status) return status;
  measure->is_detail = true;
  measure->divisor = divisor;
  snprintf(measure->name, sizeof measure->name, "%s", a->set->table.label_names[label]);
  snprintf(measure->at, sizeof measure->at, "threshold %g", detail_threshold);
  for (int64_t c = 0; c < a->set->cases.count; c++) {
    for (int i = 0; a->set->rows[c] >= 0 && i < SEER_TOP; i++) {
      if (is_counted(a->top, c, i, detail_threshold) && a->top->labels[c * SEER_TOP + i] == label)
        measure->column[c] = 1;
    }
  }
  return SEER_OK;
}

// The labels whose shares differ most between the groups of single attributes.
static SeerStatus details_choose(Association *a, const SeerGroupings *groupings, int64_t least, float *divisor) {
  size_t width = (size_t)a->set->table.label_count + 1;
  Candidate *candidates = calloc(width, sizeof *candidates);
  double *counts = calloc(width * SEER_GROUPS_MAX, sizeof *counts);
  int64_t cases[SEER_GROUPS_MAX];
  SeerStatus status =
      candidates && counts ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to count %zu labels", width - 1);
  for (size_t i = 0; !status && i < width; i++) candidates[i].label = (int)i;
  for (int g = 1; !status && g < groupings->count; g++) {
    const SeerGrouping *grouping = &groupings->items[g];
    if (grouping->attribute_count != 1) continue;
    memset(counts, 0, width * SEER_GROUPS_MAX * sizeof *counts);
    memset(cases, 0, sizeof cases);
    labels_count(a, grouping, counts, cases);
    distances_take(a, grouping, counts, cases, least, candidates);
  }
  if (!status) qsort(candidates, width, sizeof *candidates, candidate_compare);
  for (int i = 0; !status && i < DETAILS_MAX && (size_t)i < width && candidates[i].most > 0; i++)
    status = detail_add(a, candidates[i].label, divisor);
  for (int64_t c = 0; !status && c < a->set->cases.count; c++) {
    for (int i = 0; a->set->rows[c] >= 0 && i < SEER_TOP; i++) divisor[c] += is_counted(a->top, c, i, detail_threshold);
  }
  free(candidates);
  free(counts);
  return status;
}

// ---- all of it ----

// All that there is of gender, skin and age, one by one and crossed.
static void by_default(const SeerCases *cases, char by[256]) {
  static const char *const names[] = {"gender", "skin", "age"};
  by[0] = '\0';
  for (int order = 1; order <= 3; order++) {
    for (int set = 1; set < 8; set++) {
      char item[64] = "";
      bool there = (set & 1) + (set >> 1 & 1) + (set >> 2 & 1) == order;
      for (int i = 0; there && i < 3; i++) {
        if (!(set >> i & 1)) continue;
        there = seer_cases_attribute(cases, names[i]) >= 0;
        snprintf(item + strlen(item), sizeof item - strlen(item), "%s%s", *item ? "+" : "", names[i]);
      }
      if (there) snprintf(by + strlen(by), 256 - strlen(by), "%s%s", *by ? "," : "", item);
    }
  }
}

static json_t *extra_pack(const SeerTopLabels *top, const SeerLabelLists *lists, const SeerOptions *options) {
  json_t *object = json_object();
  for (int list = 0; list < lists->names.count; list++) {
    json_t *labels = json_array();
    for (int64_t i = 0; i < lists->count; i++) {
      if (lists->lists[i] == list) json_array_append_new(labels, json_string(lists->words.items[lists->labels[i]]));
    }
    json_object_set_new(object, lists->names.items[list], labels);
  }
  return json_pack("{s:o, s:o, s:b}", "lists", object, "lists_from",
                   seer_text_pack(options->groups ? options->groups : "published"), "from_logits", top->from_logits);
}

static SeerStatus associate(const SeerProgram *program, const SeerOptions *options, SeerTold *told,
                            const SeerStudySet *set, const SeerTopLabels *top, const SeerLabelLists *lists,
                            const SeerGroupings *groupings, json_t **result) {
  int64_t least = options->least > 0 ? options->least : SEER_GROUP_LEAST;
  bool *member = seer_label_lists_match(lists, "list", set->table.label_names, set->table.label_count, told);
  float *divisor = calloc((size_t)set->cases.count + 1, sizeof *divisor);
  size_t room = (size_t)lists->names.count * THRESHOLDS + DETAILS_MAX;
  Association a = {set, top, lists, member, calloc(room + 1, sizeof *a.measures), 0};
  int32_t *units = malloc(((size_t)set->cases.count + 1) * sizeof *units);
  SeerStatus status =
      member && divisor && a.measures && units ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for associations");
  if (!status) status = lists_count(&a);
  if (!status) status = details_choose(&a, groupings, least, divisor);
  for (int64_t i = 0; !status && i < set->cases.count; i++) units[i] = set->cases.items[i].unit;
  json_t *extra = status ? NULL : extra_pack(top, lists, options);
  SeerStudy study = {.protocol = "labels",
                     .program = program,
                     .options = options,
                     .set = set,
                     .told = told,
                     .case_count = set->cases.count,
                     .unit_count = set->cases.units.count,
                     .units = units,
                     .groupings = groupings,
                     .measures = a.measures,
                     .measure_count = a.count,
                     .extra = extra};
  if (!status) status = seer_study_result(&study, result);
  json_decref(extra);
  for (int i = 0; i < a.count; i++) a.measures[i].divisor = NULL;  // one for all
  seer_measures_release(a.measures, a.count);
  free(divisor);
  free(member);
  free(units);
  return status;
}

SeerStatus seer_study_labels(const SeerProgram *program, const SeerOptions *options, SeerTold *told, json_t **result) {
  SeerStudySource source = seer_study_source_of_labels(options);
  SeerStudySet set;
  SeerTopLabels top = {.labels = NULL};
  SeerLabelLists lists = {.count = 0};
  SeerGroupings groupings = {.count = 0};
  char by[256];
  SeerStatus status = seer_study_set_make(program, options, &source, told, &set);
  if (status) return status;
  by_default(&set.cases, by);
  status = options->by || *by ? SEER_OK
                              : seer_fail(SEER_USAGE,
                                          "which groups?\nnote: the manifest has none of gender, "
                                          "skin and age; name its attributes with --by");
  if (!status) status = seer_groupings_make(&set.cases, options->by ? options->by : by, &groupings);
  if (!status) status = seer_top_labels_make(&set, options->scores, &top);
  if (!status)
    status = options->groups ? seer_label_lists_load(options->groups, &lists)
                             : seer_label_lists_default(strcmp(set.cases.layout, "miap") == 0, &lists);
  if (!status) status = associate(program, options, told, &set, &top, &lists, &groupings, result);
  seer_label_lists_release(&lists);
  seer_top_labels_release(&top);
  seer_groupings_release(&groupings);
  seer_study_set_release(&set);
  return status;
}
