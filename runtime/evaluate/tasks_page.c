// Models side by side as a page: means over model size, wins, the table, every task; see tasks.h.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/evaluate/models_page.h"
#include "runtime/evaluate/result_file.h"
#include "runtime/evaluate/tasks.h"
#include "runtime/page.h"

static const char style[] =
    "<style>.small{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:14px}.small h3{font-size:"
    "14px;margin:0 0 2px;overflow-wrap:anywhere}.other{fill:var(--paper);stroke:var(--soft)}.line{fill:none;stroke:"
    "var(--blue);opacity:.4}</style>\n";

typedef struct Plot {
  int width, height, left, right, top, bottom;
  bool names;  // beside the marks
} Plot;

// The exponents of ten that all sizes lie between; false: no size is known.
static bool decades_find(const SeerTaskModels *models, double *low, double *high) {
  bool found = false;
  for (int m = 0; m < models->model_count; m++) {
    if (!(models->models[m].parameters >= 1)) continue;
    double at = log10(models->models[m].parameters);
    *low = found ? fmin(*low, floor(at)) : floor(at);
    *high = found ? fmax(*high, ceil(at)) : ceil(at);
    found = true;
  }
  if (found && *high <= *low) *high = *low + 1;
  return found;
}

static bool is_drawn(const SeerTaskModels *models, int m, const double *values) {
  return models->models[m].parameters >= 1 && !isnan(values[m]);
}

typedef struct Axes {
  double low, high, bottom, top, step;  // exponents of ten; per cent
} Axes;

// Never wider than 0 to 100.
static bool axes_make(const SeerTaskModels *models, const double *values, Axes *axes) {
  double least = 101, most = -1;
  if (!decades_find(models, &axes->low, &axes->high)) return false;
  for (int m = 0; m < models->model_count; m++) {
    if (!is_drawn(models, m, values)) continue;
    least = fmin(least, 100 * values[m]);
    most = fmax(most, 100 * values[m]);
  }
  if (most < 0) return false;
  axes->step = seer_models_step(fmax(most - least, 1));
  axes->bottom = fmax(0, axes->step * floor((least - axes->step / 4) / axes->step));
  axes->top = fmin(100, axes->step * ceil((most + axes->step / 4) / axes->step));
  return true;
}

static double x_of(const Plot *plot, const Axes *axes, double parameters) {
  double share = (log10(parameters) - axes->low) / (axes->high - axes->low);
  return plot->left + share * (plot->width - plot->left - plot->right);
}

static double y_of(const Plot *plot, const Axes *axes, double percent) {
  return plot->top + (axes->top - percent) / (axes->top - axes->bottom) * (plot->height - plot->top - plot->bottom);
}

// "10M", where there is no room for more.
static void size_short(double parameters, char text[32]) {
  static const char units[] = " kMBT";
  int unit = 0;
  for (; parameters > 999.5 && units[unit + 1]; unit++) parameters /= 1000;
  snprintf(text, 32, "%.0f%.*s", parameters, unit > 0, units + unit);
}

static void frame_print(const Plot *plot, const Axes *axes, FILE *out) {
  int floor_y = plot->height - plot->bottom;
  for (double value = axes->bottom; value < axes->top + axes->step / 2; value += axes->step) {
    double y = y_of(plot, axes, fmin(value, 100));
    fprintf(out, "<path class=\"rule\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>",
            plot->left, y, plot->width - plot->right, plot->left - 6, y + 4, fmin(value, 100));
  }
  for (double decade = axes->low; decade < axes->high + 0.5; decade++) {
    char size[32];
    double x = x_of(plot, axes, pow(10, decade));
    if (plot->names)
      seer_models_size(pow(10, decade), size);
    else
      size_short(pow(10, decade), size);
    fprintf(out, "<path class=\"rule\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
            x, plot->top, floor_y, x, plot->height - 8, size);
  }
}

// values [models], in shares, NaN: not drawn. False, and nothing printed, when none can be.
static bool plot_print(const SeerTaskModels *models, const Plot *plot, const double *values, const char *what,
                       FILE *out) {
  Axes axes;
  bool is_line = false;
  if (!axes_make(models, values, &axes)) return false;
  fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", plot->width, plot->height);
  seer_page_escape(out, what);
  fputs(" in per cent over the number of parameters; the numbers are in the table\">", out);
  frame_print(plot, &axes, out);
  fputs("<path class=\"line\" d=\"", out);
  for (int m = 0; m < models->own_count; m++) {
    if (!is_drawn(models, m, values)) continue;
    fprintf(out, "%s%.1f %.1f", is_line ? "L" : "M", x_of(plot, &axes, models->models[m].parameters),
            y_of(plot, &axes, 100 * values[m]));
    is_line = true;
  }
  fputs("\"/>", out);
  for (int m = models->model_count - 1; m >= 0; m--) {
    const SeerTaskModel *model = &models->models[m];
    char name[SEER_MODELS_NAME + 1];
    if (!is_drawn(models, m, values)) continue;
    double x = x_of(plot, &axes, model->parameters), y = y_of(plot, &axes, 100 * values[m]);
    fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>", model->is_own ? "mark" : "other", x,
            y);
    seer_page_escape(out, model->name);
    fprintf(out, ": %.2f</title></circle>", 100 * values[m]);
    if (!plot->names) continue;
    bool flips = x > plot->width * 0.7;
    seer_models_name(model->name, name);
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", flips ? x - 8 : x + 8,
            model->is_own && !flips ? y + 16 : y - 6, flips ? "end" : "start");
    seer_page_escape(out, name);
    fputs("</text>", out);
  }
  fputs("</svg>", out);
  return true;
}

