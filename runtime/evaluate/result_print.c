// A result as tables for a terminal; see study.h. Shares are per cent, differences of shares percentage points.
#include <math.h>
#include <string.h>

#include "runtime/evaluate/study.h"

enum { NAME_WIDTH = 26, DETAILS_SHOWN = 8 };

static const char *title_of(const json_t *result) {
  const char *indicator = seer_result_text(result, "indicator");
  return strcmp(indicator, "labels") == 0      ? "label association"
         : strcmp(indicator, "geography") == 0 ? "hits by household"
                                               : "neighbours of the same group";
}

static void interval_print(const SeerEstimate *interval, FILE *out) {
  char text[64];
  if (isnan(interval->value))
    snprintf(text, sizeof text, "-");
  else if (isnan(interval->low) || isnan(interval->high))
    snprintf(text, sizeof text, "%.1f (?)", 100 * interval->value);
  else
    snprintf(text, sizeof text, "%.1f (%.1f to %.1f)", 100 * interval->value, 100 * interval->low,
             100 * interval->high);
  fprintf(out, "  %22s", text);
}

static void head_print(const json_t *result, FILE *out) {
  fprintf(out, "%s: '%s', %.0f parameters\n", title_of(result), seer_result_text(result, "model"),
          seer_result_number(result, "parameters"));
  fprintf(out, "%.0f of %.0f pictures used", seer_result_number(result, "pictures_used"),
          seer_result_number(result, "pictures"));
  if (strcmp(seer_result_text(result, "unit"), "picture") != 0)
    fprintf(out, ", of %.0f units: %s", seer_result_number(result, "units"), seer_result_text(result, "unit"));
  fprintf(out, "; in brackets %.0f %% intervals, bootstrap of %.0f draws\n",
          100 * seer_result_number(result, "confidence"), seer_result_number(result, "replicates"));
  const json_t *chance = json_object_get(result, "by_chance");
  const char *name;
  const json_t *share;
  if (chance) fprintf(out, "by chance, as the database is made up:");
  json_object_foreach((json_t *)(uintptr_t)chance, name, share)
      fprintf(out, " %s %.1f %%", name, 100 * json_number_value(share));
  if (chance) fputs("\n", out);
}

static void told_print(const json_t *result, FILE *out) {
  const json_t *told = json_object_get(result, "told");
  for (size_t i = 0; i < json_array_size(told); i++) {
    const json_t *row = json_array_get(told, i);
    fprintf(out, "%s %.0f: %s; the first: %s\n", json_is_true(json_object_get(row, "loss")) ? "missing" : "note",
            seer_result_number(row, "count"), seer_result_text(row, "what"), seer_result_text(row, "first"));
  }
}

static bool measure_is(const json_t *measure, const char *name) {
  return !json_is_true(json_object_get(measure, "detail")) && strcmp(seer_result_text(measure, "name"), name) == 0;
}

