// What all tables of parameters have in common; see tuning.h.
#include "codegen/tuning.h"

#include <string.h>

TuningSet tuning_usual(const TuningTable *table) {
  TuningSet set = {.table = table};
  for (int i = 0; i < table->count; i++) set.values[i] = table->rows[i].usual;
  return set;
}

int tuning_changes(const TuningSet *set) {
  int changes = (int)set->layers.count;
  for (int i = 0; i < set->table->count; i++) changes += set->values[i] != set->table->rows[i].usual;
  return changes;
}

int tuning_find(const TuningTable *table, const char *name) {
  for (int i = 0; i < table->count; i++) {
    if (strcmp(table->rows[i].name, name) == 0) return i;
  }
  return -1;
}

static int64_t power_below(int64_t wanted) {
  int64_t power = 1;
  while (power <= wanted / 2) power *= 2;
  return power;
}

int64_t tuning_allowed(const TuningRow *row, int64_t wanted) {
  int64_t value = row->unit ? wanted / row->unit * row->unit : power_below(wanted);
  int64_t least = row->unit ? (row->least + row->unit - 1) / row->unit * row->unit : row->least;
  int64_t most = row->unit ? row->most / row->unit * row->unit : row->most;
  return value < least ? least : value > most ? most : value;
}
