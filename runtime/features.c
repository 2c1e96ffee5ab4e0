// Features of pictures; see features.h. Decoding and the network take turns on the same threads: both are parallel over
// the batch, so no core waits for the other kind of work.
#include "runtime/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct DecodeArguments {
  const SeerFeatureRequest *request;
  const int64_t *pictures;
  uint8_t *views;  // [batch][size][size][3]
  float *pixels;   // [batch][SEER_PIXEL_WIDTH] or NULL
  bool *decoded;
} DecodeArguments;

static bool views_make(const DecodeArguments *decode, int task, const SeerPicture *picture) {
  const SeerProgram *program = decode->request->engine->program;
  size_t size = (size_t)program->evaluate_size;
  uint8_t small[SEER_PIXEL_WIDTH], *view = decode->views + (size_t)task * size * size * 3;
  if (seer_picture_evaluate(picture, program->evaluate_resize, program->evaluate_size, view) != SEER_OK) return false;
  if (!decode->pixels) return true;
  if (seer_picture_evaluate(picture, SEER_PIXEL_SIDE, SEER_PIXEL_SIDE, small) != SEER_OK) return false;
  float *pixels = decode->pixels + (size_t)task * SEER_PIXEL_WIDTH;
  for (int i = 0; i < SEER_PIXEL_WIDTH; i++) {
    pixels[i] = (float)((small[i] / 255.0 - program->mean[i % 3]) / program->std[i % 3]);
  }
  return true;
}

static void picture_decode(const void *arguments, int task, int worker) {
  (void)worker;
  const DecodeArguments *decode = arguments;
  const SeerProgram *program = decode->request->engine->program;
  SeerPicture picture = {0};
  const char *reason = NULL;
  bool decoded = seer_source_decode(decode->request->source, decode->pictures[task], program->max_pixels, &picture,
                                    &reason) == SEER_OK;
  decode->decoded[task] = decoded && views_make(decode, task, &picture);
  seer_picture_release(&picture);
  size_t size = (size_t)program->evaluate_size;
  if (!decode->decoded[task]) memset(decode->views + (size_t)task * size * size * 3, 0, size * size * 3);
}

typedef struct Extraction {
  const SeerFeatureRequest *request;
  SeerFeatureSet *set;
  int64_t total, next, end;
  int64_t *pictures;
  uint8_t *views;
  float *pixels, *rows;  // rows: the features of a batch
  bool *decoded;
} Extraction;

