// Drives the data room from Python tests: decodes, draws and applies views, lists sources, hashes what the loader
// gives, and measures speed. Prints JSON lines; pixels go to files as raw u8 RGB.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "runtime/data/augment.h"
#include "runtime/data/colour.h"
#include "runtime/data/loader.h"
#include "runtime/data/source.h"
#include "runtime/random.h"

static SeerViews views = {
    .size_group_count = 2,
    .size_groups = {{2, 160, 0.14, 1.0}, {4, 96, 0.05, 0.14}},
    .flip = 0.5,
    .jitter = 0.8,
    .brightness = 0.8,
    .contrast = 0.8,
    .saturation = 0.8,
    .hue = 0.2,
    .grey = 0.2,
    .blur = 0.5,
    .blur_sigma_low = 0.1,
    .blur_sigma_high = 2.0,
    .aspect_low = 0.75,
    .aspect_high = 4.0 / 3.0,
};

static int fail(void) {
  json_t *error = json_pack("{ss}", "error", seer_error());
  char *text = json_dumps(error, 0);
  printf("%s\n", text != NULL ? text : "{\"error\":\"not UTF-8\"}");
  free(text);
  json_decref(error);
  return 1;
}

static void write_raw(const char *path, const uint8_t *pixels, size_t bytes) {
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(pixels, 1, bytes, file) != bytes || fclose(file) != 0) {
    perror(path);
    exit(3);
  }
}

static void print_json(json_t *object) {
  char *text = json_dumps(object, JSON_REAL_PRECISION(17));
  puts(text);
  free(text);
  json_decref(object);
}

static SeerSource *open_one(const char *path) {
  const char *patterns[] = {path, NULL};
  SeerSource *source = NULL;
  if (seer_source_open(patterns, NULL, &source) != SEER_OK) { exit(fail()); }
  return source;
}

