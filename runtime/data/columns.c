// Columns of several indices under one numbering; see columns.h.
#include "runtime/data/columns.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/countries.h"

typedef enum PartKind { PART_NONE, PART_WORDS, PART_NUMBERS, PART_LABELS } PartKind;

// What one index, or all that is in none, has of a column.
typedef struct Part {
  PartKind kind;
  SeerIndexColumn column;  // of words or numbers
  uint32_t *class_of;      // by word, or by label + 1; 0: none
} Part;

typedef struct Column {
  const char *name;
  bool is_number;
  Part *parts;                         // [indices + 1], the last: of pictures that are in no index
  char **texts;                        // by class, from 1
  uint32_t classes, sorted, capacity;  // the last; the last of those in order
} Column;

struct SeerColumns {
  const SeerSource *source;  // NULL: one index alone
  const SeerIndex **indices;
  int index_count;
  const char *const *names;
  Column *items;
  int count;
};

bool seer_column_is_country(const char *name) { return strcasecmp(name, "country") == 0; }

const char *seer_column_value(const char *name, const char *text) {
  const Country *country = seer_column_is_country(name) ? country_find(text, strlen(text)) : NULL;
  return country != NULL ? country->alpha2 : text;
}

uint64_t seer_number_code(double number) {
  uint64_t bits;
  if (!isfinite(number)) return SEER_CODE_UNKNOWN;
  number += 0.0;  // -0 is 0, so no number has the code of unknown
  memcpy(&bits, &number, sizeof bits);
  return bits ^ UINT64_C(1) << 63;
}

double seer_code_number(uint64_t code) {
  double number;
  code ^= UINT64_C(1) << 63;
  memcpy(&number, &code, sizeof number);
  return number;
}

// ---- words ----

static SeerStatus text_add(Column *column, const char *text, size_t length) {
  if (column->classes + 1 >= column->capacity) {
    uint32_t capacity = column->capacity > 0 ? 2 * column->capacity : 64;
    char **grown = realloc(column->texts, capacity * sizeof *grown);
    if (grown == NULL) return seer_no_memory("the values of columns");
    column->texts = grown;
    column->capacity = capacity;
    column->texts[0] = NULL;
  }
  char *copy = strndup(text, length);
  if (copy == NULL) return seer_no_memory("the values of columns");
  const char *value = seer_column_value(column->name, copy);
  if (value != copy) {
    free(copy);
    copy = strdup(value);
    if (copy == NULL) return seer_no_memory("the values of columns");
  }
  column->texts[++column->classes] = copy;
  return SEER_OK;
}

static int text_compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void texts_sort(Column *column) {
  if (column->classes > 0) qsort(column->texts + 1, column->classes, sizeof *column->texts, text_compare);
  uint32_t kept = 0;
  for (uint32_t i = 1; i <= column->classes; i++) {
    if (kept > 0 && strcmp(column->texts[kept], column->texts[i]) == 0)
      free(column->texts[i]);
    else
      column->texts[++kept] = column->texts[i];
  }
  column->classes = column->sorted = kept;
}

// 0: it is none of them.
static uint32_t class_find(const Column *column, const char *text) {
  uint32_t low = 1, high = column->sorted;
  while (low <= high) {
    uint32_t middle = low + (high - low) / 2;
    int order = strcmp(text, column->texts[middle]);
    if (order == 0) return middle;
    if (order < 0)
      high = middle - 1;
    else
      low = middle + 1;
  }
  for (uint32_t i = column->sorted + 1; i <= column->classes; i++) {
    if (strcmp(text, column->texts[i]) == 0) return i;
  }
  return 0;
}

// The i-th word of a part, from 0; lengths in *length.
static const char *part_word(const SeerColumns *columns, const Part *part, int number, size_t i, size_t *length) {
  if (part->kind == PART_WORDS) return seer_index_column_text(&part->column, (uint32_t)i + 1, length);
  if (number < columns->index_count) return seer_index_label(columns->indices[number], (int)i, length);
  const char *text = seer_source_label_name(columns->source, (int32_t)i);
  *length = strlen(text);
  return text;
}

static size_t part_words(const SeerColumns *columns, const Part *part, int number) {
  if (part->kind == PART_WORDS) return (size_t)part->column.word_count;
  if (part->kind != PART_LABELS) return 0;
  return number < columns->index_count ? (size_t)seer_index_label_count(columns->indices[number])
                                       : (size_t)seer_source_label_count(columns->source);
}

