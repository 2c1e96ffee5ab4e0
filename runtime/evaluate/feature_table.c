// Tables of features: reading, checking, writing; see feature_table.h. Files may come from elsewhere: every length is
// checked against the others before memory is taken for it.
#include "runtime/evaluate/feature_table.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/safetensors.h"
#include "runtime/json_text.h"

static const char prefix[] = "features.";

int64_t seer_layer_width(const SeerLayer *layer) { return (int64_t)layer->channels * layer->cells; }

const SeerLayer *seer_table_layer(const SeerFeatureTable *table, const char *name) {
  for (int i = 0; i < table->layer_count; i++) {
    if (!strcmp(table->layers[i].name, name)) return &table->layers[i];
  }
  return NULL;
}

// "features" of "features", "s3" of "features.s3"; NULL: no layer.
static const char *layer_name(const char *tensor) {
  if (!strcmp(tensor, "features")) return tensor;
  return !strncmp(tensor, prefix, sizeof prefix - 1) && tensor[sizeof prefix - 1] ? tensor + sizeof prefix - 1 : NULL;
}

// Is `name` one of "a,b,c"?
static bool list_has(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',')) {
    if (*at == ',') at++;
    if (!strncmp(at, name, length) && (at[length] == ',' || !at[length])) return true;
  }
  return false;
}

static SeerStatus no_memory(const char *path, int64_t count) {
  return seer_fail(SEER_MACHINE,
                   "no memory for the features of %lld pictures of '%s'\nnote: take fewer with --limit, "
                   "or fewer layers with --layers",
                   (long long)count, path);
}

static SeerStatus values_check(const SeerFeatureTable *table, const SeerLayer *layer) {
  int64_t width = seer_layer_width(layer), bad = 0, first = -1;
  for (int64_t i = 0; i < table->count; i++) {
    bool finite = true;
    for (int64_t j = 0; j < width && finite; j++) finite = isfinite(layer->values[i * width + j]);
    if (finite) continue;
    if (!bad++) first = i;
  }
  if (!bad) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "layer '%s' of '%s' has numbers that are not finite, of %lld of %lld pictures, the first "
                   "of them '%s'",
                   layer->name, table->origin, (long long)bad, (long long)table->count, table->names[first]);
}

static SeerStatus layer_read(const SeerSafetensors *file, const SeerStored *stored, SeerFeatureTable *table) {
  bool sound = (stored->rank == 2 || stored->rank == 4) && stored->size[0] == table->count;
  int64_t width = 1;
  for (int i = 1; i < stored->rank && sound; i++) {
    sound = stored->size[i] > 0 && !__builtin_mul_overflow(width, stored->size[i], &width) && width <= INT32_MAX;
  }
  char shape[128];
  if (!sound)
    return seer_fail(SEER_INPUT, "'%s' of '%s' has shape %s, not [%lld, width] or [%lld, channels, height, width]",
                     stored->name, table->origin, seer_shape_text(shape, sizeof shape, stored->size, stored->rank),
                     (long long)table->count, (long long)table->count);
  const char *name = layer_name(stored->name);
  if (table->layer_count == SEER_TABLE_LAYERS_MAX || strlen(name) >= SEER_LAYER_NAME_MAX)
    return seer_fail(SEER_INPUT, "'%s' has more than %d layers, or one with a name of more than %d letters",
                     table->origin, SEER_TABLE_LAYERS_MAX, SEER_LAYER_NAME_MAX - 1);
  SeerLayer *layer = &table->layers[table->layer_count++];
  *layer = (SeerLayer){.channels = (int)stored->size[1], .cells = (int)(width / stored->size[1])};
  snprintf(layer->name, sizeof layer->name, "%s", name);
  layer->values = calloc((size_t)table->count * (size_t)width + 1, sizeof(float));
  if (!layer->values) return no_memory(table->origin, table->count);
  SeerStatus status = seer_safetensors_read_floats(file, stored, 0, (uint64_t)(table->count * width), layer->values);
  return status ? status : values_check(table, layer);
}

