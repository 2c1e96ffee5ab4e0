// The watchdog of a run of several ranks: no wait for another rank lasts for ever, and what ended a run has a name.
//
// The main thread tells where it is, by a few stores; a thread of its own leaves that in RUN/ranks (record.h) and looks
// at the others. It ends all ranks, exit code 3, when this rank has waited in one collective longer than the patience,
// or when a process of this host is gone without having finished. One rank says who it was. A rank that crashes, or
// that leaves in the middle of the run, says so itself.
#ifndef SEER_RUNTIME_WATCH_H
#define SEER_RUNTIME_WATCH_H

#include "runtime/comm/record.h"

typedef struct SeerWatch SeerWatch;

typedef struct SeerWatchConfig {
  const char *name;         // of the trainer, for messages
  int rank, ranks;          // as the launcher tells them
  double patience_seconds;  // 0: SEER_PATIENCE_SECONDS
} SeerWatchConfig;

enum { SEER_PATIENCE_SECONDS = 300 };

// Starts the thread. It must outlive MPI's own start, which may wait, too.
SeerStatus seer_watch_make(const SeerWatchConfig *config, SeerWatch **watch);
// From here on MPI can end all ranks: `abort` does, on the watch's thread. Before, this process can only leave.
void seer_watch_joined(SeerWatch *watch, int (*abort)(void *handle, int code), void *handle);
// From here on there are records, in `folder`; places [ranks] are those of all ranks.
SeerStatus seer_watch_open(SeerWatch *watch, const char *folder, const SeerPlace *places);
// From here on processes may go; the record is removed.
void seer_watch_ends(SeerWatch *watch);
void seer_watch_release(SeerWatch *watch);

// Ends all ranks, exit code 3, from the main thread; one of them says `text`. Does not return.
void seer_watch_give_up(SeerWatch *watch, const char *text);

// NULL is allowed below. Texts must be constants. Every rank reaches the same collectives in the same order.
void seer_watch_enter(SeerWatch *watch, const char *collective, uint64_t bytes);
void seer_watch_leave(SeerWatch *watch);
// The same where this rank was at work meanwhile: seer_watch_waited leaves the time out.
void seer_watch_leave_busy(SeerWatch *watch);
void seer_watch_step(SeerWatch *watch, int64_t step);
// What the rank is busy with between collectives. `long_work`: nobody can say how long that takes.
void seer_watch_work(SeerWatch *watch, const char *work, bool long_work);
// Seconds in collectives so far.
double seer_watch_waited(const SeerWatch *watch);

#endif
