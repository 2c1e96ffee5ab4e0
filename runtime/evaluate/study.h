// What the three fairness indicators have in common: cases with a row of features or scores each, groups, measures with
// their statistics, and the result as JSON, which the terminal and the page show.
#ifndef SEER_RUNTIME_EVALUATE_STUDY_H
#define SEER_RUNTIME_EVALUATE_STUDY_H

#include <jansson.h>

#include "runtime/evaluate/cases.h"
#include "runtime/evaluate/feature_table.h"
#include "runtime/evaluate/groups.h"
#include "runtime/evaluate/result_file.h"
#include "runtime/evaluate/statistics.h"
#include "runtime/json_text.h"
#include "runtime/options.h"
#include "runtime/program.h"

enum { SEER_TOP = 5, SEER_BOX_LEAST = 100, SEER_RESULT_FORMAT = 1 };

// Cases and what the network makes of them.
typedef struct SeerStudySet {
  SeerCases cases;
  SeerFeatureTable table;
  int64_t *rows;  // [cases.count], of the table; -1: the case is not used
} SeerStudySet;

typedef struct SeerStudySource {
  SeerCasesRequest cases;
  const char *file;                  // predictions or features that are there already; NULL: to be made with --weights
  bool classifies;                   // rows are scores of labels: of a classifier's where they are made here
  const char *what;                  // "picture", "query": for what is told
  const char *option, *file_option;  // of the manifest and the file, for errors
} SeerStudySource;

// The pictures of --manifest with scores of labels, from --predictions or made.
SeerStudySource seer_study_source_of_labels(const SeerOptions *options);
// Reads cases and joins them with their rows; a file's rows are found by name, its own or one that ends in it. Without
// a file the network of --weights makes them, boxes cut out, and --head, or the classifier that the network was
// trained with, the scores. What has no row, cannot be decoded, or is too small a box is told and not used.
SeerStatus seer_study_set_make(const SeerProgram *program, const SeerOptions *options, const SeerStudySource *source,
                               SeerTold *told, SeerStudySet *set);
void seer_study_set_release(SeerStudySet *set);

// The first SEER_TOP labels of each used case by score, and their probabilities; equal scores in the order of labels.
typedef struct SeerTopLabels {
  int32_t *labels;       // [cases][SEER_TOP], -1: there are fewer
  float *probabilities;  // likewise
  bool from_logits;      // the file's scores were turned into probabilities
} SeerTopLabels;

SeerStatus seer_top_labels_make(const SeerStudySet *set, const char *scores, SeerTopLabels *top);
void seer_top_labels_release(SeerTopLabels *top);

// A measure of the result, with the column that it is the mean of.
typedef struct SeerStudyMeasure {
  char name[96];   // "human"
  char at[32];     // "threshold 0.1"; "" where there is but one
  float *column;   // [observations.case_count]; owned
  float *divisor;  // likewise; NULL: 1 each
  bool is_detail;  // of one label among many: shown by how far each group is from the others
} SeerStudyMeasure;

typedef struct SeerStudy {
  const char *protocol;  // "labels", "geography", "retrieval"
  const SeerProgram *program;
  const SeerOptions *options;
  const SeerStudySet *set;
  const SeerTold *told;
  int64_t case_count;
  int32_t unit_count;
  const int32_t *units;  // [case_count]
  const SeerGroupings *groupings;
  const int32_t *const *groups;  // [groupings][case_count]; NULL: those of the groupings
  SeerStudyMeasure *measures;
  int measure_count;
  json_t *extra;  // further members of the result
} SeerStudy;

// The result with all statistics.
SeerStatus seer_study_result(const SeerStudy *study, json_t **result);
// What --parameters says, or the program's: the trunk's and all else that training changes.
double seer_model_parameters(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_measure_make(SeerStudyMeasure *measure, int64_t case_count, bool divides);
void seer_measures_release(SeerStudyMeasure *measures, int count);

// The indicators.
typedef SeerStatus SeerIndicator(const SeerProgram *program, const SeerOptions *options, SeerTold *told,
                                 json_t **result);
SeerIndicator seer_study_labels, seer_study_geography, seer_study_retrieval;

// A result as tables for a terminal.
void seer_result_print(const json_t *result, FILE *out);
// Reads a result. SEER_INPUT when it is none, or of another format: what is loaded has all that is read of it, in the
// kinds and lengths that belong there.
SeerStatus seer_result_load(const char *path, json_t **result);
// [value, low, high] of a list of a result's; NaN for null.
SeerEstimate seer_result_interval(const json_t *list, size_t index);

// One page of several results of one indicator, models side by side from the smallest to the largest. SEER_INPUT names
// results that cannot be compared: other indicators, manifests or groups.
SeerStatus seer_fairness_page(const char *const *paths, int count, FILE *page);

#endif