static void largest_print(const json_t *measure, const json_t *largest, FILE *out) {
  const char *at = seer_result_text(measure, "at");
  fprintf(out, "  %s%s", at, *at ? ": " : "");
  if (json_is_null(largest)) {
    fputs("fewer than two groups are large enough to be compared\n", out);
    return;
  }
  const json_t *wrapped[] = {json_object_get(largest, "difference"), json_object_get(largest, "ratio")};
  double numbers[2][3];
  for (int k = 0; k < 2; k++) {
    for (size_t i = 0; i < 3; i++) {
      const json_t *value = json_array_get(wrapped[k], i);
      numbers[k][i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
  }
  fprintf(out, "largest disparity %.1f points (%.1f to %.1f), '%s' over '%s'", 100 * numbers[0][0], 100 * numbers[0][1],
          100 * numbers[0][2], seer_result_text(largest, "high"), seer_result_text(largest, "low"));
  if (!isnan(numbers[1][0]) && !isnan(numbers[1][2]))
    fprintf(out, ", ratio %.2f (%.2f to %.2f)", numbers[1][0], numbers[1][1], numbers[1][2]);
  fprintf(out, "%s\n", json_is_true(json_object_get(largest, "clear")) ? "" : "; may be chance");
}

// One measure at all its thresholds or depths, as columns.
static void measure_print(const json_t *result, const json_t *grouping, const char *name, FILE *out) {
  const json_t *measures = json_object_get(result, "measures"), *groups = json_object_get(grouping, "groups");
  fprintf(out, "\n%s by %s, %%\n  %-*s %8s", name, seer_result_text(grouping, "by"), NAME_WIDTH, "", "units");
  for (size_t m = 0; m < json_array_size(measures); m++) {
    const json_t *measure = json_array_get(measures, m);
    if (measure_is(measure, name)) fprintf(out, "  %22s", seer_result_text(measure, "at"));
  }
  fputs("\n", out);
  for (size_t g = 0; g < json_array_size(groups); g++) {
    const json_t *group = json_array_get(groups, g);
    fprintf(out, "  %-*s %8.0f", NAME_WIDTH, seer_result_text(group, "name"), seer_result_number(group, "units"));
    for (size_t m = 0; m < json_array_size(measures); m++) {
      if (!measure_is(json_array_get(measures, m), name)) continue;
      SeerEstimate interval = seer_result_interval(json_object_get(group, "values"), m);
      interval_print(&interval, out);
    }
    fprintf(out, "%s\n", json_is_true(json_object_get(group, "small")) ? "  too few" : "");
  }
  if (strcmp(seer_result_text(grouping, "by"), "all") == 0) return;
  for (size_t m = 0; m < json_array_size(measures); m++) {
    if (measure_is(json_array_get(measures, m), name))
      largest_print(json_array_get(measures, m), json_array_get(json_object_get(grouping, "largest"), m), out);
  }
  if (seer_result_number(grouping, "small_groups") > 0)
    fprintf(out, "  %.0f groups have fewer than %.0f units and are compared with none\n",
            seer_result_number(grouping, "small_groups"), seer_result_number(result, "least"));
}

// Single labels of one grouping: how far each group's share is from the mean of the others'.
static void details_print(const json_t *result, const json_t *grouping, FILE *out) {
  const json_t *measures = json_object_get(result, "measures"), *groups = json_object_get(grouping, "groups");
  const char *by = seer_result_text(grouping, "by");
  int shown = 0;
  if (strcmp(by, "all") == 0 || strchr(by, '+')) return;
  for (size_t m = 0; m < json_array_size(measures); m++) {
    const json_t *measure = json_array_get(measures, m);
    if (!json_is_true(json_object_get(measure, "detail")) || shown == DETAILS_SHOWN) continue;
    if (shown++ == 0)
      fprintf(out, "\nsingle labels by %s: share of all labels, less the mean of the other groups, points\n", by);
    fprintf(out, "  %-*s", NAME_WIDTH, seer_result_text(measure, "name"));
    for (size_t g = 0; g < json_array_size(groups); g++) {
      SeerEstimate apart = seer_result_interval(json_object_get(json_array_get(groups, g), "from_others"), m);
      if (isnan(apart.value)) continue;
      fprintf(out, "  %s %+.2f (%+.2f to %+.2f)", seer_result_text(json_array_get(groups, g), "name"),
              100 * apart.value, 100 * apart.low, 100 * apart.high);
    }
    fputs("\n", out);
  }
}

void seer_result_print(const json_t *result, FILE *out) {
  const json_t *measures = json_object_get(result, "measures"), *by = json_object_get(result, "by");
  head_print(result, out);
  told_print(result, out);
  for (size_t g = 0; g < json_array_size(by); g++) {
    for (size_t m = 0; m < json_array_size(measures); m++) {
      const char *name = seer_result_text(json_array_get(measures, m), "name");
      bool is_first = !json_is_true(json_object_get(json_array_get(measures, m), "detail"));
      for (size_t before = 0; before < m; before++)
        is_first = is_first && !measure_is(json_array_get(measures, before), name);
      if (is_first) measure_print(result, json_array_get(by, g), name, out);
    }
    details_print(result, json_array_get(by, g), out);
  }
}
