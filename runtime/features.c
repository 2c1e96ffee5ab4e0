// Features of pictures, and the command that writes them; see features.h. Decoding and the network take turns on the
// same threads: both are parallel over the batch, so no core waits for the other kind of work.
#include "runtime/features.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/commands.h"
#include "runtime/data/augment.h"
#include "runtime/data/decoder.h"
#include "runtime/data/read_ahead.h"
#include "runtime/init.h"
#include "runtime/progress.h"
#include "runtime/random.h"
#include "runtime/rundir.h"
#include "runtime/safetensors.h"
#include "runtime/snapshot.h"
#include "runtime/weights/load.h"

// Of a thread of the pool.
typedef struct Decoding {
  SeerDecoder *decoder;
  SeerPicture picture;
} Decoding;

typedef struct DecodeArguments {
  const SeerFeatureRequest *request;
  Decoding *decoding;    // [threads]
  SeerReadAhead *ahead;  // NULL: the source reads no files
  int64_t first;         // number of the batch's first picture among those asked for
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
  int64_t total, next, reported;
  Decoding *decoding;  // [threads of the pool]
  SeerReadAhead *ahead;
  int64_t *pictures;
  uint8_t *views;
  float *pixels, *rows;  // rows: the features of a batch
  bool *decoded;
} Extraction;

// One of each of `total` stretches of the source, by chance: pictures are often in an order of classes, in turns or
// not, and every n-th would leave some out.
static int64_t picture_at(const void *context, int64_t task) {
  const Extraction *extraction = context;
  int64_t count = seer_source_count(extraction->request->source), total = extraction->total;
  if (task >= total) return -1;
  int64_t first = (int64_t)((__extension__(__int128)task) * count / total);
  int64_t length = (int64_t)((__extension__(__int128)(task + 1)) * count / total) - first;
  SeerRandom random = seer_random_make(0, SEER_STREAM_PICK, 0, (uint64_t)task, 0);
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
  size_t n = (size_t)total + 1;
  *set = (SeerFeatureSet){.width = program->feature_width, .state_count = request->state_count};
  *extraction = (Extraction){.request = request, .set = set, .total = total};
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
                          (long long)total);
}

