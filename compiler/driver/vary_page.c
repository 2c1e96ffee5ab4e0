// The plans of variants as pictures, and as a page; see vary.h.
#include <math.h>
#include <string.h>

#include "compiler/driver/streams.h"
#include "compiler/driver/vary.h"
#include "runtime/page.h"

enum { PLOTS_MOST = 4, NAMES_MOST = 24 };

typedef struct Plots {
  const Varied *varied;
  VaryLines lines;
  SeerPlot items[PLOTS_MOST];
  int count;
} Plots;

typedef struct Points {
  double *x, *y;
  const char **labels, **titles;
  int count;
} Points;

static Points points_make(const Varied *varied, int most) {
  Arena *arena = varied->arena;
  return (Points){.x = arena_array(arena, double, most),
                  .y = arena_array(arena, double, most),
                  .labels = arena_array(arena, const char *, most),
                  .titles = arena_array(arena, const char *, most)};
}

// "nodes=8: 2.81 s a step, 2819 images/s, 38.5 GiB"
static const char *title_of(const Varied *varied, int v) {
  const VaryPlan *plan = &varied->plans[v];
  Writer text = {0};
  writer_printf(&text, "%s: ", varied->variants->items[v].name);
  report_write_time(&text, (double)plan->simulation.step_ns);
  writer_printf(&text, " a step, %.4g images/s, ", plan->simulation.images_per_second);
  vary_write_bytes(&text, plan->peak_bytes);
  const char *copy = arena_string(varied->arena, text.text, text.size);
  writer_release(&text);
  return copy;
}

static void points_add(const Varied *varied, Points *points, int v, double x, double y) {
  int at = points->count++;
  points->x[at] = x;
  points->y[at] = y;
  if (varied->variants->count <= NAMES_MOST) points->labels[at] = varied->variants->items[v].name;
  points->titles[at] = title_of(varied, v);
}

static SeerSeries series_of(const Points *points, SeerSeries like) {
  like.x = points->x;
  like.y = points->y;
  like.titles = points->titles;
  like.count = points->count;
  return like;
}

static SeerSeries rule_of(Arena *arena, double x0, double y0, double x1, double y1, const char *name) {
  double *ends = arena_array(arena, double, 4);
  ends[0] = x0;
  ends[1] = x1;
  ends[2] = y0;
  ends[3] = y1;
  return (SeerSeries){.name = name,
                      .x = ends,
                      .y = ends + 2,
                      .count = 2,
                      .join = SEER_JOIN_LINE,
                      .color = "#9aa3b2",
                      .dashes = "5 4",
                      .width = 1.2};
}

// ---- along an axis ----

typedef struct AxisPlot {
  SeerSeries *series;
  int count;
  double low, high;  // of the axis
} AxisPlot;

static double number_of(const Plots *plots, int v) {
  const Varied *varied = plots->varied;
  return varied->numbers[plots->lines.axis * varied->variants->count + v];
}

// Lines of one value of every variant; with `perfect`, what the first of each would be on as many ranks.
static AxisPlot axis_plot(const Plots *plots, double (*value)(const VaryPlan *), bool perfect) {
  const Varied *varied = plots->varied;
  AxisPlot plot = {
      .series = arena_array(varied->arena, SeerSeries, 2 * plots->lines.count + 1), .low = INFINITY, .high = -INFINITY};
  for (int i = 0; i < plots->lines.count; i++) {
    const VaryLine *line = &plots->lines.items[i];
    Points own = points_make(varied, line->count), ideal = points_make(varied, line->count);
    const VaryPlan *first = &varied->plans[line->variants[0]];
    bool other_ranks = false;
    for (int k = 0; k < line->count; k++) {
      int v = line->variants[k];
      const VaryPlan *plan = &varied->plans[v];
      double x = number_of(plots, v);
      points_add(varied, &own, v, x, value(plan));
      points_add(varied, &ideal, v, x, value(first) * plan->ranks / first->ranks);
      other_ranks |= plan->ranks != first->ranks;
      plot.low = fmin(plot.low, x);
      plot.high = fmax(plot.high, x);
    }
    SeerSeries like = {.name = line->name, .join = SEER_JOIN_LINE, .mark = SEER_MARK_DOT, .color = seer_plot_color(i)};
    plot.series[plot.count++] = series_of(&own, like);
    if (!perfect || !other_ranks) continue;
    like = (SeerSeries){.name = i ? NULL : "perfect scaling",
                        .join = SEER_JOIN_LINE,
                        .color = seer_plot_color(i),
                        .dashes = "5 4",
                        .width = 1};
    plot.series[plot.count++] = series_of(&ideal, like);
  }
  return plot;
}

