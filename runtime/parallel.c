// The thread pool. Tasks of a launch are claimed one by one from a ticket that carries the launch's generation, so a
// worker that was off its core, and wakes in a later launch, can never run a task with the wrong arguments.
// Waiting spins for some microseconds, then sleeps on a futex: a lost core costs at most one task.
#include "runtime/parallel.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/status.h"

enum { SPINS = 1500, CACHE_LINE = 64 };

typedef void SeerTaskFunction(const void *arguments, int task, int worker);

typedef struct SeerWorker {
  struct SeerPool *pool;
  pthread_t thread;
  int index;
} SeerWorker;

struct SeerPool {
  _Alignas(CACHE_LINE) _Atomic uint64_t ticket;   // generation << 32 | tasks not yet claimed
  _Alignas(CACHE_LINE) _Atomic uint32_t pending;  // tasks not yet finished
  _Atomic uint32_t caller_sleeps;
  _Alignas(CACHE_LINE) _Atomic uint32_t wake;  // changes with every launch: what sleeping workers watch
  _Atomic uint32_t sleepers;
  _Atomic bool stop;
  _Alignas(CACHE_LINE) SeerTaskFunction *function;
  const void *arguments;
  int tasks, threads, started;
  uint32_t generation;
  SeerWorker *workers;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
  syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count) {
  syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static inline void core_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Claims and runs tasks until none is left.
static void tasks_run(SeerPool *pool, int worker) {
  uint64_t ticket = atomic_load(&pool->ticket);
  while ((uint32_t)ticket != 0) {
    if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) continue;
    // A claimed task keeps the launch from ending, so its fields stand still from here on.
    pool->function(pool->arguments, pool->tasks - (int)(uint32_t)ticket, worker);
    if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->caller_sleeps)) futex_wake(&pool->pending, 1);
    ticket = atomic_load(&pool->ticket);
  }
}

static bool work_waits(SeerPool *pool) { return (uint32_t)atomic_load(&pool->ticket) != 0 || atomic_load(&pool->stop); }

static void *worker_main(void *argument) {
  SeerWorker *worker = argument;
  SeerPool *pool = worker->pool;
  for (;;) {
    for (int spin = 0; spin < SPINS && !work_waits(pool); spin++) core_relax();
    if (!work_waits(pool)) {
      uint32_t seen = atomic_load(&pool->wake);
      atomic_fetch_add(&pool->sleepers, 1);
      if (!work_waits(pool)) futex_wait(&pool->wake, seen);
      atomic_fetch_sub(&pool->sleepers, 1);
    }
    if (atomic_load(&pool->stop)) return NULL;
    tasks_run(pool, worker->index);
  }
}

SeerPool *seer_pool_make(int threads) {
  SeerPool *pool = NULL;
  if (posix_memalign((void **)&pool, CACHE_LINE, sizeof *pool) != 0) {
    seer_fail(SEER_MACHINE, "no memory for a pool of %d threads", threads);
    return NULL;
  }
  memset(pool, 0, sizeof *pool);
  pool->threads = threads;
  pool->workers = calloc((size_t)threads, sizeof *pool->workers);
  if (!pool->workers) {
    seer_fail(SEER_MACHINE, "no memory for a pool of %d threads", threads);
    seer_pool_release(pool);
    return NULL;
  }
  for (int i = 1; i < threads; i++) {
    pool->workers[i] = (SeerWorker){.pool = pool, .index = i};
    int error = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
    if (error) {
      seer_fail(SEER_MACHINE, "cannot start thread %d of %d: %s\nnote: use fewer with --threads, or raise `ulimit -u`",
                i + 1, threads, strerror(error));
      seer_pool_release(pool);
      return NULL;
    }
    pool->started = i;
  }
  return pool;
}

void seer_pool_release(SeerPool *pool) {
  if (!pool) return;
  atomic_store(&pool->stop, true);
  atomic_fetch_add(&pool->wake, 1);
  futex_wake(&pool->wake, pool->threads);
  for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
  free(pool->workers);
  free(pool);
}

int seer_pool_threads(const SeerPool *pool) { return pool->threads; }

void seer_pool_run(SeerPool *pool, void (*function)(const void *arguments, int task, int worker), const void *arguments,
                   int tasks) {
  if (pool->threads == 1 || tasks <= 1) {
    for (int task = 0; task < tasks; task++) function(arguments, task, 0);
    return;
  }
  pool->function = function;
  pool->arguments = arguments;
  pool->tasks = tasks;
  pool->generation++;
  atomic_store(&pool->pending, (uint32_t)tasks);
  atomic_store(&pool->ticket, (uint64_t)pool->generation << 32 | (uint32_t)tasks);
  atomic_fetch_add(&pool->wake, 1);
  if (atomic_load(&pool->sleepers)) futex_wake(&pool->wake, tasks - 1);
  tasks_run(pool, 0);
  for (int spin = 0; spin < SPINS && atomic_load(&pool->pending); spin++) core_relax();
  atomic_store(&pool->caller_sleeps, 1);
  for (uint32_t left; (left = atomic_load(&pool->pending)) != 0;) futex_wait(&pool->pending, left);
  atomic_store(&pool->caller_sleeps, 0);
}
