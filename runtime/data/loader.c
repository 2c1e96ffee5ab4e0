// A ring of batches, filled picture by picture: threads take positions in order, so the oldest batch is always finished
// first. What can be told from the order of threads (which failed first, what the list names) is decided when a batch
// is handed out, in the order of positions.
#include "runtime/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/data/augment.h"
#include "runtime/data/decoder.h"
#include "runtime/data/picture_set.h"
#include "runtime/data/quarantine.h"
#include "runtime/data/read_ahead.h"
#include "runtime/random.h"

enum { MAX_TRIES = 1000, SHARE_FLOOR = 1000 };

// A picture that did not decode, met at `slot` of a batch as its `attempt`-th choice.
typedef struct Failure {
  struct Failure *next;
  int slot, attempt;
  int64_t picture;
  char *reason;
} Failure;

typedef struct RingBatch {
  uint8_t *images[SEER_MAX_SIZE_GROUPS];
  int32_t *labels;
  int64_t *pictures;
  uint64_t *codes;
  int left;       // slots still to fill
  int lost_slot;  // first slot for which nothing decoded, or -1
  Failure *failures;
} RingBatch;

typedef struct Worker {
  struct SeerLoader *loader;
  pthread_t thread;
  uint32_t epoch;  // of the slot at hand, whose views are drawn by it
  int64_t position;
  SeerDecoder *decoder;
  SeerPicture picture;
  SeerAugmenter augmenter;
} Worker;

struct SeerLoader {
  SeerLoaderConfig config;
  const SeerSource *source;
  int64_t count, positions_per_epoch, stride;
  int tries;
  RingBatch *ring;
  uint64_t *codes;  // of all batches of the ring; NULL: there are no columns
  Worker *workers;
  int started;
  SeerQuarantine *quarantine;
  SeerPictureSet met;  // pictures known not to decode
  int64_t seen;
  SeerReadAhead *ahead;  // NULL: the source reads no files

  pthread_mutex_t lock;
  pthread_cond_t work, ready;
  int64_t next_task, handed_out, released;  // tasks are slots, the others batches
  bool stopping;
  SeerStatus status;
};

static size_t codes_of_batch(const SeerLoaderConfig *config) {
  return (size_t)config->batch * (size_t)seer_columns_count(config->columns);
}

static void ring_lay_out(SeerLoader *loader) {
  const SeerViews *views = loader->config.views;
  size_t codes = loader->codes != NULL ? codes_of_batch(&loader->config) : 0;
  unsigned char *at = loader->config.ring;
  for (int i = 0; i < loader->config.ring_depth; i++) {
    RingBatch *batch = &loader->ring[i];
    for (int group = 0; group < views->size_group_count; group++) {
      batch->images[group] = at;
      at += seer_ring_group_bytes(&views->size_groups[group], loader->config.batch);
    }
    batch->pictures = (int64_t *)(void *)at;
    at += seer_ring_align((uint64_t)loader->config.batch * sizeof(int64_t));
    batch->labels = (int32_t *)(void *)at;
    at += seer_ring_align((uint64_t)loader->config.batch * sizeof(int32_t));
    batch->codes = loader->codes != NULL ? loader->codes + (size_t)i * codes : NULL;
    batch->left = loader->config.batch;
    batch->lost_slot = -1;
  }
}

static SeerStatus out_of_memory(void) {
  return seer_fail(SEER_MACHINE,
                   "out of memory to decode pictures\nnote: set fewer data.decode_threads, or a smaller "
                   "data.max_pixels");
}

static SeerStatus failure_note(SeerLoader *loader, RingBatch *batch, int slot, int attempt, int64_t picture,
                               const char *reason) {
  Failure *failure = malloc(sizeof *failure);
  char *copy = strdup(reason);
  if (failure == NULL || copy == NULL) {
    free(failure);
    free(copy);
    return out_of_memory();
  }
  *failure = (Failure){.slot = slot, .attempt = attempt, .picture = picture, .reason = copy};
  pthread_mutex_lock(&loader->lock);
  failure->next = batch->failures;
  batch->failures = failure;
  pthread_mutex_unlock(&loader->lock);
  return SEER_OK;
}