static double images_per_second(const VaryPlan *plan) { return plan->simulation.images_per_second; }
static double waits(const VaryPlan *plan) { return (double)plan->exposed_ns / (double)plan->compute_ns; }

static bool is_wide(double low, double high) { return low > 0 && high >= 3 * low; }

static void add_scaling(Plots *plots) {
  const Varied *varied = plots->varied;
  AxisPlot speed = axis_plot(plots, images_per_second, true);
  bool log = is_wide(speed.low, speed.high);
  const char *label = varied->variants->axes[plots->lines.axis].label;
  plots->items[plots->count++] = (SeerPlot){.title = "Speed",
                                            .x = {.label = label, .log = log},
                                            .y = {.label = "images a second", .log = log, .from_zero = true},
                                            .series = speed.series,
                                            .series_count = speed.count};
  AxisPlot traffic = axis_plot(plots, waits, false);
  traffic.series[traffic.count++] = rule_of(varied->arena, traffic.low, 1, traffic.high, 1, "communication takes over");
  plots->items[plots->count++] = (SeerPlot){.title = "Waiting for other ranks",
                                            .x = {.label = label, .log = log},
                                            .y = {.label = "times the computing time", .from_zero = true},
                                            .series = traffic.series,
                                            .series_count = traffic.count};
}

// ---- one against another ----

static SeerSeries all_points(const Varied *varied, double (*x)(const Varied *, int), double (*y)(const Varied *, int),
                             bool best) {
  Points points = points_make(varied, varied->variants->count);
  for (int v = 0; v < varied->variants->count; v++) {
    if (varied->plans[v].outcome == VARY_PLANNED && varied->is_best[v] == best)
      points_add(varied, &points, v, x(varied, v), y(varied, v));
  }
  SeerSeries series = {.name = best ? "no other is both faster and cheaper" : "others",
                       .mark = best ? SEER_MARK_DOT : SEER_MARK_RING,
                       .labels = points.labels,
                       .color = best ? seer_plot_color(1) : seer_plot_color(0)};
  if (!points.count) series.name = NULL;
  return series_of(&points, series);
}

static double memory_of(const Varied *varied, int v) { return (double)varied->plans[v].peak_bytes; }
static double step_of(const Varied *varied, int v) { return (double)varied->plans[v].simulation.step_ns * 1e-9; }

static void add_memory(Plots *plots) {
  const Varied *varied = plots->varied;
  SeerSeries *series = arena_array(varied->arena, SeerSeries, 3);
  series[0] = all_points(varied, memory_of, step_of, true);
  series[1] = all_points(varied, memory_of, step_of, false);
  double least = INFINITY, most = 0, budget = 0;
  bool one_budget = true;
  for (int v = 0; v < varied->variants->count; v++) {
    const VaryPlan *plan = &varied->plans[v];
    if (plan->outcome != VARY_PLANNED) continue;
    least = fmin(least, step_of(varied, v));
    most = fmax(most, step_of(varied, v));
    one_budget &= budget <= 0 || (double)plan->budget_bytes == budget;
    budget = (double)plan->budget_bytes;
  }
  // On a machine whose memory is far larger it would only take the room.
  bool near = one_budget && budget < 3 * memory_of(varied, varied->first);
  if (near) series[2] = rule_of(varied->arena, budget, least, budget, most, "the budget");
  plots->items[plots->count++] = (SeerPlot){.title = "Memory and time",
                                            .x = {.label = "memory of a rank", .unit = SEER_BYTES},
                                            .y = {.label = "a step", .unit = SEER_SECONDS, .from_zero = true},
                                            .series = series,
                                            .series_count = near ? 3 : 2};
}

static double cheapness(const Varied *varied, int v) { return vary_cost(varied, v); }

static int by_seconds(const Varied *varied, int a, int b) {
  return vary_seconds(varied, a) < vary_seconds(varied, b) ? -1 : vary_seconds(varied, a) > vary_seconds(varied, b);
}

