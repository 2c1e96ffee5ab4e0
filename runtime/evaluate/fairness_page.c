// Results of several models on one page, from the smallest model to the largest; see study.h. What can be said of two
// models is said by whether their intervals overlap, and so is what cannot.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/models_page.h"
#include "runtime/evaluate/study.h"
#include "runtime/page.h"

enum { WIDTH = 640, HEIGHT = 220, LEFT = 56, RIGHT = 20, TOP = 14, BOTTOM = 46, GAP_LEAST = 90 };

typedef struct Page {
  FILE *out;
  json_t *models[SEER_MODELS_MAX];
  int count;
} Page;

static const char *kinds_of(const Page *page) {
  const char *indicator = seer_result_text(page->models[0], "indicator");
  return strcmp(indicator, "labels") == 0      ? "Labels that people are given"
         : strcmp(indicator, "geography") == 0 ? "Things known where people live"
                                               : "Neighbours of the same group";
}

static void escape(const Page *page, const char *text) { seer_page_escape(page->out, text); }

static void interval_print(const Page *page, const SeerEstimate *interval) {
  if (isnan(interval->value))
    fputs("-", page->out);
  else if (isnan(interval->low) || isnan(interval->high))
    fprintf(page->out, "%.1f <small>(not known)</small>", 100 * interval->value);
  else
    fprintf(page->out, "%.1f <small>(%.1f to %.1f)</small>", 100 * interval->value, 100 * interval->low,
            100 * interval->high);
}

// ---- what belongs together ----

// The grouping, group or measure of another model that has the same name; NULL or -1: it has none.
static const json_t *grouping_find(const json_t *model, const char *by) {
  const json_t *list = json_object_get(model, "by");
  for (size_t i = 0; i < json_array_size(list); i++) {
    if (strcmp(seer_result_text(json_array_get(list, i), "by"), by) == 0) return json_array_get(list, i);
  }
  return NULL;
}

static const json_t *group_find(const json_t *grouping, const char *name) {
  const json_t *list = json_object_get(grouping, "groups");
  for (size_t i = 0; i < json_array_size(list); i++) {
    if (strcmp(seer_result_text(json_array_get(list, i), "name"), name) == 0) return json_array_get(list, i);
  }
  return NULL;
}

static int measure_find(const json_t *model, const json_t *measure) {
  const json_t *list = json_object_get(model, "measures");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *other = json_array_get(list, i);
    if (strcmp(seer_result_text(other, "name"), seer_result_text(measure, "name")) == 0 &&
        strcmp(seer_result_text(other, "at"), seer_result_text(measure, "at")) == 0)
      return (int)i;
  }
  return -1;
}

static const json_t *disparity_find(const json_t *model, const char *by, const json_t *measure) {
  int at = measure_find(model, measure);
  const json_t *grouping = grouping_find(model, by);
  const json_t *largest = at >= 0 ? json_array_get(json_object_get(grouping, "largest"), (size_t)at) : NULL;
  return json_is_null(largest) ? NULL : largest;
}

// Of the largest disparity; NaN where a model has none.
static SeerEstimate difference_of(const json_t *model, const char *by, const json_t *measure) {
  const json_t *largest = disparity_find(model, by, measure);
  json_t *list = json_array();
  if (largest) json_array_append(list, json_object_get(largest, "difference"));
  SeerEstimate difference = seer_result_interval(list, 0);
  json_decref(list);
  return difference;
}

typedef void Visit(Page *page, const char *by, const json_t *measure, void *data);

// Every grouping but "all", and every measure but single labels, of the first model.
static void pairs_visit(Page *page, Visit *visit, void *data) {
  const json_t *groupings = json_object_get(page->models[0], "by");
  const json_t *measures = json_object_get(page->models[0], "measures");
  for (size_t g = 0; g < json_array_size(groupings); g++) {
    const char *by = seer_result_text(json_array_get(groupings, g), "by");
    for (size_t m = 0; m < json_array_size(measures) && strcmp(by, "all") != 0; m++) {
      const json_t *measure = json_array_get(measures, m);
      if (!json_is_true(json_object_get(measure, "detail"))) visit(page, by, measure, data);
    }
  }
}

