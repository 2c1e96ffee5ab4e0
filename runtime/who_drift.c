// Drift: shares of windows of a run, from what its lines of metrics say; see who_page.h.
//
// A line names the most frequent values of a column alone (SEER_MONITOR_TOLD); so distances are between shares of those
// that the whole sample has most, and of all others together.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/shares.h"
#include "runtime/files.h"
#include "runtime/monitor.h"
#include "runtime/page.h"
#include "runtime/who_page.h"

enum { TOLD = SEER_MONITOR_TOLD };

// One column of one window: pictures by value, of the whole sample's most frequent; and of how many.
typedef struct Window {
  double counts[TOLD], of[TOLD];
} Window;

typedef struct Reading {
  const SeerComposition *composition;
  SeerDrift *drift;
  const char *values[SEER_COLUMNS_MAX][TOLD];
  double whole[SEER_COLUMNS_MAX][TOLD];  // shares in the whole sample
  int told[SEER_COLUMNS_MAX];
  Window windows[SEER_DRIFT_WINDOWS][SEER_COLUMNS_MAX];
  int64_t lines;
} Reading;

// The most frequent of a column, an unknown value among them.
static void values_choose(Reading *reading, int column) {
  const SeerTable *table = &reading->composition->tables[column];
  double pictures = (double)reading->composition->pictures;
  bool unknown = table->unknown == 0;  // told
  size_t at = 0;
  int *count = &reading->told[column];
  while (*count < TOLD && (at < table->count || !unknown)) {
    bool takes_unknown = !unknown && (at == table->count || table->unknown > table->rows[at].count);
    uint64_t pictures_of = takes_unknown ? table->unknown : table->rows[at].count;
    reading->values[column][*count] = takes_unknown ? NULL : table->rows[at].texts[0];
    reading->whole[column][(*count)++] = (double)pictures_of / pictures;
    unknown = unknown || takes_unknown;
    at += !takes_unknown;
  }
}

