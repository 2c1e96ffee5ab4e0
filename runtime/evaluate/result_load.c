// Reads results back, and checks all that is read of them; see study.h.
#include <math.h>

#include "runtime/evaluate/study.h"

SeerEstimate seer_result_interval(const json_t *list, size_t index) {
  const json_t *interval = json_array_get(list, index);
  double values[3];
  for (size_t i = 0; i < 3; i++) {
    const json_t *value = json_array_get(interval, i);
    values[i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
  }
  return (SeerEstimate){values[0], values[1], values[2]};
}

static bool counts_are(const json_t *object, const char *const *keys) {
  for (; *keys; keys++) {
    const json_t *value = json_object_get(object, *keys);
    if (!json_is_number(value) || !(json_number_value(value) >= 0)) return false;
  }
  return true;
}

static bool interval_is(const json_t *interval) {
  if (json_array_size(interval) != 3) return false;
  for (size_t i = 0; i < 3; i++) {
    const json_t *value = json_array_get(interval, i);
    if (!json_is_number(value) && !json_is_null(value)) return false;
  }
  return true;
}

static bool intervals_are(const json_t *list, size_t count) {
  if (!json_is_array(list) || json_array_size(list) != count) return false;
  for (size_t i = 0; i < count; i++) {
    if (!interval_is(json_array_get(list, i))) return false;
  }
  return true;
}

static bool group_is(const json_t *group, size_t measures) {
  return seer_result_has_texts(group, (const char *const[]){"name", NULL}) &&
         counts_are(group, (const char *const[]){"cases", "units", NULL}) &&
         json_is_boolean(json_object_get(group, "small")) &&
         intervals_are(json_object_get(group, "values"), measures) &&
         intervals_are(json_object_get(group, "from_others"), measures);
}

static bool disparity_is(const json_t *disparity) {
  if (json_is_null(disparity)) return true;
  return seer_result_has_texts(disparity, (const char *const[]){"high", "low", NULL}) &&
         counts_are(disparity, (const char *const[]){"groups", "pairs", "clear_pairs", NULL}) &&
         interval_is(json_object_get(disparity, "difference")) && interval_is(json_object_get(disparity, "ratio")) &&
         json_is_boolean(json_object_get(disparity, "clear"));
}

static bool grouping_is(const json_t *grouping, size_t measures) {
  const json_t *groups = json_object_get(grouping, "groups"), *largest = json_object_get(grouping, "largest");
  bool fine = seer_result_has_texts(grouping, (const char *const[]){"by", NULL}) && json_is_array(groups) &&
              json_is_array(largest) && json_array_size(largest) == measures &&
              counts_are(grouping, (const char *const[]){"small_groups", NULL});
  for (size_t i = 0; fine && i < json_array_size(groups); i++) fine = group_is(json_array_get(groups, i), measures);
  for (size_t i = 0; fine && i < measures; i++) fine = disparity_is(json_array_get(largest, i));
  return fine;
}

static bool result_is(const json_t *result) {
  const json_t *measures = json_object_get(result, "measures"), *by = json_object_get(result, "by");
  const json_t *told = json_object_get(result, "told");
  size_t count = json_array_size(measures);
  bool fine = seer_result_has_texts(result, (const char *const[]){"indicator", "model", "manifest", "manifest_xxh3_128",
                                                                  "layout", "unit", NULL}) &&
              counts_are(result, (const char *const[]){"parameters", "units", "pictures", "pictures_used", "least",
                                                       "replicates", "confidence", NULL}) &&
              json_is_array(measures) && json_is_array(by) && json_is_array(told);
  for (size_t i = 0; fine && i < count; i++) {
    const json_t *measure = json_array_get(measures, i);
    fine = seer_result_has_texts(measure, (const char *const[]){"name", "at", NULL}) &&
           json_is_boolean(json_object_get(measure, "detail"));
  }
  for (size_t i = 0; fine && i < json_array_size(by); i++) fine = grouping_is(json_array_get(by, i), count);
  for (size_t i = 0; fine && i < json_array_size(told); i++) {
    const json_t *row = json_array_get(told, i);
    fine = seer_result_has_texts(row, (const char *const[]){"what", "first", NULL}) &&
           counts_are(row, (const char *const[]){"count", NULL}) && json_is_boolean(json_object_get(row, "loss"));
  }
  return fine;
}

SeerStatus seer_result_load(const char *path, json_t **result) {
  static const SeerResultKind kind = {"fairness", "seer_fairness", SEER_RESULT_FORMAT, result_is};
  return seer_result_read(path, &kind, result);
}