static void view_draw(const Worker *worker, int g, uint32_t lane, int width, int height, SeerViewDraw *draw) {
  const SeerLoaderConfig *config = &worker->loader->config;
  SeerRandom random =
      seer_random_make(config->seed, SEER_STREAM_VIEWS, worker->epoch, (uint64_t)worker->position, lane);
  seer_view_draw(config->views, &config->views->size_groups[g], width, height, &random, draw);
}

// What all views of the worker's slot can do with; they will be drawn alike again.
static int views_shrink(void *data, int width, int height) {
  const Worker *worker = data;
  const SeerViews *views = worker->loader->config.views;
  uint32_t lane = 0;
  int least = 8;
  for (int g = 0; g < views->size_group_count; g++) {
    for (int crop = 0; crop < views->size_groups[g].crops; crop++, lane++) {
      SeerViewDraw draw;
      view_draw(worker, g, lane, width, height, &draw);
      int shrink = seer_view_shrink(&draw, views->size_groups[g].size);
      least = shrink < least ? shrink : least;
    }
  }
  return least;
}

static SeerStatus views_make(Worker *worker, RingBatch *batch, int slot) {
  const SeerLoaderConfig *config = &worker->loader->config;
  const SeerPicture *picture = &worker->picture;
  uint32_t lane = 0;
  int slices = config->slices > 0 ? config->slices : 1, slice_batch = config->batch / slices;
  int slice = slot / slice_batch, place = slot % slice_batch;
  for (int g = 0; g < config->views->size_group_count; g++) {
    const SeerSizeGroup *group = &config->views->size_groups[g];
    size_t view_bytes = (size_t)group->size * (size_t)group->size * 3;
    for (int crop = 0; crop < group->crops; crop++, lane++) {
      SeerViewDraw draw;
      view_draw(worker, g, lane, picture->full_width, picture->full_height, &draw);
      int row = (slice * group->crops + crop) * slice_batch + place;
      uint8_t *pixels = batch->images[g] + (size_t)row * view_bytes;
      if (!seer_view_apply(&worker->augmenter, picture, &draw, group->size, pixels)) { return out_of_memory(); }
    }
  }
  return SEER_OK;
}

// The picture that is the attempt-th choice for a position.
static int64_t picture_at(const SeerLoader *loader, int64_t global_position, int attempt) {
  uint32_t epoch = (uint32_t)(global_position / loader->positions_per_epoch);
  int64_t position = global_position % loader->positions_per_epoch;
  int64_t place = (position + attempt * loader->stride) % loader->count;
  return seer_permutation(loader->config.seed, epoch, loader->count, place);
}

static int64_t picture_of_task(const void *context, int64_t task) {
  const SeerLoader *loader = context;
  return picture_at(loader, seer_loader_position(&loader->config, task), 0);
}

// The bytes of a first choice have been read ahead.
static SeerStatus picture_decode(Worker *worker, int64_t task, int attempt, int64_t picture, const char **reason) {
  const SeerLoader *loader = worker->loader;
  int64_t max_pixels = loader->config.max_pixels;
  size_t count;
  if (attempt == 0 && loader->ahead != NULL &&
      seer_read_ahead_take(loader->ahead, task, &worker->picture.file, &count)) {
    return seer_decoder_decode_read(worker->decoder, picture, max_pixels, count, &worker->picture, reason);
  }
  return seer_decoder_decode(worker->decoder, picture, max_pixels, &worker->picture, reason);
}

static SeerStatus codes_look(const SeerLoader *loader, const RingBatch *batch, int slot, int64_t picture) {
  if (batch->codes == NULL) { return SEER_OK; }
  const SeerColumns *columns = loader->config.columns;
  return seer_columns_look(columns, picture, batch->codes + (size_t)slot * (size_t)seer_columns_count(columns));
}

