// Training linear heads side by side; see head.h. A step of all groups is six launches; the tasks of a launch are tiles
// of all groups, so that few large groups and many small ones keep the threads busy alike.
//
// With x the normalised batch, a head's scores are x E' + c, where E = weight * gamma and c = bias + weight beta. Of
// d, the gradient by the scores, one product G = d' x gives all gradients: weight: gamma G + beta sum(d); gamma:
// sum over classes of weight G; beta: sum over classes of weight sum(d).
#include "runtime/evaluate/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/matrix.h"
#include "runtime/random.h"

enum { ROW_TILE = 32, OUT_TILE = 32, COLUMN_TILE = 256 };

static const double running_momentum = 0.1;

SeerStatus seer_head_make(SeerHead *head, int channels, int cells, int classes, uint64_t seed) {
  *head = (SeerHead){.channels = channels, .cells = cells, .classes = classes};
  size_t width = (size_t)seer_head_width(head), c = (size_t)channels;
  head->weight = calloc((size_t)classes * width, sizeof(float));
  head->bias = calloc((size_t)classes, sizeof(float));
  head->gamma = calloc(4 * c, sizeof(float));
  if (!head->weight || !head->bias || !head->gamma) {
    seer_head_release(head);
    return seer_fail(SEER_MACHINE, "no memory for a head of %d x %lld numbers", classes, (long long)width);
  }
  head->beta = head->gamma + c;
  head->mean = head->gamma + 2 * c;
  head->variance = head->gamma + 3 * c;
  for (size_t i = 0; i < c; i++) head->gamma[i] = head->variance[i] = 1;
  SeerRandom random = seer_random_make(seed, SEER_STREAM_HEAD, 0, 0, 0);
  double bound = 1 / sqrt((double)width);
  for (size_t i = 0; i < (size_t)classes * width; i++)
    head->weight[i] = (float)seer_random_between(&random, -bound, bound);
  for (int i = 0; i < classes; i++) head->bias[i] = (float)seer_random_between(&random, -bound, bound);
  return SEER_OK;
}

void seer_head_release(SeerHead *head) {
  free(head->weight);
  free(head->bias);
  free(head->gamma);
  *head = (SeerHead){.classes = 0};
}

double seer_head_schedule(const SeerHeadRecipe *recipe, int epoch) {
  if (recipe->cosine) {
    const double last = 0.01, pi = 3.14159265358979323846;
    return last + (1 - last) * (1 + cos(pi * epoch / recipe->epochs)) / 2;
  }
  int drops = 0;
  for (int at = 8; at <= 24; at += 8) drops += (int64_t)epoch * 28 >= (int64_t)at * recipe->epochs;
  return pow(0.1, drops);
}

// What training takes of a group besides the heads. Rows of outputs are those of its heads, one behind the other.
typedef struct Work {
  SeerHeadGroup *group;
  int channels, cells, classes, outs;
  int64_t width, pitch, steps_per_epoch, steps, batch_most;
  int64_t first, count;  // of the step's batch: rows first..first+count-1 of the epoch's order
  int epoch;
  float *x;                                         // [batch_most][pitch]
  float *weight, *velocity, *effective, *gradient;  // [outs][pitch]
  float *offset, *bias_velocity, *summed;           // [outs]: c, and sum(d)
  float *scale_velocity;                            // [heads][2][channels], of gamma and beta
  float *scores;                                    // [batch_most][outs], then their gradient
  double *losses;                                   // [batch_most][heads]
} Work;

typedef struct Training {
  const SeerHeadRecipe *recipe;
  SeerPool *pool;
  Work *works;
  int count;
  int64_t step;
  int *tasks;  // [count + 1]: the first task of each group in the launch at hand
} Training;

static void work_release(Work *work) {
  float *const arrays[] = {work->x,      work->weight,        work->velocity, work->effective, work->gradient,
                           work->offset, work->bias_velocity, work->summed,   work->scores,    work->scale_velocity};
  for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) free(arrays[i]);
  free(work->losses);
}

