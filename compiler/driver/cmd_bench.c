// seerc bench: builds the trainer in a folder of its own, runs its bench, and removes it. The bench runs in the user's
// folder, so that paths mean what they say, and needs no data.
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"

// What can be said before the minute that a build takes.
static int check_values(const Invocation *invocation) {
  int steps, threads, code = option_count(invocation, "steps", &steps);
  if (code == EXIT_DONE) code = option_count(invocation, "threads", &threads);
  if (code != EXIT_DONE) return code;
  const char *against = option_text(invocation, "against");
  if (!against || access(against, R_OK) == 0) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot read '%s': %s [input]\n", against, strerror(errno));
  return EXIT_INPUT;
}

static char **arguments_of(const Invocation *invocation, const char *trainer) {
  static const char *const passed[] = {"steps", "threads", "against", "svg"};
  char **arguments = arena_array(invocation->arena, char *, 4 + sizeof passed / sizeof *passed);
  int count = 0;
  arguments[count++] = arena_printf(invocation->arena, "%s", trainer);
  arguments[count++] = arena_printf(invocation->arena, "bench");
  for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
    const char *text = option_text(invocation, passed[i]);
    if (text) arguments[count++] = arena_printf(invocation->arena, "--%s=%s", passed[i], text);
  }
  if (option_is_set(invocation, "json")) arguments[count++] = arena_printf(invocation->arena, "--json");
  return arguments;
}

// The user, or who read the output, has had enough: no fault of the trainer.
static bool is_asked_for(int signal_number) {
  return signal_number == SIGINT || signal_number == SIGQUIT || signal_number == SIGTERM || signal_number == SIGPIPE;
}

// Runs the trainer. What interrupts it is caught here, so that the folder is still removed; *signal_number tells of it.
static int run_trainer(char **arguments, int *signal_number) {
  struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
  fflush(NULL);
  sigaction(SIGINT, &ignore, &interrupt);
  sigaction(SIGQUIT, &ignore, &quit);
  pid_t child = fork();
  if (child == 0) {
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    execv(arguments[0], arguments);
    fprintf(stderr, "seerc: error: cannot start '%s': %s [output]\n", arguments[0], strerror(errno));
    _exit(EXIT_MACHINE);
  }
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  sigaction(SIGINT, &interrupt, NULL);
  sigaction(SIGQUIT, &quit, NULL);
  if (child < 0) {
    fprintf(stderr, "seerc: error: cannot start the trainer: %s [output]\n", strerror(errno));
    return EXIT_MACHINE;
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  *signal_number = WTERMSIG(status);
  if (!is_asked_for(*signal_number))
    fprintf(stderr, "seerc: error: the trainer was ended by signal %d [output]\n", *signal_number);
  return *signal_number == SIGKILL ? EXIT_MACHINE : EXIT_BUG;
}

static int bench_in(Invocation *invocation, const Trainer *trainer, const char *folder, int *signal_number) {
  char absolute[PATH_MAX];
  if (!realpath(folder, absolute)) {
    fprintf(stderr, "seerc: error: cannot use '%s': %s [output]\n", folder, strerror(errno));
    return EXIT_MACHINE;
  }
  const char *output = arena_printf(invocation->arena, "%s/%s", absolute, trainer->settings.name);
  const char *sources = arena_printf(invocation->arena, "%s.sources", output);
  int code = trainer_build(invocation, trainer, sources, output, NULL);
  return code == EXIT_DONE ? run_trainer(arguments_of(invocation, output), signal_number) : code;
}

int command_bench(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  int code = check_values(invocation), signal_number = 0;
  if (code != EXIT_DONE) return code;
  Compiled compiled;
  DiagList *diags;
  code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code != EXIT_DONE) return code;
  const char *folder = trainer_folder_make(invocation, &code);
  if (!folder) return code;
  code = bench_in(invocation, &compiled.trainer, folder, &signal_number);
  remove_folder(folder);
  if (is_asked_for(signal_number)) raise(signal_number);
  return code;
}
