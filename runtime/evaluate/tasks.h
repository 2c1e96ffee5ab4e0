// Many data sets, one protocol: the linear probe of probe.h on each set of a list, the results kept as JSON while they
// come in, and results of several models side by side.
//
// The list is a table with the columns name, train, test, and perhaps train_labels, test_labels (IDX label files),
// metric, view, group, and settings of the task's heads. Paths are relative to it, and patterns as --data takes them.
#ifndef SEER_RUNTIME_EVALUATE_TASKS_H
#define SEER_RUNTIME_EVALUATE_TASKS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/evaluate/grid.h"
#include "runtime/evaluate/probe.h"
#include "runtime/options.h"
#include "runtime/program.h"

enum { SEER_TASKS_FORMAT = 1, SEER_TASK_SETTINGS = 4 };

// Columns of a list that say how a task's heads train where the options do not: epochs, schedule, learning_rates,
// weight_decay.
extern const char *const seer_task_settings[SEER_TASK_SETTINGS];

typedef enum SeerSide { SEER_TRAIN, SEER_TEST } SeerSide;

// A row of the list. Texts are the grid's, paths as they are written there.
typedef struct SeerTaskRow {
  const char *name, *group;                  // group "": none
  const char *metric;                        // "top1" or "mean_per_class"
  const char *view;                          // "centre", or "square": whole pictures made square, in training, too
  const char *data[2];                       // [SeerSide]
  const char *labels[2];                     // "": folders tell
  const char *settings[SEER_TASK_SETTINGS];  // "": as the options say
  char *data_path[2], *labels_path[2];       // as they can be opened; labels_path NULL: none
} SeerTaskRow;

typedef struct SeerTaskList {
  SeerGrid grid;
  int count;
  SeerTaskRow *rows;
} SeerTaskList;

// SEER_INPUT names the row: without a name or pictures, a name twice, a metric that is none.
SeerStatus seer_task_list_load(const char *path, SeerTaskList *list);
void seer_task_list_release(SeerTaskList *list);

// How heads of a row train: as the options say, and before them the row. SEER_INPUT names the row.
SeerStatus seer_task_plan_read(const SeerTaskList *list, int row, const SeerOptions *options, SeerProbePlan *plan);

// Measures what of the list --out does not hold yet. The result is to be released, and is there where tasks failed,
// too.
SeerStatus seer_tasks_measure(const SeerProgram *program, const SeerOptions *options, const char *list, const char *out,
                              json_t **result);
// SEER_INPUT when not all tasks of a result have a value: "N of M tasks", with the first fault.
SeerStatus seer_tasks_judge(const json_t *result);

// A file of a result. SEER_INPUT when it is none: what is loaded has all that is read of it, in the kinds that belong
// there.
SeerStatus seer_tasks_load(const char *path, json_t **result);
void seer_tasks_print(const json_t *result, FILE *out);

// ---- models side by side ----

typedef struct SeerTaskModel {
  char name[96];
  double parameters;            // 0: not known
  bool is_own;                  // of a result; else of the table of others
  double *values, *deviations;  // [tasks], in shares; NaN: not known; deviation 0: not known
} SeerTaskModel;

typedef struct SeerTaskTally {
  int wins, losses, ties;
} SeerTaskTally;

typedef struct SeerTaskModels {
  int task_count, model_count, own_count;
  const char **tasks, **groups, **metrics;  // [task_count], of `results`
  SeerTaskModel *models;                    // own ones first, each kind by size
  bool *common;                             // [task_count]: all own models have a value
  int common_count;
  json_t *results[256];
  int result_count;
  int unknown_columns;  // of the table of others
  char unknown[200];    // the first of them
} SeerTaskModels;

// Reads results and, unless `others` is NULL, a table `model,parameters,TASK,...` in per cent, empty: not known.
// SEER_INPUT names results that do not compare: other protocols, metrics or pictures under one name.
SeerStatus seer_task_models_load(const char *const *paths, int count, const char *others, SeerTaskModels *models);
void seer_task_models_release(SeerTaskModels *models);
// Mean over tasks of `group` (NULL: all) that `among` (NULL: all) holds for and the model has a value of; *count them.
double seer_task_mean(const SeerTaskModels *models, int model, const char *group, const bool *among, int *count);
// On the tasks that both have. Values nearer to each other than the root of the sum of their squared deviations are
// ties. `against` -1: on each task the best of the others' table.
SeerTaskTally seer_task_tally(const SeerTaskModels *models, int model, int against);
// Groups in the order of tasks; NULL behind the last.
const char *seer_task_group(const SeerTaskModels *models, int index);
bool seer_task_has_others(const SeerTaskModels *models);

void seer_task_models_print(const SeerTaskModels *models, FILE *out);
json_t *seer_task_models_json(const SeerTaskModels *models);
void seer_task_models_page(const SeerTaskModels *models, FILE *page);

#endif
