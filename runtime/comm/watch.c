// The watchdog; see watch.h. What the thread knows of the others it sees change itself: clocks of hosts differ.
#include "runtime/comm/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/comm/last_words.h"

// Long work is waited for so many times the patience, while its rank gives signs of life.
enum { LONG_WORK = 12, START_SECONDS = 30, MESSAGE_BYTES = 2048, RANKS_PER_BEAT = 64 };

typedef struct Peer {
  SeerRecord record;
  double changed;  // when its record was seen to change, on our clock; 0: never looked
  bool known;
} Peer;

struct SeerWatch {
  SeerWatchConfig config;
  int (*abort)(void *handle, int code);
  void *handle;
  SeerPlace here;
  SeerPlace *places;  // [ranks], once there are records
  char folder[SEER_PATH_MAX];
  SeerWhere where;
  atomic_bool long_work, joined, open, ends;
  double waited, entered;  // seconds; the main thread's
  // The thread's.
  pthread_t thread;
  bool runs;
  int wake;  // eventfd
  atomic_bool stopping;
  double tick, beat_every, beaten, since;
  uint64_t last_count, beat;
  Peer *peers;            // [ranks]
  struct pollfd *polled;  // [ranks + 1]: the wake, then processes of this host
  int *polled_ranks, polled_count;
};