// decode PATTERN OUT_PREFIX: every picture of the source to OUT_PREFIX<i>.
static int run_decode(int count, char **arguments) {
  if (count < 2) { return 2; }
  SeerSource *source = open_one(arguments[0]);
  SeerPicture picture = {0};
  for (int64_t i = 0; i < seer_source_count(source); i++) {
    const char *reason = NULL;
    if (seer_source_decode(source, i, 1 << 26, &picture, &reason) != SEER_OK) {
      print_json(json_pack("{ss ss}", "name", seer_source_name(source, i), "reason", reason));
      continue;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s%lld", arguments[1], (long long)i);
    write_raw(path, picture.pixels, (size_t)picture.width * (size_t)picture.height * 3);
    print_json(json_pack("{ss si si ss}", "name", seer_source_name(source, i), "width", picture.width, "height",
                         picture.height, "file", path));
  }
  seer_picture_release(&picture);
  seer_source_close(source);
  return 0;
}

static json_t *draw_to_json(const SeerViewDraw *draw, int size, const char *path) {
  return json_pack("{si s[iiii] sb sb sb sb s[iiii] s[ffff] sf ss}", "size", size, "box", draw->box.top, draw->box.left,
                   draw->box.height, draw->box.width, "flip", draw->flip, "jitter", draw->jitter, "grey", draw->grey,
                   "blur", draw->blur, "order", (int)draw->order[0], (int)draw->order[1], (int)draw->order[2],
                   (int)draw->order[3], "amount", draw->amount[0], draw->amount[1], draw->amount[2], draw->amount[3],
                   "sigma", draw->sigma, "file", path);
}

// views PATTERN OUT_PREFIX SEED POSITIONS SIGMA_HIGH: all crops of the first picture, at positions 0..POSITIONS-1.
static int run_views(int count, char **arguments) {
  if (count < 5) { return 2; }
  SeerSource *source = open_one(arguments[0]);
  SeerPicture picture = {0};
  SeerAugmenter augmenter = {0};
  const char *reason = NULL;
  views.blur_sigma_high = atof(arguments[4]);
  if (seer_source_decode(source, 0, 1 << 26, &picture, &reason) != SEER_OK) {
    fprintf(stderr, "%s\n", reason);
    return 1;
  }
  uint64_t seed = strtoull(arguments[2], NULL, 10);
  for (int position = 0; position < atoi(arguments[3]); position++) {
    uint32_t lane = 0;
    for (int g = 0; g < views.size_group_count; g++) {
      const SeerSizeGroup *group = &views.size_groups[g];
      size_t bytes = (size_t)group->size * (size_t)group->size * 3;
      uint8_t *pixels = malloc(bytes);
      for (int crop = 0; crop < group->crops; crop++, lane++) {
        SeerRandom random = seer_random_make(seed, SEER_STREAM_VIEWS, 0, (uint64_t)position, lane);
        SeerViewDraw draw;
        seer_view_draw(&views, group, picture.width, picture.height, &random, &draw);
        char path[4096];
        snprintf(path, sizeof path, "%s%d-%u", arguments[1], position, lane);
        if (pixels == NULL || !seer_view_apply(&augmenter, &picture, &draw, group->size, pixels)) { return 3; }
        write_raw(path, pixels, bytes);
        print_json(draw_to_json(&draw, group->size, path));
      }
      free(pixels);
    }
  }
  seer_augmenter_release(&augmenter);
  seer_picture_release(&picture);
  seer_source_close(source);
  return 0;
}

// evaluate PATTERN RESIZE SIZE OUT
static int run_evaluate(int count, char **arguments) {
  if (count < 4) { return 2; }
  SeerSource *source = open_one(arguments[0]);
  SeerPicture picture = {0};
  const char *reason = NULL;
  int size = atoi(arguments[2]);
  uint8_t *pixels = malloc((size_t)size * (size_t)size * 3);
  if (pixels == NULL || seer_source_decode(source, 0, 1 << 26, &picture, &reason) != SEER_OK ||
      seer_picture_evaluate(&picture, atoi(arguments[1]), size, pixels) != SEER_OK) {
    return 1;
  }
  write_raw(arguments[3], pixels, (size_t)size * (size_t)size * 3);
  free(pixels);
  seer_picture_release(&picture);
  seer_source_close(source);
  return 0;
}

// hue TURNS OUT: adjusts every colour there is, in the order of r << 16 | g << 8 | b.
static int run_hue(int count, char **arguments) {
  if (count < 2) { return 2; }
  size_t colours = (size_t)1 << 24;
  uint8_t *memory = malloc(colours * 3), *pixels = malloc(colours * 3);
  if (memory == NULL || pixels == NULL) { return 3; }
  uint8_t *planes[3] = {memory, memory + colours, memory + 2 * colours};
  for (size_t i = 0; i < colours; i++) {
    planes[0][i] = (uint8_t)(i >> 16);
    planes[1][i] = (uint8_t)(i >> 8);
    planes[2][i] = (uint8_t)i;
  }
  seer_adjust_hue(planes, colours, atof(arguments[0]));
  const uint8_t *read[3] = {planes[0], planes[1], planes[2]};
  seer_interleave(read, 4096, 4096, false, pixels);
  write_raw(arguments[1], pixels, colours * 3);
  free(memory);
  free(pixels);
  return 0;
}

// list LABELS|- PATTERN...
static int run_list(int count, char **arguments) {
  if (count < 2) { return 2; }
  SeerSource *source = NULL;
  const char *labels = strcmp(arguments[0], "-") == 0 ? NULL : arguments[0];
  if (seer_source_open((const char *const *)(arguments + 1), labels, &source) != SEER_OK) { return fail(); }
  for (int64_t i = 0; i < seer_source_count(source); i++) {
    int32_t label = seer_source_label(source, i);
    print_json(json_pack("{ss si ss*}", "name", seer_source_name(source, i), "label", (int)label, "label_name",
                         label >= 0 ? seer_source_label_name(source, label) : NULL));
  }
  seer_source_close(source);
  return 0;
}

static SeerLoader *loader_open(const SeerSource *source, SeerLoaderConfig *config) {
  size_t bytes = (size_t)seer_loader_ring_bytes(&views, config->batch, config->ring_depth);
  SeerLoader *loader = NULL;
  config->views = &views;
  config->ring = aligned_alloc(SEER_ALIGNMENT, bytes);
  if (config->ring == NULL) { exit(3); }
  memset(config->ring, 0xAA, bytes);
  if (seer_loader_make(config, source, &loader) != SEER_OK) { exit(fail()); }
  return loader;
}

// load PATTERN BATCH THREADS DEPTH FIRST BATCHES MAX_UNDECODABLE QUARANTINE|-: a hash per batch, and its pictures.
static int run_load(int count, char **arguments) {
  if (count < 8) { return 2; }
  SeerSource *source = open_one(arguments[0]);
  SeerLoaderConfig config = {.batch = atoi(arguments[1]),
                             .ranks = 1,
                             .seed = 7,
                             .threads = atoi(arguments[2]),
                             .ring_depth = atoi(arguments[3]),
                             .first_position = atoll(arguments[4]),
                             .max_undecodable = atof(arguments[6]),
                             .max_pixels = 1 << 26,
                             .quarantine_path = strcmp(arguments[7], "-") == 0 ? NULL : arguments[7]};
  SeerLoader *loader = loader_open(source, &config);
  int result = 0;
  for (int i = 0; i < atoi(arguments[5]) && result == 0; i++) {
    SeerBatch batch;
    if (seer_loader_next(loader, &batch) != SEER_OK) {
      result = fail();
      break;
    }
    XXH64_state_t *state = XXH64_createState();
    XXH64_reset(state, 0);
    for (int g = 0; g < views.size_group_count; g++) {
      const SeerSizeGroup *group = &views.size_groups[g];
      XXH64_update(state, batch.images[g], (size_t)(group->crops * config.batch * group->size * group->size * 3));
    }
    XXH64_update(state, batch.labels, (size_t)config.batch * sizeof *batch.labels);
    json_t *pictures = json_array();
    for (int j = 0; j < config.batch; j++) { json_array_append_new(pictures, json_integer(batch.pictures[j])); }
    char hash[32];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH64_digest(state));
    print_json(json_pack("{ss so sI}", "hash", hash, "pictures", pictures, "quarantined",
                         (json_int_t)seer_loader_quarantined(loader)));
    XXH64_freeState(state);
  }
  seer_loader_release(loader);
  seer_source_close(source);
  free(config.ring);
  return result;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool asked(const char *word, int count, char **arguments) {
  for (int i = 0; i < count; i++) {
    if (strcmp(arguments[i], word) == 0) { return true; }
  }
  return false;
}

// speed PATTERN THREADS SECONDS [scaled] [sandbox]: pictures per second of the loader with the SEER views.
static int run_speed(int count, char **arguments) {
  if (count < 3) { return 2; }
  SeerSource *source = open_one(arguments[0]);
  SeerLoaderConfig config = {.batch = 8,
                             .ranks = 1,
                             .seed = 7,
                             .threads = atoi(arguments[1]),
                             .ring_depth = 2,
                             .max_undecodable = 1,
                             .max_pixels = 1 << 26,
                             .scaled_decoding = asked("scaled", count - 3, arguments + 3),
                             .sandbox = asked("sandbox", count - 3, arguments + 3)};
  SeerLoader *loader = loader_open(source, &config);
  double start = seconds_now(), end = start + atof(arguments[2]);
  int64_t pictures = 0;
  SeerBatch batch;
  while (seconds_now() < end) {
    if (seer_loader_next(loader, &batch) != SEER_OK) { return fail(); }
    pictures += config.batch;
  }
  double seconds = seconds_now() - start;
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  double cpu_seconds = (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
  print_json(json_pack("{sI sf sf sf}", "pictures", (json_int_t)pictures, "seconds", seconds, "pictures_per_second",
                       (double)pictures / seconds, "milliseconds_of_cpu_per_picture",
                       1e3 * cpu_seconds / (double)pictures));
  seer_loader_release(loader);
  seer_source_close(source);
  free(config.ring);
  return 0;
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
  } commands[] = {{"decode", run_decode}, {"views", run_views}, {"evaluate", run_evaluate}, {"hue", run_hue},
                  {"list", run_list},     {"load", run_load},   {"speed", run_speed}};
  for (size_t i = 0; count > 1 && i < sizeof commands / sizeof commands[0]; i++) {
    if (strcmp(arguments[1], commands[i].name) == 0) {
      int result = commands[i].run(count - 2, arguments + 2);
      if (result == 2) { fprintf(stderr, "data_tool %s: too few arguments\n", arguments[1]); }
      return result;
    }
  }
  fprintf(stderr, "usage: data_tool decode|views|evaluate|hue|list|load|speed ARGUMENTS\n");
  return 2;
}