static SeerStatus layers_read(const SeerSafetensors *file, const char *wanted, SeerFeatureTable *table) {
  SeerStatus status = SEER_OK;
  for (int i = 0; i < seer_safetensors_count(file) && !status; i++) {
    const SeerStored *stored = seer_safetensors_tensor(file, i);
    const char *name = layer_name(stored->name);
    if (name && (!wanted || list_has(wanted, name))) status = layer_read(file, stored, table);
  }
  if (status) return status;
  for (const char *at = wanted; at; at = strchr(at, ',')) {
    if (*at == ',') at++;
    char name[SEER_LAYER_NAME_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
    if (!seer_table_layer(table, name))
      return seer_fail(SEER_INPUT, "'%s' has no layer '%s': there is no tensor 'features%s%s'", table->origin, name,
                       strcmp(name, "features") ? "." : "", strcmp(name, "features") ? name : "");
  }
  return table->layer_count ? SEER_OK : seer_fail(SEER_INPUT, "'%s' has no tensor 'features'", table->origin);
}

// Labels without names are named by their numbers.
static SeerStatus labels_name(SeerFeatureTable *table) {
  enum { MOST = 1 << 20 };
  int32_t most = -1;
  for (int64_t i = 0; i < table->count; i++) most = table->labels[i] > most ? table->labels[i] : most;
  if (most >= MOST) return SEER_OK;
  table->label_names = calloc((size_t)most + 2, sizeof *table->label_names);
  for (int32_t i = 0; i <= most; i++) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    if (!table->label_names || !(table->label_names[i] = strdup(number))) return no_memory(table->origin, table->count);
    table->label_count = i + 1;
  }
  return SEER_OK;
}

static SeerStatus labels_read(const SeerSafetensors *file, SeerFeatureTable *table) {
  const SeerStored *stored = seer_safetensors_find(file, "labels");
  table->labels = calloc((size_t)table->count + 1, sizeof *table->labels);
  if (!table->labels) return no_memory(table->origin, table->count);
  for (int64_t i = 0; i < table->count; i++) table->labels[i] = -1;
  if (!stored) return SEER_OK;
  if (stored->dtype != SEER_DTYPE_I32 || stored->rank != 1 || stored->size[0] != table->count)
    return seer_fail(SEER_INPUT, "'labels' of '%s' is not one I32 for each of its %lld pictures", table->origin,
                     (long long)table->count);
  SeerStatus status = seer_safetensors_read_bytes(file, stored, table->labels);
  if (!status && !table->label_names) status = labels_name(table);
  for (int64_t i = 0; i < table->count && !status; i++) {
    if (table->labels[i] < -1 || table->labels[i] >= table->label_count)
      status = seer_fail(SEER_INPUT, "label %d of '%s' in '%s' is none of its %d", table->labels[i], table->names[i],
                         table->origin, table->label_count);
  }
  return status;
}

static SeerStatus label_names_read(const SeerSafetensors *file, SeerFeatureTable *table) {
  const char *text = seer_safetensors_metadata(file, "label_names");
  return text ? seer_text_list_read(text, "label_names", table->origin, &table->label_names, &table->label_count)
              : SEER_OK;
}

static SeerStatus names_read(const SeerSafetensors *file, SeerFeatureTable *table) {
  const SeerStored *stored = seer_safetensors_find(file, "names");
  table->names = calloc((size_t)table->count + 1, sizeof *table->names);
  if (!table->names) return no_memory(table->origin, table->count);
  if (stored && stored->dtype != SEER_DTYPE_U8)
    return seer_fail(SEER_INPUT, "'names' of '%s' is no text: it is not U8", table->origin);
  uint64_t bytes = stored ? stored->end - stored->begin : 0;
  char *text = calloc(bytes + 1, 1), *at = text;
  SeerStatus status = text ? SEER_OK : no_memory(table->origin, table->count);
  if (!status && stored) status = seer_safetensors_read_bytes(file, stored, text);
  int64_t lines = 0;
  for (uint64_t i = 0; i < bytes && !status; i++) lines += text[i] == '\n';
  if (!status && stored && lines != table->count)
    status = seer_fail(SEER_INPUT, "'names' of '%s' has %lld lines, and there are %lld pictures", table->origin,
                       (long long)lines, (long long)table->count);
  for (int64_t i = 0; i < table->count && !status; i++) {
    char row[32];
    snprintf(row, sizeof row, "row %lld", (long long)i);
    size_t length = stored ? (size_t)((char *)memchr(at, '\n', bytes - (uint64_t)(at - text)) - at) : strlen(row);
    table->names[i] = strndup(stored ? at : row, length);
    if (!table->names[i]) status = no_memory(table->origin, table->count);
    at += stored ? length + 1 : 0;
  }
  free(text);
  return status;
}

