// See sweep_progress.h. How far a trainer is comes from the last line of its metrics.
#include "compiler/driver/sweep_progress.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "compiler/driver/sweep_run.h"
#include "runtime/clock.h"
#include "runtime/progress.h"

enum { BAR = 20, NAME_MAX_SHOWN = 48, TAIL_BYTES = 16384 };
static const double terminal_seconds = 0.25, line_seconds = 60;

void sweep_progress_begin(SweepProgress *progress, const Sweep *sweep) {
  *progress = (SweepProgress){.terminal = isatty(STDERR_FILENO) == 1, .began = seer_seconds_now()};
  progress->drew = progress->began;
  for (int i = 0; i < sweep->variant_count; i++) progress->total += sweep_variant_runs(&sweep->variants[i]);
}

static void erase(SweepProgress *progress) {
  if (progress->drawn) fprintf(stderr, "\r\033[%dA\033[J", progress->drawn);
  progress->drawn = 0;
}

void sweep_progress_say(SweepProgress *progress, const char *format, ...) {
  va_list arguments;
  erase(progress);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  if (progress->terminal) progress->drew = 0;
}

void sweep_progress_started(SweepProgress *progress, const SweepVariant *variant) {
  if (progress->terminal) return;
  if (variant->step > 0)
    sweep_progress_say(progress, "%s: goes on from step %lld\n", variant->name, (long long)variant->step);
  else
    sweep_progress_say(progress, "%s: begins\n", variant->name);
  progress->drew = seer_seconds_now();
}

void sweep_progress_ended(SweepProgress *progress, const Sweep *sweep, const SweepVariant *variant) {
  (void)sweep;
  char knn[32] = "", duration[24];
  progress->ended++;
  if (variant->state == SWEEP_DONE) {
    if (variant->knn > 0) snprintf(knn, sizeof knn, ", kNN %.2f %%", 100 * variant->knn);
    sweep_progress_say(progress, "%s: done, loss %.4g%s, %.1f images/s, %s (%d of %d)\n", variant->name, variant->loss,
                       knn, variant->images_per_second, seer_duration_text(duration, sizeof duration, variant->seconds),
                       progress->ended, progress->total);
  } else if (variant->state == SWEEP_FAILED) {
    sweep_progress_say(progress, "%s: failed: %s (%d of %d)\n", variant->name, variant->reason, progress->ended,
                       progress->total);
  } else {
    sweep_progress_say(progress, "%s: stopped at step %lld of %lld\n", variant->name, (long long)variant->step,
                       (long long)variant->steps);
  }
}

// The last whole line of its metrics; NULL: none yet.
static json_t *last_line(const Sweep *sweep, const SweepVariant *variant) {
  char path[4200], tail[TAIL_BYTES + 1];
  snprintf(path, sizeof path, "%s/%s/run/metrics.jsonl", sweep->folder, variant->folder);
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  if (fseek(file, -TAIL_BYTES, SEEK_END) != 0) rewind(file);
  size_t size = fread(tail, 1, TAIL_BYTES, file);
  fclose(file);
  while (size > 0 && tail[size - 1] != '\n') size--;
  if (size == 0) return NULL;
  size_t begin = --size;
  while (begin > 0 && tail[begin - 1] != '\n') begin--;
  return json_loadb(tail + begin, size - begin, 0, NULL);
}

static int64_t steps_of(const Sweep *sweep, const SweepVariant *variant) {
  char path[4200];
  snprintf(path, sizeof path, "%s/%s/run/run.json", sweep->folder, variant->folder);
  json_t *run = json_load_file(path, 0, NULL);
  int64_t steps = json_integer_value(json_object_get(run, "steps"));
  json_decref(run);
  return steps;
}

static void bar_print(int64_t step, int64_t steps) {
  int full = steps > 0 ? (int)(BAR * step / steps) : 0;
  fprintf(stderr, " [%.*s%*s]", full > BAR ? BAR : full, "####################", BAR - (full > BAR ? BAR : full), "");
}

static struct winsize terminal_size(void) {
  struct winsize size = {.ws_row = 24, .ws_col = 80}, found;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &found) == 0 && found.ws_col > 0 && found.ws_row > 0 ? found : size;
}

static void child_print(const SweepProgress *progress, const Sweep *sweep, const SweepChild *child) {
  const SweepVariant *variant = child->variant;
  json_t *line = last_line(sweep, variant);
  int64_t step = json_integer_value(json_object_get(line, "step")), steps = steps_of(sweep, variant);
  char eta[24] = "";
  double per_step =
      step > child->first_step ? (seer_seconds_now() - child->began) / (double)(step - child->first_step) : 0;
  int columns = progress->terminal ? terminal_size().ws_col - BAR - 54 : NAME_MAX_SHOWN;
  if (columns < 10) columns = 10;
  fprintf(stderr, "%.*s:", columns, variant->name);
  if (!line || step == 0) {
    fputs(" starting\n", stderr);
  } else {
    if (progress->terminal) bar_print(step, steps);
    fprintf(stderr, " %lld of %lld, loss %.4f, %.0f images/s", (long long)step, (long long)steps,
            json_number_value(json_object_get(line, "loss")),
            json_number_value(json_object_get(line, "images_per_second")));
    if (per_step > 0)
      fprintf(stderr, ", %s left", seer_duration_text(eta, sizeof eta, per_step * (double)(steps - step)));
    fputs("\n", stderr);
  }
  json_decref(line);
}

void sweep_progress_draw(SweepProgress *progress, const Sweep *sweep, const SweepChild *children, int count) {
  double now = seer_seconds_now();
  if (now - progress->drew < (progress->terminal ? terminal_seconds : line_seconds)) return;
  erase(progress);
  progress->drew = now;
  int shown = progress->terminal && count > terminal_size().ws_row - 2 ? terminal_size().ws_row - 2 : count;
  for (int i = 0; i < shown; i++) child_print(progress, sweep, &children[i]);
  if (!progress->terminal) return;
  char elapsed[24];
  fprintf(stderr, "%d of %d ended, %d running, %s\n", progress->ended, progress->total, count,
          seer_duration_text(elapsed, sizeof elapsed, now - progress->began));
  progress->drawn = shown + 1;
}

void sweep_progress_end(SweepProgress *progress) { erase(progress); }
