// See sweep_run.h. A trainer is a process group of its own, so that ctrl-C reaches this process alone, which then asks
// each of them once. If this process is killed, the kernel asks them.
#include "compiler/driver/sweep_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compiler/driver/sweep_folder.h"
#include "compiler/driver/sweep_progress.h"
#include "runtime/clock.h"

typedef struct SweepRun {
  Sweep *sweep;
  SweepChild *children;  // [jobs]
  int count;
  SweepProgress progress;
  uint64_t memory_bytes;  // of the machine
  double began;
  int asked;  // signals that children were told of
} SweepRun;

volatile sig_atomic_t sweep_signals;

static void signal_count(int number) {
  (void)number;
  sweep_signals++;
}

void sweep_signals_catch(void) {
  static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction action = {.sa_handler = signal_count, .sa_flags = SA_RESTART}, before;
  for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
    // What nohup and shells have put out of reach stays there.
    if (sigaction(ending[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL);
  }
}

bool sweep_variant_runs(const SweepVariant *variant) {
  return variant->defines && variant->built && variant->state != SWEEP_DONE &&
         !(variant->state == SWEEP_FAILED && !variant->again);
}

char **sweep_trainer_options(const Sweep *sweep, const SweepVariant *variant, const char *run) {
  Arena *arena = sweep->arena;
  char **options = arena_array(arena, char *, 12 + 2 * sweep->data_count);
  int count = 0;
  options[count++] = arena_printf(arena, "train");
  options[count++] = arena_printf(arena, "--resume");
  options[count++] = arena_printf(arena, "--out=%s", run);
  options[count++] = arena_printf(arena, "--no-report");
  for (int i = 0; i < sweep->data_count; i++) options[count++] = arena_printf(arena, "--data=%s", sweep->data[i]);
  if (sweep->labels) options[count++] = arena_printf(arena, "--labels=%s", sweep->labels);
  if (sweep->steps) options[count++] = arena_printf(arena, "--steps=%s", sweep->steps);
  if (variant->knn_every) options[count++] = arena_printf(arena, "--knn-every=%s", variant->knn_every);
  if (sweep->threads) options[count++] = arena_printf(arena, "--threads=%d", sweep->threads);
  return options;
}

// mpirun hands SIGUSR1 on to its ranks, and would end them on SIGTERM.
static int stop_signal_of(const SweepVariant *variant) { return variant->plan.ranks > 1 ? SIGUSR1 : SIGTERM; }

static char **arguments_of(const SweepRun *run, const SweepVariant *variant) {
  const Sweep *sweep = run->sweep;
  Arena *arena = sweep->arena;
  char **options = sweep_trainer_options(sweep, variant, sweep_path(sweep, variant, "run"));
  int count = 0, at = 0;
  while (options[count]) count++;
  char **arguments = arena_array(arena, char *, count + 5);
  if (variant->plan.ranks > 1) {
    arguments[at++] = arena_printf(arena, "mpirun");
    arguments[at++] = arena_printf(arena, "-n");
    arguments[at++] = arena_printf(arena, "%d", variant->plan.ranks);
  }
  const char *trainer = sweep_path(sweep, variant, "trainer");
  arguments[at++] = arena_printf(arena, "%s%s", strchr(trainer, '/') ? "" : "./", trainer);
  memcpy(arguments + at, options, sizeof *options * (size_t)count);
  return arguments;
}

static _Noreturn void become_trainer(char **arguments, const char *log, int stop_signal, pid_t parent) {
  int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, stop_signal);
  if (getppid() != parent) _exit(SEER_STOPPED);
  if (in >= 0 && out >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
      dup2(out, STDERR_FILENO) >= 0) {
    execvp(arguments[0], arguments);
    fprintf(stderr, "error: cannot start '%s': %s\n", arguments[0], strerror(errno));
  }
  _exit(EXIT_MACHINE);
}

static int machine_fails(const Sweep *sweep, const char *what, int error) {
  return driver_fail(EXIT_MACHINE, "output", arena_printf(sweep->arena, "cannot %s: %s", what, strerror(error)),
                     "the same command goes on");
}

static int child_start(SweepRun *run, SweepVariant *variant) {
  const Sweep *sweep = run->sweep;
  char **arguments = arguments_of(run, variant);
  const char *log = sweep_path(sweep, variant, "log"), *ended = sweep_path(sweep, variant, "exit");
  if (unlink(ended) != 0 && errno != ENOENT)
    return machine_fails(sweep, arena_printf(sweep->arena, "remove '%s'", ended), errno);
  fflush(NULL);
  pid_t parent = getpid(), process = fork();
  if (process == 0) become_trainer(arguments, log, stop_signal_of(variant), parent);
  if (process < 0) return machine_fails(sweep, "start a trainer", errno);
  setpgid(process, process);  // in both, whoever is first
  run->children[run->count++] = (SweepChild){process, variant, seer_seconds_now(), variant->step};
  sweep_progress_started(&run->progress, variant);
  return EXIT_DONE;
}