static void metadata_copy(const SeerSafetensors *file, const char *key, char *text, size_t bytes) {
  const char *value = seer_safetensors_metadata(file, key);
  snprintf(text, bytes, "%s", value ? value : "");
}

SeerStatus seer_table_load(const char *path, const char *layers, SeerFeatureTable *table) {
  *table = (SeerFeatureTable){.passes = 1};
  SeerSafetensors *file = NULL;
  SeerStatus status = seer_safetensors_open(path, &file);
  if (status) return status;
  const SeerStored *first = NULL;
  for (int i = 0; i < seer_safetensors_count(file) && !first; i++) {
    const SeerStored *stored = seer_safetensors_tensor(file, i);
    if (layer_name(stored->name) && stored->rank > 0) first = stored;
  }
  table->origin = strdup(path);
  table->count = first ? first->size[0] : 0;
  // Names and labels take memory for each picture before a byte of features was looked at.
  if (!table->origin) status = no_memory(path, 0);
  if (!status && (!first || table->count < 1 || seer_stored_count(first) < (uint64_t)table->count))
    status = seer_fail(SEER_INPUT, "'%s' has no features: there is no tensor 'features' of [pictures, width]", path);
  metadata_copy(file, "program", table->program, sizeof table->program);
  metadata_copy(file, "network", table->network, sizeof table->network);
  if (!status) status = names_read(file, table);
  if (!status) status = label_names_read(file, table);
  if (!status) status = labels_read(file, table);
  if (!status) status = layers_read(file, layers, table);
  seer_safetensors_close(file);
  if (status) seer_table_release(table);
  return status;
}

void seer_table_release(SeerFeatureTable *table) {
  for (int i = 0; i < table->layer_count; i++) free(table->layers[i].values);
  for (int64_t i = 0; table->names && i < table->count; i++) free(table->names[i]);
  for (int i = 0; i < table->label_count; i++) free(table->label_names[i]);
  free(table->names);
  free(table->label_names);
  free(table->labels);
  free(table->origin);
  *table = (SeerFeatureTable){.count = 0};
}

static SeerStatus facts_match(const char *what, const char *a, const char *of_a, const char *b, const char *of_b) {
  if (!*a || !*b || !strcmp(a, b)) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "the features of '%s' and '%s' are not of one network: the first have %s '%s', the others "
                   "'%s'",
                   of_a, of_b, what, a, b);
}

SeerStatus seer_tables_match(const SeerFeatureTable *a, const SeerFeatureTable *b) {
  bool told = *a->network && *b->network;
  SeerStatus status = told ? facts_match("network", a->network, a->origin, b->network, b->origin)
                           : facts_match("program", a->program, a->origin, b->program, b->origin);
  for (int i = 0; i < a->layer_count && !status; i++) {
    const SeerLayer *one = &a->layers[i], *other = seer_table_layer(b, one->name);
    if (!other)
      status = seer_fail(SEER_INPUT, "'%s' has layer '%s', and '%s' has not", a->origin, one->name, b->origin);
    else if (one->channels != other->channels || one->cells != other->cells)
      status = seer_fail(SEER_INPUT, "layer '%s' is %d x %d wide in '%s', and %d x %d in '%s'", one->name,
                         one->channels, one->cells, a->origin, other->channels, other->cells, b->origin);
  }
  return status;
}

