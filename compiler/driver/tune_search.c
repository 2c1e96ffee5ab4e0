// See tune_search.h.
#include "compiler/driver/tune_search.h"

#include <string.h>

#include "codegen/c/tuning.h"
#include "codegen/cuda/tuning.h"

// Of target c. What most of a step's time depends on comes first, since time may run out. Matrix products are left out:
// the layers that use them are a small part of any network that seer trains.
static const int searched[] = {
    TUNING_ROW_conv_pixels,         TUNING_ROW_weight_pixels,      TUNING_ROW_conv_plane_floats,
    TUNING_ROW_weight_plane_floats, TUNING_ROW_conv_ahead_pixels,  TUNING_ROW_weight_ahead_pixels,
    TUNING_ROW_weight_depth,        TUNING_ROW_weight_width,       TUNING_ROW_sum_floats,
    TUNING_ROW_task_floats,         TUNING_ROW_conv_output_floats, TUNING_ROW_conv_point_channels,
    TUNING_ROW_conv_tasks,          TUNING_ROW_weight_tasks};
enum { SEARCHED = sizeof searched / sizeof *searched };

// The rows to try, in order: of target cuda all of the table.
static int count_searched(const TuningTable *table) { return table == &cuda_tuning_table ? table->count : SEARCHED; }
static int searched_row(const TuningTable *table, int i) { return table == &cuda_tuning_table ? i : searched[i]; }

static bool same_kernels(const TuningTable *table, int a, int b) {
  const char *first = table->rows[a].name, *second = table->rows[b].name;
  size_t length = strcspn(first, "_");
  return length == strcspn(second, "_") && strncmp(first, second, length) == 0;
}

// Measured one way or the other since a parameter of the same kernels was changed last.
static bool is_known(const TuningFile *file, int row, int64_t from, int64_t to) {
  for (size_t i = file->count; i > 0; i--) {
    const TuningMeasure *m = &file->items[i - 1];
    if (!same_kernels(file->values.table, m->row, row)) continue;
    if (m->row == row && ((m->from == from && m->to == to) || (m->from == to && m->to == from))) return true;
    if (m->kept) return false;
  }
  return false;
}

static bool is_refused(const TuneCandidate *refused, int count, int row, int64_t value) {
  for (int i = 0; i < count; i++) {
    if (refused[i].row == row && refused[i].value == value) return true;
  }
  return false;
}

bool tune_search_next(const TuningFile *file, const TuneCandidate *refused, int refused_count, TuneCandidate *next) {
  static const struct { int64_t times, by; } steps[][2] = {{{2, 1}, {1, 2}}, {{3, 2}, {3, 4}}};
  const TuningTable *table = file->values.table;
  for (size_t round = 0; round < sizeof steps / sizeof *steps; round++)
    for (int i = 0; i < count_searched(table); i++)
      for (int k = 0; k < 2; k++) {
        int row = searched_row(table, i);
        int64_t from = file->values.values[row];
        int64_t wanted = from ? from * steps[round][k].times / steps[round][k].by : table->rows[row].unit;
        int64_t to = tuning_allowed(&table->rows[row], wanted);
        if (to == from || is_known(file, row, from, to) || is_refused(refused, refused_count, row, to)) continue;
        *next = (TuneCandidate){row, to};
        return true;
      }
  return false;
}
