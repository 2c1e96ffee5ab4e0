// Writes and reads parts; see part.h.
#include "compiler/data/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/files.h"

void data_part_shard(DataPart *part, const char *path, uint64_t bytes, const char *xxh3) {
  writer_text(&part->text, "{\"shard\":");
  writer_json_string(&part->text, path);
  writer_printf(&part->text, ",\"bytes\":%" PRIu64 ",\"xxh3\":\"%s\"}\n", bytes, xxh3);
  part->lines++;
}

void data_part_picture(DataPart *part, const char *name, const DataFacts *facts) {
  Writer *text = &part->text;
  writer_text(text, "{\"picture\":");
  writer_json_string(text, name);
  writer_printf(text, ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu32 ",\"hash\":\"%016" PRIx64 "\"", facts->offset,
                facts->bytes, facts->hash);
  writer_printf(text, ",\"width\":%d,\"height\":%d,\"whole\":%s", facts->width, facts->height,
                facts->is_whole_file ? "true" : "false");
  if (facts->perceptual != 0) writer_printf(text, ",\"perceptual\":\"%016" PRIx64 "\"", facts->perceptual);
  if (facts->label != NULL) {
    writer_text(text, ",\"label\":");
    writer_json_string(text, facts->label);
  }
  char *columns = json_dumps(facts->columns, JSON_COMPACT | JSON_SORT_KEYS);
  if (columns != NULL) writer_printf(text, ",\"columns\":%s", columns);
  part->failed |= columns == NULL;
  free(columns);
  writer_text(text, "}\n");
  part->lines++;
}

void data_part_left_out(DataPart *part, const char *shown, const char *reason) {
  writer_text(&part->text, "{\"left_out\":");
  writer_json_string(&part->text, shown);
  writer_text(&part->text, ",\"reason\":");
  writer_json_string(&part->text, reason);
  writer_text(&part->text, "}\n");
  part->lines++;
}

SeerStatus data_part_save(DataPart *part, const char *path) {
  if (part->failed) return seer_fail(SEER_MACHINE, "out of memory for '%s'", path);
  writer_printf(&part->text, "{\"end\":%" PRIu64 "}\n", part->lines);
  return seer_file_replace(path, part->text.text, part->text.size);
}

void data_part_release(DataPart *part) {
  writer_release(&part->text);
  *part = (DataPart){0};
}

static SeerStatus line_take(json_t *line, SeerStatus (*take)(void *context, DataLine kind, json_t *line),
                            void *context) {
  if (json_object_get(line, "picture")) return take(context, LINE_PICTURE, line);
  return take(context, json_object_get(line, "shard") ? LINE_SHARD : LINE_LEFT_OUT, line);
}

SeerStatus data_part_read(const char *path, SeerStatus (*take)(void *context, DataLine kind, json_t *line),
                          void *context, bool *whole) {
  FILE *file = fopen(path, "re");
  *whole = false;
  if (file == NULL) return SEER_INPUT;
  char *text = NULL;
  size_t room = 0;
  json_int_t lines = 0;
  SeerStatus status = SEER_OK;
  for (ssize_t length; status == SEER_OK && !*whole && (length = getline(&text, &room, file)) > 0; lines++) {
    json_t *line = json_loadb(text, (size_t)length, 0, NULL);
    const json_t *end = json_object_get(line, "end");
    *whole = json_is_integer(end) && json_integer_value(end) == lines;
    if (line == NULL || (end != NULL && !*whole))
      status = SEER_INPUT;
    else if (end == NULL)
      status = line_take(line, take, context);
    json_decref(line);
  }
  free(text);
  fclose(file);
  return status == SEER_OK && !*whole ? SEER_INPUT : status;
}
