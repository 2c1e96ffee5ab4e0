// Reads what a distribution is compared with: a table of values and their shares or counts; see by.h.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compiler/data/by.h"
#include "runtime/data/table.h"

typedef struct Entry {
  const char *text;
  double weight;
  uint64_t line;
} Entry;

typedef struct Load {
  Arena *arena;
  const char *path;
  const char *const *columns;
  int column_count, column;  // column: that the table is of
  TableKind kind;
  int count, value_at, weight_at;  // fields; count 0: the first row has not been read
  struct {
    Entry *items;
    size_t count, capacity;
  } entries;
} Load;

static SeerStatus header_take(Load *load, const TableRow *row, char *const *fields, int count) {
  load->count = count;
  load->value_at = load->weight_at = -1;
  for (int i = count - 1; i >= 0; i--) {
    if (load->column_count == 1 && strcasecmp(fields[i], "value") == 0) load->value_at = i;
    for (int column = 0; column < load->column_count; column++) {
      if (strcasecmp(fields[i], load->columns[column]) != 0) continue;
      load->value_at = i;
      load->column = column;
    }
    if (strcasecmp(fields[i], "count") == 0 && load->weight_at < 0) load->weight_at = i;
    if (strcasecmp(fields[i], "share") == 0) load->weight_at = i;
  }
  if (load->value_at >= 0 && load->weight_at >= 0 && load->value_at != load->weight_at) return SEER_OK;
  return table_fail(
      load->path, row->line, "names no column of values, or none of shares",
      load->column_count == 1
          ? "the first row is 'value,share' or 'value,count'; the column that is counted may stand for 'value'"
          : "the first row names the column that is counted, and 'share' or 'count', as in 'country,share'");
}

static SeerStatus row_take(Load *load, TableRow *row) {
  char *fields[TABLE_FIELDS_MAX], *end;
  const char *fault;
  int count = table_split(load->kind, row->bytes, row->length, fields, &fault);
  if (count < 0) return table_fail(load->path, row->line, fault, NULL);
  if (load->count == 0) return header_take(load, row, fields, count);
  if (count != load->count) return table_fail(load->path, row->line, "has not as many fields as the first row", NULL);
  const char *value = fields[load->value_at], *weight = fields[load->weight_at];
  Entry entry = {.weight = strtod(weight, &end), .line = row->line};
  bool is_number = isdigit((unsigned char)*weight) || *weight == '.';
  if (!is_number || *end != '\0' || !isfinite(entry.weight) || strpbrk(weight, "xX") != NULL)
    return table_fail(load->path, row->line, "has a share that is no number from 0 up", NULL);
  if (*value == '\0') return table_fail(load->path, row->line, "has no value", NULL);
  entry.text = seer_column_value(load->columns[load->column], arena_string(load->arena, value, strlen(value)));
  arena_push(load->arena, &load->entries, Entry, entry);
  return SEER_OK;
}

static int entry_compare(const void *a, const void *b) {
  const Entry *one = a, *other = b;
  int order = strcmp(one->text, other->text);
  return order != 0 ? order : (one->line > other->line) - (one->line < other->line);
}

static SeerStatus entries_check(Load *load, SeerReference *reference) {
  size_t count = load->entries.count;
  double sum = 0;
  if (count > 0) qsort(load->entries.items, count, sizeof *load->entries.items, entry_compare);
  const char **texts = arena_array(load->arena, const char *, count + 1);
  double *weights = arena_array(load->arena, double, count + 1);
  *reference =
      (SeerReference){.path = load->path, .column = load->column, .texts = texts, .weights = weights, .count = count};
  for (size_t i = 0; i < count; i++) {
    const Entry *entry = &load->entries.items[i];
    if (i > 0 && strcmp(entry->text, entry[-1].text) == 0)
      return table_fail(load->path, entry->line, "has a value that stands in a line before", entry->text);
    texts[i] = entry->text;
    weights[i] = entry->weight;
    sum += entry->weight;
  }
  if (sum > 0 && isfinite(sum)) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' has no shares\nnote: a row for each value, 'value,share' or 'value,count'",
                   load->path);
}

SeerStatus by_reference_load(Arena *arena, const char *path, const char *const *columns, int count,
                             SeerReference *reference) {
  Load load = {.arena = arena, .path = path, .columns = columns, .column_count = count, .kind = table_kind_of(path)};
  TableReader reader;
  TableRow row = {0};
  if (load.kind == TABLE_JSONL)
    return seer_fail(SEER_INPUT, "'%s' is no table of values and shares\nnote: write it as CSV, 'value,share'", path);
  if (load.kind == TABLE_NONE) load.kind = TABLE_CSV;
  SeerStatus status = table_open(&reader, path, load.kind);
  do {
    if (status == SEER_OK) status = table_next(&reader, &row);
    if (status == SEER_OK && row.bytes != NULL) status = row_take(&load, &row);
  } while (status == SEER_OK && row.bytes != NULL);
  table_close(&reader);
  return status == SEER_OK ? entries_check(&load, reference) : status;
}
