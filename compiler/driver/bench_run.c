// Children that measure; see bench_run.h. They run in the user's folder; what they print is kept in the lab's.
#define _XOPEN_SOURCE 700
#include "compiler/driver/bench_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"
#include "lang/files.h"

volatile sig_atomic_t bench_signal;

static void remember_signal(int number) { bench_signal = number; }

static void catch_signals(void) {
  const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  struct sigaction action = {.sa_handler = remember_signal, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
}

int bench_in_folder(Invocation *invocation, BenchWork *work, void *data) {
  int code;
  char absolute[PATH_MAX];
  catch_signals();
  const char *folder = trainer_folder_make(invocation, &code);
  if (!folder) return code;
  code = work(data, realpath(folder, absolute) ? absolute : folder);
  remove_folder(folder);
  if (!bench_signal) return code;
  signal(bench_signal, SIG_DFL);
  raise(bench_signal);
  return EXIT_MACHINE;
}

static BenchOutcome failed(const char *what, const char *reason) {
  fprintf(stderr, "seerc: error: %s: %s [output]\n", what, reason);
  return BENCH_FAILED;
}

typedef struct BenchPath {
  char text[PATH_MAX];
} BenchPath;

static BenchPath path_in(const char *folder, const char *name) {
  BenchPath path;
  snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
  return path;
}

static _Noreturn void become_bench(const char *folder, char *const arguments[]) {
  BenchPath results = path_in(folder, "results"), messages = path_in(folder, "messages");
  int out = open(results.text, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  int err = open(messages.text, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (out >= 0 && err >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
    execvp(arguments[0], arguments);
  _exit(127);
}

const char *bench_messages(const char *folder, Arena *arena) {
  char *text = NULL;
  size_t size = 0;
  int error = spec_files_on_disk.read(NULL, arena, path_in(folder, "messages").text, &text, &size);
  return error ? "" : arena_string(arena, text, size);
}

void bench_show_messages(const char *folder) {
  Arena *arena = arena_make("messages");
  fputs(bench_messages(folder, arena), stderr);
  arena_release(arena);
}

// `status`: as waitpid tells it.
static BenchOutcome run_child(const char *folder, char *const arguments[], int *status) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) become_bench(folder, arguments);
  while (child > 0 && waitpid(child, status, 0) < 0 && errno == EINTR) continue;
  if (child < 0) return failed("cannot start the trainer", strerror(errno));
  if (bench_signal) return BENCH_STOPPED;
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return BENCH_DONE;
  return WIFEXITED(*status) && WEXITSTATUS(*status) == EXIT_MACHINE ? BENCH_LACKS : BENCH_FAILED;
}

BenchOutcome bench_child(const char *folder, char *const arguments[]) {
  int status = 0;
  return run_child(folder, arguments, &status);
}

BenchOutcome bench_run(const char *folder, char *const arguments[], json_t **result) {
  int status = 0;
  *result = NULL;
  BenchOutcome outcome = run_child(folder, arguments, &status);
  if (outcome == BENCH_LACKS || outcome == BENCH_FAILED) bench_show_messages(folder);
  if (outcome == BENCH_FAILED)
    failed("the bench of the trainer failed", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
  if (outcome != BENCH_DONE) return outcome;
  json_error_t error;
  *result = json_load_file(path_in(folder, "results").text, 0, &error);
  return *result ? BENCH_DONE : failed("cannot read what the bench of the trainer says", error.text);
}
