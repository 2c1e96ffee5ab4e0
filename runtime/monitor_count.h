// The inside of a SeerMonitor, which counting, reading and writing share.
#ifndef SEER_RUNTIME_MONITOR_COUNT_H
#define SEER_RUNTIME_MONITOR_COUNT_H

#include "runtime/monitor.h"

struct SeerMonitor {
  const SeerMonitorRule *rule;
  SeerComm *comm;
  SeerColumns *columns;
  uint64_t seed;
  int width;           // columns
  int rank_batch;      // pictures of a micro-step on this rank
  int64_t fold_every;  // steps

  // Of this rank: pictures of the step at hand, as keys of cells, and what was counted since the last sum.
  uint64_t *taken;
  size_t taken_count, taken_seen, taken_room;
  SeerCells pending;
  uint64_t pending_seen, least;  // least: no lower level counts

  // Of rank 0: the sample; its columns one by one, as (code, level); the same of the window.
  SeerCells cells, sums[SEER_COLUMNS_MAX], window[SEER_COLUMNS_MAX];
  uint64_t totals[SEER_MONITOR_LEVELS];  // pictures by level
  uint64_t level, sampled, seen, since;
};

SeerStatus seer_monitor_no_memory(void);
// Counts a key with its level, unless that is too low.
SeerStatus seer_monitor_add(SeerMonitor *monitor, const uint64_t *key, uint64_t count, bool to_window);
// Brings totals and sample up to date after seer_monitor_add.
SeerStatus seer_monitor_settle(SeerMonitor *monitor);
void seer_monitor_forget(SeerMonitor *monitor, uint64_t since);
// As JSON.
SeerStatus seer_monitor_print(SeerMonitor *monitor, char **text);

#endif
