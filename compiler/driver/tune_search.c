// See tune_search.h.
#include "compiler/driver/tune_search.h"

#include <string.h>

// What most of a step's time depends on comes first, since time may run out. Matrix products are left out: the layers
// that use them are a small part of any network that seer trains.
static const int searched[] = {
    TUNING_ROW_conv_pixels,         TUNING_ROW_weight_pixels,      TUNING_ROW_conv_plane_floats,
    TUNING_ROW_weight_plane_floats, TUNING_ROW_conv_ahead_pixels,  TUNING_ROW_weight_ahead_pixels,
    TUNING_ROW_weight_depth,        TUNING_ROW_weight_width,       TUNING_ROW_sum_floats,
    TUNING_ROW_task_floats,         TUNING_ROW_conv_output_floats, TUNING_ROW_conv_point_channels,
    TUNING_ROW_conv_tasks,          TUNING_ROW_weight_tasks};
enum { SEARCHED = sizeof searched / sizeof *searched };

static bool same_kernels(int a, int b) {
  const char *first = tuning_rows[a].name, *second = tuning_rows[b].name;
  size_t length = strcspn(first, "_");
  return length == strcspn(second, "_") && strncmp(first, second, length) == 0;
}

// Measured one way or the other since a parameter of the same kernels was changed last.
static bool is_known(const TuningFile *file, int row, int64_t from, int64_t to) {
  for (size_t i = file->count; i > 0; i--) {
    const TuningMeasure *m = &file->items[i - 1];
    if (!same_kernels(m->row, row)) continue;
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

// A value near `wanted` that the row may have.
static int64_t allowed(const TuningRow *row, int64_t wanted) {
  int64_t value = wanted / row->unit * row->unit;
  int64_t least = (row->least + row->unit - 1) / row->unit * row->unit, most = row->most / row->unit * row->unit;
  return value < least ? least : value > most ? most : value;
}

bool tune_search_next(const TuningFile *file, const TuneCandidate *refused, int refused_count, TuneCandidate *next) {
  static const struct { int64_t times, by; } steps[][2] = {{{2, 1}, {1, 2}}, {{3, 2}, {3, 4}}};
  KernelTuning values = file->values;
  for (size_t round = 0; round < sizeof steps / sizeof *steps; round++)
    for (int i = 0; i < SEARCHED; i++)
      for (int k = 0; k < 2; k++) {
        int row = searched[i];
        int64_t from = *tuning_value(&values, row);
        int64_t wanted = from ? from * steps[round][k].times / steps[round][k].by : tuning_rows[row].unit;
        int64_t to = allowed(&tuning_rows[row], wanted);
        if (to == from || is_known(file, row, from, to) || is_refused(refused, refused_count, row, to)) continue;
        *next = (TuneCandidate){row, to};
        return true;
      }
  return false;
}