// ---- what can be concluded ----

typedef struct Verdicts {
  int one, other;  // models, the smaller first
  int smaller, larger, open;
  bool list;  // print those that are settled
} Verdicts;

static void comparison_visit(Page *page, const char *by, const json_t *measure, void *data) {
  Verdicts *verdicts = data;
  SeerEstimate a = difference_of(page->models[verdicts->one], by, measure);
  SeerEstimate b = difference_of(page->models[verdicts->other], by, measure);
  if (isnan(a.low) || isnan(b.low)) return;
  bool smaller = b.high<a.low, larger = b.low> a.high;
  verdicts->smaller += smaller;
  verdicts->larger += larger;
  verdicts->open += !smaller && !larger;
  if (!verdicts->list || (!smaller && !larger)) return;
  fputs("<li>", page->out);
  escape(page, seer_result_text(measure, "name"));
  fputs(" ", page->out);
  escape(page, seer_result_text(measure, "at"));
  fputs(" by ", page->out);
  escape(page, by);
  fprintf(page->out, ": %s, %.1f points (%.1f to %.1f) against %.1f (%.1f to %.1f)</li>",
          smaller ? "smaller" : "larger", 100 * b.value, 100 * b.low, 100 * b.high, 100 * a.value, 100 * a.low,
          100 * a.high);
}

static void comparison_print(Page *page, int one, int other) {
  Verdicts verdicts = {one, other, 0, 0, 0, false};
  pairs_visit(page, comparison_visit, &verdicts);
  int all = verdicts.smaller + verdicts.larger + verdicts.open;
  bool same_size =
      !(seer_result_number(page->models[other], "parameters") > seer_result_number(page->models[one], "parameters"));
  fputs("<p><b>", page->out);
  escape(page, seer_result_text(page->models[other], "model"));
  fprintf(page->out, "</b>, %s, against <b>", same_size ? "of the same size" : "the larger");
  escape(page, seer_result_text(page->models[one], "model"));
  if (all == 0) {
    fputs("</b>: no group is large enough in both to be compared.</p>", page->out);
    return;
  }
  fprintf(page->out,
          "</b>: of %d largest disparities <b>%d are smaller</b> and <b>%d larger</b> than sampling explains; "
          "<b>%d cannot be told apart</b>: their intervals overlap. ",
          all, verdicts.smaller, verdicts.larger, verdicts.open);
  if (!same_size)
    fputs(verdicts.smaller && verdicts.larger  ? "Being larger goes with both."
          : verdicts.smaller && !verdicts.open ? "In all that was measured here the larger model is fairer."
          : verdicts.smaller ? "The larger model is fairer in some, and nothing is settled of the others."
          : verdicts.larger ? "Nothing here supports that the larger model is fairer, and some of it speaks against it."
                            : "Nothing here shows that the larger model is fairer, nor that it is not.",
          page->out);
  fputs("</p>", page->out);
  if (verdicts.open == all) return;
  fputs("<ul>", page->out);
  verdicts.list = true;
  pairs_visit(page, comparison_visit, &verdicts);
  fputs("</ul>", page->out);
}

typedef struct Clear {
  int model, clear, all;
} Clear;

static void clear_visit(Page *page, const char *by, const json_t *measure, void *data) {
  Clear *clear = data;
  const json_t *largest = disparity_find(page->models[clear->model], by, measure);
  if (!largest) return;
  clear->all++;
  clear->clear += json_is_true(json_object_get(largest, "clear"));
}