static SeerStatus work_make(const SeerHeadRecipe *recipe, SeerHeadGroup *group, Work *work) {
  const SeerHead *head = group->heads;
  int64_t most = group->count / 2, wanted = (group->count + recipe->batch - 1) / recipe->batch;
  *work = (Work){.group = group, .channels = head->channels, .cells = head->cells, .classes = head->classes};
  work->outs = group->head_count * head->classes;
  work->width = seer_head_width(head);
  work->pitch = seer_matrix_pitch(work->width);
  work->steps_per_epoch = wanted < most ? wanted : most;
  work->steps = work->steps_per_epoch * recipe->epochs;
  work->batch_most = (group->count + work->steps_per_epoch - 1) / work->steps_per_epoch;
  size_t outs = (size_t)work->outs, matrix = outs * (size_t)work->pitch, batch = (size_t)work->batch_most;
  float **const matrices[] = {&work->weight, &work->velocity, &work->effective, &work->gradient};
  float **const rows[] = {&work->offset, &work->bias_velocity, &work->summed};
  bool made = true;
  for (int i = 0; i < 4; i++) made = (*matrices[i] = calloc(matrix, sizeof(float))) && made;
  for (int i = 0; i < 3; i++) made = (*rows[i] = calloc(outs, sizeof(float))) && made;
  work->x = calloc(batch * (size_t)work->pitch, sizeof(float));
  work->scores = calloc(batch * outs, sizeof(float));
  work->scale_velocity = calloc((size_t)group->head_count * 2 * (size_t)work->channels, sizeof(float));
  work->losses = calloc(batch * (size_t)group->head_count, sizeof(double));
  if (made && work->x && work->scores && work->scale_velocity && work->losses) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "no memory to train %d heads of %d x %lld numbers\nnote: ask for fewer learning rates, "
                   "layers or seeds at a time",
                   group->head_count, head->classes, (long long)work->width);
}

// ---- tasks ----

static int64_t tiles(int64_t count, int64_t tile) { return (count + tile - 1) / tile; }

// Channels whose columns a task takes.
static int channel_tile(const Work *work) { return work->cells >= COLUMN_TILE ? 1 : COLUMN_TILE / work->cells; }

static void launch(Training *training, int64_t (*count)(const Work *work),
                   void (*function)(const void *arguments, int task, int worker)) {
  training->tasks[0] = 0;
  for (int i = 0; i < training->count; i++) {
    const Work *work = &training->works[i];
    training->tasks[i + 1] = training->tasks[i] + (training->step < work->steps ? (int)count(work) : 0);
  }
  seer_pool_run(training->pool, function, training, training->tasks[training->count]);
}

// The group of a task; *task becomes the number of its tile there.
static Work *tile_find(const Training *training, int *task) {
  int group = 0;
  while (*task >= training->tasks[group + 1]) group++;
  *task -= training->tasks[group];
  return &training->works[group];
}

static int64_t channel_tiles(const Work *work) { return tiles(work->channels, channel_tile(work)); }
static int64_t row_tiles(const Work *work) { return tiles(work->count, ROW_TILE); }
static int64_t out_tiles(const Work *work) { return tiles(work->outs, OUT_TILE); }
static int64_t score_tiles(const Work *work) { return row_tiles(work) * out_tiles(work); }
static int64_t update_tiles(const Work *work) { return channel_tiles(work) * work->group->head_count; }

static const float *batch_row(const Work *work, int64_t i) {
  const SeerHeadGroup *group = work->group;
  int64_t at = seer_permutation(group->seed, (uint32_t)work->epoch, group->count, work->first + i);
  return group->features + ((work->epoch % group->passes) * group->total + group->rows[at]) * work->width;
}

static int32_t batch_label(const Work *work, int64_t i) {
  const SeerHeadGroup *group = work->group;
  int64_t at = seer_permutation(group->seed, (uint32_t)work->epoch, group->count, work->first + i);
  return group->labels[group->rows[at]];
}

// Mean and variance of one channel over the batch, from x as it was gathered; then x normalised.
static void channel_normalize(const Work *work, int channel) {
  int64_t from = (int64_t)channel * work->cells, n = work->count * work->cells;
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < work->count; i++) {
    const float *row = work->x + i * work->pitch + from;
    for (int j = 0; j < work->cells; j++) sum += (double)row[j];
  }
  double mean = sum / (double)n;
  for (int64_t i = 0; i < work->count; i++) {
    const float *row = work->x + i * work->pitch + from;
    for (int j = 0; j < work->cells; j++) squares += ((double)row[j] - mean) * ((double)row[j] - mean);
  }
  double scale = 1 / sqrt(squares / (double)n + SEER_HEAD_EPSILON);
  for (int64_t i = 0; i < work->count; i++) {
    float *row = work->x + i * work->pitch + from;
    for (int j = 0; j < work->cells; j++) row[j] = (float)(((double)row[j] - mean) * scale);
  }
  SeerHead *head = work->group->heads;  // the others get a copy in the end
  double unbiased = squares / (double)(n - 1);
  head->mean[channel] += (float)(running_momentum * (mean - (double)head->mean[channel]));
  head->variance[channel] += (float)(running_momentum * (unbiased - (double)head->variance[channel]));
}

