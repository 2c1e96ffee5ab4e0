// Collects labels and columns of all parts, then writes the index; see index_build.h.
#include "compiler/data/index_build.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/data/index_write.h"
#include "compiler/data/part.h"

enum { NUMBERS_KEPT = 4096 };

typedef struct Column {
  const char *name;
  bool is_text, is_dropped;
  bool is_varied;  // has more numbers than are kept in case it turns out to be one of text
  json_t *words;   // value: its number, once sorted
} Column;

typedef struct ShardList {
  const char **paths, **hashes;
  uint64_t *bytes;
  size_t count, capacity;
} ShardList;

typedef struct Build {
  Arena *arena;
  DataBuilt *built;
  json_t *labels;   // name: number
  json_t *columns;  // name: place in `all`
  struct {
    Column *items;
    size_t count, capacity;
  } all;
  ShardList shards;
  uint64_t name_bytes;
  bool has_perceptual;
  Column *kept[SEER_INDEX_COLUMNS_MAX];  // in the order of their names
  int kept_count;
  IndexWriter *writer;
  uint32_t shard;
  bool failed;  // an out of memory of jansson
} Build;

static SeerStatus no_memory(void) {
  return seer_fail(SEER_MACHINE, "out of memory for the labels and columns of an index");
}

static int text_compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Numbers the keys of a set in their order, from `first`. They last as long as the set.
static const char **set_sort(Arena *arena, json_t *set, json_int_t first) {
  size_t count = json_object_size(set), i = 0;
  const char **names = arena_array(arena, const char *, count + 1);
  for (void *at = json_object_iter(set); at != NULL; at = json_object_iter_next(set, at))
    names[i++] = json_object_iter_key(at);
  qsort(names, count, sizeof *names, text_compare);
  for (i = 0; i < count; i++) json_integer_set(json_object_get(set, names[i]), first + (json_int_t)i);
  return names;
}

static void set_add(Build *build, json_t *set, const char *word) {
  if (json_object_get(set, word) == NULL && json_object_set_new(set, word, json_integer(0)) != 0) build->failed = true;
}

// The text of a value, in `room` or where it lies; NULL: it is no value of a column.
static const char *value_text(const json_t *value, char *room, size_t bytes) {
  if (json_is_string(value)) return *json_string_value(value) != '\0' ? json_string_value(value) : NULL;
  if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
  if (json_is_integer(value)) snprintf(room, bytes, "%lld", (long long)json_integer_value(value));
  if (json_is_real(value)) snprintf(room, bytes, "%.17g", json_real_value(value));
  return json_is_number(value) ? room : NULL;
}

static Column *column_get(Build *build, const char *name) {
  const json_t *place = json_object_get(build->columns, name);
  if (place != NULL) return &build->all.items[json_integer_value(place)];
  Column column = {.name = arena_string(build->arena, name, strlen(name)), .words = json_object()};
  if (column.words == NULL ||
      json_object_set_new(build->columns, name, json_integer((json_int_t)build->all.count)) != 0) {
    build->failed = true;
    return NULL;
  }
  arena_push(build->arena, &build->all, Column, column);
  return &build->all.items[build->all.count - 1];
}

static void value_collect(Build *build, const char *name, const json_t *value) {
  char room[40];
  const char *text = value_text(value, room, sizeof room);
  if (text == NULL) {
    build->built->unread_values += json_is_array(value) || json_is_object(value);
    return;
  }
  Column *column = column_get(build, name);
  if (column == NULL || column->is_dropped) return;
  column->is_text |= !json_is_number(value);
  if (!column->is_text && json_object_size(column->words) >= NUMBERS_KEPT)
    column->is_varied = true;
  else
    set_add(build, column->words, text);
  bool is_large = strlen(text) > DATA_WORD_BYTES_MAX || json_object_size(column->words) > DATA_WORDS_MAX;
  column->is_dropped = column->is_text && (is_large || column->is_varied);
  if (!column->is_dropped) return;
  json_object_clear(column->words);
}

