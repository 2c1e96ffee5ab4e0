// A pool of threads that run the tasks of one launch. Which thread runs a task changes no bit: tasks write disjoint
// memory, and reductions are shaped by the number of tasks, never by the number of threads.
#ifndef SEER_RUNTIME_PARALLEL_H
#define SEER_RUNTIME_PARALLEL_H

typedef struct SeerPool SeerPool;

// threads >= 1, the caller included. NULL when threads cannot be made (the error is recorded).
SeerPool *seer_pool_make(int threads);
void seer_pool_release(SeerPool *pool);
int seer_pool_threads(const SeerPool *pool);
// Returns when every task has run. `worker` is 0..threads-1. Not re-entrant.
void seer_pool_run(SeerPool *pool, void (*function)(const void *arguments, int task, int worker), const void *arguments,
                   int tasks);

#endif
