// Who is in the data, for a reader who wants to know whether it is fair: the part of the report page, and the page that
// `seerc data stats --by ... --html` writes. Counts, shares with 95 % intervals, evenness, what is unknown, comparison
// with references, combinations and those that do not occur, drift over a run.
#ifndef SEER_RUNTIME_WHO_PAGE_H
#define SEER_RUNTIME_WHO_PAGE_H

#include <stdio.h>

#include "runtime/data/composition.h"

enum { SEER_DRIFT_WINDOWS = 60, SEER_DRIFT_VALUES = 5 };

// Windows of a run, in its order, each of one line of metrics or of several.
typedef struct SeerDrift {
  int count;
  double step[SEER_DRIFT_WINDOWS];      // the last of the window
  double pictures[SEER_DRIFT_WINDOWS];  // of the sample, in the window
  struct {
    int value_count;
    const char *values[SEER_DRIFT_VALUES];  // the most frequent of the whole sample; NULL: unknown
    // By value and window, NaN: not known. Low and high: 95 % intervals.
    double share[SEER_DRIFT_VALUES][SEER_DRIFT_WINDOWS], low[SEER_DRIFT_VALUES][SEER_DRIFT_WINDOWS],
        high[SEER_DRIFT_VALUES][SEER_DRIFT_WINDOWS];
    // Total variation distance of the window from the whole, and how much there would be by chance alone.
    double distance[SEER_DRIFT_WINDOWS], chance[SEER_DRIFT_WINDOWS];
  } columns[SEER_COLUMNS_MAX];
} SeerDrift;

// From the run's metrics.jsonl; `composition` is of its whole sample, and must outlive the drift.
SeerStatus seer_drift_read(const char *run, const SeerComposition *composition, SeerDrift *drift);
void seer_drift_print(FILE *page, const SeerDrift *drift, int column, const char *name);

typedef struct SeerWho {
  const SeerComposition *composition;
  const char *sample;  // what the pictures are, a sentence
  const SeerReference *references;
  int reference_count;
  const SeerDrift *drift;  // NULL: not of a run
} SeerWho;

// Cards, between seer_page_begin and seer_page_end. SEER_MACHINE: no memory.
SeerStatus seer_who_print(FILE *page, const SeerWho *who);
// The card of combinations; only where there are several columns.
SeerStatus seer_who_combinations_print(FILE *page, const SeerComposition *composition);
// A value as people read it: "France (FR)", "unknown".
void seer_who_value_print(FILE *page, const SeerTable *table, const SeerRow *row);

#endif
