// A target's named parameters of kernels as a table, and sets of their values, for who reads, checks, tries and prints
// them. The tables are kernels/c/tuning.def and cuda/tuning.def. Of target cuda a set has the layers that libraries
// make, too.
#ifndef SEER_CODEGEN_TUNING_H
#define SEER_CODEGEN_TUNING_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/graph/layer.h"

typedef struct TuningRow {
  const char *name;
  int64_t usual, least, most;  // usual: the default
  int64_t unit;                // values are its multiples; 0: powers of two
  const char *help;
} TuningRow;

typedef struct TuningTable {
  const TuningRow *rows;
  int count;
} TuningTable;

enum { TUNING_ROWS_MOST = 32 };

typedef struct TuningSet {
  const TuningTable *table;
  int64_t values[TUNING_ROWS_MOST];  // by row
  LayerChoices layers;
} TuningSet;

// All defaults.
TuningSet tuning_usual(const TuningTable *table);
// How many values are no defaults, and layers no kernels of seer.
int tuning_changes(const TuningSet *set);
// -1: there is none.
int tuning_find(const TuningTable *table, const char *name);
// A value that the row may have: the nearest below `wanted`, or the least.
int64_t tuning_allowed(const TuningRow *row, int64_t wanted);

#endif
