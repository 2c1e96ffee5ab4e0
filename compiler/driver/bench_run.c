// Children that measure; see bench_run.h. They run in the user's folder; what they print is kept in the lab's.
#define _XOPEN_SOURCE 700
#include "compiler/driver/bench_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/driver.h"

volatile sig_atomic_t bench_signal;

static void remember_signal(int number) { bench_signal = number; }

void bench_catch_signals(void) {
  const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  struct sigaction action = {.sa_handler = remember_signal, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
}

static BenchOutcome failed(const char *what, const char *reason) {
  fprintf(stderr, "seerc: error: %s: %s [output]\n", what, reason);
  return BENCH_FAILED;
}

static _Noreturn void become_bench(char *const arguments[], const char *results, const char *messages) {
  int out = open(results, O_WRONLY | O_CREAT | O_TRUNC, 0666), err = open(messages, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (out >= 0 && err >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
    execvp(arguments[0], arguments);
  _exit(127);
}

static void copy_to_stderr(const char *path) {
  FILE *file = fopen(path, "r");
  char part[4096];
  size_t size;
  while (file && (size = fread(part, 1, sizeof part, file)) > 0) fwrite(part, 1, size, stderr);
  if (file) fclose(file);
}

static BenchOutcome judge(int status, const char *messages) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return BENCH_DONE;
  copy_to_stderr(messages);
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MACHINE) return BENCH_LACKS;
  return failed("the bench of the trainer failed", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
}

BenchOutcome bench_run(const char *folder, char *const arguments[], json_t **result) {
  char results[PATH_MAX], messages[PATH_MAX];
  snprintf(results, sizeof results, "%s/results", folder);
  snprintf(messages, sizeof messages, "%s/messages", folder);
  *result = NULL;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) become_bench(arguments, results, messages);
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (child < 0) return failed("cannot start the trainer", strerror(errno));
  if (bench_signal) return BENCH_STOPPED;
  BenchOutcome outcome = judge(status, messages);
  if (outcome != BENCH_DONE) return outcome;
  json_error_t error;
  *result = json_load_file(results, 0, &error);
  return *result ? BENCH_DONE : failed("cannot read what the bench of the trainer says", error.text);
}