static double seconds_now(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Only the main thread counts, so a store will do.
static void count_next(SeerWatch *watch) {
  uint64_t count = atomic_load_explicit(&watch->where.count, memory_order_relaxed);
  atomic_store_explicit(&watch->where.count, count + 1, memory_order_release);
}

void seer_watch_enter(SeerWatch *watch, const char *collective, uint64_t bytes) {
  if (!watch) return;
  watch->entered = seconds_now(CLOCK_MONOTONIC);
  atomic_store_explicit(&watch->where.what, collective, memory_order_relaxed);
  atomic_store_explicit(&watch->where.bytes, bytes, memory_order_relaxed);
  count_next(watch);
}

void seer_watch_leave(SeerWatch *watch) {
  if (!watch) return;
  count_next(watch);
  watch->waited += seconds_now(CLOCK_MONOTONIC) - watch->entered;
}

void seer_watch_leave_busy(SeerWatch *watch) {
  if (watch) count_next(watch);
}

void seer_watch_step(SeerWatch *watch, int64_t step) {
  if (watch) atomic_store_explicit(&watch->where.step, step, memory_order_relaxed);
}

void seer_watch_work(SeerWatch *watch, const char *work, bool long_work) {
  if (!watch) return;
  atomic_store_explicit(&watch->where.work, work, memory_order_relaxed);
  atomic_store_explicit(&watch->long_work, long_work, memory_order_relaxed);
}

double seer_watch_waited(const SeerWatch *watch) { return watch ? watch->waited : 0; }

static SeerRecord record_make(const SeerWatch *watch) {
  uint64_t count = atomic_load_explicit(&watch->where.count, memory_order_acquire);
  bool waits = count % 2 == 1;
  SeerRecord record = {.rank = watch->config.rank,
                       .place = watch->here,
                       .state = waits ? SEER_RANK_WAITS : SEER_RANK_WORKS,
                       .long_work = !waits && atomic_load(&watch->long_work),
                       .step = atomic_load(&watch->where.step),
                       .count = (count + 1) / 2,
                       .beat = watch->beat,
                       .seen = seconds_now(CLOCK_REALTIME)};
  const char *what = atomic_load(waits ? &watch->where.what : &watch->where.work);
  uint64_t bytes = waits ? atomic_load(&watch->where.bytes) : 0;
  if (bytes)
    snprintf(record.what, sizeof record.what, "the %.36s of %" PRIu64 " bytes", what, bytes);
  else
    snprintf(record.what, sizeof record.what, "%.60s", what);
  return record;
}

// A disk that is full later keeps the record that is there; the run goes on.
static void beat_write(SeerWatch *watch, double now) {
  if (now - watch->beaten < watch->beat_every) return;
  watch->beaten = now;
  watch->beat++;
  SeerRecord record = record_make(watch);
  seer_record_refresh(watch->folder, &record);
}

static void peers_look(SeerWatch *watch, double now) {
  for (int rank = 0; rank < watch->config.ranks; rank++) {
    Peer *peer = &watch->peers[rank];
    SeerRecord record;
    if (rank == watch->config.rank || !seer_record_find(watch->folder, rank, &record)) continue;
    if (!peer->known || peer->record.beat != record.beat) peer->changed = now;
    peer->record = record;
    peer->known = true;
  }
}

static bool peer_is_near(const SeerWatch *watch, int rank) {
  return seer_place_is_near(&watch->here, &watch->places[rank]);
}

// Its thread still writes, and nothing else is known against it.
static bool peer_is_alive(const SeerWatch *watch, int rank, double now) {
  const Peer *peer = &watch->peers[rank];
  if (!peer->known || now - peer->changed > 3 * watch->beat_every + watch->tick) return false;
  if (!peer_is_near(watch, rank)) return true;
  SeerProcessState state = seer_process_state(watch->places[rank].process);
  return state != SEER_PROCESS_STOPPED && state != SEER_PROCESS_GONE;
}

// The rank that the others wait for: it has reached the fewest collectives; among equals one that gives no sign of
// life. -1: all are here.
static int late_find(const SeerWatch *watch, uint64_t mine, double now) {
  int late = -1;
  uint64_t least = mine;
  bool alive = true;
  for (int rank = 0; rank < watch->config.ranks; rank++) {
    if (rank == watch->config.rank) continue;
    const Peer *peer = &watch->peers[rank];
    bool works = !peer->known || peer->record.state != SEER_RANK_WAITS, lives = peer_is_alive(watch, rank, now);
    uint64_t reached = peer->known ? peer->record.count : 0;
    if (works && reached == mine && lives) continue;  // just through
    if (reached < least || (reached == least && alive && !lives)) {
      late = rank;
      least = reached;
      alive = lives;
    }
  }
  return late;
}

// Ranks that wait and live, and how many of them are lower than this one: those speak first.
static int waiting_count(const SeerWatch *watch, double now, int *lower) {
  int count = 1;
  *lower = 0;
  for (int rank = 0; rank < watch->config.ranks; rank++) {
    if (rank == watch->config.rank || watch->peers[rank].record.state != SEER_RANK_WAITS ||
        !peer_is_alive(watch, rank, now))
      continue;
    count++;
    *lower += rank < watch->config.rank;
  }
  return count;
}

static const char *process_text(const SeerWatch *watch, int rank, bool alive) {
  SeerProcessState state =
      peer_is_near(watch, rank) ? seer_process_state(watch->places[rank].process) : SEER_PROCESS_UNKNOWN;
  if (state == SEER_PROCESS_STOPPED) return "its process is stopped";
  if (state == SEER_PROCESS_GONE) return "its process is gone";
  return alive ? "it is alive" : "it gives no sign of life";
}

static void late_tell(const SeerWatch *watch, int late, const SeerRecord *mine, int waiting, double now, char *text) {
  static const char note[] =
      "note: a wait ends after cluster.patience, or --patience; go on from the last snapshot with --resume";
  double waited = now - watch->since;
  if (late < 0) {
    snprintf(text, MESSAGE_BYTES,
             "all %d ranks have waited for %.0f s in %s (collective %" PRIu64 ") in step %" PRId64
             ", and it does not end: the network between their hosts may be cut\n%s",
             watch->config.ranks, waited, mine->what, mine->count, mine->step, note);
    return;
  }
  const Peer *peer = &watch->peers[late];
  const SeerPlace *place = &watch->places[late];
  bool alive = peer_is_alive(watch, late, now), inside = peer->known && peer->record.count >= mine->count;
  char last[160] = "it left no record, or ended before the others";
  // Clocks of hosts differ.
  double ago = peer_is_near(watch, late) ? seconds_now(CLOCK_REALTIME) - peer->record.seen : now - peer->changed;
  if (peer->known)
    snprintf(last, sizeof last, "last heard of %.0f s ago in step %" PRId64 ", %s %s", ago, peer->record.step,
             peer->record.state == SEER_RANK_WAITS ? "waiting in" : "busy with", peer->record.what);
  snprintf(text, MESSAGE_BYTES,
           "rank %d on '%s' (process %" PRId64 ") %s %s (collective %" PRIu64 ") in step %" PRId64
           ", where %d rank%s waited for %.0f s: %s, %s\n%s",
           late, place->host, place->process, inside ? "does not come out of" : "never reached", mine->what,
           mine->count, mine->step, waiting, waiting == 1 ? "" : "s", waited, process_text(watch, late, alive), last,
           note);
}

// All ranks end, and one of them says why.
static void all_end(SeerWatch *watch, const char *text) {
  // Launchers are quick to end all ranks: first what stays.
  if (!watch->folder[0] || seer_record_end_save(watch->folder, text)) {
    char line[MESSAGE_BYTES + 300];
    int length = snprintf(line, sizeof line, "%s: error: %s\n", watch->config.name, text);
    // In one call, so that launchers do not cut it in two.
    ssize_t written = write(STDERR_FILENO, line, length < (int)sizeof line ? (size_t)length : sizeof line - 1);
    (void)written;
  }
  seer_last_words_none();
  seer_leave_soon();
  if (atomic_load(&watch->joined)) watch->abort(watch->handle, SEER_MACHINE);
  _exit(SEER_MACHINE);
}

void seer_watch_give_up(SeerWatch *watch, const char *text) { all_end(watch, text); }

// Before there are records. Launchers start processes one by one, so a start may take its time.
static void early_look(SeerWatch *watch, double waited) {
  double patience = watch->config.patience_seconds > START_SECONDS ? watch->config.patience_seconds : START_SECONDS;
  // Lower ranks speak first; without records nobody knows whether they can.
  double turn = watch->config.rank < 8 ? watch->config.rank : 8;
  if (waited < patience + turn * (2 * watch->tick + 1)) return;
  char text[MESSAGE_BYTES];
  snprintf(text, sizeof text,
           "rank %d has waited for %.0f s in %s, and another rank does not come: it never started, hangs, or has left\n"
           "note: look at the hosts that the launcher names; a wait ends after cluster.patience, or --patience",
           watch->config.rank, waited, (const char *)atomic_load(&watch->where.what));
  all_end(watch, text);
}

static void wait_look(SeerWatch *watch, double now) {
  double waited = now - watch->since, patience = watch->config.patience_seconds;
  if (waited < patience / 2) return;
  if (!atomic_load(&watch->open)) {
    early_look(watch, waited);
    return;
  }
  peers_look(watch, now);
  if (waited < patience) return;
  SeerRecord mine = record_make(watch);
  int late = late_find(watch, mine.count, now), lower = 0;
  const Peer *peer = late >= 0 ? &watch->peers[late] : NULL;
  if (peer && peer->known && peer->record.long_work && peer_is_alive(watch, late, now) && waited < LONG_WORK * patience)
    return;
  int waiting = waiting_count(watch, now, &lower);
  double turn = lower < 8 ? lower : 8;
  if (waited < patience + turn * (2 * watch->tick + 1)) return;
  // Where we were when this was decided is where we still are.
  if (atomic_load(&watch->where.count) != watch->last_count) return;
  char text[MESSAGE_BYTES];
  late_tell(watch, late, &mine, waiting, now, text);
  all_end(watch, text);
}

// A process of this host has ended. A good end takes the record away first.
static void gone_look(SeerWatch *watch, int gone) {
  if (atomic_load(&watch->ends) || !seer_record_is_there(watch->folder, gone)) return;
  SeerRecord mine = record_make(watch);
  const SeerPlace *place = &watch->places[gone];
  char text[MESSAGE_BYTES], next[200];
  if (mine.state == SEER_RANK_WAITS)
    snprintf(next, sizeof next, "before it came to %s (collective %" PRIu64 "), or in it", mine.what, mine.count);
  else
    snprintf(next, sizeof next, "while rank %d was busy with %s, after collective %" PRIu64, mine.rank, mine.what,
             mine.count);
  snprintf(text, sizeof text,
           "rank %d on '%s' (process %" PRId64 ") is gone: killed, or left without a word, in step %" PRId64
           ", %s\n"
           "note: the system's log of that host tells of processes killed for want of memory; go on from the last "
           "snapshot with --resume",
           gone, place->host, place->process, mine.step, next);
  all_end(watch, text);
}

static void *watch_run(void *argument) {
  SeerWatch *watch = argument;
  while (!atomic_load(&watch->stopping)) {
    int ready = poll(watch->polled, (nfds_t)watch->polled_count, (int)(watch->tick * 1000));
    bool open = atomic_load(&watch->open);
    for (int i = 1; ready > 0 && i < watch->polled_count; i++) {
      if (!watch->polled[i].revents) continue;
      gone_look(watch, watch->polled_ranks[i]);
      close(watch->polled[i].fd);
      watch->polled[i].fd = -1;
    }
    double now = seconds_now(CLOCK_MONOTONIC);
    uint64_t count = atomic_load_explicit(&watch->where.count, memory_order_acquire);
    if (count != watch->last_count) {
      watch->last_count = count;
      watch->since = now;
    }
    if (open) beat_write(watch, now);
    if (count % 2 == 1) wait_look(watch, now);
  }
  return NULL;
}

// 0, or why not.
static int thread_start(SeerWatch *watch) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  atomic_store(&watch->stopping, false);
  watch->since = seconds_now(CLOCK_MONOTONIC);
  int failed = pthread_create(&watch->thread, NULL, watch_run, watch);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  watch->runs = failed == 0;
  return failed;
}