static void batch_normalize(const void *arguments, int task, int worker) {
  (void)worker;
  const Training *training = arguments;
  const Work *work = tile_find(training, &task);
  int first = task * channel_tile(work), end = first + channel_tile(work);
  if (end > work->channels) end = work->channels;
  int64_t from = (int64_t)first * work->cells, count = (int64_t)(end - first) * work->cells;
  for (int64_t i = 0; i < work->count; i++)
    memcpy(work->x + i * work->pitch + from, batch_row(work, i) + from, (size_t)count * sizeof(float));
  for (int channel = first; channel < end; channel++) channel_normalize(work, channel);
}

static void scores_make(const void *arguments, int task, int worker) {
  (void)worker;
  const Work *work = tile_find(arguments, &task);
  int64_t row = task / out_tiles(work) * ROW_TILE, out = task % out_tiles(work) * OUT_TILE;
  int rows = (int)(work->count - row < ROW_TILE ? work->count - row : ROW_TILE);
  int outs = (int)(work->outs - out < OUT_TILE ? work->outs - out : OUT_TILE);
  float *scores = work->scores + row * work->outs + out;
  seer_matrix_dots(work->x + row * work->pitch, work->effective + out * work->pitch, work->pitch, rows, outs, scores,
                   work->outs);
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < outs; j++) scores[(int64_t)i * work->outs + j] += work->offset[out + j];
  }
}

// Scores of one row and head to the loss's gradient by them; returns the loss.
static double cross_entropy(float *scores, int classes, int32_t label, double count) {
  double most = (double)scores[0], sum = 0, own = (double)scores[label];
  for (int i = 1; i < classes; i++) most = fmax(most, (double)scores[i]);
  for (int i = 0; i < classes; i++) sum += exp((double)scores[i] - most);
  for (int i = 0; i < classes; i++) scores[i] = (float)((exp((double)scores[i] - most) / sum - (i == label)) / count);
  return log(sum) + most - own;
}

static void losses_make(const void *arguments, int task, int worker) {
  (void)worker;
  const Work *work = tile_find(arguments, &task);
  int64_t end = (int64_t)(task + 1) * ROW_TILE;
  int heads = work->group->head_count;
  for (int64_t i = (int64_t)task * ROW_TILE; i < end && i < work->count; i++) {
    int32_t label = batch_label(work, i);
    for (int h = 0; h < heads; h++)
      work->losses[i * heads + h] =
          cross_entropy(work->scores + i * work->outs + h * work->classes, work->classes, label, (double)work->count);
  }
}

static void gradients_make(const void *arguments, int task, int worker) {
  (void)worker;
  const Work *work = tile_find(arguments, &task);
  int out = task * OUT_TILE, outs = work->outs - out < OUT_TILE ? work->outs - out : OUT_TILE;
  seer_matrix_sums(work->x, work->pitch, (int)work->count, work->scores + out, work->outs, outs,
                   work->gradient + out * work->pitch);
  for (int j = out; j < out + outs; j++) {
    double sum = 0;
    for (int64_t i = 0; i < work->count; i++) sum += (double)work->scores[i * work->outs + j];
    work->summed[j] = (float)sum;
  }
}

// The step of one number: Nesterov's momentum, as PyTorch has it.
static inline void descend(float *value, float *velocity, double gradient, double momentum, double rate) {
  double v = momentum * (double)*velocity + gradient;
  *velocity = (float)v;
  *value = (float)((double)*value - rate * (gradient + momentum * v));
}

static double rate_of(const Training *training, const Work *work, int head) {
  return work->group->rates[head] * seer_head_schedule(training->recipe, work->epoch);
}

// One channel of one head: gradients of gamma and beta from the weights before their step.
static void channel_update(const Training *training, const Work *work, int h, int channel) {
  const SeerHeadRecipe *recipe = training->recipe;
  SeerHead *head = &work->group->heads[h];
  int64_t from = (int64_t)channel * work->cells;
  double rate = rate_of(training, work, h), of_gamma = 0, of_beta = 0;
  float gamma = head->gamma[channel], beta = head->beta[channel];
  for (int c = 0; c < work->classes; c++) {
    int64_t out = h * work->classes + c, at = out * work->pitch + from;
    double summed = (double)work->summed[out];
    for (int j = 0; j < work->cells; j++) {
      double weight = (double)work->weight[at + j], product = (double)work->gradient[at + j];
      of_gamma += weight * product;
      of_beta += weight * summed;
      double gradient = (double)gamma * product + (double)beta * summed + recipe->weight_decay * weight;
      descend(&work->weight[at + j], &work->velocity[at + j], gradient, recipe->momentum, rate);
    }
  }
  float *velocity = work->scale_velocity + (int64_t)h * 2 * work->channels + channel;
  descend(&head->gamma[channel], velocity, of_gamma, recipe->momentum, rate);
  descend(&head->beta[channel], velocity + work->channels, of_beta, recipe->momentum, rate);
  for (int c = 0; c < work->classes; c++) {
    int64_t at = (h * work->classes + c) * work->pitch + from;
    for (int j = 0; j < work->cells; j++) work->effective[at + j] = work->weight[at + j] * head->gamma[channel];
  }
}

