// What a rank of many says when it crashes or calls exit in the middle of the run: which rank, where, on standard error
// and in its record. Launchers end the others before those could tell.
#ifndef SEER_RUNTIME_LAST_WORDS_H
#define SEER_RUNTIME_LAST_WORDS_H

#include <stdatomic.h>
#include <stdint.h>

// Where a rank is, told by the main thread and read at any time.
typedef struct SeerWhere {
  _Atomic(const char *) what, work;  // the collective; what is done between collectives
  _Atomic uint64_t count, bytes;     // even between collectives, odd within one; bytes of the one
  _Atomic int64_t step;
} SeerWhere;

// Takes the signals of crashes, and hands them on to who had them. `where` must outlive the process's end.
void seer_last_words_prepare(const char *name, const char *folder, int rank, const char *host, const SeerWhere *where);
// From here on the process may end.
void seer_last_words_none(void);
// Whatever hangs, the process ends in a few seconds, exit code 3.
void seer_leave_soon(void);

#endif
