// One walk over the pictures; values become numbers of classes, combinations pairs of numbers; see by.h.
#include "compiler/data/by.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/data/countries.h"
#include "compiler/data/list.h"
#include "compiler/data/tally.h"

// A column while it is counted. Classes are numbered from 1, 0: unknown.
typedef struct Input {
  const char *name;
  SeerIndexColumn column;
  bool is_label;
  uint32_t *class_of;  // by word, or by label + 1
  const char **texts;  // by class
  uint64_t *counts;    // by class
  uint32_t classes;    // the last
  Tally numbers;       // of a column of numbers: class - 1 by bits
} Input;

typedef struct Count {
  Arena *arena;
  const SeerIndex *index;
  Input inputs[DATA_BY_COLUMNS_MAX];
  int count;
  Tally combined[DATA_BY_COLUMNS_MAX];  // [i]: of columns 0 to i; keys (number in [i - 1] or class) << 32 | class
} Count;

bool by_is_country(const char *column) { return strcasecmp(column, "country") == 0; }

const char *by_value(const char *column, const char *text) {
  const Country *country = by_is_country(column) ? country_find(text, strlen(text)) : NULL;
  return country != NULL ? country->alpha2 : text;
}

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "out of memory to count the values of columns"); }

// ---- columns ----

static SeerStatus column_missing(const Count *count, const char *name) {
  Writer names = {0};
  for (int i = 0; i < seer_index_column_count(count->index); i++) {
    SeerIndexColumn column;
    SeerStatus status = seer_index_column_open(count->index, i, &column);
    if (status == SEER_OK && names.size < 400) {
      data_plain_text(&names, column.name, column.name_length);
      writer_text(&names, ", ");
    }
    seer_index_column_close(&column);
  }
  SeerStatus status = seer_fail(SEER_INPUT, "there is no column '%s'\nnote: there are %slabel", name,
                                names.text != NULL ? names.text : "");
  writer_release(&names);
  return status;
}

static SeerStatus column_find(const Count *count, Input *input) {
  size_t length = strlen(input->name);
  for (int i = 0; i < seer_index_column_count(count->index); i++) {
    SeerStatus status = seer_index_column_open(count->index, i, &input->column);
    if (status != SEER_OK) return status;
    if (input->column.name_length == length && memcmp(input->column.name, input->name, length) == 0) return SEER_OK;
    seer_index_column_close(&input->column);
    input->column = (SeerIndexColumn){0};
  }
  input->is_label = strcmp(input->name, "label") == 0;
  return input->is_label ? SEER_OK : column_missing(count, input->name);
}

static int text_compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The classes of a column of words, or of the labels: one each, but for countries one for all that mean the same.
static SeerStatus classes_make(Count *count, Input *input) {
  size_t words = input->is_label ? (size_t)seer_index_label_count(count->index) : (size_t)input->column.word_count;
  const char **found = arena_array(count->arena, const char *, words + 1);
  input->class_of = arena_array(count->arena, uint32_t, words + 1);
  input->texts = arena_array(count->arena, const char *, words + 1);
  for (size_t i = 1; i <= words; i++) {
    size_t length;
    const char *text = input->is_label ? seer_index_label(count->index, (int)i - 1, &length)
                                       : seer_index_column_text(&input->column, (uint32_t)i, &length);
    input->texts[i] = found[i] = by_value(input->name, arena_string(count->arena, text, length));
  }
  qsort(input->texts + 1, words, sizeof *input->texts, text_compare);
  for (size_t i = 1; i <= words; i++) {
    if (input->classes == 0 || strcmp(input->texts[input->classes], input->texts[i]) != 0)
      input->texts[++input->classes] = input->texts[i];
  }
  for (size_t i = 1; i <= words; i++) {
    const char **at = bsearch(&found[i], input->texts + 1, input->classes, sizeof *at, text_compare);
    if (at != NULL) input->class_of[i] = (uint32_t)(at - input->texts);
  }
  input->counts = arena_array(count->arena, uint64_t, input->classes + 1);
  return SEER_OK;
}

// ---- the walk ----

static SeerStatus number_class(Input *input, double number, uint32_t *class) {
  uint64_t bits;
  *class = 0;
  if (!isfinite(number)) return SEER_OK;
  number += 0.0;  // -0 is 0
  memcpy(&bits, &number, sizeof bits);
  if (!tally_add(&input->numbers, bits, class)) return no_memory();
  ++*class;
  if (input->numbers.count <= DATA_BY_NUMBERS_MAX) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "column '%s' has more than 65,536 different numbers\nnote: without --by its least, most and mean "
                   "are told",
                   input->name);
}

static SeerStatus picture_class(const Count *count, Input *input, int64_t picture, uint32_t *class) {
  SeerIndexEntry entry;
  SeerStatus status;
  if (input->is_label) {
    if (!seer_index_entry(count->index, picture, &entry))
      return seer_fail(SEER_INPUT, "'%s' is damaged\nnote: 'seerc data verify' tells where",
                       seer_index_path(count->index));
    *class = input->class_of[entry.label + 1];
  } else if (input->column.is_number) {
    double number;
    status = seer_index_column_number(&input->column, picture, &number);
    return status == SEER_OK ? number_class(input, number, class) : status;
  } else {
    uint32_t word;
    status = seer_index_column_word(&input->column, picture, &word);
    if (status != SEER_OK) return status;
    *class = input->class_of[word];
  }
  input->counts[*class]++;
  return SEER_OK;
}