static void weights_update(const void *arguments, int task, int worker) {
  (void)worker;
  const Training *training = arguments;
  const Work *work = tile_find(training, &task);
  int h = task / (int)channel_tiles(work), first = task % (int)channel_tiles(work) * channel_tile(work);
  for (int channel = first; channel < first + channel_tile(work) && channel < work->channels; channel++)
    channel_update(training, work, h, channel);
}

static float offset_make(const Work *work, int out) {
  const SeerHead *head = &work->group->heads[out / work->classes];
  const float *weight = work->weight + out * work->pitch;
  double sum = (double)head->bias[out % work->classes];
  for (int channel = 0; channel < work->channels; channel++) {
    for (int j = 0; j < work->cells; j++)
      sum += (double)weight[channel * work->cells + j] * (double)head->beta[channel];
  }
  return (float)sum;
}

static void biases_update(const void *arguments, int task, int worker) {
  (void)worker;
  const Training *training = arguments;
  const Work *work = tile_find(training, &task);
  for (int out = task * OUT_TILE; out < (task + 1) * OUT_TILE && out < work->outs; out++) {
    int h = out / work->classes;
    float *bias = &work->group->heads[h].bias[out % work->classes];
    double gradient = (double)work->summed[out] + training->recipe->weight_decay * (double)*bias;
    descend(bias, &work->bias_velocity[out], gradient, training->recipe->momentum, rate_of(training, work, h));
    work->offset[out] = offset_make(work, out);
  }
}

// ---- the run ----

static void heads_load(Work *work) {
  for (int out = 0; out < work->outs; out++) {
    const SeerHead *head = &work->group->heads[out / work->classes];
    const float *from = head->weight + out % work->classes * work->width;
    memcpy(work->weight + out * work->pitch, from, (size_t)work->width * sizeof(float));
    for (int64_t j = 0; j < work->width; j++)
      work->effective[out * work->pitch + j] = from[j] * head->gamma[j / work->cells];
    work->offset[out] = offset_make(work, out);
  }
}

static void heads_store(const Work *work) {
  const SeerHead *first = work->group->heads;
  for (int out = 0; out < work->outs; out++) {
    SeerHead *head = &work->group->heads[out / work->classes];
    memcpy(head->weight + out % work->classes * work->width, work->weight + out * work->pitch,
           (size_t)work->width * sizeof(float));
  }
  for (int h = 1; h < work->group->head_count; h++) {
    memcpy(work->group->heads[h].mean, first->mean, (size_t)work->channels * sizeof(float));
    memcpy(work->group->heads[h].variance, first->variance, (size_t)work->channels * sizeof(float));
  }
}

static void batches_choose(Training *training) {
  for (int i = 0; i < training->count; i++) {
    Work *work = &training->works[i];
    int64_t within = training->step % work->steps_per_epoch, steps = work->steps_per_epoch;
    work->epoch = (int)(training->step / steps);
    work->first = within * work->group->count / steps;
    work->count = (within + 1) * work->group->count / steps - work->first;
  }
}

static SeerStatus losses_check(const Training *training) {
  for (int i = 0; i < training->count; i++) {
    const Work *work = &training->works[i];
    int heads = work->group->head_count;
    for (int64_t j = 0; training->step < work->steps && j < work->count * heads; j++) {
      if (isfinite(work->losses[j])) continue;
      return seer_fail(SEER_INPUT,
                       "with learning rate %g the loss is no longer finite in epoch %d\n"
                       "note: ask for smaller learning rates",
                       work->group->rates[j % heads], work->epoch + 1);
    }
  }
  return SEER_OK;
}

