// See sweep_results.h.
#include "compiler/driver/sweep_results.h"

#include <math.h>
#include <string.h>

static bool same_but_seed(const Sweep *sweep, const SweepVariant *a, const SweepVariant *b) {
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis && strcmp(a->values[i], b->values[i]) != 0) return false;
  }
  return true;
}

static double value_of(const SweepVariant *variant, const double *field) {
  return variant->state == SWEEP_DONE ? *field : NAN;
}

// `offset`: of a double in SweepVariant.
static SweepFigure figure_of(const SweepRow *row, size_t offset) {
  double sum = 0, squares = 0;
  int count = 0;
  for (int pass = 0; pass < 2; pass++) {
    double mean = pass ? sum / count : 0;
    for (int i = 0; i < row->count; i++) {
      double value =
          value_of(row->variants[i], (const double *)(const void *)((const char *)row->variants[i] + offset));
      if (isnan(value)) continue;
      if (pass)
        squares += (value - mean) * (value - mean);
      else
        sum += value, count++;
    }
  }
  return (SweepFigure){count ? sum / count : NAN, count > 1 ? sqrt(squares / (count - 1)) : NAN};
}

static SweepRow *row_of(SweepResults *results, Arena *arena, const SweepVariant *variant) {
  for (int i = 0; i < results->row_count; i++) {
    if (same_but_seed(results->sweep, results->rows[i].first, variant)) return &results->rows[i];
  }
  SweepRow *row = &results->rows[results->row_count++];
  *row =
      (SweepRow){.first = variant, .variants = arena_array(arena, const SweepVariant *, results->sweep->variant_count)};
  return row;
}

static void rows_fill(SweepResults *results, Arena *arena) {
  const Sweep *sweep = results->sweep;
  for (int i = 0; i < sweep->variant_count; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    SweepRow *row = row_of(results, arena, variant);
    row->variants[row->count++] = variant;
    row->done += variant->state == SWEEP_DONE;
    results->done += variant->state == SWEEP_DONE;
    results->failed += variant->state == SWEEP_FAILED || variant->state == SWEEP_REFUSED;
    results->left += variant->state == SWEEP_WAITING || variant->state == SWEEP_BEGUN;
  }
  for (int i = 0; i < results->row_count; i++) {
    SweepRow *row = &results->rows[i];
    row->loss = figure_of(row, offsetof(SweepVariant, loss));
    row->knn = figure_of(row, offsetof(SweepVariant, knn));
    row->speed = figure_of(row, offsetof(SweepVariant, images_per_second));
  }
}

double sweep_row_quality(const SweepResults *results, const SweepRow *row) {
  return results->by_knn ? row->knn.mean : -row->loss.mean;
}

static double deviation_of(const SweepResults *results, const SweepRow *row) {
  double deviation = results->by_knn ? row->knn.deviation : row->loss.deviation;
  return isnan(deviation) ? 0 : deviation;
}

// Whether `other` leaves `row` out of a front; what is cheaper is less.
static bool beats(double quality, double cost, double other_quality, double other_cost) {
  return other_quality >= quality && other_cost <= cost && (other_quality > quality || other_cost < cost);
}

static void fronts_mark(SweepResults *results) {
  for (int i = 0; i < results->row_count; i++) {
    SweepRow *row = &results->rows[i];
    double quality = sweep_row_quality(results, row);
    row->small_front = row->fast_front = !isnan(quality);
    for (int j = 0; j < results->row_count; j++) {
      const SweepRow *other = &results->rows[j];
      double better = sweep_row_quality(results, other);
      if (isnan(better)) continue;
      if (beats(quality, (double)row->first->plan.parameters_trunk, better,
                (double)other->first->plan.parameters_trunk))
        row->small_front = false;
      if (beats(quality, -row->speed.mean, better, -other->speed.mean)) row->fast_front = false;
    }
  }
}

static void best_mark(SweepResults *results) {
  SweepRow *best = NULL;
  for (int i = 0; i < results->row_count; i++) {
    SweepRow *row = &results->rows[i];
    double quality = sweep_row_quality(results, row);
    if (!isnan(quality) && (!best || quality > sweep_row_quality(results, best))) best = row;
  }
  results->best = best;
  for (int i = 0; best && i < results->row_count; i++) {
    SweepRow *row = &results->rows[i];
    double gap = sweep_row_quality(results, best) - sweep_row_quality(results, row);
    row->best = row == best;
    row->as_good = row != best && gap < hypot(deviation_of(results, best), deviation_of(results, row));
  }
}

SweepResults sweep_results_make(Arena *arena, const Sweep *sweep) {
  SweepResults results = {.sweep = sweep, .rows = arena_array(arena, SweepRow, sweep->variant_count + 1)};
  rows_fill(&results, arena);
  // Of runs that all were looked at; losses of different tasks say little, but are what there is.
  results.by_knn = results.done > 0;
  for (int i = 0; i < results.row_count; i++) {
    if (results.rows[i].done && isnan(results.rows[i].knn.mean)) results.by_knn = false;
  }
  fronts_mark(&results);
  best_mark(&results);
  return results;
}

const char *sweep_state_name(const SweepVariant *variant) {
  static const char *const names[] = {[SWEEP_WAITING] = "waiting",
                                      [SWEEP_BEGUN] = "begun",
                                      [SWEEP_DONE] = "done",
                                      [SWEEP_FAILED] = "failed",
                                      [SWEEP_REFUSED] = "refused"};
  return names[variant->state];
}

const char *sweep_row_name(Arena *arena, const SweepResults *results, const SweepRow *row) {
  const Sweep *sweep = results->sweep;
  Writer out = {0};
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis || sweep->axis_count == 1)
      writer_printf(&out, "%s%s=%s", out.size ? ", " : "", sweep->columns[i], row->first->values[i]);
  }
  const char *name = arena_string(arena, out.text, out.size);
  writer_release(&out);
  return name;
}
