// make runs as a child; its output is read line by line for the progress and kept for the report of a failure.
#define _XOPEN_SOURCE 700
#include "compiler/driver/run_make.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/base/writer.h"

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
  (void)status, (void)type, (void)place;
  remove(path);
  return 0;
}

void remove_folder(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

static _Noreturn void become_make(const MakeRun *run, int output) {
  char jobs[24], out[4096 + 8];
  snprintf(jobs, sizeof jobs, "-j%d", run->jobs);
  snprintf(out, sizeof out, "OUT=%s", run->output);
  char *arguments[] = {"make", jobs, out, NULL};
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  // A make above us must not hand its job server down.
  unsetenv("MAKEFLAGS");
  unsetenv("MFLAGS");
  if (chdir(run->folder) == 0) execvp("make", arguments);
  _exit(127);
}

// Counts compiled files by the lines that name one; keeps everything for the failure report.
static void follow(const MakeRun *run, FILE *lines, Writer *log) {
  char line[4096];
  int done = 0;
  while (fgets(line, sizeof line, lines)) {
    writer_text(log, line);
    if (!strstr(line, " -c -o ")) continue;
    done++;
    if (run->show_progress) fprintf(stderr, "\rcompiling %d of %d ", done, run->files);
  }
  if (run->show_progress && done) fprintf(stderr, "\r%*s\r", 40, "");
}

// The last lines of the log: where compilers and linkers say what is wrong.
static const char *tail_of(const Writer *log) {
  const char *tail = log->text ? log->text : "";
  size_t begin = log->size;
  for (int lines = 0; begin > 0 && lines < 20; begin--) lines += tail[begin - 1] == '\n';
  return tail + begin;
}

static MakeFault fault_of(int status, const Writer *log) {
  if (WIFSIGNALED(status)) {
    int number = WTERMSIG(status);
    return number == SIGINT || number == SIGTERM || number == SIGHUP ? MAKE_INTERRUPTED : MAKE_FAILED;
  }
  if (WEXITSTATUS(status) == 0) return MAKE_NONE;
  if (log->text && strstr(log->text, strerror(ENOSPC))) return MAKE_LACKS_ROOM;
  bool lacks = log->text && (strstr(log->text, "No such file or directory") || strstr(log->text, "not found") ||
                             strstr(log->text, "cannot find -l"));
  return lacks || WEXITSTATUS(status) == 127 ? MAKE_LACKS_TOOL : MAKE_FAILED;
}

const char *run_make(Arena *arena, const MakeRun *run, MakeFault *fault) {
  int ends[2];
  *fault = MAKE_FAILED;
  if (strlen(run->output) > 4096) return "the path of the trainer is longer than 4096 bytes";
  fflush(NULL);
  if (pipe(ends)) return arena_printf(arena, "cannot make a pipe: %s", strerror(errno));
  pid_t child = fork();
  if (child < 0) return arena_printf(arena, "cannot start make: %s", strerror(errno));
  if (child == 0) become_make(run, ends[1]);
  close(ends[1]);
  Writer log = {0};
  FILE *lines = fdopen(ends[0], "r");
  if (lines) {
    follow(run, lines, &log);
    fclose(lines);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  *fault = fault_of(status, &log);
  const char *error = NULL;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    error = "cannot run 'make'";
  else if (*fault != MAKE_NONE)
    error = arena_printf(arena, "the C compiler failed:\n%s", tail_of(&log));
  writer_release(&log);
  return error;
}
