// What a sweep has found: variants that are equal but for the seed become one row; the best row, and those that no
// other beats in quality and size, or in quality and speed.
#ifndef SEER_DRIVER_SWEEP_RESULTS_H
#define SEER_DRIVER_SWEEP_RESULTS_H

#include "compiler/driver/sweep.h"

typedef struct SweepFigure {
  double mean, deviation;  // NaN: not known; the deviation is the sample's, of two or more
} SweepFigure;

typedef struct SweepRow {
  const SweepVariant *first;      // whose values stand for the row
  const SweepVariant **variants;  // [count]
  int count, done;
  SweepFigure loss, knn, speed;  // of those that are done
  bool best;
  bool as_good;                  // nearer to the best than the root of the sum of their squared deviations
  bool small_front, fast_front;  // no other row is as good and smaller (faster), or better and as small (fast)
} SweepRow;

typedef struct SweepResults {
  const Sweep *sweep;
  SweepRow *rows;
  int row_count;
  bool by_knn;             // quality is the kNN accuracy; else the loss
  const SweepRow *best;    // NULL: nothing is done
  int done, failed, left;  // variants; refused ones are among the failed
} SweepResults;

SweepResults sweep_results_make(Arena *arena, const Sweep *sweep);
// Greater is better; NaN: not known.
double sweep_row_quality(const SweepResults *results, const SweepRow *row);
const char *sweep_state_name(const SweepVariant *variant);
// "model.w0=24", without the seed where `results` joins them.
const char *sweep_row_name(Arena *arena, const SweepResults *results, const SweepRow *row);

void sweep_print_table(const SweepResults *results, Writer *out);
void sweep_print_json(const SweepResults *results, Writer *out);   // one object
void sweep_print_jsonl(const SweepResults *results, Writer *out);  // a variant a line

#endif
