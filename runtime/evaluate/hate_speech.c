// Training and judging heads on memes; see hate_speech.h. Every head is one task, so that threads change no bit.
#include "runtime/evaluate/hate_speech.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/matrix.h"
#include "runtime/evaluate/meter.h"

const char *const seer_meme_part_names[SEER_MEMES_PARTS] = {"train", "dev", "test"};
const char *const seer_meme_half_names[SEER_MEMES_HALVES] = {"picture", "text", "both"};

SeerStatus seer_hate_plan_read(const SeerOptions *options, SeerHatePlan *plan) {
  *plan = (SeerHatePlan){.recipe = {.epochs = 20, .batch = 64, .rate = 1e-3, .dropout = 0.5, .weight_decay = 0.01},
                         .hidden = 256,
                         .seed_count = 5,
                         .seed = options->seed >= 0 ? (uint64_t)options->seed : 0};
  char *end = NULL;
  if (options->epochs > 0) plan->recipe.epochs = (int)options->epochs;
  if (options->epochs > 0 && (options->epochs > 1e6 || options->epochs != plan->recipe.epochs))
    return seer_fail(SEER_USAGE, "'--epochs' of a head takes a whole number, not %g", options->epochs);
  if (options->head_batch > 1 << 20) return seer_fail(SEER_USAGE, "'--batch' takes up to %d", 1 << 20);
  if (options->head_batch > 0) plan->recipe.batch = (int)options->head_batch;
  if (options->weight_decay > 0) plan->recipe.weight_decay = options->weight_decay;
  if (options->hidden > 1 << 16) return seer_fail(SEER_USAGE, "'--hidden' takes up to %d", 1 << 16);
  if (options->hidden > 0) plan->hidden = (int)options->hidden;
  if (options->seeds > 1000) return seer_fail(SEER_USAGE, "'--seeds' takes up to 1000");
  if (options->seeds > 0) plan->seed_count = (int)options->seeds;
  if (options->learning_rate > 0) plan->recipe.rate = options->learning_rate;
  if (options->dropout) plan->recipe.dropout = strtod(options->dropout, &end);
  if (options->dropout && (end == options->dropout || *end || !(plan->recipe.dropout >= 0 && plan->recipe.dropout < 1)))
    return seer_fail(SEER_USAGE, "'--dropout' takes a share from 0 to below 1, not '%s'", options->dropout);
  return SEER_OK;
}

// Inputs of the heads: rows of features, each number standardised by the training set's mean and deviation.
typedef struct Inputs {
  int64_t width[SEER_MEMES_HALVES], pitch[SEER_MEMES_HALVES];
  float *rows[SEER_MEMES_PARTS][SEER_MEMES_HALVES];
  int32_t *labels;  // of the training set
} Inputs;

static void inputs_release(Inputs *inputs) {
  for (int part = 0; part < SEER_MEMES_PARTS; part++) {
    for (int half = 0; half < SEER_MEMES_HALVES; half++) free(inputs->rows[part][half]);
  }
  free(inputs->labels);
}

static SeerStatus no_memory(const SeerHate *hate) {
  return seer_fail(SEER_MACHINE, "no memory for the features of '%s'", hate->parts[0].path);
}

// A number that is the same in the whole training set tells nothing: it becomes 0.
static void column_standardize(const SeerHate *hate, const SeerKeyedVectors *vectors,
                               int64_t *const rows[SEER_MEMES_PARTS], int64_t column, int64_t at, int half,
                               Inputs *inputs) {
  int64_t count = hate->parts[SEER_MEMES_TRAIN].count;
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)vectors->values[rows[0][i] * vectors->width + column];
  double mean = sum / (double)count;
  for (int64_t i = 0; i < count; i++) {
    double value = (double)vectors->values[rows[0][i] * vectors->width + column] - mean;
    squares += value * value;
  }
  double deviation = sqrt(squares / (double)count), scale = deviation > 1e-12 * fabs(mean) ? 1 / deviation : 0;
  for (int part = 0; part < SEER_MEMES_PARTS; part++) {
    for (int64_t i = 0; i < hate->parts[part].count; i++) {
      double value = (double)vectors->values[rows[part][i] * vectors->width + column];
      inputs->rows[part][half][i * inputs->pitch[half] + at] = (float)((value - mean) * scale);
    }
  }
}

static SeerStatus half_fill(const SeerHate *hate, SeerMemeHalf half, Inputs *inputs) {
  const SeerKeyedVectors *vectors = half == SEER_MEMES_PICTURE ? &hate->pictures : &hate->texts;
  int64_t *rows[SEER_MEMES_PARTS] = {NULL}, next_row = 0;
  SeerStatus status = SEER_OK;
  for (int part = 0; part < SEER_MEMES_PARTS && !status; part++)
    status = seer_memes_rows(&hate->parts[part], vectors, half == SEER_MEMES_PICTURE, &next_row, &rows[part]);
  if (!status && !vectors->keys && next_row != vectors->count)
    status = seer_fail(SEER_INPUT,
                       "'%s' has %lld rows, and train, dev and test together %lld lines\n"
                       "note: rows without names are those of train, then dev, then test",
                       vectors->origin, (long long)vectors->count, (long long)next_row);
  int64_t behind = half == SEER_MEMES_TEXT ? hate->pictures.width : 0;
  for (int64_t column = 0; column < vectors->width && !status; column++) {
    column_standardize(hate, vectors, rows, column, column, (int)half, inputs);
    column_standardize(hate, vectors, rows, column, behind + column, SEER_MEMES_BOTH, inputs);
  }
  for (int part = 0; part < SEER_MEMES_PARTS; part++) free(rows[part]);
  return status;
}

