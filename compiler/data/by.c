// One walk over the pictures of an index; see by.h.
#include "compiler/data/by.h"

static SeerStatus too_many(const char *column) {
  if (column == NULL)
    return seer_fail(SEER_INPUT, "there are more than 1,048,576 combinations of values\nnote: name fewer columns");
  return seer_fail(SEER_INPUT,
                   "column '%s' has more than 65,536 different numbers\nnote: without --by its least, most and mean "
                   "are told",
                   column);
}

static SeerStatus pictures_count(const SeerIndex *index, const SeerColumns *columns, SeerCells *cells) {
  int count = seer_columns_count(columns);
  for (int64_t i = 0; i < seer_index_count(index); i++) {
    uint64_t codes[SEER_COLUMNS_MAX];
    SeerStatus status = seer_columns_look(columns, i, codes);
    if (status != SEER_OK) return status;
    if (!seer_cells_add(cells, codes, 1))
      return seer_fail(SEER_MACHINE, "out of memory to count the values of columns");
    if (cells->count > DATA_BY_COMBINATIONS_MAX) return too_many(count == 1 ? seer_columns_names(columns)[0] : NULL);
  }
  return SEER_OK;
}

SeerStatus by_count(const SeerIndex *index, const char *const *columns, int count, SeerComposition *composition) {
  SeerColumns *opened;
  SeerCells cells = {.width = count};
  SeerStatus status = seer_columns_open_index(index, columns, count, &opened);
  *composition = (SeerComposition){.columns = 0};
  if (status != SEER_OK) return status;
  status = pictures_count(index, opened, &cells);
  if (status == SEER_OK)
    status = seer_composition_make(&cells, 0, columns, count, seer_composition_text, opened, composition);
  for (int i = 0; i < count && status == SEER_OK; i++) {
    if (seer_columns_is_number(opened, i) && composition->tables[i].count > DATA_BY_NUMBERS_MAX)
      status = too_many(columns[i]);
  }
  seer_cells_release(&cells);
  seer_columns_close(opened);
  return status;
}