static SeerStatus shard_collect(Build *build, const json_t *line) {
  ShardList *shards = &build->shards;
  if (shards->count == shards->capacity) {
    size_t capacity = shards->capacity ? 2 * shards->capacity : 64;
    shards->paths = arena_grow(build->arena, shards->paths, shards->count, capacity, sizeof *shards->paths);
    shards->hashes = arena_grow(build->arena, shards->hashes, shards->count, capacity, sizeof *shards->hashes);
    shards->bytes = arena_grow(build->arena, shards->bytes, shards->count, capacity, sizeof *shards->bytes);
    shards->capacity = capacity;
  }
  const char *path = json_string_value(json_object_get(line, "shard"));
  const char *hash = json_string_value(json_object_get(line, "xxh3"));
  shards->paths[shards->count] = arena_string(build->arena, path, strlen(path));
  shards->hashes[shards->count] = arena_string(build->arena, hash != NULL ? hash : "", hash != NULL ? strlen(hash) : 0);
  shards->bytes[shards->count++] = (uint64_t)json_integer_value(json_object_get(line, "bytes"));
  return SEER_OK;
}

static size_t name_length(const json_t *line) {
  size_t length = json_string_length(json_object_get(line, "picture"));
  return length < SEER_INDEX_NAME_MAX ? length : SEER_INDEX_NAME_MAX - 1;
}

static SeerStatus line_collect(void *context, DataLine kind, json_t *line) {
  Build *build = context;
  if (kind == LINE_SHARD) return shard_collect(build, line);
  build->built->left_out += kind == LINE_LEFT_OUT;
  if (kind == LINE_LEFT_OUT) return SEER_OK;
  build->built->pictures++;
  build->built->bytes += (uint64_t)json_integer_value(json_object_get(line, "bytes"));
  build->name_bytes += name_length(line);
  build->has_perceptual |= json_object_get(line, "perceptual") != NULL;
  const char *label = json_string_value(json_object_get(line, "label")), *name;
  if (label != NULL) set_add(build, build->labels, label);
  json_t *value;
  json_object_foreach(json_object_get(line, "columns"), name, value) value_collect(build, name, value);
  if (json_object_size(build->labels) > DATA_LABELS_MAX)
    return seer_fail(SEER_INPUT, "there are more than %d labels\nnote: a label is a class that many pictures share",
                     DATA_LABELS_MAX);
  return build->failed ? no_memory() : SEER_OK;
}

static SeerStatus line_write(void *context, DataLine kind, json_t *line) {
  Build *build = context;
  build->shard += kind == LINE_SHARD;
  if (kind != LINE_PICTURE) return SEER_OK;
  IndexValue values[SEER_INDEX_COLUMNS_MAX];
  const json_t *columns = json_object_get(line, "columns");
  for (int i = 0; i < build->kept_count; i++) {
    const Column *column = build->kept[i];
    const json_t *value = json_object_get(columns, column->name);
    char room[40];
    const char *text = column->is_text ? value_text(value, room, sizeof room) : NULL;
    values[i] = (IndexValue){0};
    if (!column->is_text)
      values[i].number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    else if (text != NULL)
      values[i].word = (uint32_t)json_integer_value(json_object_get(column->words, text));
  }
  const char *label = json_string_value(json_object_get(line, "label"));
  const char *hash = json_string_value(json_object_get(line, "hash"));
  const char *perceptual = json_string_value(json_object_get(line, "perceptual"));
  IndexRow row = {
      .name = json_string_value(json_object_get(line, "picture")),
      .name_length = name_length(line),
      .offset = (uint64_t)json_integer_value(json_object_get(line, "offset")),
      .hash = hash != NULL ? strtoull(hash, NULL, 16) : 0,
      .bytes = (uint32_t)json_integer_value(json_object_get(line, "bytes")),
      .shard = build->shard - 1,
      .label = label ? (uint32_t)json_integer_value(json_object_get(build->labels, label)) : UINT32_MAX,
      .width = (int)json_integer_value(json_object_get(line, "width")),
      .height = (int)json_integer_value(json_object_get(line, "height")),
      .is_whole_file = json_is_true(json_object_get(line, "whole")),
      .values = values,
      .perceptual = perceptual != NULL ? strtoull(perceptual, NULL, 16) : 0,
  };
  return index_writer_add(build->writer, &row);
}

