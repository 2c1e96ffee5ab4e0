// Lists of labels by name: those that the first indicator counts ("human", "crime"), or those that stand for a concept.
// Tables of two columns, list and label, a row for each label; the first row names the columns.
#ifndef SEER_RUNTIME_EVALUATE_LABEL_LISTS_H
#define SEER_RUNTIME_EVALUATE_LABEL_LISTS_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/evaluate/cases.h"

typedef struct SeerLabelLists {
  SeerWords names;          // of the lists, in the order of the table
  SeerWords words;          // labels as the table has them
  int32_t *lists, *labels;  // [count]: pairs of numbers in `names` and `words`
  int64_t count, capacity;
} SeerLabelLists;

// The lists as the indicators were published (label_groups.def). `boxes`: those of OpenImages MIAP.
SeerStatus seer_label_lists_default(bool boxes, SeerLabelLists *lists);
SeerStatus seer_label_lists_load(const char *path, SeerLabelLists *lists);
void seer_label_lists_release(SeerLabelLists *lists);
// As a table, to be edited.
void seer_label_lists_print(const SeerLabelLists *lists, FILE *out);

// Which labels of a classifier are in which list: member[list][class]. Names are one when they are equal but for case,
// '_' and ' ', or when one of the synonyms between commas of the classifier's is. Labels of a list that the classifier
// does not have are told, as are lists of which it has none. NULL without memory.
bool *seer_label_lists_match(const SeerLabelLists *lists, const char *what, char *const *classes, int class_count,
                             SeerTold *told);
// Whether the classifier has a label of the list.
bool seer_label_list_is_known(const bool *member, int list, int class_count);

#endif
