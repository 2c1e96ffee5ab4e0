// Progress; see progress.h. All of it goes to standard output, errors and warnings never do.
#include "runtime/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double redraw_seconds = 0.1, line_seconds = 10;

const char *seer_duration_text(char *text, int bytes, double seconds) {
  long long whole = seconds > 0 && seconds < 1e12 ? (long long)(seconds + 0.5) : 0;
  if (whole >= 3600)
    snprintf(text, (size_t)bytes, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
  else if (whole >= 60)
    snprintf(text, (size_t)bytes, "%lldm%02llds", whole / 60, whole % 60);
  else
    snprintf(text, (size_t)bytes, "%llds", whole);
  return text;
}

void seer_progress_begin(SeerProgress *progress, bool quiet, int64_t first, int64_t steps) {
  double now = seer_seconds_now();
  *progress = (SeerProgress){.quiet = quiet,
                             .terminal = isatty(STDOUT_FILENO) == 1,
                             .first = first,
                             .steps = steps,
                             .knn = -1,
                             .began = now,
                             .printed = now - line_seconds};
}

// Worth saying from a hundredth on; a bar has little room.
static const char *waiting_text(const SeerProgress *progress, bool brief, char *text, int bytes) {
  text[0] = '\0';
  if (progress->waiting >= 0.01)
    snprintf(text, (size_t)bytes, brief ? "  %.0f%% wait" : "  %.0f %% waiting for pictures", 100 * progress->waiting);
  return text;
}

static const char *knn_text(const SeerProgress *progress, char *text, int bytes) {
  text[0] = '\0';
  if (progress->knn >= 0) snprintf(text, (size_t)bytes, "  knn %.1f %%", 100 * progress->knn);
  return text;
}

static int terminal_columns(void) {
  struct winsize size;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void bar_print(const SeerProgress *progress, const SeerStepRecord *record, const char *eta) {
  static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  char right[224], waiting[48], knn[32];
  int used = snprintf(right, sizeof right, " %lld/%lld  loss %.4f%s  lr %.4g  %.1f img/s%s  eta %s",
                      (long long)record->step, (long long)progress->steps, progress->loss,
                      knn_text(progress, knn, sizeof knn), record->learning_rate, progress->rate,
                      waiting_text(progress, true, waiting, sizeof waiting), eta);
  int width = terminal_columns() - used - 1;
  if (width > 40) width = 40;
  printf("\r");
  if (width >= 8) {
    int64_t filled = record->step * width * 8 / (progress->steps > 0 ? progress->steps : 1);
    if (filled > width * 8) filled = width * 8;
    int cells = (int)(filled / 8), rest = (int)(filled % 8);
    printf("\033[36m");
    for (int i = 0; i < cells; i++) printf("█");
    printf("%s\033[90m", eighths[rest]);
    for (int i = cells + (rest > 0); i < width; i++) printf("·");
    printf("\033[0m");
  }
  printf("%.*s\033[K", terminal_columns() - 1, right);
  fflush(stdout);
}

void seer_progress_step(SeerProgress *progress, const SeerStepRecord *record) {
  bool first = record->step == progress->first + 1, last = record->step == progress->steps;
  progress->loss = first ? record->loss : 0.9 * progress->loss + 0.1 * record->loss;
  progress->rate = first ? record->images_per_second : 0.9 * progress->rate + 0.1 * record->images_per_second;
  progress->waiting = first ? record->loader_wait : 0.9 * progress->waiting + 0.1 * record->loader_wait;
  if (record->knn_looked) progress->knn = record->knn.accuracy;
  double now = seer_seconds_now();
  if (progress->quiet || (!last && now - progress->printed < (progress->terminal ? redraw_seconds : line_seconds)))
    return;
  progress->printed = now;
  char eta[32];
  int64_t done = record->step - progress->first;
  double left = (now - progress->began) / (double)(done > 0 ? done : 1) * (double)(progress->steps - record->step);
  seer_duration_text(eta, sizeof eta, left);
  if (progress->terminal) {
    bar_print(progress, record, eta);
    progress->drawn = true;
    return;
  }
  char waiting[48], knn[32];
  printf("step %lld/%lld  loss %.4f%s  learning rate %.4g  %.1f images/s%s  eta %s\n", (long long)record->step,
         (long long)progress->steps, record->loss, knn_text(progress, knn, sizeof knn), record->learning_rate,
         progress->rate, waiting_text(progress, false, waiting, sizeof waiting), eta);
  fflush(stdout);
}

void seer_progress_note(SeerProgress *progress, const char *format, ...) {
  if (progress->quiet) return;
  if (progress->drawn) printf("\r\033[K");
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  fflush(stdout);
}

void seer_progress_end(SeerProgress *progress) {
  if (progress->drawn) printf("\n");
  progress->drawn = false;
  fflush(stdout);
}