static int child_finish(SweepRun *run, int at, int status) {
  Sweep *sweep = run->sweep;
  SweepChild child = run->children[at];
  run->children[at] = run->children[--run->count];
  Writer out = {0};
  // Asked before it listened, or killed by a second signal: it goes on from the snapshot before.
  bool stopped = WIFSIGNALED(status) && run->asked;
  writer_printf(&out, "%d\n",
                WIFEXITED(status) ? WEXITSTATUS(status)
                : stopped         ? SEER_STOPPED
                                  : 128 + WTERMSIG(status));
  const char *path = sweep_path(sweep, child.variant, "exit");
  int error = writer_save(&out, path);
  writer_release(&out);
  sweep_variant_look(sweep, child.variant);
  sweep_progress_ended(&run->progress, sweep, child.variant);
  return error ? machine_fails(sweep, arena_printf(sweep->arena, "write '%s'", path), error) : EXIT_DONE;
}

static int children_reap(SweepRun *run) {
  int code = EXIT_DONE;
  for (int i = run->count - 1; i >= 0; i--) {
    int status = 0;
    pid_t process = waitpid(run->children[i].process, &status, WNOHANG);
    if (process != run->children[i].process) continue;
    int one = child_finish(run, i, status);
    if (code == EXIT_DONE) code = one;
  }
  return code;
}

// The machine's memory is shared out by what the plans say; one trainer alone may try.
static bool has_room(const SweepRun *run, const SweepVariant *variant) {
  uint64_t bytes = variant->plan.peak_bytes * (uint64_t)variant->plan.ranks;
  for (int i = 0; i < run->count; i++) {
    const SweepPlan *plan = &run->children[i].variant->plan;
    bytes += plan->peak_bytes * (uint64_t)plan->ranks;
  }
  return run->count == 0 || bytes <= run->memory_bytes;
}

static bool is_over(const SweepRun *run) {
  double minutes = run->sweep->minutes;
  return sweep_signals || (minutes > 0 && seer_seconds_now() - run->began > 60 * minutes);
}

// The first time for a snapshot; from the second signal on at once.
static void children_ask(SweepRun *run) {
  int asked = sweep_signals > 1 ? 2 : 1;
  if (run->asked >= asked) return;
  run->asked = asked;
  if (asked == 1 && run->count) sweep_progress_say(&run->progress, "stopping: waiting for snapshots\n");
  for (int i = 0; i < run->count; i++) {
    const SweepChild *child = &run->children[i];
    kill(asked == 1 ? child->process : -child->process, asked == 1 ? stop_signal_of(child->variant) : SIGKILL);
  }
}

// Variants in their order; each is started once.
static int children_start(SweepRun *run, int *next) {
  Sweep *sweep = run->sweep;
  int code = EXIT_DONE;
  for (; *next < sweep->variant_count && run->count < sweep->jobs && code == EXIT_DONE; (*next)++) {
    SweepVariant *variant = &sweep->variants[*next];
    if (!sweep_variant_runs(variant)) continue;
    if (!has_room(run, variant)) break;
    code = child_start(run, variant);
  }
  return code;
}

int sweep_run(Sweep *sweep) {
  const struct timespec pause = {.tv_nsec = 50000000};
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  SweepRun run = {.sweep = sweep,
                  .children = arena_array(sweep->arena, SweepChild, sweep->jobs),
                  .memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX,
                  .began = seer_seconds_now()};
  int next = 0, code = EXIT_DONE;
  sweep_progress_begin(&run.progress, sweep);
  while (true) {
    bool over = is_over(&run) || code != EXIT_DONE;
    if (over)
      children_ask(&run);
    else
      code = children_start(&run, &next);
    if (run.count == 0) break;
    sweep_progress_draw(&run.progress, sweep, run.children, run.count);
    nanosleep(&pause, NULL);
    int one = children_reap(&run);
    if (code == EXIT_DONE) code = one;
  }
  sweep_progress_end(&run.progress);
  for (int i = 0; i < sweep->variant_count && code == EXIT_DONE; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    if (sweep_variant_runs(variant) && variant->state != SWEEP_FAILED) code = SEER_STOPPED;
  }
  return code;
}