static SeerStatus classes_make(const SeerColumns *columns, Column *column) {
  SeerStatus status = SEER_OK;
  size_t length;
  for (int p = 0; p <= columns->index_count; p++) {
    const Part *part = &column->parts[p];
    size_t words = part_words(columns, part, p);
    for (size_t i = 0; i < words && status == SEER_OK; i++) {
      const char *text = part_word(columns, part, p, i, &length);
      status = text_add(column, text, length);
    }
  }
  texts_sort(column);
  for (int p = 0; p <= columns->index_count && status == SEER_OK; p++) {
    Part *part = &column->parts[p];
    size_t words = part_words(columns, part, p);
    part->class_of = calloc(words + 1, sizeof *part->class_of);
    if (part->class_of == NULL) return seer_no_memory("the values of columns");
    for (size_t i = 0; i < words; i++) {
      const char *text = part_word(columns, part, p, i, &length);
      char *copy = strndup(text, length);
      if (copy == NULL) return seer_no_memory("the values of columns");
      part->class_of[i + 1] = class_find(column, seer_column_value(column->name, copy));
      free(copy);
    }
  }
  return status;
}

// ---- opening ----

static void name_append(char *names, size_t room, const char *name, size_t length) {
  size_t used = strlen(names);
  if (used + length + 3 > room) return;
  for (size_t i = 0; i < length; i++) names[used++] = (unsigned char)name[i] < 32 ? '?' : name[i];
  memcpy(names + used, ", ", 3);
}

static SeerStatus column_missing(const SeerColumns *columns, const char *name) {
  char names[512] = "";
  if (columns->index_count == 0)
    return seer_fail(SEER_INPUT,
                     "there is no column '%s': pictures of folders, archives and IDX files have labels alone\nnote: "
                     "make an index of them with their metadata: seerc data index",
                     name);
  for (int i = 0; i < columns->index_count; i++) {
    for (int number = 0; number < seer_index_column_count(columns->indices[i]); number++) {
      SeerIndexColumn column;
      char quoted[128];
      if (seer_index_column_open(columns->indices[i], number, &column) != SEER_OK) return SEER_INPUT;
      int length = snprintf(quoted, sizeof quoted, "%.*s, ", (int)column.name_length, column.name);
      if (length < (int)sizeof quoted && strstr(names, quoted) == NULL)
        name_append(names, sizeof names, column.name, column.name_length);
      seer_index_column_close(&column);
    }
  }
  return seer_fail(SEER_INPUT, "there is no column '%s'\nnote: there are %slabel", name, names);
}

static SeerStatus part_find(const SeerIndex *index, const char *name, Part *part) {
  size_t length = strlen(name);
  for (int i = 0; i < seer_index_column_count(index); i++) {
    SeerStatus status = seer_index_column_open(index, i, &part->column);
    bool found =
        status == SEER_OK && part->column.name_length == length && memcmp(part->column.name, name, length) == 0;
    if (found) {
      part->kind = part->column.is_number ? PART_NUMBERS : PART_WORDS;
      return SEER_OK;
    }
    seer_index_column_close(&part->column);
    part->column = (SeerIndexColumn){.index = NULL};
    if (status != SEER_OK) return status;
  }
  return SEER_OK;
}

static SeerStatus column_open(const SeerColumns *columns, const char *name, Column *column) {
  const char *words = NULL, *numbers = NULL;
  column->name = name;
  column->parts = calloc((size_t)columns->index_count + 1, sizeof *column->parts);
  if (column->parts == NULL) return seer_no_memory("columns of an index");
  bool is_label = strcmp(name, "label") == 0;
  for (int i = 0; i < columns->index_count; i++) {
    Part *part = &column->parts[i];
    SeerStatus status = part_find(columns->indices[i], name, part);
    if (status != SEER_OK) return status;
    if (part->kind == PART_NUMBERS) numbers = seer_index_path(columns->indices[i]);
    if (part->kind == PART_WORDS) words = seer_index_path(columns->indices[i]);
  }
  if (words != NULL && numbers != NULL)
    return seer_fail(SEER_INPUT,
                     "column '%s' holds numbers in '%s' and words in '%s'\nnote: make one index of both, or name "
                     "another column",
                     name, numbers, words);
  if (words == NULL && numbers == NULL && !is_label) return column_missing(columns, name);
  column->is_number = numbers != NULL;
  for (int i = 0; i <= columns->index_count && is_label && !column->is_number; i++) {
    Part *part = &column->parts[i];
    bool is_there = i < columns->index_count || columns->source != NULL;
    if (part->kind == PART_NONE && is_there) part->kind = PART_LABELS;
  }
  return classes_make(columns, column);
}

static SeerStatus columns_make(const SeerSource *source, const SeerIndex *const *indices, int index_count,
                               const char *const *names, int count, SeerColumns **columns) {
  SeerColumns *made = calloc(1, sizeof *made);
  *columns = NULL;
  if (made == NULL) return seer_no_memory("columns of an index");
  *made = (SeerColumns){.source = source,
                        .indices = calloc((size_t)index_count + 1, sizeof *made->indices),
                        .names = names,
                        .items = calloc((size_t)count + 1, sizeof *made->items)};
  SeerStatus status = made->indices != NULL && made->items != NULL ? SEER_OK : seer_no_memory("columns of an index");
  for (int i = 0; i < index_count && status == SEER_OK; i++) made->indices[made->index_count++] = indices[i];
  for (int i = 0; i < count && status == SEER_OK; i++) {
    made->count++;
    status = column_open(made, names[i], &made->items[i]);
  }
  if (status != SEER_OK) {
    seer_columns_close(made);
    return status;
  }
  *columns = made;
  return SEER_OK;
}