static SeerStatus extraction_make(const SeerFeatureRequest *request, SeerFeatureSet *set, Extraction *extraction) {
  const SeerProgram *program = request->engine->program;
  size_t batch = (size_t)program->evaluate_batch, size = (size_t)program->evaluate_size;
  int64_t count = seer_source_count(request->source);
  int64_t total = request->limit > 0 && request->limit < count ? request->limit : count;
  int64_t end = request->end > 0 && request->end < total ? request->end : total;
  size_t n = (size_t)(end - request->begin) + 1;
  *set = (SeerFeatureSet){.width = request->layer ? request->layer->width : program->feature_width,
                          .state_count = request->state_count};
  *extraction = (Extraction){.request = request, .set = set, .total = total, .next = request->begin, .end = end};
  extraction->pictures = calloc(batch, sizeof *extraction->pictures);
  extraction->views =
      aligned_alloc(SEER_ALIGNMENT, (batch * size * size * 3 + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT);
  extraction->decoded = calloc(batch, sizeof *extraction->decoded);
  extraction->pixels = request->pixels ? calloc(batch * SEER_PIXEL_WIDTH, sizeof(float)) : NULL;
  set->pictures = calloc(n, sizeof *set->pictures);
  set->labels = calloc(n, sizeof *set->labels);
  set->pixels = request->pixels ? calloc(n * SEER_PIXEL_WIDTH, sizeof(float)) : NULL;
  extraction->rows = calloc(batch * (size_t)set->width, sizeof(float));
  bool made = extraction->rows && extraction->pictures && extraction->views && extraction->decoded && set->pictures &&
              set->labels && (!request->pixels || (extraction->pixels && set->pixels));
  for (int i = 0; i < request->state_count; i++) {
    set->features[i] = calloc(n * (size_t)set->width, sizeof(float));
    made = made && set->features[i];
  }
  return made ? SEER_OK
              : seer_fail(SEER_MACHINE, "no memory for features of %lld pictures\nnote: take fewer with --limit",
                          (long long)(end - request->begin));
}

static SeerStatus network_run(Extraction *extraction) {
  SeerEngine *engine = extraction->request->engine;
  SeerContext context = engine->context;
  const SeerProgram *program = engine->program;
  SeerFeatureSet *set = extraction->set;
  const SeerLayer *layer = extraction->request->layer;
  size_t row_bytes = (size_t)set->width * sizeof(float);
  context.images[0] = extraction->views;
  context.labels = NULL;
  for (int s = 0; s < set->state_count; s++) {
    context.state = extraction->request->states[s];
    SeerStatus status = seer_engine_run(engine, &context, program->features);
    if (!status)
      status = seer_engine_read(engine, 0, layer ? layer->offset : program->features_offset,
                                (size_t)program->evaluate_batch * row_bytes, extraction->rows);
    if (status) return status;
    int64_t to = set->count;
    for (int i = 0; i < program->evaluate_batch; i++) {
      if (!extraction->decoded[i]) continue;
      memcpy(set->features[s] + (size_t)to++ * (size_t)set->width, extraction->rows + (size_t)i * (size_t)set->width,
             row_bytes);
    }
  }
  return SEER_OK;
}

// Decodes the next batch and runs the networks over it. The last batch is filled up with black pictures.
static SeerStatus batch_run(Extraction *extraction) {
  const SeerFeatureRequest *request = extraction->request;
  const SeerProgram *program = request->engine->program;
  SeerFeatureSet *set = extraction->set;
  int64_t count = seer_source_count(request->source), left = extraction->end - extraction->next;
  int batch = program->evaluate_batch, used = left < batch ? (int)left : batch;
  for (int i = 0; i < used; i++) {
    extraction->pictures[i] = (int64_t)((__extension__(__int128)(extraction->next + i)) * count / extraction->total);
  }
  for (int i = 0; i < batch; i++) extraction->decoded[i] = false;
  if (used < batch) {
    size_t view_bytes = (size_t)program->evaluate_size * (size_t)program->evaluate_size * 3;
    memset(extraction->views + (size_t)used * view_bytes, 0, (size_t)(batch - used) * view_bytes);
  }
  DecodeArguments decode = {request, extraction->pictures, extraction->views, extraction->pixels, extraction->decoded};
  seer_pool_run(request->engine->context.pool, picture_decode, &decode, used);
  SeerStatus status = network_run(extraction);
  if (status) return status;
  for (int i = 0; i < used; i++) {
    if (!extraction->decoded[i]) {
      set->skipped++;
      continue;
    }
    if (set->pixels)
      memcpy(set->pixels + (size_t)set->count * SEER_PIXEL_WIDTH, extraction->pixels + (size_t)i * SEER_PIXEL_WIDTH,
             SEER_PIXEL_WIDTH * sizeof(float));
    set->pictures[set->count] = extraction->pictures[i];
    set->labels[set->count++] = seer_source_label(request->source, extraction->pictures[i]);
  }
  extraction->next += used;
  return SEER_OK;
}

SeerStatus seer_features_make(const SeerFeatureRequest *request, SeerFeatureSet *set) {
  Extraction extraction;
  SeerStatus status = extraction_make(request, set, &extraction);
  bool terminal = !request->quiet && isatty(STDERR_FILENO) == 1;
  while (!status && extraction.next < extraction.end) {
    status = batch_run(&extraction);
    if (terminal)
      fprintf(stderr, "\rfeatures %lld/%lld\033[K", (long long)extraction.next, (long long)extraction.end);
  }
  if (terminal) fprintf(stderr, "\r\033[K");
  if (!status && set->count == 0 && request->end <= 0)
    status = seer_fail(SEER_INPUT, "none of %lld pictures could be decoded", (long long)set->skipped);
  free(extraction.pictures);
  free(extraction.views);
  free(extraction.decoded);
  free(extraction.pixels);
  free(extraction.rows);
  if (status) seer_features_release(set);
  return status;
}

void seer_features_release(SeerFeatureSet *set) {
  for (int i = 0; i < SEER_FEATURE_STATES_MAX; i++) free(set->features[i]);
  free(set->pictures);
  free(set->labels);
  free(set->pixels);
  *set = (SeerFeatureSet){.count = 0};
}
