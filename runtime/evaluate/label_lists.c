// Reads and matches lists of labels; see label_lists.h.
#include "runtime/evaluate/label_lists.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/data/table.h"

static SeerStatus pair_add(SeerLabelLists *lists, const char *list, const char *label) {
  if (lists->count == lists->capacity) {
    int64_t capacity = lists->capacity ? 2 * lists->capacity : 64;
    int32_t *names = realloc(lists->lists, (size_t)capacity * sizeof *names);
    if (names) lists->lists = names;
    int32_t *labels = realloc(lists->labels, (size_t)capacity * sizeof *labels);
    if (labels) lists->labels = labels;
    if (!names || !labels) return seer_fail(SEER_MACHINE, "no memory for lists of labels");
    lists->capacity = capacity;
  }
  int32_t name = seer_words_add(&lists->names, list), word = seer_words_add(&lists->words, label);
  if (name < 0 || word < 0) return seer_fail(SEER_MACHINE, "no memory for lists of labels");
  lists->lists[lists->count] = name;
  lists->labels[lists->count++] = word;
  return SEER_OK;
}

SeerStatus seer_label_lists_default(bool boxes, SeerLabelLists *lists) {
  static const struct {
    const char *list, *label;
    int boxes;
  } rows[] = {
#define GROUP(list, label, boxes) {list, label, boxes},
#include "runtime/evaluate/label_groups.def"
#undef GROUP
  };
  *lists = (SeerLabelLists){.count = 0};
  SeerStatus status = SEER_OK;
  for (size_t i = 0; !status && i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].boxes == 2 || rows[i].boxes == (int)boxes) status = pair_add(lists, rows[i].list, rows[i].label);
  }
  if (status) seer_label_lists_release(lists);
  return status;
}

// Columns of list and label, by their names.
static SeerStatus columns_find(const char *path, const TableRow *row, char **fields, int count, int columns[2]) {
  static const char *const names[2][3] = {{"list", "group", "concept"}, {"label", "class", "label_name"}};
  for (int c = 0; c < 2; c++) {
    columns[c] = -1;
    for (int i = 0; i < count; i++) {
      for (int n = 0; n < 3; n++) {
        if (columns[c] < 0 && strcasecmp(fields[i], names[c][n]) == 0) columns[c] = i;
      }
    }
    if (columns[c] < 0)
      return table_fail(path, row->line, c ? "names no column of labels" : "names no column of lists",
                        "the first row names the columns: list (or group, or concept) and label");
  }
  return SEER_OK;
}

static SeerStatus row_take(const char *path, TableKind kind, TableRow *row, int columns[2], int *width,
                           SeerLabelLists *lists) {
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  const char *fault;
  int count = table_split(kind, row->bytes, row->length, fields, &fault);
  if (count < 0) return table_fail(path, row->line, fault, NULL);
  if (*width == 0) {
    *width = count;
    return columns_find(path, row, fields, count, columns);
  }
  if (count != *width) return table_fail(path, row->line, "has not as many fields as the first row", NULL);
  if (!*fields[columns[0]] || !*fields[columns[1]]) return table_fail(path, row->line, "lacks a list or a label", NULL);
  return pair_add(lists, fields[columns[0]], fields[columns[1]]);
}

SeerStatus seer_label_lists_load(const char *path, SeerLabelLists *lists) {
  TableReader reader;
  TableRow row = {0};
  TableKind kind = table_kind_of(path);
  int columns[2] = {-1, -1}, width = 0;
  *lists = (SeerLabelLists){.count = 0};
  if (kind != TABLE_CSV && kind != TABLE_TSV)
    return seer_fail(SEER_INPUT, "'%s' is no table of lists and labels\nnote: it ends in .csv or .tsv", path);
  SeerStatus status = table_open(&reader, path, kind);
  do {
    if (!status) status = table_next(&reader, &row);
    if (!status && row.bytes) status = row_take(path, kind, &row, columns, &width, lists);
  } while (!status && row.bytes);
  table_close(&reader);
  if (!status && lists->count == 0) status = seer_fail(SEER_INPUT, "'%s' lists no labels", path);
  if (status) seer_label_lists_release(lists);
  return status;
}

void seer_label_lists_release(SeerLabelLists *lists) {
  seer_words_release(&lists->names);
  seer_words_release(&lists->words);
  free(lists->lists);
  free(lists->labels);
  *lists = (SeerLabelLists){.count = 0};
}

void seer_label_lists_print(const SeerLabelLists *lists, FILE *out) {
  fputs("list,label\n", out);
  for (int64_t i = 0; i < lists->count; i++)
    fprintf(out, "%s,%s\n", lists->names.items[lists->lists[i]], lists->words.items[lists->labels[i]]);
}

static char plain(char c) { return c == '_' ? ' ' : (char)tolower((unsigned char)c); }

static bool text_is(const char *text, size_t length, const char *wanted) {
  while (length > 0 && *text == ' ') text++, length--;
  while (length > 0 && text[length - 1] == ' ') length--;
  if (strlen(wanted) != length) return false;
  for (size_t i = 0; i < length; i++) {
    if (plain(text[i]) != plain(wanted[i])) return false;
  }
  return true;
}

static bool class_is(const char *class_name, const char *label) {
  if (text_is(class_name, strlen(class_name), label)) return true;
  for (const char *at = class_name; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    if (text_is(at, strcspn(at, ","), label)) return true;
  }
  return false;
}

bool *seer_label_lists_match(const SeerLabelLists *lists, const char *what, char *const *classes, int class_count,
                             SeerTold *told) {
  size_t room = (size_t)lists->names.count * (size_t)class_count + 1;
  bool *member = calloc(room, sizeof *member);
  for (int64_t i = 0; member && i < lists->count; i++) {
    const char *label = lists->words.items[lists->labels[i]], *list = lists->names.items[lists->lists[i]];
    bool found = false;
    for (int c = 0; c < class_count; c++) {
      if (!class_is(classes[c], label)) continue;
      member[(size_t)lists->lists[i] * (size_t)class_count + (size_t)c] = found = true;
    }
    if (!found)
      seer_told_add(told, false, label, "labels of the %s '%.80s' that the classifier does not have", what, list);
  }
  return member;
}

bool seer_label_list_is_known(const bool *member, int list, int class_count) {
  for (int c = 0; c < class_count; c++) {
    if (member[(size_t)list * (size_t)class_count + (size_t)c]) return true;
  }
  return false;
}
