// See tune_search.h.
#include "compiler/driver/tune_search.h"

#include <stdlib.h>
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

// By the first word of its name: the kernels of a row, or those of seer that a layer of row -1 has.
static const char *kernels_of(const TuningTable *table, int row, const LayerShape *layer) {
  if (row >= 0) return table->rows[row].name;
  bool convolves = layer->kind == OP_conv2d || layer->kind == OP_conv2d_backward_input;
  return convolves ? "conv_" : layer->kind == OP_conv2d_backward_weight ? "weight_" : "none_";
}

static bool same_kernels(const char *first, const char *second) {
  size_t length = strcspn(first, "_");
  return length == strcspn(second, "_") && strncmp(first, second, length) == 0;
}

static bool same_place(int a_row, const LayerShape *a, int b_row, const LayerShape *b) {
  return a_row == b_row && (a_row >= 0 || layer_shape_same(a, b));
}

// Measured one way or the other since a parameter of the same kernels was changed last.
static bool is_known(const TuningFile *file, const TuneCandidate *c, int64_t from) {
  const TuningTable *table = file->values.table;
  for (size_t i = file->count; i > 0; i--) {
    const TuningMeasure *m = &file->items[i - 1];
    bool here = same_place(m->row, &m->layer, c->row, &c->layer);
    if (here && ((m->from == from && m->to == c->value) || (m->from == c->value && m->to == from))) return true;
    // A layer that a library makes leaves the kernels of the others as they are.
    bool bears = here || (m->row >= 0 && same_kernels(table->rows[m->row].name, kernels_of(table, c->row, &c->layer)));
    if (bears && m->kept) return false;
  }
  return false;
}

static bool is_refused(const TuneCandidate *refused, int count, const TuneCandidate *c) {
  for (int i = 0; i < count; i++) {
    if (same_place(refused[i].row, &refused[i].layer, c->row, &c->layer) && refused[i].value == c->value) return true;
  }
  return false;
}

static double cost_of(const LayerUse *use) { return use->count * layer_shape_products(&use->shape); }

static int dearer_first(const void *a, const void *b) {
  double first = cost_of(a), second = cost_of(b);
  if (first != second) return first > second ? -1 : 1;
  return (int)((const LayerUse *)a)->shape.kind - (int)((const LayerUse *)b)->shape.kind;
}

void tune_layers_sort(LayerUses *uses) {
  if (uses->count) qsort(uses->items, uses->count, sizeof *uses->items, dearer_first);
}

int64_t tune_candidate_from(const TuningFile *file, const TuneCandidate *c) {
  return c->row >= 0 ? file->values.values[c->row] : (int64_t)layer_choices_find(&file->values.layers, &c->layer);
}

TuningSet tune_candidate_apply(Arena *arena, const TuningFile *file, const TuneCandidate *c) {
  TuningSet set = file->values;
  if (c->row >= 0)
    set.values[c->row] = c->value;
  else
    set.layers = layer_choices_with(arena, &set.layers, (LayerChoice){c->layer, (LayerMaker)c->value});
  return set;
}

typedef struct Search {
  const TuningFile *file;
  const TuneLayers *layers;
  const TuneCandidate *refused;
  int refused_count;
} Search;

static bool is_open(const Search *s, const TuneCandidate *c) {
  int64_t from = tune_candidate_from(s->file, c);
  return c->value != from && !is_known(s->file, c, from) && !is_refused(s->refused, s->refused_count, c);
}

static bool next_parameter(const Search *s, size_t round, TuneCandidate *next) {
  static const struct { int64_t times, by; } steps[][2] = {{{2, 1}, {1, 2}}, {{3, 2}, {3, 4}}};
  const TuningTable *table = s->file->values.table;
  for (int i = 0; i < count_searched(table); i++)
    for (int k = 0; k < 2; k++) {
      int row = searched_row(table, i);
      int64_t from = s->file->values.values[row];
      int64_t wanted = from ? from * steps[round][k].times / steps[round][k].by : table->rows[row].unit;
      *next = (TuneCandidate){.row = row, .value = tuning_allowed(&table->rows[row], wanted)};
      if (is_open(s, next)) return true;
    }
  return false;
}

static bool next_layer(const Search *s, TuneCandidate *next) {
  for (size_t i = 0; i < s->layers->uses.count; i++)
    for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
      *next = (TuneCandidate){.row = -1, .layer = s->layers->uses.items[i].shape, .value = maker};
      bool can = s->layers->can_make[maker] && layer_maker_takes((LayerMaker)maker, &next->layer);
      if (can && is_open(s, next)) return true;
    }
  return false;
}

bool tune_search_next(const TuningFile *file, const TuneLayers *layers, const TuneCandidate *refused, int refused_count,
                      TuneCandidate *next) {
  Search search = {file, layers, refused, refused_count};
  return next_parameter(&search, 0, next) || next_layer(&search, next) || next_parameter(&search, 1, next);
}
