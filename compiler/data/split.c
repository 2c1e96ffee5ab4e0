// Two walks over the entries: the first counts, the second writes all parts side by side.
#include "compiler/data/split.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "compiler/data/index_make.h"
#include "compiler/data/index_write.h"
#include "compiler/data/list.h"
#include "runtime/files.h"

typedef struct Split {
  Arena *arena;
  const SeerIndex *index;
  const DataSplitPart *parts;
  int part_count;
  uint64_t seed;
  DataColumns *columns;
  IndexColumnPlan column_plans[SEER_INDEX_COLUMNS_MAX];
  IndexPlan plans[DATA_SPLIT_PARTS_MAX];
  IndexWriter *writers[DATA_SPLIT_PARTS_MAX];
} Split;

static int part_of(const Split *split, const char *name, size_t length) {
  uint64_t hash = XXH3_64bits_withSeed(name, data_key_length(name, length), split->seed);
  double at = (double)(hash >> 11) * 0x1p-53, end = 0;
  int part = 0;
  for (; part < split->part_count - 1; part++) {
    end += split->parts[part].share;
    if (at < end) break;
  }
  return part;
}

static SeerStatus entry_get(const Split *split, int64_t picture, SeerIndexEntry *entry, const char **name) {
  *name = seer_index_entry(split->index, picture, entry) ? seer_index_name(split->index, entry) : NULL;
  if (*name != NULL) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "'%s' is damaged: the entry of picture %" PRId64 "\nnote: make it again with 'seerc data index'",
                   seer_index_path(split->index), picture);
}

static SeerStatus parts_count(Split *split) {
  for (int64_t i = 0; i < seer_index_count(split->index); i++) {
    SeerIndexEntry entry;
    const char *name;
    SeerStatus status = entry_get(split, i, &entry, &name);
    if (status != SEER_OK) return status;
    IndexPlan *plan = &split->plans[part_of(split, name, (size_t)entry.name_length)];
    plan->pictures++;
    plan->name_bytes += (uint64_t)entry.name_length;
  }
  return SEER_OK;
}

// Every part has all shards, labels and words: labels then have one number in all of them.
static SeerStatus lists_print(Split *split, const char *folder, Writer *shards, Writer *labels) {
  const SeerIndex *index = split->index;
  size_t count = (size_t)seer_index_shard_count(index), label_count = (size_t)seer_index_label_count(index), length;
  const char **paths = arena_array(split->arena, const char *, count + 1);
  const char **hashes = arena_array(split->arena, const char *, count + 1);
  uint64_t *bytes = arena_array(split->arena, uint64_t, count + 1);
  for (size_t i = 0; i < count; i++) {
    char path[2 * SEER_INDEX_NAME_MAX], hex[33];
    if (!seer_index_shard_path(index, (int64_t)i, path, sizeof path))
      return seer_fail(SEER_INPUT, "'%s' names a shard by too long a path", seer_index_path(index));
    SeerStatus status = data_path_relative(split->arena, folder, path, &paths[i]);
    if (status != SEER_OK) return status;
    hashes[i] = seer_index_shard_hash(index, (int64_t)i, hex) ? arena_string(split->arena, hex, 32) : "";
    bytes[i] = seer_index_shard_bytes(index, (int64_t)i);
  }
  index_shards_print(shards, paths, bytes, hashes, count);
  const char **words = arena_array(split->arena, const char *, label_count + 1);
  for (size_t i = 0; i < label_count; i++) {
    const char *label = seer_index_label(index, (int)i, &length);
    words[i] = arena_string(split->arena, label, length);
  }
  index_words_print(labels, words, label_count);
  return SEER_OK;
}

static void columns_plan(Split *split) {
  for (int i = 0; i < split->columns->count; i++) {
    const SeerIndexColumn *column = &split->columns->items[i];
    split->column_plans[i].is_number = column->is_number;
    writer_bytes(&split->column_plans[i].words, (const char *)column->words, (size_t)column->words_bytes);
  }
}

static SeerStatus picture_write(Split *split, int64_t picture) {
  SeerIndexEntry entry;
  const char *name;
  IndexValue values[SEER_INDEX_COLUMNS_MAX];
  SeerStatus status = entry_get(split, picture, &entry, &name);
  for (int i = 0; status == SEER_OK && i < split->columns->count; i++) {
    SeerIndexColumn *column = &split->columns->items[i];
    status = column->is_number ? seer_index_column_number(column, picture, &values[i].number)
                               : seer_index_column_word(column, picture, &values[i].word);
  }
  if (status != SEER_OK) return status;
  IndexRow row = {.name = name,
                  .name_length = (size_t)entry.name_length,
                  .offset = entry.offset,
                  .hash = entry.hash,
                  .bytes = entry.bytes,
                  .shard = entry.shard,
                  .label = entry.label < 0 ? UINT32_MAX : (uint32_t)entry.label,
                  .width = entry.width,
                  .height = entry.height,
                  .is_whole_file = entry.is_whole_file,
                  .values = values,
                  .perceptual = seer_index_perceptual(split->index, picture)};
  return index_writer_add(split->writers[part_of(split, name, row.name_length)], &row);
}

static SeerStatus parts_write(Split *split, const char *folder) {
  SeerStatus status = SEER_OK;
  int opened = 0;
  for (; status == SEER_OK && opened < split->part_count; opened += status == SEER_OK) {
    IndexPlan *plan = &split->plans[opened];
    plan->columns = split->column_plans;
    plan->column_count = split->columns->count;
    plan->has_perceptual = seer_index_has_perceptual(split->index);
    const char *path = arena_printf(split->arena, "%s/%s.index", folder, split->parts[opened].name);
    status = index_writer_open(path, plan, &split->writers[opened]);
  }
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(split->index); i++) status = picture_write(split, i);
  for (int i = 0; i < opened; i++) {
    SeerStatus finished = index_writer_finish(split->writers[i], status);
    if (status == SEER_OK) status = finished;
  }
  return status;
}

SeerStatus data_split(Arena *arena, const SeerIndex *index, const DataSplitPart *parts, int count, uint64_t seed,
                      const char *folder, Writer *out) {
  Split *split = arena_new(arena, Split);
  *split = (Split){.arena = arena, .index = index, .parts = parts, .part_count = count, .seed = seed};
  split->columns = arena_new(arena, DataColumns);
  Writer shards = {0}, labels = {0};
  SeerStatus status = seer_folder_make(folder);
  if (status == SEER_OK) status = data_columns_open(index, split->columns);
  if (status == SEER_OK) status = parts_count(split);
  if (status == SEER_OK) status = lists_print(split, folder, &shards, &labels);
  if (status == SEER_OK) {
    columns_plan(split);
    for (int i = 0; i < count; i++) {
      split->plans[i].shards = shards;
      split->plans[i].labels = labels;
    }
    status = parts_write(split, folder);
  }
  for (int i = 0; status == SEER_OK && i < count; i++)
    writer_printf(out, "%s/%s.index: %" PRIu64 " pictures\n", folder, parts[i].name, split->plans[i].pictures);
  for (int i = 0; i < split->columns->count; i++) writer_release(&split->column_plans[i].words);
  writer_release(&shards);
  writer_release(&labels);
  data_columns_close(split->columns);
  return status;
}
