// How far a variant is, from what its folder holds: read alike whoever ran it, and whatever ended that.
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/sweep_folder.h"
#include "runtime/files.h"
#include "runtime/sample.h"

enum { LOG_BYTES_MAX = 1 << 26, SIGNAL_CODE = 128 };

static void plan_read(const Sweep *sweep, SweepVariant *variant) {
  json_t *root = json_load_file(sweep_path(sweep, variant, "built.json"), 0, NULL);
  json_int_t trunk = 0, parameters = 0, peak = 0, node = 0, stop = 0;
  SweepPlan *plan = &variant->plan;
  *plan = (SweepPlan){0};
  variant->built =
      root &&
      json_unpack(root, "{s:I, s:I, s:F, s:I, s:i, s:i, s:i, s:I, s:I}", "parameters_trunk", &trunk, "parameters",
                  &parameters, "macs", &plan->macs, "peak_bytes", &peak, "nodes", &plan->nodes, "ranks_per_node",
                  &plan->ranks_per_node, "threads", &plan->threads, "node_bytes", &node, "stop_seconds", &stop) == 0 &&
      access(sweep_path(sweep, variant, "trainer"), X_OK) == 0;
  plan->parameters_trunk = trunk;
  plan->parameters = parameters;
  plan->peak_bytes = (uint64_t)peak;
  plan->ranks = plan->nodes * plan->ranks_per_node;
  plan->node_bytes = (uint64_t)node;
  plan->stop_seconds = stop;
  json_decref(root);
}

static char *file_text(const char *path) {
  char *text = NULL;
  uint64_t bytes = 0;
  if (seer_file_read(path, LOG_BYTES_MAX, &text, &bytes) != SEER_OK) seer_error_clear();
  return text;
}

// Behind the first "error: " of a text, or the last; NULL: none.
static const char *error_find(Arena *arena, const char *text, bool last) {
  static const char mark[] = "error: ";
  const char *found = text ? strstr(text, mark) : NULL;
  for (const char *at = found; at && last; at = strstr(at + 1, mark)) found = at;
  return found ? arena_string(arena, found + strlen(mark), strcspn(found, "\n") - strlen(mark)) : NULL;
}

// NaN-free medians and sums of what the lines say.
static void history_judge(SweepVariant *variant) {
  const SeerHistory *history = &variant->history;
  int last = history->count - 1;
  double *speeds = calloc((size_t)history->count, sizeof *speeds), seconds = 0;
  if (!speeds) return;
  for (int i = 0; i <= last; i++) {
    speeds[i] = history->speed[i];
    seconds += history->seconds[i];
    if (history->knn[i] > 0) variant->knn = history->knn[i];
    if (history->resident[i] > (double)variant->resident_bytes)
      variant->resident_bytes = (uint64_t)history->resident[i];
  }
  variant->step = (int64_t)history->step[last];
  variant->loss = seer_history_mean_end(history->loss, history->count);
  variant->images_per_second = seer_sample_summarize(speeds, history->count).median;
  variant->seconds = seconds / history->count * (double)variant->step;
  variant->peak_bytes = (uint64_t)history->peak[last];
  free(speeds);
}

// What the last start ended with; -1: it did not end by itself, or there was none.
static int exit_read(const Sweep *sweep, const SweepVariant *variant) {
  char *text = file_text(sweep_path(sweep, variant, "exit"));
  int code = -1;
  if (!text || sscanf(text, "%d", &code) != 1) code = -1;
  free(text);
  return code;
}

static void failure_tell(const Sweep *sweep, SweepVariant *variant, int code) {
  char *log = file_text(sweep_path(sweep, variant, "log"));
  variant->state = SWEEP_FAILED;
  // As for batch jobs: what met its steps and ended with these would end the same way again.
  variant->again = !((code == SEER_INPUT || code == SEER_USAGE || code == SEER_BUG) && variant->history.count > 0);
  if (code > SIGNAL_CODE && code <= SIGNAL_CODE + 64)
    variant->reason = arena_printf(sweep->arena, "killed by signal %d (%s)%s", code - SIGNAL_CODE,
                                   strsignal(code - SIGNAL_CODE), code == SIGNAL_CODE + 9 ? ": out of memory?" : "");
  else
    variant->reason = error_find(sweep->arena, log, true);
  if (!variant->reason) variant->reason = arena_printf(sweep->arena, "exit code %d", code);
  free(log);
}

void sweep_variant_look(const Sweep *sweep, SweepVariant *variant) {
  variant->state = SWEEP_WAITING;
  variant->reason = NULL;
  variant->step = variant->steps = 0;
  variant->peak_bytes = variant->resident_bytes = 0;
  variant->loss = variant->knn = variant->images_per_second = variant->seconds = NAN;
  plan_read(sweep, variant);
  sweep_variant_forget(variant);
  if (seer_history_read(sweep_path(sweep, variant, "run"), &variant->history) == SEER_OK)
    history_judge(variant);
  else
    seer_error_clear();
  json_t *run = json_load_file(sweep_path(sweep, variant, "run/run.json"), 0, NULL);
  variant->steps = json_integer_value(json_object_get(run, "steps"));
  char *error = variant->built ? NULL : file_text(sweep_path(sweep, variant, "error"));
  int code = exit_read(sweep, variant);
  if (error) {
    variant->state = SWEEP_REFUSED;
    variant->reason = error_find(sweep->arena, error, false);
  } else if (code == 0 && variant->steps > 0 && variant->step >= variant->steps) {
    variant->state = SWEEP_DONE;
  } else if (code > 0 && code != SEER_STOPPED) {
    failure_tell(sweep, variant, code);
  } else if (run) {
    variant->state = SWEEP_BEGUN;
  }
  free(error);
  json_decref(run);
}

void sweep_variant_forget(SweepVariant *variant) { seer_history_release(&variant->history); }
