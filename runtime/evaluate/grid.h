// A small table in memory: CSV or TSV whose first row names the columns.
#ifndef SEER_RUNTIME_EVALUATE_GRID_H
#define SEER_RUNTIME_EVALUATE_GRID_H

#include <stdint.h>

#include "runtime/status.h"

typedef struct SeerGrid {
  const char *path;  // as it was given
  int columns;
  int64_t rows, capacity;
  char **cells;     // [1 + rows][columns], the names of columns first; "": empty
  uint64_t *lines;  // [1 + rows]
} SeerGrid;

// SEER_INPUT names file and line: of rows of another length than the first, columns without a name or named twice.
SeerStatus seer_grid_load(const char *path, SeerGrid *grid);
void seer_grid_release(SeerGrid *grid);
// In any case of letters; -1: there is none.
int seer_grid_column(const SeerGrid *grid, const char *name);
const char *seer_grid_name(const SeerGrid *grid, int column);
// "" for column -1.
const char *seer_grid_cell(const SeerGrid *grid, int64_t row, int column);
// Records "line LINE of 'PATH' WHAT" for a row. SEER_INPUT.
SeerStatus seer_grid_fail(const SeerGrid *grid, int64_t row, const char *what, const char *note);

#endif
