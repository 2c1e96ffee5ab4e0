// Slices of one rank; see slices.h. The turn goes round: a slice that comes to a collective says what it brings and
// where the answer belongs, and passes it on; when it is back at the first, all have come.
#include "runtime/slices.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/comm.h"
#include "runtime/pairwise.h"

enum { SUM_TASK = 1 << 14 };  // floats of a gradient that a thread sums at once

typedef struct SeerSlice {
  SeerSlices *slices;
  int number;
  pthread_t thread;        // not of the first
  pthread_cond_t comes;    // the turn
  SeerContext context;
  const float *mine;       // of the collective at hand
  float *all;
} SeerSlice;

struct SeerSlices {
  int count, started;      // threads
  pthread_mutex_t lock;
  int turn;
  bool stopping;
  SeerEntry *entry;
  SeerSlice items[];
};

static void turn_pass(SeerSlice *slice) {
  SeerSlices *slices = slice->slices;
  pthread_mutex_lock(&slices->lock);
  slices->turn = (slice->number + 1) % slices->count;
  pthread_cond_signal(&slices->items[slices->turn].comes);
  pthread_mutex_unlock(&slices->lock);
}

// False: there will be no more.
static bool turn_await(SeerSlice *slice) {
  SeerSlices *slices = slice->slices;
  pthread_mutex_lock(&slices->lock);
  while (slices->turn != slice->number && !slices->stopping) pthread_cond_wait(&slice->comes, &slices->lock);
  bool goes_on = !slices->stopping;
  pthread_mutex_unlock(&slices->lock);
  return goes_on;
}

static void *slice_main(void *argument) {
  SeerSlice *slice = argument;
  while (turn_await(slice)) {
    slice->slices->entry(&slice->context);
    turn_pass(slice);
  }
  return NULL;
}

static SeerStatus threads_start(SeerSlices *slices) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  int failed = 0;
  for (int i = 1; i < slices->count && !failed; i++) {
    failed = pthread_create(&slices->items[i].thread, NULL, slice_main, &slices->items[i]);
    slices->started += !failed;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!failed) return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot start a thread for each of %d slices: %s\nnote: raise `ulimit -u`",
                   slices->count, strerror(failed));
}

SeerStatus seer_slices_make(const SeerProgram *program, SeerSlices **slices) {
  int count = seer_rank_slices(program);
  *slices = NULL;
  if (count == 1) return SEER_OK;
  SeerSlices *made = calloc(1, sizeof *made + (size_t)count * sizeof *made->items);
  if (!made) return seer_fail(SEER_MACHINE, "out of memory");
  made->count = count;
  pthread_mutex_init(&made->lock, NULL);
  for (int i = 0; i < count; i++) {
    made->items[i].slices = made;
    made->items[i].number = i;
    pthread_cond_init(&made->items[i].comes, NULL);
  }
  SeerStatus status = threads_start(made);
  if (status)
    seer_slices_release(made);
  else
    *slices = made;
  return status;
}

void seer_slices_release(SeerSlices *slices) {
  if (!slices) return;
  pthread_mutex_lock(&slices->lock);
  slices->stopping = true;
  for (int i = 1; i < slices->count; i++) pthread_cond_signal(&slices->items[i].comes);
  pthread_mutex_unlock(&slices->lock);
  for (int i = 1; i <= slices->started; i++) pthread_join(slices->items[i].thread, NULL);
  for (int i = 0; i < slices->count; i++) pthread_cond_destroy(&slices->items[i].comes);
  pthread_mutex_destroy(&slices->lock);
  free(slices);
}

