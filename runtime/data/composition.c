// From counted codes to tables of texts; see composition.h.
#include "runtime/data/composition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/shares.h"

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "out of memory to count the values of columns"); }

typedef struct Making {
  const char *const *names;
  int columns;
  SeerCodeText *text;
  const void *context;
  SeerComposition *result;
  SeerCells combined;  // of all columns, without levels
  SeerCells single[SEER_COLUMNS_MAX];
  const char **texts[SEER_COLUMNS_MAX];  // by number in `single`; NULL: unknown
} Making;

// One row each: by frequency, then by text; an unknown value comes behind all others.
static int row_compare(const void *a, const void *b, void *columns) {
  const SeerRow *one = a, *other = b;
  if (one->count != other->count) return one->count < other->count ? 1 : -1;
  for (int i = 0; i < *(const int *)columns; i++) {
    const char *text = one->texts[i], *other_text = other->texts[i];
    if (text == NULL || other_text == NULL) {
      if (text != other_text) return text == NULL ? 1 : -1;
      continue;
    }
    int order = strcmp(text, other_text);
    if (order != 0) return order;
  }
  return 0;
}

static void table_sort(SeerTable *table) {
  if (table->count > 0) qsort_r(table->rows, table->count, sizeof *table->rows, row_compare, &table->columns);
}

static SeerStatus cells_collapse(const SeerCells *cells, uint64_t least_level, Making *making) {
  bool has_level = cells->width > making->columns;
  for (uint32_t i = 0; i < cells->count; i++) {
    const uint64_t *key = seer_cells_key(cells, i);
    if (has_level && key[making->columns] < least_level) continue;
    bool added = seer_cells_add(&making->combined, key, cells->counts[i]);
    for (int column = 0; column < making->columns && added; column++)
      added = seer_cells_add(&making->single[column], &key[column], cells->counts[i]);
    if (!added) return no_memory();
    making->result->pictures += cells->counts[i];
  }
  return SEER_OK;
}

static SeerStatus texts_make(Making *making, int column) {
  const SeerCells *single = &making->single[column];
  SeerComposition *result = making->result;
  char **grown = realloc(result->texts, (result->text_count + single->count + 1) * sizeof *grown);
  if (grown == NULL) return no_memory();
  result->texts = grown;
  making->texts[column] = calloc((size_t)single->count + 1, sizeof *making->texts[column]);
  if (making->texts[column] == NULL) return no_memory();
  for (uint32_t i = 0; i < single->count; i++) {
    char room[SEER_NUMBER_BYTES];
    const char *text = making->text(making->context, column, *seer_cells_key(single, i), room);
    if (text == NULL) continue;
    char *copy = strdup(text);
    if (copy == NULL) return no_memory();
    making->texts[column][i] = result->texts[result->text_count++] = copy;
  }
  return SEER_OK;
}

// Room for `count` rows of `columns` texts each, the texts behind the rows.
static SeerStatus rows_make(SeerTable *table, size_t count) {
  table->rows = calloc(count + 1, sizeof *table->rows + (size_t)table->columns * sizeof(char *));
  if (table->rows == NULL) return no_memory();
  const char **texts = (const char **)(void *)(table->rows + count + 1);
  for (size_t i = 0; i < count; i++) table->rows[i].texts = texts + i * (size_t)table->columns;
  return SEER_OK;
}

static SeerStatus column_table(const Making *making, int column) {
  const SeerCells *single = &making->single[column];
  SeerTable *table = &making->result->tables[column];
  *table = (SeerTable){.names = making->names + column, .columns = 1};
  SeerStatus status = rows_make(table, single->count);
  for (uint32_t i = 0; i < single->count && status == SEER_OK; i++) {
    if (making->texts[column][i] == NULL) {
      table->unknown += single->counts[i];
      continue;
    }
    SeerRow *row = &table->rows[table->count++];
    row->texts[0] = making->texts[column][i];
    row->count = single->counts[i];
  }
  if (status == SEER_OK) table_sort(table);
  return status;
}

static SeerStatus combined_table(const Making *making) {
  const SeerCells *combined = &making->combined;
  SeerTable *table = &making->result->tables[making->columns];
  *table = (SeerTable){.names = making->names, .columns = making->columns};
  SeerStatus status = rows_make(table, combined->count);
  for (uint32_t i = 0; i < combined->count && status == SEER_OK; i++) {
    const uint64_t *key = seer_cells_key(combined, i);
    SeerRow *row = &table->rows[table->count++];
    for (int column = 0; column < making->columns; column++)
      row->texts[column] = making->texts[column][seer_cells_find(&making->single[column], &key[column])];
    row->count = combined->counts[i];
  }
  if (status == SEER_OK) table_sort(table);
  return status;
}

