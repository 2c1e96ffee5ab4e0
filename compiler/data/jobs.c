// Jobs on the runtime's pool of threads.
#include "compiler/data/jobs.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/parallel.h"
#include "runtime/progress.h"

void data_progress_begin(DataProgress *progress, const char *doing, uint64_t all_pictures) {
  *progress = (DataProgress){
      .is_shown = isatty(STDERR_FILENO), .doing = doing, .all_pictures = all_pictures, .began = seer_seconds_now()};
  progress->printed = progress->began;
  pthread_mutex_init(&progress->lock, NULL);
}

static void progress_print(DataProgress *progress, double now) {
  double seconds = now - progress->began, done = (double)progress->pictures, all = (double)progress->all_pictures;
  char left[32];
  seer_duration_text(left, sizeof left, done > 0 ? seconds * (all - done) / done : 0);
  fprintf(stderr, "\r%s: %llu of %llu pictures, %.0f/s, %.1f MB/s, %s left\033[K", progress->doing,
          (unsigned long long)progress->pictures, (unsigned long long)progress->all_pictures, done / seconds,
          (double)progress->bytes * 1e-6 / seconds, left);
}

void data_progress_add(DataProgress *progress, uint64_t pictures, uint64_t bytes) {
  pthread_mutex_lock(&progress->lock);
  progress->pictures += pictures;
  progress->bytes += bytes;
  double now = progress->is_shown ? seer_seconds_now() : 0;
  if (progress->is_shown && now - progress->printed > 0.2) {
    progress_print(progress, now);
    progress->printed = now;
  }
  pthread_mutex_unlock(&progress->lock);
}

void data_progress_end(DataProgress *progress) {
  if (progress->printed > progress->began) fprintf(stderr, "\r\033[K");
  pthread_mutex_destroy(&progress->lock);
}

typedef struct Jobs {
  SeerStatus (*run)(void *context, size_t job, int worker);
  void *context;
  size_t first;
  atomic_int *status;
} Jobs;

static void job_run(const void *arguments, int task, int worker) {
  const Jobs *jobs = arguments;
  if (atomic_load(jobs->status) != SEER_OK) return;
  SeerStatus status = jobs->run(jobs->context, jobs->first + (size_t)task, worker);
  int fine = SEER_OK;
  if (status != SEER_OK) atomic_compare_exchange_strong(jobs->status, &fine, (int)status);
}

SeerStatus data_jobs_run(int threads, size_t count, SeerStatus (*run)(void *context, size_t job, int worker),
                         void *context) {
  SeerPool *pool = seer_pool_make(threads);
  if (pool == NULL) return SEER_MACHINE;
  atomic_int status = SEER_OK;
  Jobs jobs = {run, context, 0, &status};
  for (; jobs.first < count && atomic_load(&status) == SEER_OK; jobs.first += INT_MAX) {
    size_t left = count - jobs.first;
    seer_pool_run(pool, job_run, &jobs, left < INT_MAX ? (int)left : INT_MAX);
  }
  seer_pool_release(pool);
  return (SeerStatus)atomic_load(&status);
}
