// Tables of features made with the network at hand; see feature_table.h. Kept apart from reading files, so that who
// only reads does not need an engine.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/source.h"
#include "runtime/engine.h"
#include "runtime/evaluate/feature_table.h"
#include "runtime/features.h"
#include "runtime/init.h"
#include "runtime/weights/load.h"

static SeerStatus no_memory(const SeerFeatureTable *table, int passes) {
  return seer_fail(SEER_MACHINE,
                   "no memory for %d x %lld pictures' features\nnote: take fewer with --limit, or fewer "
                   "--views",
                   passes, (long long)table->count);
}

typedef struct Layers {
  SeerProgramLayer items[SEER_TABLE_LAYERS_MAX];
  int count, width;
  bool head;
} Layers;

static SeerStatus layer_add(const SeerProgram *program, const char *name, Layers *layers) {
  if (layers->count == SEER_TABLE_LAYERS_MAX)
    return seer_fail(SEER_INPUT, "more than %d layers are asked for", SEER_TABLE_LAYERS_MAX);
  SeerProgramLayer *layer = &layers->items[layers->count];
  SeerStatus status = seer_layer_find(program, name, layer);
  for (int i = 0; i < layers->count && !status; i++) {
    if (strcmp(layers->items[i].name, layer->name) == 0)
      status = seer_fail(SEER_INPUT, "layer '%s' is asked for twice", name);
  }
  layers->width += layer->width;
  layers->head = layers->head || strcmp(layer->name, "head") == 0;
  layers->count++;
  return status;
}

static SeerStatus layers_find(const SeerProgram *program, const char *text, Layers *layers) {
  char *names = strdup(text ? text : "features"), *rest = NULL;
  SeerStatus status = names ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  *layers = (Layers){.count = 0};
  for (char *name = names ? strtok_r(names, ",", &rest) : NULL; name && !status; name = strtok_r(NULL, ",", &rest))
    status = layer_add(program, name, layers);
  free(names);
  return !status && !layers->count ? seer_fail(SEER_INPUT, "'--layers' names no layer") : status;
}

// Room for all passes of each layer.
static bool layers_begin(const Layers *layers, SeerFeatureTable *table) {
  bool made = true;
  for (int i = 0; i < layers->count; i++) {
    SeerLayer *layer = &table->layers[table->layer_count++];
    *layer = (SeerLayer){.channels = layers->items[i].width, .cells = 1};
    snprintf(layer->name, sizeof layer->name, "%s", layers->items[i].name);
    layer->values = calloc((size_t)table->passes * (size_t)table->count * (size_t)layer->channels + 1, sizeof(float));
    made = made && layer->values;
  }
  return made;
}

// Rows of the set have the layers one behind the other, the table has them apart.
static void pass_copy(const SeerFeatureSet *set, int pass, SeerFeatureTable *table) {
  for (int64_t i = 0; i < set->count; i++) {
    const float *row = set->features[0] + i * set->width;
    for (int l = 0; l < table->layer_count; row += table->layers[l++].channels) {
      int64_t width = table->layers[l].channels, at = pass * table->count + i;
      memcpy(table->layers[l].values + at * width, row, (size_t)width * sizeof(float));
    }
  }
}