static SeerStatus network_run(Extraction *extraction) {
  SeerEngine *engine = extraction->request->engine;
  SeerContext context = engine->context;
  const SeerProgram *program = engine->program;
  SeerFeatureSet *set = extraction->set;
  size_t row_bytes = (size_t)set->width * sizeof(float);
  context.images[0] = extraction->views;
  context.labels = NULL;
  for (int s = 0; s < set->state_count; s++) {
    context.state = extraction->request->states[s];
    SeerStatus status = seer_engine_run(engine, &context, program->features);
    if (!status)
      status = seer_engine_read(engine, 0, program->features_offset, (size_t)program->evaluate_batch * row_bytes,
                                extraction->rows);
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
  int64_t left = extraction->total - extraction->next;
  int batch = program->evaluate_batch, used = left < batch ? (int)left : batch;
  for (int i = 0; i < used; i++) extraction->pictures[i] = picture_at(extraction, extraction->next + i);
  for (int i = 0; i < batch; i++) extraction->decoded[i] = false;
  if (used < batch) {
    size_t view_bytes = (size_t)program->evaluate_size * (size_t)program->evaluate_size * 3;
    memset(extraction->views + (size_t)used * view_bytes, 0, (size_t)(batch - used) * view_bytes);
  }
  DecodeArguments decode = {
      request,           extraction->decoding, extraction->ahead,  extraction->next, extraction->pictures,
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

SeerStatus seer_features_make(const SeerFeatureRequest *request, SeerFeatureSet *set) {
  Extraction extraction;
  SeerStatus status = extraction_make(request, set, &extraction);
  if (!status) status = decoding_make(&extraction);
  bool terminal = !request->quiet && isatty(STDERR_FILENO) == 1;
  while (!status && extraction.next < extraction.total) {
    status = batch_run(&extraction);
    if (terminal)
      fprintf(stderr, "\rfeatures %lld/%lld\033[K", (long long)extraction.next, (long long)extraction.total);
  }
  if (terminal) fprintf(stderr, "\r\033[K");
  if (!status && set->count == 0)
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

// Names of the pictures, one a line, malloc'ed.
static char *names_make(const SeerSource *source, const SeerFeatureSet *set, size_t *bytes) {
  char *text = NULL;
  FILE *stream = open_memstream(&text, bytes);
  for (int64_t i = 0; stream && i < set->count; i++)
    fprintf(stream, "%s\n", seer_source_name(source, set->pictures[i]));
  return stream && fclose(stream) == 0 ? text : NULL;
}

static SeerStatus features_write(const SeerSource *source, const SeerProgram *program, const SeerFeatureSet *set,
                                 const char *path) {
  size_t name_bytes = 0;
  char *names = names_make(source, set, &name_bytes);
  json_t *labels = json_array();
  for (int i = 0; i < seer_source_label_count(source); i++)
    json_array_append_new(labels, json_string(seer_source_label_name(source, i)));
  char *label_names = json_dumps(labels, JSON_COMPACT);
  SeerToStore tensors[] = {
      {{.name = "features", .dtype = SEER_DTYPE_F32, .rank = 2, .size = {set->count, set->width}}, set->features[0]},
      {{.name = "labels", .dtype = SEER_DTYPE_I32, .rank = 1, .size = {set->count}}, set->labels},
      {{.name = "names", .dtype = SEER_DTYPE_U8, .rank = 1, .size = {(int64_t)name_bytes}}, names},
  };
  char network[32];
  snprintf(network, sizeof network, "%016llx", (unsigned long long)program->model_hash);
  SeerMetadata metadata[] = {{"format", "pt"},
                             {"program", program->name},
                             {"network", network},
                             {"label_names", label_names ? label_names : "[]"}};
  uint64_t bytes = 0;
  SeerStatus status = names ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for picture names");
  SeerPath temporary;
  if (!status) status = seer_path_print(&temporary, "%s.tmp", path);
  if (!status) {
    unlink(temporary.text);
    status = seer_safetensors_write(temporary.text, tensors, 3, metadata, 4, &bytes, NULL);
    if (!status && rename(temporary.text, path) != 0) status = seer_fail(SEER_MACHINE, "cannot rename to '%s'", path);
    if (status) unlink(temporary.text);
  }
  free(names);
  free(label_names);
  json_decref(labels);
  return status;
}

SeerStatus seer_command_features(const SeerProgram *program, const SeerOptions *options) {
  if (!options->weights)
    return seer_fail(SEER_USAGE, "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors");
  if (!options->data.count && !(program->pictures && program->pictures[0])) {
    return seer_fail(SEER_USAGE, "which pictures?\nnote: --data FOLDER");
  }
  const char *path = options->out ? options->out : "features.safetensors";
  const char *labels = options->labels ? options->labels : options->data.count ? NULL : program->labels;
  SeerSource *source = NULL;
  SeerEngine engine = {.program = program};
  SeerFeatureSet set = {.count = 0};
  SeerWeights weights;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  SeerStatus status = seer_source_open(options->data.count ? options->data.items : program->pictures, labels, &source);
  if (!status) status = seer_engine_make(program, NULL, threads, false, &engine);
  if (!status)
    seer_state_init(program, options->seed >= 0 ? (uint64_t)options->seed : program->seed, 0,
                    engine.context.pool, engine.context.state);
  if (!status)
    status = seer_weights_load(program, options->weights, SEER_USE_TRUNK, 0, engine.context.state, &weights);
  SeerFeatureRequest request = {.engine = &engine,
                                .states = {engine.context.state},
                                .state_count = 1,
                                .source = source,
                                .limit = options->limit,
                                .quiet = options->quiet};
  if (!status) status = seer_features_make(&request, &set);
  if (!status) status = features_write(source, program, &set, path);
  if (!status && !options->quiet) {
    printf("features of %lld pictures, %d wide, in '%s'", (long long)set.count, set.width, path);
    if (set.skipped) printf("; %lld could not be decoded", (long long)set.skipped);
    printf("\n");
  }
  seer_features_release(&set);
  if (engine.context.pool) seer_engine_release(&engine);
  seer_source_close(source);
  return status;
}
