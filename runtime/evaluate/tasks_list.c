// Lists of data sets; see tasks.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/evaluate/tasks.h"
#include "runtime/files.h"

const char *const seer_task_settings[SEER_TASK_SETTINGS] = {"epochs", "schedule", "learning_rates", "weight_decay"};

static SeerStatus metric_read(const SeerTaskList *list, int64_t at, const char *text, const char **metric) {
  static const struct {
    const char *text, *metric;
  } metrics[] = {{"", "top1"},
                 {"top1", "top1"},
                 {"top-1", "top1"},
                 {"mean_per_class", "mean_per_class"},
                 {"mean-per-class", "mean_per_class"}};
  for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
    if (strcasecmp(text, metrics[i].text) == 0) {
      *metric = metrics[i].metric;
      return SEER_OK;
    }
  }
  bool is_map = strncasecmp(text, "map", 3) == 0;
  return seer_grid_fail(&list->grid, at,
                        is_map ? "asks for mAP, and pictures have one label here" : "has an unknown metric",
                        is_map ? "metrics are top1 and mean_per_class"
                               : "metrics are top1, which an empty field means, "
                                 "and mean_per_class");
}

static SeerStatus view_read(const SeerTaskList *list, int64_t at, const char *text, const char **view) {
  *view = !*text || strcasecmp(text, "centre") == 0 ? "centre" : strcasecmp(text, "square") == 0 ? "square" : NULL;
  if (*view) return SEER_OK;
  return seer_grid_fail(&list->grid, at, "has an unknown view",
                        "views are centre, which an empty field means, and square, whole pictures made square");
}

// Relative to the list.
static SeerStatus path_make(const SeerTaskList *list, const char *text, char **path) {
  const char *slash = strrchr(list->grid.path, '/');
  SeerPath whole;
  if (!*text) return SEER_OK;
  SeerStatus status = *text == '/' || !slash ? seer_path_print(&whole, "%s", text)
                                             : seer_path_print(&whole, "%.*s%s", (int)(slash - list->grid.path + 1),
                                                               list->grid.path, text);
  if (!status && !(*path = strdup(whole.text))) status = seer_fail(SEER_MACHINE, "no memory for a list of tasks");
  return status;
}

static SeerStatus row_read(SeerTaskList *list, int64_t at) {
  const SeerGrid *grid = &list->grid;
  SeerTaskRow *row = &list->rows[at];
  const char *sides[2] = {"train", "test"}, *labels[2] = {"train_labels", "test_labels"};
  row->name = seer_grid_cell(grid, at, seer_grid_column(grid, "name"));
  row->group = seer_grid_cell(grid, at, seer_grid_column(grid, "group"));
  if (!*row->name) return seer_grid_fail(grid, at, "has no name", NULL);
  for (int64_t i = 0; i < at; i++) {
    if (strcasecmp(list->rows[i].name, row->name) == 0)
      return seer_grid_fail(grid, at, "names a task that an earlier row names", row->name);
  }
  for (int i = 0; i < SEER_TASK_SETTINGS; i++)
    row->settings[i] = seer_grid_cell(grid, at, seer_grid_column(grid, seer_task_settings[i]));
  SeerStatus status = metric_read(list, at, seer_grid_cell(grid, at, seer_grid_column(grid, "metric")), &row->metric);
  if (!status) status = view_read(list, at, seer_grid_cell(grid, at, seer_grid_column(grid, "view")), &row->view);
  for (int side = SEER_TRAIN; side <= SEER_TEST && !status; side++) {
    row->data[side] = seer_grid_cell(grid, at, seer_grid_column(grid, sides[side]));
    row->labels[side] = seer_grid_cell(grid, at, seer_grid_column(grid, labels[side]));
    status = path_make(list, row->data[side], &row->data_path[side]);
    if (!status) status = path_make(list, row->labels[side], &row->labels_path[side]);
  }
  return status;
}

SeerStatus seer_task_list_load(const char *path, SeerTaskList *list) {
  static const char *const wanted[] = {"name", "train", "test"};
  *list = (SeerTaskList){.count = 0};
  SeerStatus status = seer_grid_load(path, &list->grid);
  if (status) return status;
  for (int i = 0; i < 3 && !status; i++) {
    if (seer_grid_column(&list->grid, wanted[i]) < 0)
      status =
          seer_fail(SEER_INPUT,
                    "'%s' has no column '%s'\nnote: its first row names the columns: name, train, test, and perhaps "
                    "train_labels, test_labels, metric, view, group, epochs, schedule, learning_rates, weight_decay",
                    path, wanted[i]);
  }
  if (!status && list->grid.rows > 10000) status = seer_fail(SEER_INPUT, "'%s' has more than 10,000 tasks", path);
  if (!status && !(list->rows = calloc((size_t)list->grid.rows, sizeof *list->rows)))
    status = seer_fail(SEER_MACHINE, "no memory for a list of tasks");
  for (int64_t i = 0; i < list->grid.rows && !status; i++) {
    list->count++;
    status = row_read(list, i);
  }
  if (status) seer_task_list_release(list);
  return status;
}

// A number above 0; false: it is none.
static bool number_read(const char *text, double *number) {
  char *end;
  if (!*text) return true;
  *number = strtod(text, &end);
  return end != text && !*end && *number > 0 && *number <= 1e6;
}

SeerStatus seer_task_plan_read(const SeerTaskList *list, int row, const SeerOptions *options, SeerProbePlan *plan) {
  const char *const *settings = list->rows[row].settings;
  SeerOptions asked = *options;
  if (!number_read(settings[0], &asked.epochs) || !number_read(settings[3], &asked.weight_decay))
    return seer_grid_fail(&list->grid, row, "has epochs or a weight_decay that is no number above 0", NULL);
  if (*settings[1]) asked.schedule = settings[1];
  if (*settings[2]) asked.learning_rates = settings[2];
  SeerStatus status = seer_probe_plan_read(&asked, options->seed >= 0 ? (uint64_t)options->seed : 0, plan);
  bool own = *settings[0] || *settings[1] || *settings[2] || *settings[3];
  if (!status || !own) return status;
  char fault[300];
  snprintf(fault, sizeof fault, "%s", seer_error());
  seer_error_clear();
  return seer_grid_fail(&list->grid, row, "asks for heads that cannot be", fault);
}

void seer_task_list_release(SeerTaskList *list) {
  for (int i = 0; i < list->count; i++) {
    for (int side = 0; side < 2; side++) {
      free(list->rows[i].data_path[side]);
      free(list->rows[i].labels_path[side]);
    }
  }
  free(list->rows);
  seer_grid_release(&list->grid);
  *list = (SeerTaskList){.count = 0};
}
