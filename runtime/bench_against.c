// Two benches beside each other: the one at hand and one that was written as JSON; see bench.h.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bench.h"
#include "runtime/files.h"

typedef struct Change {
  const char *name;
  double old_seconds, new_seconds;
} Change;

static double number_of(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static bool is_number(const json_t *object, const char *key) { return json_is_number(json_object_get(object, key)); }

static bool is_bench(const json_t *old) {
  const json_t *profile = json_object_get(old, "profile"), *machine = json_object_get(old, "machine");
  bool whole = json_is_object(old) && json_is_array(json_object_get(old, "kinds")) &&
               json_is_array(json_object_get(old, "blocks")) && json_is_string(json_object_get(old, "model_hash")) &&
               json_is_string(json_object_get(machine, "processor")) && is_number(profile, "step_seconds");
  const char *const keys[] = {"step_seconds_median", "batch", "threads", "flops", "recompute_flops"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) whole = whole && is_number(old, keys[i]);
  return whole && number_of(old, "step_seconds_median") > 0;
}

SeerStatus seer_against_load(const char *path, json_t **old) {
  enum { FILE_LIMIT = 1 << 28 };
  json_error_t error;
  char *text = NULL;
  uint64_t bytes = 0;
  *old = NULL;
  SeerStatus status = seer_file_read(path, FILE_LIMIT, &text, &bytes);
  if (status) return status;
  *old = json_loadb(text, bytes, 0, &error);
  free(text);
  if (!*old) return seer_fail(SEER_INPUT, "'%s' is no JSON: line %d: %s", path, error.line, error.text);
  if (is_bench(*old)) return SEER_OK;
  json_decref(*old);
  *old = NULL;
  return seer_fail(SEER_INPUT, "'%s' is no result of a bench\nnote: write one with `bench --json >OLD.json`", path);
}

static int change_compare(const void *a, const void *b) {
  const Change *x = a, *y = b;
  double dx = fabs(x->new_seconds - x->old_seconds), dy = fabs(y->new_seconds - y->old_seconds);
  if (dx > dy || dx < dy) return dx > dy ? -1 : 1;
  return strcmp(x->name, y->name);
}

// Whatever either has: a kind that is gone took 0 s of the new step.
static int changes_collect(const SeerBenchGroups *groups, const json_t *old, Change *changes) {
  int count = 0;
  for (int i = 0; i < groups->count; i++)
    changes[count++] = (Change){.name = groups->items[i].name, .new_seconds = groups->items[i].seconds};
  size_t index;
  json_t *item;
  json_array_foreach(old, index, item) {
    const char *name = json_string_value(json_object_get(item, "name"));
    if (!name) continue;
    int at = 0;
    while (at < count && strcmp(changes[at].name, name) != 0) at++;
    if (at == count) changes[count++] = (Change){.name = name};
    changes[at].old_seconds = number_of(item, "seconds");
  }
  qsort(changes, (size_t)count, sizeof *changes, change_compare);
  return count;
}

static json_t *change_json(const Change *change) {
  json_t *item = json_pack("{s:s, s:f, s:f}", "name", change->name, "old_seconds", change->old_seconds, "new_seconds",
                           change->new_seconds);
  if (change->old_seconds > 0) json_object_set_new(item, "ratio", json_real(change->new_seconds / change->old_seconds));
  return item;
}

static json_t *changes_json(const SeerBenchGroups *groups, const json_t *old) {
  Change *changes = calloc((size_t)groups->count + json_array_size(old) + 1, sizeof *changes);
  if (!changes) return NULL;
  json_t *list = json_array();
  int count = changes_collect(groups, old, changes);
  for (int i = 0; i < count; i++) json_array_append_new(list, change_json(&changes[i]));
  free(changes);
  return list;
}

static void difference_add(json_t *list, const char *what, const char *old, const char *new) {
  if (strcmp(old, new) != 0)
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", what, "old", old, "new", new));
}

static void number_difference_add(json_t *list, const char *what, double old, double new) {
  char texts[2][32];
  snprintf(texts[0], sizeof texts[0], "%.9g", old);
  snprintf(texts[1], sizeof texts[1], "%.9g", new);
  difference_add(list, what, texts[0], texts[1]);
}

static json_t *differences_json(const SeerBench *bench, const json_t *old) {
  char hash[32];
  snprintf(hash, sizeof hash, "%016" PRIx64, bench->program->model_hash);
  json_t *list = json_array();
  const json_t *machine = json_object_get(old, "machine");
  difference_add(list, "model", json_string_value(json_object_get(old, "model_hash")), hash);
  difference_add(list, "machine", json_string_value(json_object_get(machine, "processor")), bench->machine);
  number_difference_add(list, "threads", number_of(old, "threads"), bench->threads);
  number_difference_add(list, "batch", number_of(old, "batch"), bench->program->batch);
  number_difference_add(list, "operations of forward and backward",
                        number_of(old, "flops") - number_of(old, "recompute_flops"),
                        bench->flops - bench->recompute_flops);
  return list;
}

json_t *seer_against_json(const SeerBench *bench, const json_t *old) {
  double before = number_of(old, "step_seconds_median");
  return json_pack("{s:f, s:f, s:f, s:o, s:o, s:o}", "old_step_seconds", before, "new_step_seconds", bench->step.median,
                   "step_ratio", bench->step.median / before, "differences", differences_json(bench, old), "kinds",
                   changes_json(&bench->kinds, json_object_get(old, "kinds")), "blocks",
                   changes_json(&bench->blocks, json_object_get(old, "blocks")));
}

static void changes_print(const char *heading, const json_t *list, FILE *out) {
  fprintf(out, "\n%-32s %10s %10s %8s\n", heading, "old ms", "new ms", "new/old");
  size_t index;
  json_t *item;
  json_array_foreach(list, index, item) {
    fprintf(out, "  %-30s %10.3f %10.3f", json_string_value(json_object_get(item, "name")),
            1e3 * number_of(item, "old_seconds"), 1e3 * number_of(item, "new_seconds"));
    if (is_number(item, "ratio"))
      fprintf(out, " %8.3f\n", number_of(item, "ratio"));
    else
      fprintf(out, " %8s\n", "new");
  }
}

void seer_against_print(const json_t *against, FILE *out) {
  fprintf(
      out, "\nagainst the older bench: a step of %.4f s in place of %.4f s, %.3f of its time; largest change first\n",
      number_of(against, "new_step_seconds"), number_of(against, "old_step_seconds"), number_of(against, "step_ratio"));
  changes_print("by kind of op", json_object_get(against, "kinds"), out);
  changes_print("by block", json_object_get(against, "blocks"), out);
}

void seer_against_warn(const json_t *against, const char *name) {
  size_t index;
  json_t *item;
  json_array_foreach(json_object_get(against, "differences"), index, item) {
    fprintf(stderr, "%s: warning: the benches are not comparable: %s was '%s' and is '%s'\n", name,
            json_string_value(json_object_get(item, "what")), json_string_value(json_object_get(item, "old")),
            json_string_value(json_object_get(item, "new")));
  }
}