static SeerStatus steps_run(Training *training, SeerHeadProgress *progress, void *data) {
  int64_t steps = 0;
  double all = 0, done = 0;
  for (int i = 0; i < training->count; i++) {
    const Work *work = &training->works[i];
    if (work->steps > steps) steps = work->steps;
    all += (double)work->steps * (double)work->outs * (double)work->pitch * (double)work->batch_most;
  }
  SeerStatus status = SEER_OK;
  for (training->step = 0; training->step < steps && !status; training->step++) {
    batches_choose(training);
    launch(training, channel_tiles, batch_normalize);
    launch(training, score_tiles, scores_make);
    launch(training, row_tiles, losses_make);
    launch(training, out_tiles, gradients_make);
    launch(training, update_tiles, weights_update);
    launch(training, out_tiles, biases_update);
    status = losses_check(training);
    for (int i = 0; i < training->count; i++) {
      const Work *work = &training->works[i];
      if (training->step < work->steps) done += (double)work->outs * (double)work->pitch * (double)work->batch_most;
    }
    if (progress) progress(data, done / all);
  }
  return status;
}

SeerStatus seer_heads_train(const SeerHeadRecipe *recipe, SeerHeadGroup *groups, int group_count, SeerPool *pool,
                            SeerHeadProgress *progress, void *data) {
  Training training = {.recipe = recipe, .pool = pool};
  training.works = calloc((size_t)group_count + 1, sizeof *training.works);
  training.tasks = calloc((size_t)group_count + 1, sizeof *training.tasks);
  SeerStatus status = training.works && training.tasks ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to train heads");
  for (; training.count < group_count && !status; training.count++) {
    status = work_make(recipe, &groups[training.count], &training.works[training.count]);
    if (!status) heads_load(&training.works[training.count]);
  }
  if (!status) status = steps_run(&training, progress, data);
  for (int i = 0; i < training.count; i++) {
    if (!status) heads_store(&training.works[i]);
    work_release(&training.works[i]);
  }
  free(training.works);
  free(training.tasks);
  return status;
}

// ---- scores of a trained head ----

typedef struct Scoring {
  const SeerHead *head;
  const float *features, *effective, *offset;
  const int64_t *rows;
  int64_t count, pitch;
  float *scratch;  // [threads][ROW_TILE][pitch]
  float *scores;
} Scoring;

static void rows_score(const void *arguments, int task, int worker) {
  const Scoring *scoring = arguments;
  int64_t first = (int64_t)task * ROW_TILE, left = scoring->count - first, width = seer_head_width(scoring->head);
  int rows = (int)(left < ROW_TILE ? left : ROW_TILE), classes = scoring->head->classes;
  float *x = scoring->scratch + (int64_t)worker * ROW_TILE * scoring->pitch,
        *scores = scoring->scores + first * classes;
  for (int i = 0; i < rows; i++) {
    int64_t row = scoring->rows ? scoring->rows[first + i] : first + i;
    memcpy(x + i * scoring->pitch, scoring->features + row * width, (size_t)width * sizeof(float));
  }
  seer_matrix_dots(x, scoring->effective, scoring->pitch, rows, classes, scores, classes);
  for (int i = 0; i < rows; i++) {
    for (int c = 0; c < classes; c++) scores[i * classes + c] += scoring->offset[c];
  }
}

SeerStatus seer_head_score(const SeerHead *head, const float *features, const int64_t *rows, int64_t count,
                           SeerPool *pool, float *scores) {
  int64_t width = seer_head_width(head), pitch = seer_matrix_pitch(width);
  float *effective = calloc((size_t)head->classes * (size_t)pitch, sizeof(float));
  float *offset = calloc((size_t)head->classes, sizeof(float));
  float *scratch = calloc((size_t)seer_pool_threads(pool) * ROW_TILE * (size_t)pitch, sizeof(float));
  Scoring scoring = {head, features, effective, offset, rows, count, pitch, scratch, scores};
  for (int c = 0; c < head->classes && effective && offset && scratch; c++) {
    double sum = (double)head->bias[c];
    for (int64_t j = 0; j < width; j++) {
      int64_t channel = j / head->cells;
      double scale = (double)head->gamma[channel] / sqrt((double)head->variance[channel] + SEER_HEAD_EPSILON);
      double weight = (double)head->weight[c * width + j];
      effective[c * pitch + j] = (float)(weight * scale);
      sum += weight * ((double)head->beta[channel] - (double)head->mean[channel] * scale);
    }
    offset[c] = (float)sum;
  }
  bool made = effective && offset && scratch;
  if (made) seer_pool_run(pool, rows_score, &scoring, (int)tiles(count, ROW_TILE));
  free(effective);
  free(offset);
  free(scratch);
  return made ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for the scores of %lld pictures", (long long)count);
}