// What does not depend on the pass: names, labels, room for all passes.
static SeerStatus table_begin(const SeerTableRequest *request, const SeerSource *source, const Layers *layers,
                              const SeerFeatureSet *set, SeerFeatureTable *table) {
  const SeerProgram *program = request->program;
  table->count = set->count;
  table->undecodable = set->skipped;
  table->passes = request->views > 0 ? request->views : 1;
  table->origin = strdup(request->pictures[0]);
  size_t n = (size_t)set->count;
  table->names = calloc(n + 1, sizeof *table->names);
  table->labels = calloc(n + 1, sizeof *table->labels);
  int labels = seer_source_label_count(source);
  table->label_names = calloc((size_t)labels + 1, sizeof *table->label_names);
  bool made = layers_begin(layers, table) && table->origin && table->names && table->labels && table->label_names;
  for (int i = 0; made && i < labels; i++) {
    made = (table->label_names[i] = strdup(seer_source_label_name(source, i))) != NULL;
    table->label_count += made;
  }
  for (int64_t i = 0; made && i < set->count; i++) {
    table->labels[i] = set->labels[i];
    made = (table->names[i] = strdup(seer_source_name(source, set->pictures[i]))) != NULL;
  }
  snprintf(table->program, sizeof table->program, "%s", program->name);
  snprintf(table->network, sizeof table->network, "%016llx", (unsigned long long)program->model_hash);
  return made ? SEER_OK : no_memory(table, table->passes);
}

SeerStatus seer_table_extract(const SeerTableRequest *request, SeerEngine *engine, SeerFeatureTable *table) {
  const SeerOptions *options = request->options;
  SeerSource *source = NULL;
  Layers layers;
  *table = (SeerFeatureTable){.passes = 0};
  SeerStatus status = layers_find(request->program, request->layers, &layers);
  if (!status) status = seer_source_open(request->pictures, request->labels, &source);
  int passes = request->views > 0 ? request->views : 1;
  for (int pass = 0; pass < passes && !status; pass++) {
    SeerAugmentedPass augmented = {request->seed, (uint32_t)(request->first_view + pass)};
    SeerFeatureRequest features = {.engine = engine,
                                   .states = {engine->context.state},
                                   .state_count = 1,
                                   .source = source,
                                   .limit = options->limit,
                                   .layers = layers.items,
                                   .layer_count = layers.count,
                                   .augmented = request->views > 0 ? &augmented : NULL,
                                   .stretch = request->stretch && !request->views,
                                   .quiet = options->quiet};
    SeerFeatureSet set = {.count = 0};
    status = seer_features_make(&features, &set);
    if (!status && pass == 0) status = table_begin(request, source, &layers, &set, table);
    if (!status && set.count != table->count)
      status = seer_fail(SEER_INPUT, "'%s' changed while it was read: %lld pictures could be decoded, then %lld",
                         table->origin, (long long)table->count, (long long)set.count);
    if (!status) pass_copy(&set, pass, table);
    seer_features_release(&set);
  }
  seer_source_close(source);
  if (!status && table->undecodable && !options->quiet)
    fprintf(stderr, "warning: %lld pictures of '%s' could not be decoded and are left out\n",
            (long long)table->undecodable, table->origin);
  if (status) seer_table_release(table);
  return status;
}

SeerStatus seer_table_engine_make(const SeerProgram *program, const SeerOptions *options, const char *names,
                                  SeerEngine *engine) {
  SeerWeights weights;
  Layers layers;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  *engine = (SeerEngine){.program = program};
  SeerStatus status = layers_find(program, names, &layers);
  if (!status) status = seer_engine_make(program, NULL, threads, false, engine);
  if (!status) {
    uint64_t seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed;
    seer_state_init(program, seed, 0, engine->context.pool, engine->context.state);
    if (options->weights)
      status = seer_weights_load(program, options->weights, layers.head ? SEER_USE_ALL : SEER_USE_TRUNK, 0,
                                 engine->context.state, &weights);
    seer_engine_state_changed(engine);
  }
  if (status && engine->context.pool) seer_engine_release(engine);
  return status;
}

SeerStatus seer_tables_extract(const SeerTableRequest *requests, int count, SeerFeatureTable *tables) {
  SeerEngine engine;
  int made = 0;
  SeerStatus status = seer_table_engine_make(requests->program, requests->options, requests->layers, &engine);
  if (status) return status;
  for (; made < count && !status; made++) status = seer_table_extract(&requests[made], &engine, &tables[made]);
  seer_engine_release(&engine);
  for (int i = 0; i < made && status; i++) seer_table_release(&tables[i]);
  return status;
}
