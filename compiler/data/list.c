// The pictures of an index, line by line.
#include "compiler/data/list.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SeerStatus data_columns_open(const SeerIndex *index, DataColumns *columns) {
  SeerStatus status = SEER_OK;
  columns->count = 0;
  for (int i = 0; status == SEER_OK && i < seer_index_column_count(index); i++) {
    status = seer_index_column_open(index, i, &columns->items[i]);
    columns->count = i + 1;
  }
  return status;
}

void data_columns_close(DataColumns *columns) {
  for (int i = 0; i < columns->count; i++) seer_index_column_close(&columns->items[i]);
}

void data_json_text(Writer *out, const char *text, size_t length) {
  char *copy = malloc(length + 1);
  if (copy == NULL) return;
  memcpy(copy, text, length);
  copy[length] = '\0';
  writer_json_string(out, copy);
  free(copy);
}

void data_plain_text(Writer *out, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)text[i];
    writer_bytes(out, byte < 0x20 || byte == 0x7F ? "?" : text + i, 1);
  }
}

// ", NAME: VALUE" or, in a line for people, "  NAME=VALUE"; nothing where there is no value.
static SeerStatus value_print(SeerIndexColumn *column, int64_t picture, bool json, bool first, Writer *out,
                              bool *printed) {
  uint32_t word = 0;
  double number = 0;
  SeerStatus status = column->is_number ? seer_index_column_number(column, picture, &number)
                                        : seer_index_column_word(column, picture, &word);
  *printed = status == SEER_OK && (column->is_number ? !isnan(number) : word != 0);
  if (!*printed) return status;
  if (json) {
    if (!first) writer_text(out, ",");
    data_json_text(out, column->name, column->name_length);
    writer_text(out, ":");
  } else {
    writer_text(out, "  ");
    data_plain_text(out, column->name, column->name_length);
    writer_text(out, "=");
  }
  size_t length = 0;
  const char *text = column->is_number ? NULL : seer_index_column_text(column, word, &length);
  if (column->is_number)
    writer_json_number(out, number);
  else
    data_json_text(out, text, length);
  return SEER_OK;
}

static SeerStatus columns_print(DataColumns *columns, int64_t picture, bool json, Writer *out) {
  SeerStatus status = SEER_OK;
  bool first = true, printed;
  for (int i = 0; status == SEER_OK && i < columns->count; i++) {
    status = value_print(&columns->items[i], picture, json, first, out, &printed);
    first &= !printed;
  }
  return status;
}

size_t data_key_length(const char *name, size_t length) {
  size_t base = length;
  while (base > 0 && name[base - 1] != '/') base--;
  const char *dot = memchr(name + base, '.', length - base);
  return dot != NULL ? (size_t)(dot - name) : length;
}

static void line_json(const SeerIndex *index, const SeerIndexEntry *entry, const char *name, const char *shard,
                      Writer *out) {
  size_t length = (size_t)entry->name_length;
  writer_text(out, "{\"key\":");
  data_json_text(out, name, data_key_length(name, length));
  writer_text(out, ",\"name\":");
  data_json_text(out, name, length);
  writer_text(out, ",\"shard\":");
  writer_json_string(out, shard);
  writer_printf(out, ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu32, entry->offset, entry->bytes);
  if (entry->width > 0) writer_printf(out, ",\"width\":%d,\"height\":%d", entry->width, entry->height);
  if (entry->hash != 0) writer_printf(out, ",\"hash\":\"%016" PRIx64 "\"", entry->hash);
  if (entry->label >= 0) {
    const char *label = seer_index_label(index, entry->label, &length);
    writer_text(out, ",\"label\":");
    data_json_text(out, label, length);
  }
  writer_text(out, ",\"columns\":{");
}

static void line_text(const SeerIndex *index, const SeerIndexEntry *entry, const char *name, const char *shard,
                      Writer *out) {
  size_t length = (size_t)entry->name_length;
  data_plain_text(out, shard, strlen(shard));
  if (!entry->is_whole_file) {
    writer_text(out, ":");
    data_plain_text(out, name, length);
  }
  writer_printf(out, "  %" PRIu32 " bytes", entry->bytes);
  if (entry->width > 0) writer_printf(out, "  %dx%d", entry->width, entry->height);
  if (entry->label < 0) return;
  const char *label = seer_index_label(index, entry->label, &length);
  writer_text(out, "  ");
  data_plain_text(out, label, length);
}

static SeerStatus line_print(const SeerIndex *index, int64_t picture, DataColumns *columns, bool json, Writer *out) {
  SeerIndexEntry entry;
  char shard[2 * SEER_INDEX_NAME_MAX];
  bool sound =
      seer_index_entry(index, picture, &entry) && seer_index_shard_path(index, entry.shard, shard, sizeof shard);
  const char *name = sound ? seer_index_name(index, &entry) : NULL;
  if (name == NULL)
    return seer_fail(SEER_INPUT,
                     "'%s' is damaged: the entry of picture %" PRId64 "\nnote: make it again with 'seerc data index'",
                     seer_index_path(index), picture);
  (json ? line_json : line_text)(index, &entry, name, shard, out);
  SeerStatus status = columns_print(columns, picture, json, out);
  writer_text(out, json ? "}}\n" : "\n");
  return status;
}

SeerStatus data_list(const SeerIndex *index, bool json) {
  DataColumns *columns = calloc(1, sizeof *columns);
  Writer out = {0};
  if (columns == NULL) return seer_fail(SEER_MACHINE, "out of memory to list pictures");
  SeerStatus status = data_columns_open(index, columns);
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(index); i++) {
    out.size = 0;
    status = line_print(index, i, columns, json, &out);
    if (status == SEER_OK && fwrite(out.text, 1, out.size, stdout) != out.size)
      status = seer_fail(SEER_MACHINE, "cannot write to standard output: %s", strerror(errno));
  }
  if (status == SEER_OK && fflush(stdout) != 0)
    status = seer_fail(SEER_MACHINE, "cannot write to standard output: %s", strerror(errno));
  data_columns_close(columns);
  free(columns);
  writer_release(&out);
  return status;
}
