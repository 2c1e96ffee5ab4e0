// Jobs that run side by side, and what a terminal shows of them meanwhile.
#ifndef SEER_COMPILER_DATA_JOBS_H
#define SEER_COMPILER_DATA_JOBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

typedef struct DataProgress {
  pthread_mutex_t lock;
  bool is_shown;  // standard error is a terminal
  const char *doing;
  uint64_t pictures, all_pictures, bytes;
  double began, printed;
} DataProgress;

// `doing`: "packing".
void data_progress_begin(DataProgress *progress, const char *doing, uint64_t all_pictures);
// That more pictures have come to light. Any thread, as the next.
void data_progress_expect(DataProgress *progress, uint64_t pictures);
void data_progress_add(DataProgress *progress, uint64_t pictures, uint64_t bytes);
void data_progress_end(DataProgress *progress);

// Runs jobs 0..count-1 on `threads` threads, about in order; after the first that fails none is begun. Returns its
// status. `worker` is 0..threads-1.
SeerStatus data_jobs_run(int threads, size_t count, SeerStatus (*run)(void *context, size_t job, int worker),
                         void *context);

#endif
