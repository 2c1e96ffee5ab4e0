// A ring of slots, task after task: readers fill the next free one in order, decoders empty theirs in any.
#include "runtime/data/read_ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_BYTES = 512 << 10 };

typedef enum SlotState { SLOT_FREE, SLOT_BUSY, SLOT_READ, SLOT_LEFT } SlotState;

typedef struct Slot {
  SlotState state;
  int64_t task;
  SeerBuffer file;
  size_t count;
} Slot;

struct SeerReadAhead {
  const SeerSource *source;
  int64_t (*picture)(const void *context, int64_t task);
  const void *context;
  Slot *slots;
  int64_t depth, next;  // next: the task that the next reader takes
  pthread_t threads[SEER_READERS_MAX];
  int started;
  pthread_mutex_t lock;
  pthread_cond_t room, ready;
  bool stopping;
};

static void *reader_run(void *argument) {
  SeerReadAhead *ahead = argument;
  pthread_mutex_lock(&ahead->lock);
  for (;;) {
    Slot *slot = &ahead->slots[ahead->next % ahead->depth];
    if (ahead->stopping) { break; }
    if (slot->state != SLOT_FREE) {
      pthread_cond_wait(&ahead->room, &ahead->lock);
      continue;
    }
    *slot = (Slot){SLOT_BUSY, ahead->next++, slot->file, 0};
    pthread_mutex_unlock(&ahead->lock);

    const char *reason;
    int64_t picture = ahead->picture(ahead->context, slot->task);
    SeerStatus status = picture < 0 ? SEER_INPUT
                                    : seer_source_read(ahead->source, picture, SEER_READ_AHEAD_BYTES, &slot->file,
                                                       &slot->count, &reason);

    pthread_mutex_lock(&ahead->lock);
    slot->state = status == SEER_OK ? SLOT_READ : SLOT_LEFT;
    pthread_cond_broadcast(&ahead->ready);
  }
  pthread_mutex_unlock(&ahead->lock);
  return NULL;
}

static SeerStatus readers_start(SeerReadAhead *ahead, int readers) {
  sigset_t all, before;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  int failed = 0;
  for (int i = 0; i < readers && failed == 0; i++) {
    failed = pthread_create(&ahead->threads[i], &attributes, reader_run, ahead);
    ahead->started += failed == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (failed == 0) { return SEER_OK; }
  return seer_fail(SEER_MACHINE, "cannot start %d threads that read pictures: %s\nnote: set fewer data.decode_threads",
                   readers, strerror(failed));
}

SeerStatus seer_read_ahead_make(const SeerSource *source, int decoders, int64_t (*picture)(const void *, int64_t),
                                const void *context, SeerReadAhead **ahead) {
  int readers =
      decoders < SEER_READERS_MAX / SEER_READERS_A_DECODER ? decoders * SEER_READERS_A_DECODER : SEER_READERS_MAX;
  *ahead = NULL;
  SeerReadAhead *made = calloc(1, sizeof *made);
  Slot *slots = calloc((size_t)(2 * readers), sizeof *slots);
  if (made == NULL || slots == NULL) {
    free(made);
    free(slots);
    return seer_fail(SEER_MACHINE, "out of memory to read pictures\nnote: set fewer data.decode_threads");
  }
  *made =
      (SeerReadAhead){.source = source, .picture = picture, .context = context, .slots = slots, .depth = 2 * readers};
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->room, NULL);
  pthread_cond_init(&made->ready, NULL);
  SeerStatus status = readers_start(made, readers);
  if (status != SEER_OK) {
    seer_read_ahead_release(made);
    return status;
  }
  *ahead = made;
  return SEER_OK;
}

bool seer_read_ahead_take(SeerReadAhead *ahead, int64_t task, SeerBuffer *file, size_t *count) {
  Slot *slot = &ahead->slots[task % ahead->depth];
  pthread_mutex_lock(&ahead->lock);
  while (slot->task != task || (slot->state != SLOT_READ && slot->state != SLOT_LEFT)) {
    pthread_cond_wait(&ahead->ready, &ahead->lock);
  }
  bool read = slot->state == SLOT_READ;
  if (read) {
    SeerBuffer empty = *file;
    *file = slot->file;
    *count = slot->count;
    slot->file = empty;
    if (empty.capacity > SEER_READ_AHEAD_BYTES) { seer_buffer_release(&slot->file); }
  }
  slot->state = SLOT_FREE;
  pthread_cond_broadcast(&ahead->room);
  pthread_mutex_unlock(&ahead->lock);
  return read;
}

void seer_read_ahead_release(SeerReadAhead *ahead) {
  if (ahead == NULL) { return; }
  pthread_mutex_lock(&ahead->lock);
  ahead->stopping = true;
  pthread_cond_broadcast(&ahead->room);
  pthread_mutex_unlock(&ahead->lock);
  for (int i = 0; i < ahead->started; i++) { pthread_join(ahead->threads[i], NULL); }
  for (int64_t i = 0; i < ahead->depth; i++) { seer_buffer_release(&ahead->slots[i].file); }
  pthread_cond_destroy(&ahead->ready);
  pthread_cond_destroy(&ahead->room);
  pthread_mutex_destroy(&ahead->lock);
  free(ahead->slots);
  free(ahead);
}