SeerStatus seer_columns_open(const SeerSource *source, const char *const *names, int count, SeerColumns **columns) {
  const SeerIndex **indices = calloc((size_t)source->indexed_count + 1, sizeof *indices);
  *columns = NULL;
  if (indices == NULL) return seer_no_memory("columns of an index");
  for (int i = 0; i < source->indexed_count; i++) indices[i] = source->indexed[i].index;
  SeerStatus status = columns_make(source, indices, source->indexed_count, names, count, columns);
  free(indices);
  return status;
}

SeerStatus seer_columns_open_index(const SeerIndex *index, const char *const *names, int count, SeerColumns **columns) {
  return columns_make(NULL, &index, 1, names, count, columns);
}

void seer_columns_close(SeerColumns *columns) {
  if (columns == NULL) return;
  for (int i = 0; columns->items != NULL && i < columns->count; i++) {
    Column *column = &columns->items[i];
    for (int p = 0; column->parts != NULL && p <= columns->index_count; p++) {
      seer_index_column_close(&column->parts[p].column);
      free(column->parts[p].class_of);
    }
    for (uint32_t class = 1; class <= column->classes; class ++) free(column->texts[class]);
    free(column->texts);
    free(column->parts);
  }
  free(columns->items);
  free(columns->indices);
  free(columns);
}

int seer_columns_count(const SeerColumns *columns) { return columns->count; }

const char *const *seer_columns_names(const SeerColumns *columns) { return columns->names; }

bool seer_columns_is_number(const SeerColumns *columns, int column) { return columns->items[column].is_number; }

// ---- looking up ----

static SeerStatus label_code(const SeerColumns *columns, const Part *part, int number, int64_t picture,
                             uint64_t *code) {
  SeerIndexEntry entry;
  if (number == columns->index_count) {
    *code = part->class_of[seer_source_label(columns->source, picture) + 1];
    return SEER_OK;
  }
  if (!seer_index_entry(columns->indices[number], picture, &entry))
    return seer_fail(SEER_INPUT, "'%s' is damaged\nnote: 'seerc data verify' tells where",
                     seer_index_path(columns->indices[number]));
  *code = part->class_of[entry.label + 1];
  return SEER_OK;
}

static SeerStatus part_code(const SeerColumns *columns, Part *part, int number, int64_t picture, uint64_t *code) {
  uint32_t word = 0;
  double value = 0;
  SeerStatus status = SEER_OK;
  *code = SEER_CODE_UNKNOWN;
  switch (part->kind) {
    case PART_NONE: break;
    case PART_LABELS: return label_code(columns, part, number, picture, code);
    case PART_NUMBERS:
      status = seer_index_column_number(&part->column, picture, &value);
      if (status == SEER_OK) *code = seer_number_code(value);
      break;
    case PART_WORDS:
      status = seer_index_column_word(&part->column, picture, &word);
      if (status == SEER_OK) *code = part->class_of[word];
      break;
  }
  return status;
}

SeerStatus seer_columns_look(const SeerColumns *columns, int64_t picture, uint64_t *codes) {
  int number = 0;
  int64_t place = picture;
  if (columns->source != NULL) {
    const SeerIndexed *indexed = seer_indexed_find(columns->source, picture, &place);
    number = indexed != NULL ? (int)(indexed - columns->source->indexed) : columns->index_count;
    if (indexed == NULL) place = picture;
  }
  SeerStatus status = SEER_OK;
  for (int i = 0; i < columns->count && status == SEER_OK; i++)
    status = part_code(columns, &columns->items[i].parts[number], number, place, &codes[i]);
  return status;
}

const char *seer_number_text(double number, char room[SEER_NUMBER_BYTES]) {
  if (number == floor(number) && fabs(number) < 9007199254740992.0) {
    snprintf(room, SEER_NUMBER_BYTES, "%" PRId64, (int64_t)number);
    return room;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(room, SEER_NUMBER_BYTES, "%.*g", digits, number);
    if (strtod(room, NULL) == number) break;
  }
  return room;
}

const char *seer_columns_text(const SeerColumns *columns, int column, uint64_t code, char room[SEER_NUMBER_BYTES]) {
  if (code == SEER_CODE_UNKNOWN) return NULL;
  if (code == SEER_CODE_OTHERS) return "(others)";
  const Column *of = &columns->items[column];
  return of->is_number ? seer_number_text(seer_code_number(code), room) : of->texts[code];
}

SeerStatus seer_columns_code(SeerColumns *columns, int column, const char *text, uint64_t *code) {
  Column *of = &columns->items[column];
  *code = class_find(of, text);
  if (*code != 0) return SEER_OK;
  SeerStatus status = text_add(of, text, strlen(text));
  if (status == SEER_OK) *code = of->classes;
  return status;
}
