// Features of pictures; see features.h. Decoding and the network take turns on the same threads: both are parallel over
// the batch, so no core waits for the other kind of work.
#include "runtime/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/augment.h"
#include "runtime/data/decoder.h"
#include "runtime/data/read_ahead.h"
#include "runtime/random.h"

// Of a thread of the pool.
typedef struct Decoding {
  SeerDecoder *decoder;
  SeerPicture picture;
} Decoding;

typedef struct DecodeArguments {
  const SeerFeatureRequest *request;
  Decoding *decoding;    // [threads]
  SeerReadAhead *ahead;  // NULL: the source reads no files
  int64_t first;         // number of the batch's first picture among those read ahead
  const int64_t *pictures;
  uint8_t *views;  // [batch][size][size][3]
  float *pixels;   // [batch][SEER_PIXEL_WIDTH] or NULL
  bool *decoded;
} DecodeArguments;

// A random resized crop, perhaps mirrored: the same for a picture and a pass, whatever else is asked for.
static bool view_augment(const SeerAugmentedPass *pass, int64_t index, int size, const SeerPicture *picture,
                         uint8_t *view) {
  static const SeerViews views = {.flip = 0.5, .aspect_low = 3.0 / 4, .aspect_high = 4.0 / 3};
  static const SeerSizeGroup group = {.crops = 1, .scale_low = 0.08, .scale_high = 1};
  SeerRandom random = seer_random_make(pass->seed, SEER_STREAM_PROBE_VIEWS, pass->number, (uint64_t)index, 0);
  SeerViewDraw draw;
  SeerAugmenter augmenter = {0};
  seer_view_draw(&views, &group, picture->full_width, picture->full_height, &random, &draw);
  bool made = seer_view_apply(&augmenter, picture, &draw, size, view);
  seer_augmenter_release(&augmenter);
  return made;
}

static bool views_make(const DecodeArguments *decode, int task, const SeerPicture *picture) {
  const SeerProgram *program = decode->request->engine->program;
  size_t size = (size_t)program->evaluate_size;
  uint8_t small[SEER_PIXEL_WIDTH], *view = decode->views + (size_t)task * size * size * 3;
  const SeerAugmentedPass *pass = decode->request->augmented;
  if (pass) return view_augment(pass, decode->pictures[task], program->evaluate_size, picture, view);
  if (decode->request->stretch) return seer_picture_stretch(picture, program->evaluate_size, view) == SEER_OK;
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
  const DecodeArguments *decode = arguments;
  const SeerProgram *program = decode->request->engine->program;
  Decoding *with = &decode->decoding[worker];
  int64_t picture = decode->pictures[task];
  const char *reason = NULL;
  size_t count;
  SeerStatus status =
      decode->ahead && seer_read_ahead_take(decode->ahead, decode->first + task, &with->picture.file, &count)
          ? seer_decoder_decode_read(with->decoder, picture, program->max_pixels, count, &with->picture, &reason)
          : seer_decoder_decode(with->decoder, picture, program->max_pixels, &with->picture, &reason);
  decode->decoded[task] = !status && views_make(decode, task, &with->picture);
  size_t size = (size_t)program->evaluate_size;
  if (!decode->decoded[task]) memset(decode->views + (size_t)task * size * size * 3, 0, size * size * 3);
}

typedef struct Extraction {
  const SeerFeatureRequest *request;
  SeerFeatureSet *set;
  int64_t total, next, end;
  Decoding *decoding;  // [threads of the pool]
  SeerReadAhead *ahead;
  int64_t *pictures;
  uint8_t *views;
  float *pixels, *rows;  // rows: the features of a batch
  bool *decoded;
} Extraction;

// One of each of `total` stretches of the source, by chance: pictures are often in an order of classes, in turns or
// not, and every n-th would leave some out. Tasks are counted from the first that is asked for.
static int64_t picture_at(const void *context, int64_t task) {
  const Extraction *extraction = context;
  int64_t count = seer_source_count(extraction->request->source), total = extraction->total;
  int64_t number = extraction->request->begin + task;
  if (number >= extraction->end) return -1;
  int64_t first = (int64_t)((__extension__(__int128) number) * count / total);
  int64_t length = (int64_t)((__extension__(__int128)(number + 1)) * count / total) - first;
  SeerRandom random = seer_random_make(0, SEER_STREAM_PICK, 0, (uint64_t)number, 0);
  return length < 2 || length > UINT32_MAX ? first : first + seer_random_below(&random, (uint32_t)length);
}

static SeerStatus decoding_make(Extraction *extraction) {
  const SeerFeatureRequest *request = extraction->request;
  int threads = seer_pool_threads(request->engine->context.pool);
  extraction->decoding = calloc((size_t)threads, sizeof *extraction->decoding);
  SeerStatus status = extraction->decoding ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to decode pictures");
  for (int i = 0; i < threads && !status; i++)
    status = seer_decoder_make(request->source, request->engine->program->sandbox, &extraction->decoding[i].decoder);
  if (!status && seer_source_reads_files(request->source))
    status = seer_read_ahead_make(request->source, threads, picture_at, extraction, &extraction->ahead);
  return status;
}

static void decoding_release(Extraction *extraction) {
  int threads = seer_pool_threads(extraction->request->engine->context.pool);
  for (int i = 0; extraction->decoding && i < threads; i++) {
    seer_decoder_release(extraction->decoding[i].decoder);
    seer_picture_release(&extraction->decoding[i].picture);
  }
  seer_read_ahead_release(extraction->ahead);
  free(extraction->decoding);
}

