// Small tables in memory; see grid.h.
#include "runtime/evaluate/grid.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/data/table.h"

static bool grid_grow(SeerGrid *grid) {
  if (grid->rows + 1 < grid->capacity) return true;
  int64_t capacity = grid->capacity ? 2 * grid->capacity : 64;
  char **cells = realloc(grid->cells, (size_t)capacity * (size_t)grid->columns * sizeof *cells);
  if (cells) grid->cells = cells;
  uint64_t *lines = realloc(grid->lines, (size_t)capacity * sizeof *lines);
  if (lines) grid->lines = lines;
  if (cells && lines) grid->capacity = capacity;
  return cells && lines;
}

static SeerStatus names_check(const SeerGrid *grid) {
  for (int i = 0; i < grid->columns; i++) {
    if (!*seer_grid_name(grid, i)) return table_fail(grid->path, grid->lines[0], "has a column without a name", NULL);
    if (seer_grid_column(grid, seer_grid_name(grid, i)) < i)
      return table_fail(grid->path, grid->lines[0], "names a column twice", seer_grid_name(grid, i));
  }
  return SEER_OK;
}

// The first row is row -1 while it is read.
static SeerStatus row_take(SeerGrid *grid, TableKind kind, TableRow *row) {
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  const char *fault;
  int count = table_split(kind, row->bytes, row->length, fields, &fault);
  if (count < 0) return table_fail(grid->path, row->line, fault, NULL);
  if (!grid->columns) grid->columns = count;
  if (count != grid->columns)
    return table_fail(grid->path, row->line, "has not as many fields as the first row",
                      "fields that hold delimiters are quoted");
  if (!grid_grow(grid)) return seer_fail(SEER_MACHINE, "no memory for the rows of '%s'", grid->path);
  grid->rows++;
  grid->lines[grid->rows] = row->line;
  char **cells = grid->cells + grid->rows * grid->columns;
  bool made = true;
  for (int i = 0; i < count; i++) {
    const char *text = fields[i] + strspn(fields[i], " \t");
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t')) length--;
    made &= (cells[i] = strndup(text, length)) != NULL;
  }
  if (!made) return seer_fail(SEER_MACHINE, "no memory for the rows of '%s'", grid->path);
  return grid->rows == 0 ? names_check(grid) : SEER_OK;
}

SeerStatus seer_grid_load(const char *path, SeerGrid *grid) {
  TableReader reader;
  TableRow row = {0};
  TableKind kind = table_kind_of(path);
  *grid = (SeerGrid){.path = path, .rows = -1};
  if (kind != TABLE_CSV && kind != TABLE_TSV)
    return seer_fail(SEER_INPUT, "'%s' is no table that can be read here\nnote: it ends in .csv or .tsv", path);
  SeerStatus status = table_open(&reader, path, kind);
  do {
    if (!status) status = table_next(&reader, &row);
    if (!status && row.bytes) status = row_take(grid, kind, &row);
  } while (!status && row.bytes);
  table_close(&reader);
  if (!status && grid->rows < 1)
    status =
        seer_fail(SEER_INPUT, "'%s' has no rows%s", path, grid->rows < 0 ? "" : " behind the names of its columns");
  if (status) seer_grid_release(grid);
  return status;
}

void seer_grid_release(SeerGrid *grid) {
  for (int64_t i = 0; i < (grid->rows + 1) * grid->columns; i++) free(grid->cells[i]);
  free(grid->cells);
  free(grid->lines);
  *grid = (SeerGrid){.rows = -1};
}

const char *seer_grid_name(const SeerGrid *grid, int column) { return grid->cells[column]; }

int seer_grid_column(const SeerGrid *grid, const char *name) {
  for (int i = 0; i < grid->columns; i++) {
    if (strcasecmp(seer_grid_name(grid, i), name) == 0) return i;
  }
  return -1;
}

const char *seer_grid_cell(const SeerGrid *grid, int64_t row, int column) {
  return column < 0 ? "" : grid->cells[(row + 1) * grid->columns + column];
}

SeerStatus seer_grid_fail(const SeerGrid *grid, int64_t row, const char *what, const char *note) {
  return table_fail(grid->path, grid->lines[row + 1], what, note);
}
