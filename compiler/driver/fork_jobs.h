// The same work for many things side by side, each in a process of its own that starts as a copy of this one and hands
// back bytes. What one of them spoils, or takes of memory, is gone when it ends.
#ifndef SEER_DRIVER_FORK_JOBS_H
#define SEER_DRIVER_FORK_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/writer.h"

typedef struct ForkResult {
  bool good;  // ended as it should; else `bytes` is not to be read
  int code;   // exit code; 128 and a signal's number; -1: it could not be started
  Writer bytes;
} ForkResult;

typedef struct ForkJobs {
  int count;
  int at_once;  // processes; 0: as many as the machine has cores
  // In a process of its own: the bytes of `index`.
  void (*work)(void *context, int index, Writer *out);
  // In this process, behind each, in the order in which they end; or NULL.
  void (*watch)(void *context, int index, int done);
  void *context;
} ForkJobs;

// Fills results [count], whose bytes the caller releases. Those that end are started in the order of their indices.
void fork_jobs_run(const ForkJobs *jobs, ForkResult *results);

#endif