// Fills one slot. *lost: none of the tries gave a picture.
static SeerStatus slot_fill(Worker *worker, RingBatch *batch, int slot, int64_t task, bool *lost) {
  SeerLoader *loader = worker->loader;
  int64_t global_position = seer_loader_position(&loader->config, task);
  worker->epoch = (uint32_t)(global_position / loader->positions_per_epoch);
  worker->position = global_position % loader->positions_per_epoch;
  if (loader->config.scaled_decoding) {
    worker->picture.shrink = views_shrink;
    worker->picture.shrink_data = worker;
  }
  *lost = false;
  for (int attempt = 0; attempt < loader->tries; attempt++) {
    int64_t picture = picture_at(loader, global_position, attempt);
    const char *reason = NULL;
    if (picture_decode(worker, task, attempt, picture, &reason) == SEER_OK) {
      batch->pictures[slot] = picture;
      batch->labels[slot] = seer_source_label(loader->source, picture);
      SeerStatus status = codes_look(loader, batch, slot, picture);
      return status == SEER_OK ? views_make(worker, batch, slot) : status;
    }
    SeerStatus status = failure_note(loader, batch, slot, attempt, picture, reason);
    if (status != SEER_OK) { return status; }
  }
  *lost = true;
  return SEER_OK;
}

static void *worker_run(void *argument) {
  Worker *worker = argument;
  SeerLoader *loader = worker->loader;
  int batch_size = loader->config.batch;
  pthread_mutex_lock(&loader->lock);
  for (;;) {
    while (!loader->stopping && loader->next_task / batch_size >= loader->released + loader->config.ring_depth) {
      pthread_cond_wait(&loader->work, &loader->lock);
    }
    if (loader->stopping) { break; }
    int64_t task = loader->next_task++;
    RingBatch *batch = &loader->ring[task / batch_size % loader->config.ring_depth];
    int slot = (int)(task % batch_size);
    pthread_mutex_unlock(&loader->lock);

    bool lost;
    SeerStatus status = slot_fill(worker, batch, slot, task, &lost);

    pthread_mutex_lock(&loader->lock);
    if (status != SEER_OK) {
      loader->status = status;
      loader->stopping = true;
      pthread_cond_broadcast(&loader->work);
    }
    if (lost && (batch->lost_slot < 0 || slot < batch->lost_slot)) { batch->lost_slot = slot; }
    batch->left--;
    if (batch->left == 0 || status != SEER_OK) { pthread_cond_signal(&loader->ready); }
  }
  pthread_mutex_unlock(&loader->lock);
  return NULL;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static SeerStatus decoders_make(SeerLoader *loader) {
  SeerStatus status = SEER_OK;
  for (int i = 0; i < loader->config.threads && status == SEER_OK; i++) {
    status = seer_decoder_make(loader->source, loader->config.sandbox, &loader->workers[i].decoder);
  }
  return status;
}

static SeerStatus threads_start(SeerLoader *loader) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  int failed = 0;
  for (int i = 0; i < loader->config.threads && failed == 0; i++) {
    loader->workers[i].loader = loader;
    failed = pthread_create(&loader->workers[i].thread, NULL, worker_run, &loader->workers[i]);
    loader->started += failed == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed == 0
             ? SEER_OK
             : seer_fail(SEER_MACHINE, "cannot start %d decode threads: %s\nnote: set fewer data.decode_threads",
                         loader->config.threads, strerror(failed));
}

SeerStatus seer_loader_make(const SeerLoaderConfig *config, const SeerSource *source, SeerLoader **loader) {
  *loader = NULL;
  int64_t count = seer_source_count(source);
  int64_t batch = (int64_t)config->batch * config->ranks;
  if (count < batch) {
    return seer_fail(SEER_INPUT,
                     "the data set has %lld pictures, fewer than one batch of %lld\nnote: use more pictures, or a "
                     "smaller train.batch",
                     (long long)count, (long long)batch);
  }
  SeerLoader *made = calloc(1, sizeof *made);
  if (made == NULL) { return out_of_memory(); }
  made->config = *config;
  made->source = source;
  made->count = count;
  made->positions_per_epoch = count / batch * batch;
  made->stride = count * 618 / 1000 + 1;
  while (greatest_common_divisor(made->stride, count) != 1) { made->stride++; }
  // More failures than this at one position already break the limit on the whole data set.
  double enough = config->max_undecodable * (double)count + 1.0;
  int64_t tries = count < MAX_TRIES ? count : MAX_TRIES;
  made->tries = enough < (double)tries ? (int)enough : (int)tries;
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->work, NULL);
  pthread_cond_init(&made->ready, NULL);
  made->ring = calloc((size_t)config->ring_depth, sizeof *made->ring);
  made->workers = calloc((size_t)config->threads, sizeof *made->workers);
  if (config->columns != NULL) {
    made->codes = calloc((size_t)config->ring_depth * codes_of_batch(config), sizeof *made->codes);
  }
  bool has_codes = made->codes != NULL || config->columns == NULL;
  SeerStatus status = made->ring != NULL && made->workers != NULL && has_codes ? SEER_OK : out_of_memory();
  if (status == SEER_OK) {
    ring_lay_out(made);
    status = seer_quarantine_make(config->quarantine_path, &made->quarantine);
  }
  if (status == SEER_OK && seer_source_reads_files(source)) {
    status = seer_read_ahead_make(source, config->threads, picture_of_task, made, &made->ahead);
  }
  if (status == SEER_OK) { status = decoders_make(made); }
  if (status == SEER_OK) { status = threads_start(made); }
  if (status != SEER_OK) {
    seer_loader_release(made);
    return status;
  }
  *loader = made;
  return SEER_OK;
}

