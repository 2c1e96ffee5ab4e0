// Reads metrics.jsonl; see history.h.
#include "runtime/history.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/files.h"

static bool history_grow(SeerHistory *history) {
  history->capacity = history->capacity ? 2 * history->capacity : 1024;
  bool grown = true;
#define FIELD(field, key)                                                             \
  {                                                                                   \
    double *more = realloc(history->field, (size_t)history->capacity * sizeof *more); \
    if (more) history->field = more;                                                  \
    grown = grown && more;                                                            \
  }
  SEER_HISTORY(FIELD)
#undef FIELD
  return grown;
}

void seer_history_release(SeerHistory *history) {
#define FIELD(field, key) free(history->field);
  SEER_HISTORY(FIELD)
#undef FIELD
  *history = (SeerHistory){.count = 0};
}

static bool line_add(SeerHistory *history, const json_t *object) {
  if (history->count == history->capacity && !history_grow(history)) return false;
#define FIELD(field, key) history->field[history->count] = json_number_value(json_object_get(object, key));
  SEER_HISTORY(FIELD)
#undef FIELD
  history->count++;
  return true;
}

SeerStatus seer_history_read(const char *run, SeerHistory *history) {
  *history = (SeerHistory){.count = 0};
  SeerPath path;
  SeerStatus status = seer_path_print(&path, "%s/metrics.jsonl", run);
  FILE *file = status ? NULL : fopen(path.text, "re");
  if (!file) return status ? status : seer_fail(SEER_INPUT, "'%s' has no metrics.jsonl: no step was run there", run);
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t length; !status && (length = getline(&line, &capacity, file)) > 0;) {
    json_t *object = json_loadb(line, (size_t)length, 0, NULL);
    if (object && !line_add(history, object)) status = seer_fail(SEER_MACHINE, "no memory for '%s'", path.text);
    json_decref(object);
  }
  free(line);
  fclose(file);
  if (!status && history->count == 0) status = seer_fail(SEER_INPUT, "'%s' is empty: no step was run", path.text);
  return status;
}

double seer_history_mean_end(const double *values, int count) {
  int used = count < 20 ? count : 20;
  double sum = 0;
  for (int i = count - used; i < count; i++) sum += values[i];
  return sum / used;
}