static void conclusions_print(Page *page) {
  fputs("<section class=\"card\"><h2>What can be concluded</h2>", page->out);
  for (int i = 0; i < page->count; i++) {
    Clear clear = {.model = i};
    pairs_visit(page, clear_visit, &clear);
    fputs("<p><b>", page->out);
    escape(page, seer_result_text(page->models[i], "model"));
    fprintf(page->out,
            "</b>: %d of %d largest disparities between groups are more than chance makes of groups of this size.</p>",
            clear.clear, clear.all);
  }
  for (int other = 1; other < page->count; other++) {
    for (int one = 0; one < other; one++) comparison_print(page, one, other);
  }
  fputs(
      "<p class=\"note\">A disparity is the distance between the two groups that are farthest apart, of those that are "
      "large enough; fairer means here that it is smaller, and nothing else. Its interval holds for all pairs of "
      "groups "
      "at once, so having picked the largest is allowed for. Intervals that do not overlap settle which of two models "
      "has the larger disparity; intervals that do overlap settle nothing, in either direction. Where many are "
      "compared "
      "some are settled by chance. Models differ in more than size, in data and in training, of which this page knows "
      "nothing.</p></section>\n",
      page->out);
}

// ---- models ----

static void models_print(const Page *page) {
  fputs(
      "<section class=\"card\"><h2>Models</h2><div class=\"wide\"><table><thead><tr><th scope=\"col\">model</th>"
      "<th scope=\"col\">parameters</th><th scope=\"col\">pictures used</th><th scope=\"col\">of</th>"
      "<th scope=\"col\">units</th><th scope=\"col\">a unit is a</th></tr></thead><tbody>",
      page->out);
  for (int i = 0; i < page->count; i++) {
    const json_t *model = page->models[i];
    char size[32];
    seer_models_size(seer_result_number(model, "parameters"), size);
    fputs("<tr><th scope=\"row\">", page->out);
    escape(page, seer_result_text(model, "model"));
    fprintf(page->out, "</th><td>%s</td><td>%.0f</td><td>%.0f</td><td>%.0f</td><td>", size,
            seer_result_number(model, "pictures_used"), seer_result_number(model, "pictures"),
            seer_result_number(model, "units"));
    escape(page, seer_result_text(model, "unit"));
    fputs("</td></tr>", page->out);
  }
  fputs("</tbody></table></div>", page->out);
  bool differ = false;
  for (int i = 1; i < page->count; i++)
    differ = differ || json_object_get(page->models[i], "pictures_used") == NULL ||
             fabs(seer_result_number(page->models[i], "pictures_used") -
                  seer_result_number(page->models[0], "pictures_used")) > 0.5;
  if (differ)
    fputs("<p><b>The models were not measured on the same number of pictures</b>: see what was left out.</p>",
          page->out);
  fputs("</section>\n", page->out);
}

static void told_print(const Page *page) {
  fputs("<section class=\"card\"><h2>What was left out, and what to know</h2>", page->out);
  for (int i = 0; i < page->count; i++) {
    const json_t *told = json_object_get(page->models[i], "told");
    fputs("<h3>", page->out);
    escape(page, seer_result_text(page->models[i], "model"));
    fputs(json_array_size(told) ? "</h3><ul>" : "</h3><p>Nothing.</p>", page->out);
    for (size_t t = 0; t < json_array_size(told); t++) {
      const json_t *row = json_array_get(told, t);
      fprintf(page->out, "<li>%s%.0f: ", json_is_true(json_object_get(row, "loss")) ? "<b>missing</b> " : "",
              seer_result_number(row, "count"));
      escape(page, seer_result_text(row, "what"));
      fputs(" <small class=\"few\">(first: ", page->out);
      escape(page, seer_result_text(row, "first"));
      fputs(")</small></li>", page->out);
    }
    if (json_array_size(told)) fputs("</ul>", page->out);
  }
  fputs("</section>\n", page->out);
}

// ---- one measure by one grouping ----