static int failure_compare(const void *a, const void *b) {
  const Failure *one = *(Failure *const *)a, *other = *(Failure *const *)b;
  return one->slot != other->slot ? (one->slot > other->slot) - (one->slot < other->slot)
                                  : (one->attempt > other->attempt) - (one->attempt < other->attempt);
}

static SeerStatus share_check(const SeerLoader *loader, const Failure *last) {
  int64_t seen = loader->seen < loader->count ? loader->seen : loader->count;
  int64_t floor_count = loader->count < SHARE_FLOOR ? loader->count : SHARE_FLOOR;
  double base = (double)(seen > floor_count ? seen : floor_count);
  if ((double)loader->met.count <= loader->config.max_undecodable * base) { return SEER_OK; }
  return seer_fail(SEER_INPUT,
                   "%lld of the first %lld pictures cannot be decoded, more than data.max_undecodable = %g "
                   "allows; the last is '%s': %s\nnote: %s%s; repair or remove them, or raise data.max_undecodable",
                   (long long)loader->met.count, (long long)loader->seen, loader->config.max_undecodable,
                   seer_source_name(loader->source, last->picture), last->reason,
                   loader->config.quarantine_path != NULL ? "all are listed in " : "no list is kept",
                   loader->config.quarantine_path != NULL ? loader->config.quarantine_path : "");
}

