// What the ranks of a run leave in RUN/ranks while it runs: `rank-N`, rewritten about once a second, says where that
// rank is; `end` says what ended the run, by whoever noticed first. A run that ends by itself removes them, so whatever
// lies there tells of a fault.
//
// Writers rewrite in place, in one call, and close the file: a full disk does not lose what is there, and network file
// systems show it to other hosts.
#ifndef SEER_RUNTIME_RECORD_H
#define SEER_RUNTIME_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/files.h"

enum { SEER_HOST_BYTES = 65 };

// Where a process runs. Numbers of processes mean something within one `space` of them only.
typedef struct SeerPlace {
  char host[SEER_HOST_BYTES];
  uint64_t space;
  int64_t process;
} SeerPlace;

typedef enum SeerRankState { SEER_RANK_WORKS, SEER_RANK_WAITS } SeerRankState;

typedef struct SeerRecord {
  int rank;
  SeerPlace place;
  SeerRankState state;
  bool long_work;  // it may take as long as it takes: the others wait for it longer
  int64_t step;    // 0: before the first
  uint64_t count;  // collectives it has reached
  char what[80];   // the collective, or the work
  uint64_t beat;   // of these writes
  double seen;     // seconds since 1970 on its host
} SeerRecord;

// How the system sees a process of this host.
typedef enum SeerProcessState {
  SEER_PROCESS_UNKNOWN,
  SEER_PROCESS_RUNS,
  SEER_PROCESS_STOPPED,
  SEER_PROCESS_GONE
} SeerProcessState;

SeerPlace seer_place_here(void);
bool seer_place_is_near(const SeerPlace *one, const SeerPlace *other);  // their processes see each other
SeerProcessState seer_process_state(int64_t process);

SeerStatus seer_record_save(const char *folder, const SeerRecord *record);
// The same for one that is there; when it cannot be written it stays as it is.
bool seer_record_refresh(const char *folder, const SeerRecord *record);
// false: there is none, or it was just being written.
bool seer_record_find(const char *folder, int rank, SeerRecord *record);
bool seer_record_is_there(const char *folder, int rank);
void seer_record_remove(const char *folder, int rank);  // and the folder after the last
// Keeps the first line that any rank says about the end. false: another one has said it before.
bool seer_record_end_save(const char *folder, const char *line);
// What ended the run that left records in `folder`, as a sentence; "" when none did. Removes them all.
SeerStatus seer_records_settle(const char *folder, char *text, size_t bytes);

#endif