static SeerStatus no_thread(int reason) {
  return seer_fail(SEER_MACHINE, "cannot start the watchdog's thread: %s", strerror(reason));
}

static void thread_stop(SeerWatch *watch) {
  if (!watch->runs) return;
  watch->runs = false;
  uint64_t one = 1;
  atomic_store(&watch->stopping, true);
  // Without it the thread wakes at its next tick.
  bool woken = write(watch->wake, &one, sizeof one) == sizeof one;
  pthread_join(watch->thread, NULL);
  if (woken && read(watch->wake, &one, sizeof one) < 0) errno = 0;
}

static double between(double low, double number, double high) {
  return number < low ? low : number > high ? high : number;
}

SeerStatus seer_watch_make(const SeerWatchConfig *config, SeerWatch **made) {
  SeerWatch *watch = calloc(1, sizeof *watch);
  size_t ranks = (size_t)config->ranks;
  *made = NULL;
  if (!watch) return seer_fail(SEER_MACHINE, "out of memory");
  watch->config = *config;
  if (!(config->patience_seconds > 0)) watch->config.patience_seconds = SEER_PATIENCE_SECONDS;
  double patience = watch->config.patience_seconds;
  watch->tick = between(0.05, patience / 20, 1);
  watch->beat_every = between(0.1, patience / 10, 1 + (double)config->ranks / RANKS_PER_BEAT);
  watch->here = seer_place_here();
  atomic_store(&watch->where.work, "its start");
  atomic_store(&watch->where.what, "MPI's start");
  watch->peers = calloc(ranks, sizeof *watch->peers);
  watch->polled = calloc(ranks + 1, sizeof *watch->polled);
  watch->polled_ranks = calloc(ranks + 1, sizeof *watch->polled_ranks);
  watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  SeerStatus status = SEER_OK;
  if (!watch->peers || !watch->polled || !watch->polled_ranks || watch->wake < 0)
    status = seer_fail(SEER_MACHINE, "no memory, or no file, for the watchdog of %d ranks", config->ranks);
  if (!status) {
    watch->polled[0] = (struct pollfd){.fd = watch->wake, .events = POLLIN};
    watch->polled_count = 1;
    int failed = thread_start(watch);
    if (failed) status = no_thread(failed);
  }
  if (status) {
    if (watch->wake >= 0) close(watch->wake);
    free(watch->polled_ranks);
    free(watch->polled);
    free(watch->peers);
    free(watch);
    return status;
  }
  *made = watch;
  return SEER_OK;
}