static SeerStatus extraction_make(const SeerFeatureRequest *request, SeerFeatureSet *set, Extraction *extraction) {
  const SeerProgram *program = request->engine->program;
  size_t batch = (size_t)program->evaluate_batch, size = (size_t)program->evaluate_size;
  int64_t count = seer_source_count(request->source);
  int64_t total = request->limit > 0 && request->limit < count ? request->limit : count;
  int64_t end = request->end > 0 && request->end < total ? request->end : total;
  size_t n = (size_t)(end - request->begin) + 1;
  *set =
      (SeerFeatureSet){.width = request->layer_count ? 0 : program->feature_width, .state_count = request->state_count};
  for (int i = 0; i < request->layer_count; i++) set->width += request->layers[i].width;
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

// Of the pictures that could be decoded, what a layer is, into their rows of the set from `column` on.
static SeerStatus layer_read(Extraction *extraction, const SeerProgramLayer *layer, int state, int column) {
  const SeerProgram *program = extraction->request->engine->program;
  SeerFeatureSet *set = extraction->set;
  size_t bytes = (size_t)layer->width * sizeof(float), width = (size_t)set->width;
  SeerStatus status = seer_engine_read(extraction->request->engine, 0, layer->offset,
                                       (size_t)program->evaluate_batch * bytes, extraction->rows);
  int64_t to = set->count;
  for (int i = 0; i < program->evaluate_batch && !status; i++) {
    if (!extraction->decoded[i]) continue;
    memcpy(set->features[state] + (size_t)to++ * width + column, extraction->rows + (size_t)i * (size_t)layer->width,
           bytes);
  }
  return status;
}

static SeerStatus network_run(Extraction *extraction) {
  SeerEngine *engine = extraction->request->engine;
  SeerContext context = engine->context;
  const SeerProgram *program = engine->program;
  SeerFeatureSet *set = extraction->set;
  const SeerProgramLayer pooled = {"features", program->feature_width, program->features_offset};
  int count = extraction->request->layer_count ? extraction->request->layer_count : 1;
  const SeerProgramLayer *layers = extraction->request->layer_count ? extraction->request->layers : &pooled;
  context.images[0] = extraction->views;
  context.labels = NULL;
  for (int s = 0; s < set->state_count; s++) {
    context.state = extraction->request->states[s];
    SeerStatus status = seer_engine_run(engine, &context, program->features);
    for (int i = 0, column = 0; i < count && !status; column += layers[i++].width)
      status = layer_read(extraction, &layers[i], s, column);
    if (status) return status;
  }
  return SEER_OK;
}

// Decodes the next batch and runs the networks over it. The last batch is filled up with black pictures.
static SeerStatus batch_run(Extraction *extraction) {
  const SeerFeatureRequest *request = extraction->request;
  const SeerProgram *program = request->engine->program;
  SeerFeatureSet *set = extraction->set;
  int64_t left = extraction->end - extraction->next, first = extraction->next - request->begin;
  int batch = program->evaluate_batch, used = left < batch ? (int)left : batch;
  for (int i = 0; i < used; i++) extraction->pictures[i] = picture_at(extraction, first + i);
  for (int i = 0; i < batch; i++) extraction->decoded[i] = false;
  if (used < batch) {
    size_t view_bytes = (size_t)program->evaluate_size * (size_t)program->evaluate_size * 3;
    memset(extraction->views + (size_t)used * view_bytes, 0, (size_t)(batch - used) * view_bytes);
  }
  DecodeArguments decode = {request,           extraction->decoding, extraction->ahead,  first, extraction->pictures,
                            extraction->views, extraction->pixels,   extraction->decoded};
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

SeerStatus seer_layer_find(const SeerProgram *program, const char *name, SeerProgramLayer *layer) {
  char names[512] = "avgpool";
  *layer = (SeerProgramLayer){"features", program->feature_width, program->features_offset};
  if (strcmp(name, "features") == 0 || strcmp(name, "avgpool") == 0) return SEER_OK;
  for (int i = 0; i < program->layer_count; i++) {
    size_t at = strlen(names);
    *layer = program->layers[i];
    if (strcmp(layer->name, name) == 0) return SEER_OK;
    if (strcmp(layer->name, "avgpool") != 0) snprintf(names + at, sizeof names - at, ", %s", layer->name);
  }
  return seer_fail(SEER_INPUT, "this trainer's network has no layer '%s'\nnote: it has %s", name, names);
}

SeerStatus seer_features_make(const SeerFeatureRequest *request, SeerFeatureSet *set) {
  Extraction extraction;
  SeerStatus status = extraction_make(request, set, &extraction);
  if (!status) status = decoding_make(&extraction);
  bool terminal = !request->quiet && isatty(STDERR_FILENO) == 1;
  while (!status && extraction.next < extraction.end) {
    status = batch_run(&extraction);
    if (terminal) fprintf(stderr, "\rfeatures %lld/%lld\033[K", (long long)extraction.next, (long long)extraction.end);
  }
  if (terminal) fprintf(stderr, "\r\033[K");
  if (!status && set->count == 0 && request->end <= 0)
    status = seer_fail(SEER_INPUT, "none of %lld pictures could be decoded", (long long)set->skipped);
  decoding_release(&extraction);
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
