// Results of several models on the same tasks, and a table of others' results, side by side; see tasks.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/evaluate/result_file.h"
#include "runtime/evaluate/tasks.h"
#include "runtime/json_text.h"

enum { MODELS_MAX = 512 };

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "no memory for results side by side"); }

static const json_t *row_find(const json_t *result, const char *task) {
  const json_t *rows = json_object_get(result, "tasks");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    if (strcasecmp(seer_result_text(json_array_get(rows, i), "name"), task) == 0) return json_array_get(rows, i);
  }
  return NULL;
}

// ---- do results compare? ----

static SeerStatus protocol_check(const char *const *paths, const SeerTaskModels *models, int at) {
  json_t *first = json_object_get(models->results[0], "protocol");
  const json_t *other = json_object_get(models->results[at], "protocol");
  const char *key;
  json_t *value;
  json_object_foreach(first, key, value) {
    if (json_equal(value, json_object_get(other, key))) continue;
    char *one = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    char *two = json_dumps(json_object_get(other, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    SeerStatus status =
        seer_fail(SEER_INPUT,
                  "results of different protocols do not compare: '%.60s' is %.200s in '%s', and %.200s "
                  "in '%s'",
                  key, one ? one : "not told", paths[0], two ? two : "not told", paths[at]);
    free(one);
    free(two);
    return status;
  }
  if (json_object_size(first) == json_object_size(other)) return SEER_OK;
  return seer_fail(SEER_INPUT, "results of different protocols do not compare: '%s' tells more of it than '%s'",
                   paths[at], paths[0]);
}

static SeerStatus row_check(const char *const *paths, const SeerTaskModels *models, int at, const json_t *row) {
  static const char *const texts[] = {"metric", "view", "epochs", "schedule", "learning_rates", "weight_decay"};
  static const char *const counts[] = {"train_pictures", "test_pictures", "classes"};
  static const char *const words[] = {"pictures to train on", "pictures to test on", "classes"};
  const char *task = seer_result_text(row, "name");
  for (int earlier = 0; earlier < at; earlier++) {
    const json_t *other = row_find(models->results[earlier], task);
    if (!other) continue;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
      const char *here = seer_result_text(row, texts[i]), *there = seer_result_text(other, texts[i]);
      if (strcmp(here, there) != 0)
        return seer_fail(SEER_INPUT, "'%.100s' has the %s '%.40s' in '%s', and '%.40s' in '%s': the two do not compare",
                         task, texts[i], there, paths[earlier], here, paths[at]);
    }
    for (int i = 0; i < 3 && !json_object_get(row, "error") && !json_object_get(other, "error"); i++) {
      double here = seer_result_number(row, counts[i]), there = seer_result_number(other, counts[i]);
      if (here < there || here > there)
        return seer_fail(SEER_INPUT, "'%.100s' has %.0f %s in '%s', and %.0f in '%s': the two do not compare", task,
                         there, words[i], paths[earlier], here, paths[at]);
    }
  }
  return SEER_OK;
}

static SeerStatus results_load(const char *const *paths, int count, SeerTaskModels *models) {
  SeerStatus status = SEER_OK;
  for (int i = 0; i < count && !status; i++) {
    status = seer_tasks_load(paths[i], &models->results[i]);
    if (status) break;
    models->result_count++;
    status = protocol_check(paths, models, i);
    const json_t *rows = json_object_get(models->results[i], "tasks");
    for (size_t r = 0; r < json_array_size(rows) && !status; r++)
      status = row_check(paths, models, i, json_array_get(rows, r));
    for (int earlier = 0; earlier < i && !status; earlier++) {
      if (strcmp(seer_result_text(models->results[i], "model"), seer_result_text(models->results[earlier], "model")) ==
          0)
        status = seer_fail(
            SEER_INPUT, "'%s' and '%s' are both of a model '%.100s'\nnote: --model NAME names it where it is measured",
            paths[earlier], paths[i], seer_result_text(models->results[i], "model"));
    }
  }
  return status;
}

// ---- tasks and models ----

static int task_find(const SeerTaskModels *models, const char *name) {
  for (int i = 0; i < models->task_count; i++) {
    if (strcasecmp(models->tasks[i], name) == 0) return i;
  }
  return -1;
}

// All that any result has, in the order of the first.
static SeerStatus tasks_collect(SeerTaskModels *models) {
  size_t most = 1;
  for (int i = 0; i < models->result_count; i++) most += json_array_size(json_object_get(models->results[i], "tasks"));
  models->tasks = calloc(most, sizeof *models->tasks);
  models->groups = calloc(most, sizeof *models->groups);
  models->metrics = calloc(most, sizeof *models->metrics);
  models->common = calloc(most, sizeof *models->common);
  if (!models->tasks || !models->groups || !models->metrics || !models->common) return no_memory();
  for (int i = 0; i < models->result_count; i++) {
    const json_t *rows = json_object_get(models->results[i], "tasks");
    for (size_t r = 0; r < json_array_size(rows); r++) {
      const json_t *row = json_array_get(rows, r);
      if (task_find(models, seer_result_text(row, "name")) >= 0) continue;
      models->tasks[models->task_count] = seer_result_text(row, "name");
      models->groups[models->task_count] = seer_result_text(row, "group");
      models->metrics[models->task_count++] = seer_result_text(row, "metric");
    }
  }
  return models->task_count ? SEER_OK : seer_fail(SEER_INPUT, "the results have no tasks");
}

static SeerStatus model_add(SeerTaskModels *models, const char *name, double parameters, bool is_own) {
  SeerTaskModel *model = &models->models[models->model_count++];
  *model = (SeerTaskModel){.parameters = parameters, .is_own = is_own};
  size_t length = strlen(name) < sizeof model->name ? strlen(name) : sizeof model->name - 1;
  while (name[length] && length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80) length--;
  memcpy(model->name, name, length);
  model->values = calloc((size_t)models->task_count + 1, sizeof *model->values);
  model->deviations = calloc((size_t)models->task_count + 1, sizeof *model->deviations);
  if (!model->values || !model->deviations) return no_memory();
  for (int t = 0; t < models->task_count; t++) model->values[t] = (double)NAN;
  return SEER_OK;
}

static SeerStatus own_add(SeerTaskModels *models, const json_t *result) {
  SeerStatus status =
      model_add(models, seer_result_text(result, "model"), seer_result_number(result, "parameters"), true);
  const json_t *rows = json_object_get(result, "tasks");
  for (size_t r = 0; r < json_array_size(rows) && !status; r++) {
    const json_t *row = json_array_get(rows, r);
    int task = task_find(models, seer_result_text(row, "name"));
    if (json_object_get(row, "error")) continue;
    models->models[models->model_count - 1].values[task] = seer_result_number(row, "value");
    models->models[models->model_count - 1].deviations[task] = seer_result_number(row, "deviation");
  }
  return status;
}

// "": NaN.
static SeerStatus number_read(const SeerGrid *grid, int64_t row, int column, double most, double *number) {
  const char *text = seer_grid_cell(grid, row, column);
  char *end;
  *number = (double)NAN;
  if (!*text) return SEER_OK;
  *number = strtod(text, &end);
  if (end != text && !*end && *number >= 0 && *number <= most) return SEER_OK;
  char what[200];
  snprintf(what, sizeof what, "has '%.40s' as '%.60s'", text, seer_grid_name(grid, column));
  return seer_grid_fail(grid, row, what,
                        most > 100 ? "a number of parameters, or nothing"
                                   : "values are per cent, from 0 to 100, or nothing where none is known");
}

static SeerStatus other_add(SeerTaskModels *models, const SeerGrid *grid, int64_t row, double *highest) {
  int name = seer_grid_column(grid, "model"), size = seer_grid_column(grid, "parameters");
  double parameters = 0;
  if (!*seer_grid_cell(grid, row, name)) return seer_grid_fail(grid, row, "names no model", NULL);
  for (int64_t earlier = 0; earlier < row; earlier++) {
    if (strcmp(seer_grid_cell(grid, earlier, name), seer_grid_cell(grid, row, name)) == 0)
      return seer_grid_fail(grid, row, "names a model that an earlier row names", seer_grid_cell(grid, row, name));
  }
  SeerStatus status = size < 0 ? SEER_OK : number_read(grid, row, size, 1e15, &parameters);
  if (!status) status = model_add(models, seer_grid_cell(grid, row, name), isnan(parameters) ? 0 : parameters, false);
  for (int column = 0; column < grid->columns && !status; column++) {
    int task = column == name || column == size ? -1 : task_find(models, seer_grid_name(grid, column));
    double value;
    if (task < 0) continue;
    status = number_read(grid, row, column, 100, &value);
    models->models[models->model_count - 1].values[task] = value / 100;
    if (value > *highest) *highest = value;
  }
  return status;
}

static SeerStatus others_add(SeerTaskModels *models, const SeerGrid *grid) {
  double highest = 0;
  SeerStatus status = SEER_OK;
  if (seer_grid_column(grid, "model") < 0)
    return seer_fail(
        SEER_INPUT,
        "'%s' has no column 'model'\nnote: its first row names the columns: model, parameters, and the tasks",
        grid->path);
  for (int column = 0; column < grid->columns; column++) {
    const char *name = seer_grid_name(grid, column);
    if (!strcasecmp(name, "model") || !strcasecmp(name, "parameters") || task_find(models, name) >= 0) continue;
    if (!models->unknown_columns++) snprintf(models->unknown, sizeof models->unknown, "%s", name);
  }
  for (int64_t row = 0; row < grid->rows && !status; row++) status = other_add(models, grid, row, &highest);
  if (!status && highest > 0 && highest <= 1)
    status = seer_fail(SEER_INPUT, "no value of '%s' is above 1: they look like shares\nnote: values are per cent",
                       grid->path);
  return status;
}

static int model_compare(const void *a, const void *b) {
  const SeerTaskModel *one = a, *other = b;
  if (one->is_own != other->is_own) return one->is_own ? -1 : 1;
  if (one->parameters < other->parameters || one->parameters > other->parameters)
    return one->parameters < other->parameters ? -1 : 1;
  return strcmp(one->name, other->name);
}

static SeerStatus models_fill(SeerTaskModels *models, const SeerGrid *grid) {
  int64_t room = models->result_count + (grid ? grid->rows : 0);
  if (room > MODELS_MAX) return seer_fail(SEER_INPUT, "there are more than %d models", MODELS_MAX);
  SeerStatus status = tasks_collect(models);
  if (!status && !(models->models = calloc((size_t)room, sizeof *models->models))) status = no_memory();
  for (int i = 0; i < models->result_count && !status; i++) status = own_add(models, models->results[i]);
  models->own_count = models->model_count;
  if (!status && grid) status = others_add(models, grid);
  if (status) return status;
  qsort(models->models, (size_t)models->model_count, sizeof *models->models, model_compare);
  for (int t = 0; t < models->task_count; t++) {
    models->common[t] = true;
    for (int m = 0; m < models->own_count; m++)
      models->common[t] = models->common[t] && !isnan(models->models[m].values[t]);
    models->common_count += models->common[t];
  }
  return SEER_OK;
}

SeerStatus seer_task_models_load(const char *const *paths, int count, const char *others, SeerTaskModels *models) {
  SeerGrid grid = {.rows = -1};
  *models = (SeerTaskModels){.task_count = 0};
  SeerStatus status = results_load(paths, count, models);
  if (!status && others) status = seer_grid_load(others, &grid);
  if (!status) status = models_fill(models, others ? &grid : NULL);
  seer_grid_release(&grid);
  if (status) seer_task_models_release(models);
  return status;
}

void seer_task_models_release(SeerTaskModels *models) {
  for (int i = 0; i < models->model_count; i++) {
    free(models->models[i].values);
    free(models->models[i].deviations);
  }
  for (int i = 0; i < models->result_count; i++) json_decref(models->results[i]);
  free(models->models);
  free(models->tasks);
  free(models->groups);
  free(models->metrics);
  free(models->common);
  *models = (SeerTaskModels){.task_count = 0};
}

// ---- what they say ----

double seer_task_mean(const SeerTaskModels *models, int model, const char *group, const bool *among, int *count) {
  double sum = 0;
  *count = 0;
  for (int t = 0; t < models->task_count; t++) {
    double value = models->models[model].values[t];
    if (isnan(value) || (group && strcmp(models->groups[t], group) != 0) || (among && !among[t])) continue;
    sum += value;
    ++*count;
  }
  return *count ? sum / *count : (double)NAN;
}

static double best_of_others(const SeerTaskModels *models, int task) {
  double best = (double)NAN;
  for (int m = models->own_count; m < models->model_count; m++) best = fmax(best, models->models[m].values[task]);
  return best;
}

SeerTaskTally seer_task_tally(const SeerTaskModels *models, int model, int against) {
  SeerTaskTally tally = {0, 0, 0};
  for (int t = 0; t < models->task_count; t++) {
    double value = models->models[model].values[t];
    double other = against < 0 ? best_of_others(models, t) : models->models[against].values[t];
    double room = hypot(models->models[model].deviations[t], against < 0 ? 0 : models->models[against].deviations[t]);
    if (isnan(value) || isnan(other)) continue;
    if (fabs(value - other) <= room)
      tally.ties++;
    else if (value > other)
      tally.wins++;
    else
      tally.losses++;
  }
  return tally;
}

const char *seer_task_group(const SeerTaskModels *models, int index) {
  for (int t = 0; t < models->task_count; t++) {
    bool is_first = *models->groups[t] != '\0';
    for (int i = 0; i < t; i++) is_first = is_first && strcmp(models->groups[i], models->groups[t]) != 0;
    if (is_first && index-- == 0) return models->groups[t];
  }
  return NULL;
}

bool seer_task_has_others(const SeerTaskModels *models) { return models->model_count > models->own_count; }

// ---- for terminals and programs ----

static void cells_print(const SeerTaskModels *models, const char *name, const char *group, const bool *among,
                        FILE *out) {
  fprintf(out, "%-24s", name);
  for (int m = 0; m < models->own_count; m++) {
    int count;
    double mean = seer_task_mean(models, m, group, among, &count);
    char text[32] = "-";
    if (count) snprintf(text, sizeof text, "%.2f of %d", 100 * mean, count);
    fprintf(out, " %18s", text);
  }
  fputs("\n", out);
}

static void tally_print(const SeerTaskModels *models, int model, int against, const char *name, FILE *out) {
  SeerTaskTally tally = seer_task_tally(models, model, against);
  if (tally.wins + tally.losses + tally.ties == 0)
    fprintf(out, "%s against %s: no task that both have\n", models->models[model].name, name);
  else
    fprintf(out, "%s against %s: %d wins, %d losses, %d ties\n", models->models[model].name, name, tally.wins,
            tally.losses, tally.ties);
}

void seer_task_models_print(const SeerTaskModels *models, FILE *out) {
  fprintf(out, "%-24s", "task, per cent");
  for (int m = 0; m < models->own_count; m++) fprintf(out, " %18.18s", models->models[m].name);
  fprintf(out, "%s\n", seer_task_has_others(models) ? "     best of others" : "");
  for (int t = 0; t < models->task_count; t++) {
    fprintf(out, "%-24s", models->tasks[t]);
    for (int m = 0; m < models->own_count; m++) {
      char text[32] = "-";
      const SeerTaskModel *model = &models->models[m];
      if (!isnan(model->values[t]))
        snprintf(text, sizeof text, "%.2f ± %.2f", 100 * model->values[t], 100 * model->deviations[t]);
      fprintf(out, " %*s", strchr(text, ' ') ? 19 : 18, text);
    }
    double best = best_of_others(models, t);
    if (isnan(best))
      fputs("\n", out);
    else
      fprintf(out, " %18.2f\n", 100 * best);
  }
  const char *group;
  for (int g = 0; (group = seer_task_group(models, g)); g++) {
    char name[40];
    snprintf(name, sizeof name, "mean of %s", group);
    cells_print(models, name, group, NULL, out);
  }
  cells_print(models, "mean", NULL, NULL, out);
  if (models->common_count < models->task_count)
    cells_print(models, "mean of what all have", NULL, models->common, out);
  fputs("ties: no farther apart than the deviations over seeds, as the root of the sum of their squares\n", out);
  for (int m = 0; m < models->own_count; m++) {
    for (int other = 0; other < models->model_count; other++) {
      if (other >= models->own_count || other > m) tally_print(models, m, other, models->models[other].name, out);
    }
    if (seer_task_has_others(models)) tally_print(models, m, -1, "the best of others", out);
  }
}

static json_t *model_json(const SeerTaskModels *models, int at) {
  const SeerTaskModel *model = &models->models[at];
  json_t *groups = json_object(), *values = json_object();
  const char *group;
  int count, common;
  for (int g = 0; (group = seer_task_group(models, g)); g++)
    json_object_set_new(groups, group, seer_number_pack(seer_task_mean(models, at, group, NULL, &count)));
  for (int t = 0; t < models->task_count; t++)
    json_object_set_new(values, models->tasks[t],
                        json_pack("[o, f]", seer_number_pack(model->values[t]), model->deviations[t]));
  double among = seer_task_mean(models, at, NULL, models->common, &common);
  double mean = seer_task_mean(models, at, NULL, NULL, &count);
  return json_pack("{s:o, s:b, s:f, s:i, s:o, s:i, s:o, s:o, s:o}", "model", seer_text_pack(model->name), "own",
                   model->is_own, "parameters", model->parameters, "tasks", count, "mean", seer_number_pack(mean),
                   "common_tasks", common, "common_mean", seer_number_pack(among), "groups", groups, "values", values);
}

json_t *seer_task_models_json(const SeerTaskModels *models) {
  json_t *list = json_array(), *tallies = json_array();
  for (int m = 0; m < models->model_count; m++) json_array_append_new(list, model_json(models, m));
  for (int m = 0; m < models->own_count; m++) {
    for (int other = seer_task_has_others(models) ? -1 : 0; other < models->model_count; other++) {
      if (other == m) continue;
      SeerTaskTally tally = seer_task_tally(models, m, other);
      json_array_append_new(
          tallies, json_pack("{s:o, s:o, s:i, s:i, s:i}", "model", seer_text_pack(models->models[m].name), "against",
                             other < 0 ? json_null() : seer_text_pack(models->models[other].name), "wins", tally.wins,
                             "losses", tally.losses, "ties", tally.ties));
    }
  }
  return json_pack("{s:o, s:o}", "models", list, "comparisons", tallies);
}