void seer_watch_joined(SeerWatch *watch, int (*abort)(void *handle, int code), void *handle) {
  watch->abort = abort;
  watch->handle = handle;
  atomic_store(&watch->joined, true);
}

// Where the system has no descriptors of processes, a process that is gone is noticed by the patience.
static void processes_open(SeerWatch *watch) {
  for (int rank = 0; rank < watch->config.ranks; rank++) {
    if (rank == watch->config.rank || !peer_is_near(watch, rank)) continue;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)watch->places[rank].process, 0);
    if (fd < 0) continue;
    watch->polled[watch->polled_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    watch->polled_ranks[watch->polled_count++] = rank;
  }
}

SeerStatus seer_watch_open(SeerWatch *watch, const char *folder, const SeerPlace *places) {
  size_t bytes = (size_t)watch->config.ranks * sizeof *places;
  watch->places = malloc(bytes);
  if (!watch->places) return seer_fail(SEER_MACHINE, "out of memory");
  memcpy(watch->places, places, bytes);
  // The thread rests while it is told of folder and processes.
  thread_stop(watch);
  int length = snprintf(watch->folder, sizeof watch->folder, "%s", folder);
  SeerStatus status = length < (int)sizeof watch->folder
                          ? seer_folder_make(folder)
                          : seer_fail(SEER_INPUT, "the name of folder '%s' is too long", folder);
  SeerRecord record = record_make(watch);
  if (!status) status = seer_record_save(folder, &record);
  if (!status) {
    processes_open(watch);
    seer_last_words_prepare(watch->config.name, folder, watch->config.rank, watch->here.host, &watch->where);
    atomic_store(&watch->open, true);
  }
  int failed = thread_start(watch);
  return status || !failed ? status : no_thread(failed);
}

void seer_watch_ends(SeerWatch *watch) {
  seer_last_words_none();
  thread_stop(watch);
  atomic_store(&watch->ends, true);
  // Before the first rank may be gone: launchers end the others then.
  if (atomic_exchange(&watch->open, false)) seer_record_remove(watch->folder, watch->config.rank);
  // Without its thread the end is not watched, and there is nothing left to lose.
  thread_start(watch);
}

void seer_watch_release(SeerWatch *watch) {
  if (!watch) return;
  thread_stop(watch);
  for (int i = 0; i < watch->polled_count; i++) {
    if (watch->polled[i].fd >= 0) close(watch->polled[i].fd);
  }
  free(watch->polled_ranks);
  free(watch->polled);
  free(watch->peers);
  free(watch->places);
  free(watch);
}