static SeerStatus picture_count(Count *count, int64_t picture) {
  uint32_t before = 0, class, number;
  for (int i = 0; i < count->count; i++) {
    SeerStatus status = picture_class(count, &count->inputs[i], picture, &class);
    if (status != SEER_OK) return status;
    number = class;
    if (i > 0 && !tally_add(&count->combined[i], (uint64_t)before << 32 | class, &number)) return no_memory();
    if (i > 0 && count->combined[i].count > DATA_BY_COMBINATIONS_MAX)
      return seer_fail(SEER_INPUT, "there are more than 1,048,576 combinations of values\nnote: name fewer columns");
    before = number;
  }
  return SEER_OK;
}

// ---- tables ----

static int row_compare(const void *a, const void *b) {
  const ByRow *one = a, *other = b;
  if (one->count != other->count) return one->count < other->count ? 1 : -1;
  for (int i = 0;; i++) {  // no two rows have the same texts
    const char *text = one->texts[i], *other_text = other->texts[i];
    if (text == NULL || other_text == NULL) {
      if (text != other_text) return text == NULL ? 1 : -1;
      continue;
    }
    int order = strcmp(text, other_text);
    if (order != 0) return order;
  }
}

// After the walk: the texts of numbers, too.
static void numbers_name(Arena *arena, Input *input) {
  input->classes = input->numbers.count;
  input->texts = arena_array(arena, const char *, input->classes + 1);
  input->counts = arena_array(arena, uint64_t, input->classes + 1);
  for (uint32_t i = 0; i < input->classes; i++) {
    Writer text = {0};
    double number;
    memcpy(&number, &input->numbers.keys[i], sizeof number);
    if (number == floor(number) && fabs(number) < 9007199254740992.0)
      writer_printf(&text, "%.0f", number);
    else
      writer_json_number(&text, number);
    input->texts[i + 1] = arena_string(arena, text.text, text.size);
    input->counts[i + 1] = input->numbers.counts[i];
    writer_release(&text);
  }
}

static void column_table(Count *count, int number, ByTable *table) {
  Input *input = &count->inputs[number];
  uint64_t known = 0;
  if (input->column.is_number) numbers_name(count->arena, input);
  table->columns = 1;
  table->rows = arena_array(count->arena, ByRow, input->classes + 1);
  for (uint32_t class = 1; class <= input->classes; class ++) {
    if (input->counts[class] == 0) continue;
    table->rows[table->count++] = (ByRow){&input->texts[class], input->counts[class]};
    known += input->counts[class];
  }
  table->unknown = (uint64_t)seer_index_count(count->index) - known;
  if (table->count > 0) qsort(table->rows, table->count, sizeof *table->rows, row_compare);
}

static void combined_table(Count *count, ByTable *table) {
  const Tally *last = &count->combined[count->count - 1];
  table->columns = count->count;
  table->rows = arena_array(count->arena, ByRow, last->count + 1);
  for (uint32_t i = 0; i < last->count; i++) {
    const char **texts = arena_array(count->arena, const char *, count->count);
    uint32_t number = i;
    for (int column = count->count - 1; column > 0; column--) {
      uint64_t key = count->combined[column].keys[number];
      texts[column] = count->inputs[column].texts[(uint32_t)key];
      number = (uint32_t)(key >> 32);
    }
    texts[0] = count->inputs[0].texts[number];
    table->rows[table->count++] = (ByRow){texts, last->counts[i]};
  }
  if (table->count > 0) qsort(table->rows, table->count, sizeof *table->rows, row_compare);
}

SeerStatus by_count(Arena *arena, const SeerIndex *index, const char *const *columns, int count, ByTable *tables) {
  Count *counts = arena_new(arena, Count);
  *counts = (Count){.arena = arena, .index = index, .count = count};
  SeerStatus status = SEER_OK;
  for (int i = 0; status == SEER_OK && i < count; i++) {
    Input *input = &counts->inputs[i];
    input->name = columns[i];
    status = column_find(counts, input);
    if (status == SEER_OK && !input->column.is_number) status = classes_make(counts, input);
  }
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(index); i++) status = picture_count(counts, i);
  for (int i = 0; status == SEER_OK && i < count; i++) {
    tables[i] = (ByTable){.names = columns + i};
    column_table(counts, i, &tables[i]);
  }
  if (status == SEER_OK && count > 1) {
    tables[count] = (ByTable){.names = columns};
    combined_table(counts, &tables[count]);
  }
  for (int i = 0; i < count; i++) {
    seer_index_column_close(&counts->inputs[i].column);
    tally_release(&counts->inputs[i].numbers);
    tally_release(&counts->combined[i]);
  }
  return status;
}