static SeerStatus parts_read(const char *const *parts, size_t count,
                             SeerStatus (*take)(void *context, DataLine kind, json_t *line), Build *build) {
  for (size_t i = 0; i < count; i++) {
    bool whole;
    SeerStatus status = data_part_read(parts[i], take, build, &whole);
    if (status == SEER_OK) continue;
    if (*seer_error() != '\0') return status;
    return seer_fail(SEER_INPUT, "'%s' is damaged\nnote: remove it and run the same command again", parts[i]);
  }
  return SEER_OK;
}

static int column_compare(const void *a, const void *b) {
  return strcmp((*(Column *const *)a)->name, (*(Column *const *)b)->name);
}

// Which columns the index has, in the order of their names; what is left out is told.
static void columns_choose(Build *build, IndexColumnPlan *plans) {
  DataBuilt *built = build->built;
  Column **sorted = arena_array(build->arena, Column *, build->all.count + 1);
  built->dropped = arena_array(build->arena, const char *, build->all.count + 1);
  for (size_t i = 0; i < build->all.count; i++) sorted[i] = &build->all.items[i];
  qsort(sorted, build->all.count, sizeof *sorted, column_compare);
  for (size_t i = 0; i < build->all.count; i++) {
    Column *column = sorted[i];
    if (column->is_dropped || build->kept_count == SEER_INDEX_COLUMNS_MAX) {
      built->dropped[built->dropped_count++] = column->name;
      continue;
    }
    size_t count = column->is_text ? json_object_size(column->words) : 0;
    const char **words = arena_array(build->arena, const char *, count + 1);
    words[0] = column->name;
    if (column->is_text) memcpy(words + 1, set_sort(build->arena, column->words, 1), count * sizeof *words);
    plans[build->kept_count].is_number = !column->is_text;
    index_words_print(&plans[build->kept_count].words, words, count + 1);
    build->kept[build->kept_count++] = column;
  }
}

static SeerStatus index_write(Build *build, const char *const *parts, size_t count, const char *path) {
  IndexColumnPlan columns[SEER_INDEX_COLUMNS_MAX] = {0};
  const ShardList *shards = &build->shards;
  IndexPlan plan = {.pictures = build->built->pictures, .name_bytes = build->name_bytes, .columns = columns};
  index_shards_print(&plan.shards, shards->paths, shards->bytes, shards->hashes, shards->count);
  index_words_print(&plan.labels, set_sort(build->arena, build->labels, 0), json_object_size(build->labels));
  columns_choose(build, columns);
  plan.column_count = build->kept_count;
  plan.has_perceptual = build->has_perceptual;
  SeerStatus status = index_writer_open(path, &plan, &build->writer);
  if (status == SEER_OK) status = index_writer_finish(build->writer, parts_read(parts, count, line_write, build));
  writer_release(&plan.shards);
  writer_release(&plan.labels);
  for (int i = 0; i < plan.column_count; i++) writer_release(&columns[i].words);
  return status;
}

SeerStatus data_index_build(Arena *arena, const char *const *parts, size_t count, const char *path, DataBuilt *built) {
  *built = (DataBuilt){0};
  Build build = {.arena = arena, .built = built, .labels = json_object(), .columns = json_object()};
  SeerStatus status = build.labels != NULL && build.columns != NULL ? SEER_OK : no_memory();
  if (status == SEER_OK) status = parts_read(parts, count, line_collect, &build);
  built->shards = build.shards.count;
  if (status == SEER_OK && built->pictures == 0)
    status =
        seer_fail(SEER_INPUT, "there is no picture for '%s': %llu were left out\nnote: pictures are JPEG, PNG or WebP",
                  path, (unsigned long long)built->left_out);
  if (status == SEER_OK) status = index_write(&build, parts, count, path);
  for (size_t i = 0; i < build.all.count; i++) json_decref(build.all.items[i].words);
  json_decref(build.labels);
  json_decref(build.columns);
  return status;
}

void data_built_print(const DataBuilt *built, Writer *out) {
  for (int i = 0; i < built->dropped_count; i++)
    writer_printf(out, "note: column '%s' has too many different values for the index; it is in the shards alone\n",
                  built->dropped[i]);
  if (built->unread_values > 0)
    writer_printf(out, "note: %llu values that are lists or objects are in no column\n",
                  (unsigned long long)built->unread_values);
}