static SeerStatus inputs_make(const SeerHate *hate, Inputs *inputs) {
  const SeerMemes *train = &hate->parts[SEER_MEMES_TRAIN];
  *inputs = (Inputs){.width = {hate->pictures.width, hate->texts.width, hate->pictures.width + hate->texts.width}};
  inputs->labels = calloc((size_t)train->count, sizeof *inputs->labels);
  bool made = inputs->labels != NULL;
  for (int half = 0; half < SEER_MEMES_HALVES; half++) {
    inputs->pitch[half] = seer_matrix_pitch(inputs->width[half]);
    for (int part = 0; part < SEER_MEMES_PARTS; part++) {
      size_t floats = (size_t)hate->parts[part].count * (size_t)inputs->pitch[half] + 1;
      made = (inputs->rows[part][half] = calloc(floats, sizeof(float))) && made;
    }
  }
  if (!made) return no_memory(hate);
  for (int64_t i = 0; i < train->count; i++) inputs->labels[i] = train->items[i].label;
  SeerStatus status = half_fill(hate, SEER_MEMES_PICTURE, inputs);
  return status ? status : half_fill(hate, SEER_MEMES_TEXT, inputs);
}

typedef struct HeadTasks {
  SeerHate *hate;
  const Inputs *inputs;
  SeerMeter *meter;
  _Atomic int done;
  _Atomic int status;
} HeadTasks;

// Heads on both halves first: they take longest.
static void head_run(const void *arguments, int task, int worker) {
  HeadTasks *tasks = *(HeadTasks *const *)arguments;
  SeerHate *hate = tasks->hate;
  const SeerHatePlan *plan = hate->plan;
  int half = SEER_MEMES_BOTH - task / plan->seed_count, seed = task % plan->seed_count;
  const Inputs *inputs = tasks->inputs;
  uint64_t own = plan->seed + (uint64_t)seed;
  SeerMlp mlp;
  SeerStatus status = seer_mlp_make(&mlp, inputs->width[half], plan->hidden, own);
  if (!status)
    status = seer_mlp_train(&mlp, &plan->recipe, own, inputs->rows[SEER_MEMES_TRAIN][half], inputs->labels,
                            hate->parts[SEER_MEMES_TRAIN].count);
  for (int part = SEER_MEMES_DEV; part < SEER_MEMES_PARTS && !status; part++) {
    int64_t count = hate->parts[part].count;
    status = seer_mlp_predict(&mlp, inputs->rows[part][half], count, hate->probabilities[part][half] + seed * count);
  }
  seer_mlp_release(&mlp);
  if (status) atomic_store(&tasks->status, (int)status);
  int done = atomic_fetch_add(&tasks->done, 1) + 1;
  // One thread speaks.
  if (worker == 0) seer_meter_tell(tasks->meter, (double)done / (SEER_MEMES_HALVES * plan->seed_count));
}

static SeerStatus heads_run(SeerHate *hate, const Inputs *inputs, SeerPool *pool, bool quiet) {
  SeerMeter meter = seer_meter_make("hate speech", quiet);
  HeadTasks tasks = {.hate = hate, .inputs = inputs, .meter = &meter}, *pointer = &tasks;
  bool made = true;
  for (int part = SEER_MEMES_DEV; part < SEER_MEMES_PARTS; part++) {
    for (int half = 0; half < SEER_MEMES_HALVES; half++) {
      size_t floats = (size_t)hate->parts[part].count * (size_t)hate->plan->seed_count + 1;
      made = (hate->probabilities[part][half] = calloc(floats, sizeof(float))) && made;
    }
  }
  if (!made) return no_memory(hate);
  seer_pool_run(pool, head_run, &pointer, SEER_MEMES_HALVES * hate->plan->seed_count);
  seer_meter_end(&meter);
  return (SeerStatus)atomic_load(&tasks.status);
}

static SeerStatus part_rank(SeerHate *hate, int part, SeerPool *pool) {
  const SeerMemes *memes = &hate->parts[part];
  if (!memes->count || memes->labelled < memes->count) return SEER_OK;
  int32_t *labels = calloc((size_t)memes->count, sizeof *labels);
  SeerStatus status = labels ? SEER_OK : no_memory(hate);
  for (int64_t i = 0; i < memes->count && !status; i++) labels[i] = memes->items[i].label;
  for (int half = 0; half < SEER_MEMES_HALVES && !status; half++)
    status = seer_ranking_make(hate->probabilities[part][half], hate->plan->seed_count, labels, memes->count,
                               hate->plan->seed, pool, &hate->rankings[part][half]);
  if (status) status = seer_context(status, "'%s'", memes->path);
  hate->ranked[part] = !status;
  free(labels);
  return status;
}

SeerStatus seer_hate_run(const SeerHatePlan *plan, SeerPool *pool, bool quiet, SeerHate *hate) {
  hate->plan = plan;
  Inputs inputs;
  SeerStatus status = inputs_make(hate, &inputs);
  if (!status) status = heads_run(hate, &inputs, pool, quiet);
  inputs_release(&inputs);
  for (int part = SEER_MEMES_DEV; part < SEER_MEMES_PARTS && !status; part++) status = part_rank(hate, part, pool);
  return status;
}

void seer_hate_release(SeerHate *hate) {
  for (int part = 0; part < SEER_MEMES_PARTS; part++) {
    seer_memes_release(&hate->parts[part]);
    for (int half = 0; half < SEER_MEMES_HALVES; half++) {
      free(hate->probabilities[part][half]);
      seer_ranking_release(&hate->rankings[part][half]);
    }
  }
  seer_keyed_vectors_release(&hate->pictures);
  seer_keyed_vectors_release(&hate->texts);
  *hate = (SeerHate){.plan = NULL};
}