// Where models stand: by the logarithm of their sizes, or evenly where that would put them on one another.
static void places_make(const Page *page, double *x) {
  double low = log(fmax(1, seer_result_number(page->models[0], "parameters")));
  double high = log(fmax(1, seer_result_number(page->models[page->count - 1], "parameters")));
  double room = WIDTH - LEFT - RIGHT - GAP_LEAST, least = room;
  for (int i = 0; i < page->count; i++) {
    double size = log(fmax(1, seer_result_number(page->models[i], "parameters")));
    x[i] = LEFT + GAP_LEAST / 2.0 + (high > low ? (size - low) / (high - low) : 0.5) * room;
    if (i > 0) least = fmin(least, x[i] - x[i - 1]);
  }
  for (int i = 0; i < page->count && page->count > 1 && least < GAP_LEAST; i++)
    x[i] = LEFT + GAP_LEAST / 2.0 + room * i / (page->count - 1);
}

static void chart_print(const Page *page, const char *by, const json_t *measure) {
  double x[SEER_MODELS_MAX], low = 0, high = 0.01;
  SeerEstimate bars[SEER_MODELS_MAX];
  int known = 0;
  for (int i = 0; i < page->count; i++) {
    bars[i] = difference_of(page->models[i], by, measure);
    known += !isnan(bars[i].low);
    if (bars[i].low < low) low = bars[i].low;
    if (bars[i].high > high) high = bars[i].high;
  }
  if (known == 0) return;
  double step = seer_models_step(high - low);
  low = step * floor(low / step + 1e-9);
  high = step * ceil(high / step - 1e-9);
  places_make(page, x);
  fprintf(page->out,
          "<p class=\"note\">Largest disparity of each model, in percentage points, with its interval.</p><svg "
          "viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Largest disparity of each model with its "
          "interval, in percentage points; the numbers are in the table below\">",
          WIDTH, HEIGHT);
  for (double value = low; value < high + step / 2; value += step) {
    double y = TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
    fprintf(page->out,
            "<path class=\"rule\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT,
            y, WIDTH - RIGHT, LEFT - 8, y + 4, 100 * (fabs(value) < step / 2 ? 0 : value));
  }
  double zero = TOP + high / (high - low) * (HEIGHT - TOP - BOTTOM);
  fprintf(page->out, "<path class=\"zero\" d=\"M%d %.1fH%d\"/>", LEFT, zero, WIDTH - RIGHT);
  for (int i = 0; i < page->count; i++) {
    char size[32], name[SEER_MODELS_NAME + 1];
    seer_models_size(seer_result_number(page->models[i], "parameters"), size);
    if (!isnan(bars[i].low)) {
      double top = TOP + (high - bars[i].high) / (high - low) * (HEIGHT - TOP - BOTTOM);
      double bottom = TOP + (high - bars[i].low) / (high - low) * (HEIGHT - TOP - BOTTOM);
      double middle = TOP + (high - bars[i].value) / (high - low) * (HEIGHT - TOP - BOTTOM);
      fprintf(page->out,
              "<path class=\"mark\" fill=\"none\" stroke-width=\"2\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh12M%.1f %.1fh12\"/>"
              "<circle class=\"mark\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>",
              x[i], top, bottom, x[i] - 6, top, x[i] - 6, bottom, x[i], middle);
    }
    seer_models_name(seer_result_text(page->models[i], "model"), name);
    fprintf(page->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", x[i], HEIGHT - 26);
    escape(page, name);
    fprintf(page->out, "</text><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", x[i], HEIGHT - 10, size);
  }
  fputs("</svg>", page->out);
}

static void row_print(const Page *page, const char *by, const json_t *measure, const char *name) {
  fputs("<tr><th scope=\"row\">", page->out);
  escape(page, name);
  const json_t *own = group_find(grouping_find(page->models[0], by), name);
  fprintf(page->out, "</th><td>%.0f</td>", seer_result_number(own, "units"));
  for (int i = 0; i < page->count; i++) {
    const json_t *group = group_find(grouping_find(page->models[i], by), name);
    int at = measure_find(page->models[i], measure);
    bool few = json_is_true(json_object_get(group, "small"));
    fputs(few ? "<td class=\"few\">" : "<td>", page->out);
    SeerEstimate value = seer_result_interval(json_object_get(group, "values"), at < 0 ? SIZE_MAX : (size_t)at);
    interval_print(page, &value);
    fputs(few ? " <small>too few</small></td>" : "</td>", page->out);
  }
  fputs("</tr>", page->out);
}

static void largest_row_print(const Page *page, const char *by, const json_t *measure) {
  fputs("<tr class=\"sum\"><th scope=\"row\">largest disparity, points</th><td></td>", page->out);
  for (int i = 0; i < page->count; i++) {
    const json_t *largest = disparity_find(page->models[i], by, measure);
    SeerEstimate difference = difference_of(page->models[i], by, measure);
    fputs("<td>", page->out);
    interval_print(page, &difference);
    if (largest) {
      fputs("<br><small>", page->out);
      escape(page, seer_result_text(largest, "high"));
      fputs(" over ", page->out);
      escape(page, seer_result_text(largest, "low"));
      fputs(json_is_true(json_object_get(largest, "clear")) ? "</small>" : "; may be chance</small>", page->out);
    }
    fputs("</td>", page->out);
  }
  fputs("</tr>", page->out);
}

static void measure_visit(Page *page, const char *by, const json_t *measure, void *data) {
  const char **last = data, *at = seer_result_text(measure, "at");
  if (!*last || strcmp(*last, by) != 0) {
    fprintf(page->out, "%s<section class=\"card\"><h2>By ", *last ? "</section>\n" : "");
    escape(page, by);
    fputs("</h2>", page->out);
    *last = by;
  }
  bool is_open = *at == '\0' || strcmp(at, "threshold 0.1") == 0 || strcmp(at, "at 10") == 0;
  fprintf(page->out, "<details%s><summary>", is_open ? " open" : "");
  escape(page, seer_result_text(measure, "name"));
  fputs(" ", page->out);
  escape(page, at);
  fputs(", % of each group</summary>", page->out);
  chart_print(page, by, measure);
  fputs("<div class=\"wide\"><table><thead><tr><th scope=\"col\">group</th><th scope=\"col\">units</th>", page->out);
  for (int i = 0; i < page->count; i++) {
    fputs("<th scope=\"col\">", page->out);
    escape(page, seer_result_text(page->models[i], "model"));
    fputs("</th>", page->out);
  }
  fputs("</tr></thead><tbody>", page->out);
  const json_t *groups = json_object_get(grouping_find(page->models[0], by), "groups");
  for (size_t g = 0; g < json_array_size(groups); g++)
    row_print(page, by, measure, seer_result_text(json_array_get(groups, g), "name"));
  largest_row_print(page, by, measure);
  fputs("</tbody></table></div></details>", page->out);
}

// Single labels, model by model: they are others in each.
static void details_print(const Page *page) {
  for (int i = 0; i < page->count; i++) {
    const json_t *measures = json_object_get(page->models[i], "measures"), *by = json_object_get(page->models[i], "by");
    size_t count = json_array_size(measures);
    bool has_details = count > 0 && json_is_true(json_object_get(json_array_get(measures, count - 1), "detail"));
    for (size_t g = 0; has_details && g < json_array_size(by); g++) {
      const json_t *grouping = json_array_get(by, g), *groups = json_object_get(grouping, "groups");
      const char *name = seer_result_text(grouping, "by");
      if (strcmp(name, "all") == 0 || strchr(name, '+')) continue;
      fputs("<section class=\"card\"><details><summary>Single labels of ", page->out);
      escape(page, seer_result_text(page->models[i], "model"));
      fputs(" by ", page->out);
      escape(page, name);
      fputs(
          "</summary><p class=\"note\">Share of all labels given to a group, less the mean of the other groups, in "
          "points; the labels that differ most were picked, so some of these are chance.</p><div class=\"wide\"><table>"
          "<thead><tr><th scope=\"col\">label</th>",
          page->out);
      for (size_t k = 0; k < json_array_size(groups); k++) {
        fputs("<th scope=\"col\">", page->out);
        escape(page, seer_result_text(json_array_get(groups, k), "name"));
        fputs("</th>", page->out);
      }
      fputs("</tr></thead><tbody>", page->out);
      for (size_t m = 0; m < count; m++) {
        if (!json_is_true(json_object_get(json_array_get(measures, m), "detail"))) continue;
        fputs("<tr><th scope=\"row\">", page->out);
        escape(page, seer_result_text(json_array_get(measures, m), "name"));
        fputs("</th>", page->out);
        for (size_t k = 0; k < json_array_size(groups); k++) {
          SeerEstimate apart = seer_result_interval(json_object_get(json_array_get(groups, k), "from_others"), m);
          fputs("<td>", page->out);
          if (isnan(apart.value))
            fputs("-", page->out);
          else
            fprintf(page->out, "%+.2f <small>(%+.2f to %+.2f)</small>", 100 * apart.value, 100 * apart.low,
                    100 * apart.high);
          fputs("</td>", page->out);
        }
        fputs("</tr>", page->out);
      }
      fputs("</tbody></table></div></details></section>\n", page->out);
    }
  }
}

// ---- all of it ----

static int size_compare(const void *a, const void *b) {
  const json_t *one = *(json_t *const *)a, *other = *(json_t *const *)b;
  double x = seer_result_number(one, "parameters"), y = seer_result_number(other, "parameters");
  if (x < y || x > y) return x < y ? -1 : 1;
  return strcmp(seer_result_text(one, "model"), seer_result_text(other, "model"));
}

static SeerStatus same_check(const char *const *paths, const Page *page, const char *key, const char *what) {
  for (int i = 1; i < page->count; i++) {
    const char *first = seer_result_text(page->models[0], key), *other = seer_result_text(page->models[i], key);
    if (strcmp(first, other) == 0) continue;
    return seer_fail(SEER_INPUT, "results of different %s do not compare: '%s' has '%.200s', '%s' '%.200s'", what,
                     paths[0], first, paths[i], other);
  }
  return SEER_OK;
}

static SeerStatus models_load(const char *const *paths, int count, Page *page) {
  if (count > SEER_MODELS_MAX)
    return seer_fail(SEER_INPUT, "a page has room for %d models, not %d", SEER_MODELS_MAX, count);
  SeerStatus status = SEER_OK;
  for (; !status && page->count < count; page->count += !status)
    status = seer_result_load(paths[page->count], &page->models[page->count]);
  if (!status) status = same_check(paths, page, "indicator", "indicators");
  if (!status) status = same_check(paths, page, "manifest_xxh3_128", "manifests");
  if (!status) status = same_check(paths, page, "unit", "units");
  if (!status) status = same_check(paths, page, "same", "attributes");
  if (!status) status = same_check(paths, page, "database_xxh3_128", "databases");
  if (!status) qsort(page->models, (size_t)page->count, sizeof *page->models, size_compare);
  return status;
}

SeerStatus seer_fairness_page(const char *const *paths, int count, FILE *out) {
  Page page = {.out = out};
  const char *last = NULL;
  SeerStatus status = models_load(paths, count, &page);
  if (!status) {
    char title[160];
    snprintf(title, sizeof title, "Fairness: %s", kinds_of(&page));
    seer_page_begin(out, title);
    fprintf(out, "%s<h1>%s</h1><p class=\"sub\">Fairness of %d %s, measured on ", seer_models_style, kinds_of(&page),
            page.count, page.count == 1 ? "model" : "models, from the smallest to the largest");
    escape(&page, seer_result_text(page.models[0], "manifest"));
    fprintf(out,
            ". In brackets %.0f %% intervals. Groups of fewer than %.0f units are shown, and compared with none.</p>\n",
            100 * seer_result_number(page.models[0], "confidence"), seer_result_number(page.models[0], "least"));
    conclusions_print(&page);
    models_print(&page);
    pairs_visit(&page, measure_visit, (void *)&last);
    if (last) fputs("</section>\n", out);
    details_print(&page);
    told_print(&page);
    seer_page_end(out);
  }
  for (int i = 0; i < page.count; i++) json_decref(page.models[i]);
  return status;
}