// As runtime/data/loader.h lays pictures out.
static void context_set(SeerSlice *slice, const SeerContext *context) {
  const SeerProgram *program = context->program;
  uint64_t batch = (uint64_t)(seer_rank_batch(program) / slice->slices->count), number = (uint64_t)slice->number;
  slice->context = *context;
  slice->context.slice = slice;
  slice->context.leaves_state = slice->number > 0;
  slice->context.arena += number * program->slice_bytes;
  for (int i = 0; i < program->views.size_group_count; i++) {
    const SeerSizeGroup *group = &program->views.size_groups[i];
    uint64_t side = (uint64_t)group->size;
    slice->context.images[i] += number * (uint64_t)group->crops * batch * side * side * 3;
  }
  if (context->labels) slice->context.labels += number * batch;
}

void seer_slices_run(SeerSlices *slices, SeerContext *context, SeerEntry *entry) {
  if (!slices) {
    entry(context);
    return;
  }
  SeerSlice *first = &slices->items[0];
  for (int i = 0; i < slices->count; i++) context_set(&slices->items[i], context);
  slices->entry = entry;
  entry(&first->context);
  turn_pass(first);
  turn_await(first);
  context->network = first->context.network;
  for (int i = 0; i < slices->count; i++) {
    int found = slices->items[i].context.first_not_finite, *least = &context->first_not_finite;
    if (found >= 0 && (*least < 0 || found < *least)) *least = found;
  }
}

// The ranks' slices lie behind one another, so what the ranks gather is in the order of all slices.
static SeerStatus pieces_gather(SeerSlices *slices, size_t bytes) {
  SeerSlice *first = &slices->items[0];
  SeerComm *comm = first->context.comm;
  // Another slice's room for the answer has room for what this rank sends, too.
  float *answer = first->all, *sent = comm ? slices->items[1].all : answer;
  for (int i = 0; i < slices->count; i++) memcpy((char *)sent + (size_t)i * bytes, slices->items[i].mine, bytes);
  SeerStatus status = comm ? seer_comm_all_gather(comm, sent, (size_t)slices->count * bytes, answer) : SEER_OK;
  size_t answer_bytes = (size_t)first->context.program->slices * bytes;
  for (int i = 1; i < slices->count && !status; i++) memcpy(slices->items[i].all, answer, answer_bytes);
  return status;
}

void seer_slice_gather(SeerSlice *slice, int64_t floats, const float *mine, float *all) {
  SeerSlices *slices = slice->slices;
  slice->mine = mine;
  slice->all = all;
  turn_pass(slice);
  turn_await(slice);
  if (slice->number > 0) return;
  int status = (int)pieces_gather(slices, (size_t)floats * sizeof *mine);
  for (int i = 0; i < slices->count; i++) slices->items[i].context.network = status;
}

typedef struct SumArguments {
  const float *mine;
  size_t stride, length;
  int count;
  float scale, *sums;
} SumArguments;

static void sum_task(const void *arguments, int task, int worker) {
  (void)worker;
  const SumArguments *sum = arguments;
  size_t begin = (size_t)task * SUM_TASK, left = sum->length - begin;
  seer_pairwise_rows(sum->mine + begin, sum->stride, sum->count, sum->scale, left < SUM_TASK ? left : SUM_TASK,
                     sum->sums + begin);
}

// Scaled once, at the end: a sum of small numbers must not lose bits earlier in one world than in another.
SeerStatus seer_slices_average(const SeerContext *context, int64_t count, const float *mine, float *scratch,
                               float *average) {
  const SeerProgram *program = context->program;
  int slices = seer_rank_slices(program);
  if (slices > 1) {
    SumArguments sum = {.mine = mine,
                        .stride = program->slice_bytes / sizeof *mine,
                        .length = (size_t)count,
                        .count = slices,
                        .scale = context->comm ? 1 : 1 / (float)program->slices,
                        .sums = average};
    seer_pool_run(context->pool, sum_task, &sum, (int)((count + SUM_TASK - 1) / SUM_TASK));
    mine = average;
  }
  if (!context->comm) return SEER_OK;
  return seer_comm_average(context->comm, count, SEER_FP32, program->slices, mine, scratch, average);
}
