// Results of many tasks: read back with all that is read of them checked, printed, judged; see tasks.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/models_page.h"
#include "runtime/evaluate/result_file.h"
#include "runtime/evaluate/tasks.h"

enum { ROWS_MAX = 10000 };

static bool share_is(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) && json_number_value(value) >= 0 && json_number_value(value) <= 1;
}

static bool count_is(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool row_is(const json_t *row) {
  if (!seer_result_has_texts(row, (const char *const[]){"name", "group", "metric", "view", "train", "test",
                                                        "train_labels", "test_labels", NULL}))
    return false;
  if (json_object_get(row, "error")) return json_is_string(json_object_get(row, "error"));
  return share_is(row, "value") && share_is(row, "deviation") && count_is(row, "train_pictures") &&
         count_is(row, "test_pictures") && count_is(row, "classes") && count_is(row, "undecodable") &&
         seer_result_has_texts(row, (const char *const[]){"train_hash", "test_hash", NULL});
}

static bool result_is(const json_t *result) {
  const json_t *tasks = json_object_get(result, "tasks"), *parameters = json_object_get(result, "parameters");
  bool fine =
      seer_result_has_texts(result, (const char *const[]){"model", "weights", "weights_xxh3_128", "list", NULL}) &&
      json_is_number(parameters) && json_number_value(parameters) >= 0 && count_is(result, "task_count") &&
      json_is_object(json_object_get(result, "protocol")) && json_is_array(tasks) &&
      json_array_size(tasks) <= ROWS_MAX &&
      (size_t)json_integer_value(json_object_get(result, "task_count")) >= json_array_size(tasks);
  for (size_t i = 0; fine && i < json_array_size(tasks); i++) fine = row_is(json_array_get(tasks, i));
  return fine;
}

SeerStatus seer_tasks_load(const char *path, json_t **result) {
  static const SeerResultKind kind = {"tasks", "seer_tasks", SEER_TASKS_FORMAT, result_is};
  return seer_result_read(path, &kind, result);
}

typedef struct Sum {
  double value;
  int count;
} Sum;

// Over tasks with a value; `group` NULL: all.
static Sum mean_of(const json_t *tasks, const char *group) {
  Sum sum = {0, 0};
  for (size_t i = 0; i < json_array_size(tasks); i++) {
    const json_t *row = json_array_get(tasks, i);
    if (json_object_get(row, "error") || (group && strcmp(seer_result_text(row, "group"), group) != 0)) continue;
    sum.value += seer_result_number(row, "value");
    sum.count++;
  }
  if (sum.count) sum.value /= sum.count;
  return sum;
}

static bool group_is_first(const json_t *tasks, size_t at) {
  const char *group = seer_result_text(json_array_get(tasks, at), "group");
  for (size_t i = 0; i < at; i++) {
    if (strcmp(seer_result_text(json_array_get(tasks, i), "group"), group) == 0) return false;
  }
  return *group != '\0';
}

static void row_print(const json_t *row, FILE *out) {
  const char *error = json_string_value(json_object_get(row, "error"));
  fprintf(out, "%-24s %-14s ", seer_result_text(row, "name"), seer_result_text(row, "group"));
  if (error) {
    fprintf(out, "no value: %.*s\n", (int)strcspn(error, "\n"), error);
    return;
  }
  double lost = seer_result_number(row, "undecodable");
  fprintf(out, "%-14s %6.2f ± %5.2f %% %9.0f", seer_result_text(row, "metric"), 100 * seer_result_number(row, "value"),
          100 * seer_result_number(row, "deviation"), seer_result_number(row, "test_pictures"));
  for (int i = 0; i < SEER_TASK_SETTINGS; i++) {
    const char *setting = seer_result_text(row, seer_task_settings[i]);
    if (*setting) fprintf(out, "  %s %.60s", seer_task_settings[i], setting);
  }
  if (lost > 0) fprintf(out, "  %.0f could not be decoded", lost);
  fprintf(out, "\n");
}

void seer_tasks_print(const json_t *result, FILE *out) {
  const json_t *tasks = json_object_get(result, "tasks"), *protocol = json_object_get(result, "protocol");
  char size[32];
  seer_models_size(seer_result_number(result, "parameters"), size);
  fprintf(out, "%s, %s parameters, weights '%s': linear probe of %.0f epochs, deviation over %.0f seed%s\n",
          seer_result_text(result, "model"), size, seer_result_text(result, "weights"),
          seer_result_number(protocol, "epochs"), seer_result_number(protocol, "seeds"),
          seer_result_number(protocol, "seeds") > 1 ? "s" : "");
  fprintf(out, "%-24s %-14s %-14s %16s %9s\n", "task", "group", "metric", "value", "n");
  for (size_t i = 0; i < json_array_size(tasks); i++) row_print(json_array_get(tasks, i), out);
  for (size_t i = 0; i < json_array_size(tasks); i++) {
    const char *group = seer_result_text(json_array_get(tasks, i), "group");
    Sum sum = mean_of(tasks, group);
    if (group_is_first(tasks, i) && sum.count)
      fprintf(out, "%-24s %-29s %6.2f %%         %9d\n", "mean of a group", group, 100 * sum.value, sum.count);
  }
  Sum sum = mean_of(tasks, NULL);
  if (sum.count) fprintf(out, "%-54s %6.2f %%         %9d tasks\n", "mean", 100 * sum.value, sum.count);
}

SeerStatus seer_tasks_judge(const json_t *result) {
  const json_t *tasks = json_object_get(result, "tasks"), *first = NULL;
  long long all = (long long)seer_result_number(result, "task_count"), fine = 0;
  for (size_t i = 0; i < json_array_size(tasks); i++) {
    const json_t *row = json_array_get(tasks, i);
    if (!json_object_get(row, "error"))
      fine++;
    else if (!first)
      first = row;
  }
  if (fine == all) return SEER_OK;
  return seer_fail(SEER_INPUT, "%lld of %lld tasks have a value%s%.100s%s%.600s", fine, all, first ? "; '" : "",
                   first ? seer_result_text(first, "name") : "", first ? "': " : "",
                   first ? seer_result_text(first, "error") : "");
}