static void means_print(const SeerTaskModels *models, FILE *out) {
  static const Plot plot = {760, 340, 48, 44, 18, 34, true};
  double values[1024];
  int left_out = 0;
  for (int m = 0; m < models->model_count; m++) {
    int count;
    double mean = seer_task_mean(models, m, NULL, models->common, &count);
    values[m] = models->common_count && count == models->common_count ? mean : (double)NAN;
    left_out += !is_drawn(models, m, values);
  }
  fprintf(
      out,
      "<section class=\"card\"><h2>Mean over model size</h2><p class=\"note\">Mean over the %d of %d tasks that all "
      "results have, in per cent.%s</p>",
      models->common_count, models->task_count,
      seer_task_has_others(models)
          ? " Filled: measured here, joined from the smallest to the largest. Hollow: as others have "
            "reported."
          : "");
  if (!plot_print(models, &plot, values, "Mean over tasks", out))
    fputs("<p>Nothing to draw: no model has all of these tasks and a known size.</p>", out);
  else if (left_out)
    fprintf(out, "<p class=\"note\">%d of %d models are not drawn: their size, or a task of these, is not known.</p>",
            left_out, models->model_count);
  fputs("</section>\n", out);
}

static void tally_print(const SeerTaskModels *models, int model, int against, FILE *out) {
  SeerTaskTally tally = seer_task_tally(models, model, against);
  fputs("<tr><th scope=\"row\">", out);
  seer_page_escape(out, models->models[model].name);
  fputs("</th><td>", out);
  seer_page_escape(out, against < 0 ? "the best of others, task by task" : models->models[against].name);
  fprintf(out, "</td><td>%d</td><td>%d</td><td>%d</td><td>%d</td></tr>", tally.wins, tally.losses, tally.ties,
          models->task_count - tally.wins - tally.losses - tally.ties);
}

static void tallies_print(const SeerTaskModels *models, FILE *out) {
  if (models->model_count < 2) return;
  fputs(
      "<section class=\"card\"><h2>Wins</h2><p class=\"note\">Tasks on which a model is ahead of another, behind it, "
      "or tied: no "
      "farther apart than the deviations over seeds, as the root of the sum of their squares. Others' deviations are "
      "not "
      "known and count as none. What others report may have been measured otherwise, of which this page knows "
      "nothing.</p>"
      "<div class=\"wide\"><table><thead><tr><th scope=\"col\">model</th><th scope=\"col\">against</th><th "
      "scope=\"col\">wins</th><th scope=\"col\">losses</th><th scope=\"col\">ties</th><th scope=\"col\">not "
      "known</th></tr>"
      "</thead><tbody>",
      out);
  for (int m = 0; m < models->own_count; m++) {
    for (int other = m + 1 < models->own_count ? m + 1 : models->own_count; other < models->model_count; other++)
      tally_print(models, m, other, out);
    if (seer_task_has_others(models)) tally_print(models, m, -1, out);
  }
  fputs("</tbody></table></div></section>\n", out);
}

static void mean_row_print(const SeerTaskModels *models, const char *name, const char *group, const bool *among,
                           FILE *out) {
  fputs("<tr class=\"sum\"><th scope=\"row\">", out);
  seer_page_escape(out, name);
  fputs("</th><td></td><td></td>", out);
  for (int m = 0; m < models->model_count; m++) {
    int count;
    double mean = seer_task_mean(models, m, group, among, &count);
    if (count)
      fprintf(out, "<td>%.2f <small>of %d</small></td>", 100 * mean, count);
    else
      fputs("<td>-</td>", out);
  }
  fputs("</tr>", out);
}

static void task_row_print(const SeerTaskModels *models, int task, FILE *out) {
  double best = -1;
  for (int m = 0; m < models->model_count; m++) best = fmax(best, models->models[m].values[task]);
  fputs("<tr><th scope=\"row\">", out);
  seer_page_escape(out, models->tasks[task]);
  fputs("</th><td>", out);
  seer_page_escape(out, models->groups[task]);
  fputs("</td><td>", out);
  seer_page_escape(out, models->metrics[task]);
  fputs("</td>", out);
  for (int m = 0; m < models->model_count; m++) {
    const SeerTaskModel *model = &models->models[m];
    bool is_best = model->values[task] >= best;
    if (isnan(model->values[task])) {
      fputs("<td class=\"few\">-</td>", out);
      continue;
    }
    fprintf(out, is_best ? "<td><b>%.2f</b>" : "<td>%.2f", 100 * model->values[task]);
    if (model->is_own) fprintf(out, " <small>± %.2f</small>", 100 * model->deviations[task]);
    fputs("</td>", out);
  }
  fputs("</tr>", out);
}