// Through those that none beats, from the fastest to the cheapest.
static SeerSeries front_of(const Varied *varied) {
  int *best = arena_array(varied->arena, int, varied->variants->count), count = 0;
  for (int v = 0; v < varied->variants->count; v++) {
    if (!varied->is_best[v]) continue;
    int at = count++;
    for (; at > 0 && by_seconds(varied, v, best[at - 1]) < 0; at--) best[at] = best[at - 1];
    best[at] = v;
  }
  Points points = points_make(varied, count + 1);
  for (int i = 0; i < count; i++)
    points_add(varied, &points, best[i], vary_seconds(varied, best[i]), vary_cost(varied, best[i]));
  return series_of(&points, (SeerSeries){.join = SEER_JOIN_LINE, .color = seer_plot_color(1), .width = 1});
}

static void add_cost(Plots *plots) {
  static const char *const labels[] = {
      [VARY_MONEY] = "cost", [VARY_ENERGY] = "energy in kWh", [VARY_RANK_HOURS] = "hours of ranks"};
  const Varied *varied = plots->varied;
  SeerSeries *series = arena_array(varied->arena, SeerSeries, 3);
  series[0] = all_points(varied, vary_seconds, cheapness, true);
  series[1] = all_points(varied, vary_seconds, cheapness, false);
  series[2] = front_of(varied);
  plots->items[plots->count++] =
      (SeerPlot){.title = "Time and cost",
                 .x = {.label = varied->measure.whole_run ? "the run" : "a million pictures", .unit = SEER_SECONDS},
                 .y = {.label = labels[varied->measure.kind]},
                 .series = series,
                 .series_count = 3};
}

static Plots plots_make(const Varied *varied) {
  Plots plots = {.varied = varied, .lines = vary_lines(varied)};
  if (varied->first < 0) return plots;
  if (plots.lines.axis >= 0) add_scaling(&plots);
  add_memory(&plots);
  add_cost(&plots);
  return plots;
}

void vary_print_svg(const Varied *varied, Writer *out) {
  Plots plots = plots_make(varied);
  WriterStream stream;
  stream_begin(&stream, out);
  const char *title = arena_printf(varied->arena, "%s: %d of %d variants fit, simulated", varied->name,
                                   vary_planned(varied), varied->variants->count);
  seer_plots_print(stream.file, title, plots.items, plots.count);
  stream_end(&stream);
}

// ---- page ----

static void print_findings(const Varied *varied, FILE *page) {
  VaryFindings findings = vary_find(varied);
  fputs("<section class=\"card\"><h2>What it comes to</h2><ul>", page);
  for (size_t i = 0; i < findings.count; i++) {
    fputs("<li>", page);
    seer_page_escape(page, findings.items[i]);
    fputs("</li>", page);
  }
  fputs("</ul></section>\n", page);
}

static void print_plots(const Varied *varied, FILE *page) {
  Plots plots = plots_make(varied);
  fputs("<div class=\"pair\">", page);
  for (int i = 0; i < plots.count; i++) {
    plots.items[i].inside = true;
    plots.items[i].width = 620;
    plots.items[i].height = 360;
    fprintf(page, "<section class=\"card\"><h2>%s</h2>", plots.items[i].title);
    seer_plot_print(page, &plots.items[i]);
    fputs("</section>", page);
  }
  fputs("</div>\n", page);
}

void vary_print_html(const Varied *varied, Writer *out) {
  WriterStream stream;
  stream_begin(&stream, out);
  FILE *page = stream.file;
  TextTable table = vary_table(varied);
  seer_page_begin(page, "What if");
  fputs("<h1>What if</h1><p class=\"sub\">", page);
  seer_page_escape(page, varied->name);
  fprintf(page, ", %d variants, %d of them fit</p>\n", varied->variants->count, vary_planned(varied));
  print_findings(varied, page);
  print_plots(varied, page);
  fputs("<section class=\"card\"><h2>Every variant</h2><p class=\"note\">", page);
  seer_page_escape(page, vary_legend);
  fputs("</p>", page);
  text_table_print_html(&table, page);
  fputs("</section>\n", page);
  seer_page_end(page);
  stream_end(&stream);
}
