// Vectors by name; see keyed_vectors.h.
#include "runtime/evaluate/keyed_vectors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/lines.h"

static bool ends_in(const char *text, const char *end) {
  size_t length = strlen(text), of_end = strlen(end);
  return length >= of_end && !strcmp(text + length - of_end, end);
}

char *seer_key_of(const json_t *json) {
  char text[32];
  snprintf(text, sizeof text, "%lld", json_is_integer(json) ? (long long)json_integer_value(json) : 0);
  return json_is_string(json) ? strdup(json_string_value(json)) : json_is_integer(json) ? strdup(text) : NULL;
}

static SeerStatus no_memory(const char *path) { return seer_fail(SEER_MACHINE, "no memory to read '%s'", path); }

// Makes room for one row more.
static bool row_reserve(SeerKeyedVectors *vectors, int64_t *room) {
  if (vectors->count < *room) return true;
  int64_t wanted = *room ? *room * 2 : 64;
  char **keys = realloc(vectors->keys, (size_t)wanted * sizeof *keys);
  if (keys) vectors->keys = keys;
  float *values = keys ? realloc(vectors->values, (size_t)wanted * (size_t)vectors->width * sizeof *values) : NULL;
  if (values) vectors->values = values;
  if (values) *room = wanted;
  return values != NULL;
}

static SeerStatus line_read(const SeerLines *lines, const json_t *object, SeerKeyedVectors *vectors, int64_t *room) {
  const json_t *list = json_object_get(object, "features");
  char *key = seer_key_of(json_object_get(object, "id"));
  SeerStatus status = SEER_OK;
  if (!vectors->count) vectors->width = (int64_t)json_array_size(list);
  if (!key)
    status = seer_lines_fail(lines, "has no 'id', a number or text");
  else if (!json_is_array(list) || json_array_size(list) < 1)
    status = seer_lines_fail(lines, "has no 'features', a list of numbers");
  else if ((int64_t)json_array_size(list) != vectors->width)
    status = seer_lines_fail(lines, "has another number of 'features' than the lines before");
  else if (!row_reserve(vectors, room))
    status = no_memory(lines->reader.path);
  for (int64_t i = 0; i < vectors->width && !status; i++) {
    const json_t *number = json_array_get(list, (size_t)i);
    if (!json_is_number(number)) status = seer_lines_fail(lines, "has something in 'features' that is no number");
    vectors->values[vectors->count * vectors->width + i] = (float)json_number_value(number);
  }
  if (status)
    free(key);
  else
    vectors->keys[vectors->count++] = key;
  return status;
}

static SeerStatus jsonl_load(const char *path, SeerKeyedVectors *vectors) {
  SeerLines lines;
  json_t *object = NULL;
  int64_t room = 0;
  SeerStatus status = seer_lines_open(path, &lines);
  while (!status && (status = seer_lines_next(&lines, &object)) == SEER_OK && object) {
    status = line_read(&lines, object, vectors, &room);
    json_decref(object);
  }
  seer_lines_close(&lines);
  return !status && !vectors->count ? seer_fail(SEER_INPUT, "'%s' has no lines", path) : status;
}

static SeerStatus values_check(const SeerKeyedVectors *vectors) {
  for (int64_t i = 0; i < vectors->count; i++) {
    for (int64_t j = 0; j < vectors->width; j++) {
      if (isfinite(vectors->values[i * vectors->width + j])) continue;
      char row[32];
      snprintf(row, sizeof row, "row %lld", (long long)i);
      return seer_fail(SEER_INPUT, "the features of '%s' in '%s' are not finite",
                       vectors->keys ? vectors->keys[i] : row, vectors->origin);
    }
  }
  return SEER_OK;
}

SeerStatus seer_vectors_load(const char *path, SeerKeyedVectors *vectors) {
  *vectors = (SeerKeyedVectors){.count = 0};
  SeerStatus status;
  if (ends_in(path, ".npy")) {
    status = seer_npy_load(path, &vectors->count, &vectors->width, &vectors->values);
  } else if (ends_in(path, ".jsonl")) {
    status = jsonl_load(path, vectors);
  } else {
    SeerFeatureTable table;
    status = seer_table_load(path, NULL, &table);
    if (!status && table.layer_count > 1) {
      status = seer_fail(SEER_INPUT, "'%s' has %d layers, '%s' and '%s' among them, and one is wanted", path,
                         table.layer_count, table.layers[0].name, table.layers[1].name);
      seer_table_release(&table);
    }
    if (!status) seer_vectors_take(&table, vectors);
  }
  if (!status && !vectors->origin) vectors->origin = strdup(path);
  if (!status && !vectors->origin) status = no_memory(path);
  if (!status) status = values_check(vectors);
  if (status) seer_keyed_vectors_release(vectors);
  return status;
}

void seer_vectors_take(SeerFeatureTable *table, SeerKeyedVectors *vectors) {
  *vectors = (SeerKeyedVectors){.origin = table->origin,
                                .count = table->count,
                                .width = seer_layer_width(&table->layers[0]),
                                .values = table->layers[0].values,
                                .keys = table->names};
  table->origin = NULL;
  table->layers[0].values = NULL;
  table->names = NULL;
  seer_table_release(table);
}

void seer_keyed_vectors_release(SeerKeyedVectors *vectors) {
  for (int64_t i = 0; vectors->keys && i < vectors->count; i++) free(vectors->keys[i]);
  free(vectors->keys);
  free(vectors->values);
  free(vectors->origin);
  *vectors = (SeerKeyedVectors){.count = 0};
}