SeerStatus seer_composition_make(const SeerCells *cells, uint64_t least_level, const char *const *names, int columns,
                                 SeerCodeText *text, const void *context, SeerComposition *composition) {
  Making making = {.names = names,
                   .columns = columns,
                   .text = text,
                   .context = context,
                   .result = composition,
                   .combined = {.width = columns}};
  *composition = (SeerComposition){.columns = columns};
  for (int i = 0; i < columns; i++) making.single[i].width = 1;
  SeerStatus status = cells_collapse(cells, least_level, &making);
  for (int i = 0; i < columns && status == SEER_OK; i++) status = texts_make(&making, i);
  for (int i = 0; i < columns && status == SEER_OK; i++) status = column_table(&making, i);
  if (status == SEER_OK && columns > 1) status = combined_table(&making);
  for (int i = 0; i < columns; i++) {
    seer_cells_release(&making.single[i]);
    free(making.texts[i]);
  }
  seer_cells_release(&making.combined);
  if (status != SEER_OK) seer_composition_release(composition);
  return status;
}

void seer_composition_release(SeerComposition *composition) {
  for (size_t i = 0; i < composition->text_count; i++) free(composition->texts[i]);
  free(composition->texts);
  for (int i = 0; i <= SEER_COLUMNS_MAX; i++) free(composition->tables[i].rows);
  *composition = (SeerComposition){.columns = 0};
}

const char *seer_composition_text(const void *columns, int column, uint64_t code, char room[SEER_NUMBER_BYTES]) {
  return seer_columns_text(columns, column, code, room);
}

// ---- what is told of a table ----

const Country *seer_row_country(const SeerTable *table, const SeerRow *row) {
  bool is_country = table->columns == 1 && seer_column_is_country(table->names[0]);
  return is_country ? country_find(row->texts[0], strlen(row->texts[0])) : NULL;
}

size_t seer_table_countries(const SeerTable *table) {
  size_t count = 0;
  for (size_t i = 0; i < table->count; i++) count += seer_row_country(table, &table->rows[i]) != NULL;
  return count;
}

double seer_table_entropy(const SeerTable *table) {
  double all = 0, entropy = 0;
  for (size_t i = 0; i < table->count; i++) all += (double)table->rows[i].count;
  for (size_t i = 0; i < table->count; i++) {
    double share = (double)table->rows[i].count / all;
    entropy -= share * log(share);
  }
  return table->count == 0 ? (double)NAN : table->count == 1 ? 0 : entropy / log((double)table->count);
}

// ---- comparison ----

static int text_find(const void *wanted, const void *text) { return strcmp(wanted, *(const char *const *)text); }

static void comparison_fill(const SeerTable *table, const SeerReference *reference, bool *met,
                            SeerComparison *comparison) {
  double sum = 0;
  for (size_t i = 0; i < reference->count; i++) sum += reference->weights[i];
  for (size_t i = 0; i < table->count; i++) {
    const SeerRow *row = &table->rows[i];
    const char *const *at = bsearch(row->texts[0], reference->texts, reference->count, sizeof *at, text_find);
    comparison->texts[i] = row->texts[0];
    comparison->counts[i] = row->count;
    comparison->shares[i] = (double)row->count / (double)comparison->known;
    if (at == NULL) continue;
    met[at - reference->texts] = true;
    comparison->reference[i] = reference->weights[at - reference->texts] / sum;
  }
  comparison->count = table->count;
  for (size_t i = 0; i < reference->count; i++) {
    if (met[i]) continue;
    comparison->texts[comparison->count] = reference->texts[i];
    comparison->reference[comparison->count++] = reference->weights[i] / sum;
  }
}

SeerStatus seer_comparison_make(const SeerTable *table, uint64_t pictures, const SeerReference *reference,
                                SeerComparison *comparison) {
  size_t room = table->count + reference->count + 1;
  bool *met = calloc(reference->count + 1, sizeof *met);
  *comparison = (SeerComparison){.texts = calloc(room, sizeof *comparison->texts),
                                 .counts = calloc(room, sizeof *comparison->counts),
                                 .shares = calloc(room, sizeof *comparison->shares),
                                 .reference = calloc(room, sizeof *comparison->reference),
                                 .known = pictures - table->unknown,
                                 .distance = (double)NAN,
                                 .divergence = (double)NAN};
  bool made = met != NULL && comparison->texts != NULL && comparison->counts != NULL && comparison->shares != NULL &&
              comparison->reference != NULL;
  if (made) comparison_fill(table, reference, met, comparison);
  free(met);
  if (!made) {
    seer_comparison_release(comparison);
    return no_memory();
  }
  if (comparison->known == 0) return SEER_OK;
  comparison->distance = shares_distance(comparison->shares, comparison->reference, comparison->count);
  comparison->divergence = shares_divergence(comparison->shares, comparison->reference, comparison->count);
  return SEER_OK;
}

void seer_comparison_release(SeerComparison *comparison) {
  free(comparison->texts);
  free(comparison->counts);
  free(comparison->shares);
  free(comparison->reference);
  *comparison = (SeerComparison){.texts = NULL};
}

bool seer_comparison_is_absent(const SeerComparison *comparison, size_t i, bool from_data) {
  double there = from_data ? comparison->reference[i] : comparison->shares[i];
  double absent = from_data ? comparison->shares[i] : comparison->reference[i];
  return there > 0 && absent == 0;
}