int64_t *seer_table_labelled(const SeerFeatureTable *table, bool quiet, int64_t *count) {
  int64_t *rows = calloc((size_t)table->count + 1, sizeof *rows), first = -1;
  *count = 0;
  for (int64_t i = 0; rows && i < table->count; i++) {
    if (table->labels[i] >= 0)
      rows[(*count)++] = i;
    else if (first < 0)
      first = i;
  }
  if (rows && first >= 0 && !quiet)
    fprintf(stderr, "warning: %lld of %lld pictures of '%s' have no label and are left out, '%s' the first of them\n",
            (long long)(table->count - *count), (long long)table->count, table->origin, table->names[first]);
  return rows;
}

static char *names_join(const SeerFeatureTable *table, size_t *bytes) {
  char *text = NULL;
  FILE *stream = open_memstream(&text, bytes);
  for (int64_t i = 0; stream && i < table->count; i++) fprintf(stream, "%s\n", table->names[i]);
  return stream && fclose(stream) == 0 ? text : NULL;
}

enum { TENSOR_NAME_MAX = SEER_LAYER_NAME_MAX + sizeof prefix };

// Layers, in their order, then labels and names. `texts` [layers] has the tensors' names.
static void tensors_list(const SeerFeatureTable *table, const char *names, size_t name_bytes,
                         char (*texts)[TENSOR_NAME_MAX], SeerToStore *tensors) {
  for (int i = 0; i < table->layer_count; i++) {
    const SeerLayer *layer = &table->layers[i];
    snprintf(texts[i], TENSOR_NAME_MAX, "%s%s", strcmp(layer->name, "features") == 0 ? "" : prefix, layer->name);
    tensors[i] = (SeerToStore){{.name = texts[i],
                                .dtype = SEER_DTYPE_F32,
                                .rank = layer->cells > 1 ? 4 : 2,
                                .size = {table->count, layer->channels, layer->cells, 1}},
                               layer->values};
  }
  tensors[table->layer_count] =
      (SeerToStore){{.name = "labels", .dtype = SEER_DTYPE_I32, .rank = 1, .size = {table->count}}, table->labels};
  tensors[table->layer_count + 1] =
      (SeerToStore){{.name = "names", .dtype = SEER_DTYPE_U8, .rank = 1, .size = {(int64_t)name_bytes}}, names};
}

char *seer_table_label_names(const SeerFeatureTable *table) {
  json_t *list = json_array();
  for (int i = 0; i < table->label_count; i++) json_array_append_new(list, seer_text_pack(table->label_names[i]));
  char *text = json_dumps(list, JSON_COMPACT);
  json_decref(list);
  return text;
}

SeerStatus seer_table_write(const SeerFeatureTable *table, const char *path) {
  size_t name_bytes = 0;
  char *names = names_join(table, &name_bytes);
  char *label_names = seer_table_label_names(table);
  SeerToStore tensors[SEER_TABLE_LAYERS_MAX + 2];
  char texts[SEER_TABLE_LAYERS_MAX][TENSOR_NAME_MAX];
  SeerMetadata metadata[] = {{"format", "pt"},
                             {"program", table->program},
                             {"network", table->network},
                             {"label_names", label_names ? label_names : "[]"}};
  uint64_t bytes = 0;
  SeerPath temporary;
  SeerStatus status = names && label_names ? SEER_OK : no_memory(path, table->count);
  if (!status) status = seer_path_print(&temporary, "%s.tmp", path);
  if (!status) {
    unlink(temporary.text);
    tensors_list(table, names, name_bytes, texts, tensors);
    status = seer_safetensors_write(temporary.text, tensors, table->layer_count + 2, metadata, 4, &bytes, NULL);
    if (!status && rename(temporary.text, path) != 0) status = seer_fail(SEER_MACHINE, "cannot rename to '%s'", path);
    if (status) unlink(temporary.text);
  }
  free(names);
  free(label_names);
  return status;
}