static void table_print(const SeerTaskModels *models, FILE *out) {
  const char *group;
  fputs(
      "<section class=\"card\"><h2>Tasks</h2><p class=\"note\">Per cent, with the deviation over seeds of what was "
      "measured "
      "here; the best of each task in bold.</p><div class=\"wide\"><table><thead><tr><th scope=\"col\">task</th><th "
      "scope=\"col\">group</th><th scope=\"col\">metric</th>",
      out);
  for (int m = 0; m < models->model_count; m++) {
    char size[32] = "size not known";
    if (models->models[m].parameters >= 1) seer_models_size(models->models[m].parameters, size);
    fputs("<th scope=\"col\">", out);
    seer_page_escape(out, models->models[m].name);
    fprintf(out, "<br><small>%s%s</small></th>", size, models->models[m].is_own ? "" : ", reported");
  }
  fputs("</tr></thead><tbody>", out);
  for (int t = 0; t < models->task_count; t++) task_row_print(models, t, out);
  for (int g = 0; (group = seer_task_group(models, g)); g++) {
    char name[120];
    snprintf(name, sizeof name, "mean of %.100s", group);
    mean_row_print(models, name, group, NULL, out);
  }
  mean_row_print(models, "mean", NULL, NULL, out);
  if (models->common_count < models->task_count)
    mean_row_print(models, "mean of what all results have", NULL, models->common, out);
  fputs("</tbody></table></div></section>\n", out);
}

static void multiples_print(const SeerTaskModels *models, FILE *out) {
  static const Plot plot = {250, 150, 34, 34, 8, 24, false};
  double values[1024];
  fputs("<section class=\"card\"><h2>Task by task</h2><div class=\"small\">", out);
  for (int t = 0; t < models->task_count; t++) {
    for (int m = 0; m < models->model_count; m++) values[m] = models->models[m].values[t];
    fputs("<div><h3>", out);
    seer_page_escape(out, models->tasks[t]);
    fputs("</h3>", out);
    if (!plot_print(models, &plot, values, models->tasks[t], out)) fputs("<p class=\"few\">No value.</p>", out);
    fputs("</div>", out);
  }
  fputs("</div></section>\n", out);
}

static void faults_print(const SeerTaskModels *models, FILE *out) {
  fputs("<section class=\"card\"><h2>What was measured, and what was not</h2>", out);
  for (int i = 0; i < models->result_count; i++) {
    const json_t *result = models->results[i], *rows = json_object_get(result, "tasks");
    int fine = 0;
    for (size_t r = 0; r < json_array_size(rows); r++) fine += !json_object_get(json_array_get(rows, r), "error");
    fputs("<h3>", out);
    seer_page_escape(out, seer_result_text(result, "model"));
    fprintf(out, "</h3><p>%d of %.0f tasks have a value; weights ", fine, seer_result_number(result, "task_count"));
    seer_page_escape(out, seer_result_text(result, "weights"));
    fputs("</p><ul>", out);
    for (size_t r = 0; r < json_array_size(rows); r++) {
      const json_t *row = json_array_get(rows, r), *error = json_object_get(row, "error");
      double lost = seer_result_number(row, "undecodable");
      if (!error && !(lost > 0)) continue;
      fputs("<li>", out);
      seer_page_escape(out, seer_result_text(row, "name"));
      fputs(": ", out);
      if (error)
        seer_page_escape(out, json_string_value(error));
      else
        fprintf(out, "%.0f pictures could not be decoded", lost);
      fputs("</li>", out);
    }
    fputs("</ul>", out);
  }
  fputs("</section>\n", out);
}

void seer_task_models_page(const SeerTaskModels *models, FILE *out) {
  const json_t *protocol = json_object_get(models->results[0], "protocol");
  seer_page_begin(out, "Many tasks");
  fprintf(out,
          "%s%s<h1>%d task%s, one protocol</h1><p class=\"sub\">Linear probes of %.0f epochs on features of %d "
          "model%s, from "
          "the smallest to the largest; %.0f seeds each.</p>\n",
          seer_models_style, style, models->task_count, models->task_count == 1 ? "" : "s",
          seer_result_number(protocol, "epochs"), models->own_count, models->own_count == 1 ? "" : "s",
          seer_result_number(protocol, "seeds"));
  means_print(models, out);
  tallies_print(models, out);
  table_print(models, out);
  multiples_print(models, out);
  faults_print(models, out);
  seer_page_end(out);
}