static bool value_is(const json_t *value, const char *text) {
  if (text == NULL || json_is_null(value)) return text == NULL && json_is_null(value);
  return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static void column_take(Reading *reading, const json_t *told, int column, double pictures, Window *window) {
  const json_t *shares = json_object_get(told, "shares");
  bool all_told = json_integer_value(json_object_get(told, "values")) <= TOLD;
  for (int v = 0; v < reading->told[column]; v++) {
    bool found = false;
    for (size_t i = 0; i < json_array_size(shares) && !found; i++) {
      const json_t *row = json_array_get(shares, i);
      if (!value_is(json_array_get(row, 0), reading->values[column][v])) continue;
      window->counts[v] += round(json_number_value(json_array_get(row, 2)) * pictures);
      found = true;
    }
    if (found || all_told) window->of[v] += pictures;
  }
}

static SeerStatus lines_walk(Reading *reading, const char *run, void (*take)(Reading *, const json_t *, int64_t)) {
  SeerPath path;
  SeerStatus status = seer_path_print(&path, "%s/metrics.jsonl", run);
  FILE *file = status == SEER_OK ? fopen(path.text, "re") : NULL;
  char *line = NULL;
  size_t capacity = 0;
  int64_t number = 0;
  while (file != NULL && getline(&line, &capacity, file) > 0) {
    json_t *object = strstr(line, "\"monitor\"") != NULL ? json_loads(line, 0, NULL) : NULL;
    if (json_number_value(json_object_get(json_object_get(object, "monitor"), "window")) > 0)
      take(reading, object, number++);
    json_decref(object);
  }
  free(line);
  if (file != NULL) fclose(file);
  return status;
}

static void line_count(Reading *reading, const json_t *object, int64_t number) {
  (void)object;
  reading->lines = number + 1;
}

static void line_take(Reading *reading, const json_t *object, int64_t number) {
  SeerDrift *drift = reading->drift;
  const json_t *monitor = json_object_get(object, "monitor"), *columns = json_object_get(monitor, "columns");
  double pictures = json_number_value(json_object_get(monitor, "window"));
  int64_t windows = reading->lines < SEER_DRIFT_WINDOWS ? reading->lines : SEER_DRIFT_WINDOWS;
  int window = (int)(number * windows / reading->lines);
  drift->count = window + 1;
  drift->step[window] = json_number_value(json_object_get(object, "step"));
  drift->pictures[window] += pictures;
  for (int c = 0; c < reading->composition->columns; c++) {
    const json_t *told = json_object_get(columns, reading->composition->tables[c].names[0]);
    column_take(reading, told, c, pictures, &reading->windows[window][c]);
  }
}

static void column_settle(Reading *reading, int column, int w) {
  SeerDrift *drift = reading->drift;
  const Window *window = &reading->windows[w][column];
  double distance = 0, chance = 0, rest = 1, whole_rest = 1, pictures = drift->pictures[w];
  for (int v = 0; v < reading->told[column]; v++) {
    double of = window->of[v], share = of > 0 ? window->counts[v] / of : (double)NAN, whole = reading->whole[column][v];
    if (v < SEER_DRIFT_VALUES) {
      double low = (double)NAN, high = (double)NAN;
      if (of > 0) share_interval((uint64_t)window->counts[v], (uint64_t)of, &low, &high);
      drift->columns[column].share[v][w] = share;
      drift->columns[column].low[v][w] = low;
      drift->columns[column].high[v][w] = high;
    }
    distance += fabs(share - whole);
    chance += sqrt(2 * whole * (1 - whole) / (M_PI * pictures));
    rest -= share;
    whole_rest -= whole;
  }
  if (!(whole_rest > 1e-9)) whole_rest = 0;
  drift->columns[column].distance[w] = (distance + fabs(rest - whole_rest)) / 2;
  // The mean of |a share of n - p| is about that of a normal variable of its variance.
  drift->columns[column].chance[w] = (chance + sqrt(2 * whole_rest * (1 - whole_rest) / (M_PI * pictures))) / 2;
}

SeerStatus seer_drift_read(const char *run, const SeerComposition *composition, SeerDrift *drift) {
  Reading *reading = calloc(1, sizeof *reading);
  *drift = (SeerDrift){.count = 0};
  if (reading == NULL) return seer_fail(SEER_MACHINE, "out of memory for the page");
  *reading = (Reading){.composition = composition, .drift = drift};
  for (int c = 0; c < composition->columns; c++) {
    values_choose(reading, c);
    int shown = reading->told[c] < SEER_DRIFT_VALUES ? reading->told[c] : SEER_DRIFT_VALUES;
    drift->columns[c].value_count = shown;
    for (int v = 0; v < shown; v++) drift->columns[c].values[v] = reading->values[c][v];
  }
  SeerStatus status = lines_walk(reading, run, line_count);
  if (status == SEER_OK && reading->lines > 0) status = lines_walk(reading, run, line_take);
  for (int w = 0; w < drift->count; w++) {
    for (int c = 0; c < composition->columns; c++) column_settle(reading, c, w);
  }
  free(reading);
  return status;
}

void seer_drift_print(FILE *page, const SeerDrift *drift, int column, const char *name) {
  SeerBand bands[SEER_DRIFT_VALUES];
  char title[256], names[SEER_DRIFT_VALUES][96];
  if (drift->count < 2) return;
  for (int v = 0; v < drift->columns[column].value_count; v++) {
    const char *value = drift->columns[column].values[v];
    const Country *country = value != NULL && seer_column_is_country(name) ? country_find(value, strlen(value)) : NULL;
    if (country != NULL) snprintf(names[v], sizeof names[v], "%s (%s)", country->name, country->alpha2);
    bands[v] = (SeerBand){.name = country != NULL ? names[v]
                                  : value != NULL ? value
                                                  : "unknown",
                          .y = drift->columns[column].share[v],
                          .low = drift->columns[column].low[v],
                          .high = drift->columns[column].high[v]};
  }
  snprintf(title, sizeof title, "%.200s over the run", name);
  fputs("<div class=\"pair\">", page);
  seer_bands_print(page, title,
                   "share of each window of the run, by its last step; the pale bands are 95 % intervals: where they "
                   "overlap all along, nothing has changed",
                   drift->step, drift->count, bands, drift->columns[column].value_count);
  const SeerBand distance[2] = {
      {.name = "distance of the window from the whole", .y = drift->columns[column].distance},
      {.name = "what there would be by chance alone, on average", .y = drift->columns[column].chance}};
  snprintf(title, sizeof title, "%.200s: how far each window is from the whole", name);
  seer_bands_print(page, title,
                   "total variation distance: the part of the window's pictures that would have to be of other values",
                   drift->step, drift->count, distance, 2);
  fputs("</div>\n", page);
}