// Counts and lists the failures of a finished batch in the order of positions.
static SeerStatus failures_settle(SeerLoader *loader, RingBatch *batch) {
  size_t count = 0;
  for (const Failure *failure = batch->failures; failure != NULL; failure = failure->next) { count++; }
  Failure **sorted = malloc((count + 1) * sizeof *sorted);
  if (sorted == NULL) { return out_of_memory(); }
  Failure *failure = batch->failures;
  for (size_t i = 0; i < count; i++, failure = failure->next) { sorted[i] = failure; }
  batch->failures = NULL;
  qsort(sorted, count, sizeof *sorted, failure_compare);
  SeerStatus status = SEER_OK;
  const Failure *last = NULL;
  for (size_t i = 0; i < count && status == SEER_OK; i++) {
    last = sorted[i];
    bool fresh = false;
    if (!seer_picture_set_add(&loader->met, last->picture, &fresh)) { status = out_of_memory(); }
    if (status == SEER_OK && fresh) {
      status = seer_quarantine_add(loader->quarantine, seer_source_name(loader->source, last->picture), last->reason);
    }
  }
  if (status == SEER_OK && last != NULL) { status = share_check(loader, last); }
  if (status == SEER_OK && batch->lost_slot >= 0 && last != NULL) {
    status = seer_fail(SEER_INPUT,
                       "none of %d pictures tried in a row can be decoded; the last is '%s': %s\nnote: repair or "
                       "remove the pictures that are listed",
                       loader->tries, seer_source_name(loader->source, last->picture), last->reason);
  }
  for (size_t i = 0; i < count; i++) {
    free(sorted[i]->reason);
    free(sorted[i]);
  }
  free(sorted);
  return status;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

SeerStatus seer_loader_next(SeerLoader *loader, SeerBatch *batch) {
  double start = seconds_now();
  pthread_mutex_lock(&loader->lock);
  if (loader->released < loader->handed_out) {
    RingBatch *done = &loader->ring[loader->released % loader->config.ring_depth];
    done->left = loader->config.batch;
    done->lost_slot = -1;
    loader->released++;
    pthread_cond_broadcast(&loader->work);
  }
  RingBatch *ready = &loader->ring[loader->handed_out % loader->config.ring_depth];
  while (ready->left > 0 && loader->status == SEER_OK) { pthread_cond_wait(&loader->ready, &loader->lock); }
  SeerStatus status = loader->status;
  pthread_mutex_unlock(&loader->lock);
  if (status != SEER_OK) { return status; }
  loader->seen += loader->config.batch;
  status = failures_settle(loader, ready);
  if (status != SEER_OK) {
    pthread_mutex_lock(&loader->lock);
    loader->status = status;
    loader->stopping = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return status;
  }
  memset(batch, 0, sizeof *batch);
  batch->codes = ready->codes;
  batch->first_position = seer_loader_position(&loader->config, loader->handed_out * loader->config.batch);
  loader->handed_out++;
  for (int group = 0; group < loader->config.views->size_group_count; group++) {
    batch->images[group] = ready->images[group];
  }
  batch->labels = ready->labels;
  batch->pictures = ready->pictures;
  batch->wait_seconds = seconds_now() - start;
  return SEER_OK;
}

int64_t seer_loader_quarantined(const SeerLoader *loader) { return loader->met.count; }

void seer_loader_release(SeerLoader *loader) {
  if (loader == NULL) { return; }
  pthread_mutex_lock(&loader->lock);
  loader->stopping = true;
  pthread_cond_broadcast(&loader->work);
  pthread_mutex_unlock(&loader->lock);
  for (int i = 0; i < loader->started; i++) {
    pthread_join(loader->workers[i].thread, NULL);
    seer_picture_release(&loader->workers[i].picture);
    seer_augmenter_release(&loader->workers[i].augmenter);
  }
  for (int i = 0; loader->workers != NULL && i < loader->config.threads; i++) {
    seer_decoder_release(loader->workers[i].decoder);
  }
  seer_read_ahead_release(loader->ahead);
  for (int i = 0; loader->ring != NULL && i < loader->config.ring_depth; i++) {
    for (Failure *failure = loader->ring[i].failures, *next; failure != NULL; failure = next) {
      next = failure->next;
      free(failure->reason);
      free(failure);
    }
  }
  seer_quarantine_release(loader->quarantine);
  pthread_cond_destroy(&loader->ready);
  pthread_cond_destroy(&loader->work);
  pthread_mutex_destroy(&loader->lock);
  free(loader->met.slots);
  free(loader->workers);
  free(loader->codes);
  free(loader->ring);
  free(loader);
}
