// See sweep_page.h.
#include "compiler/driver/sweep_page.h"

#include <math.h>
#include <stdio.h>

#include "compiler/driver/streams.h"
#include "runtime/page.h"
#include "runtime/plot.h"

enum { CURVE_POINTS = 160, NAMED_CURVES = 20 };

typedef struct Page {
  Arena *arena;
  FILE *out;
  const SweepResults *results;
} Page;

// ---- quality against what it costs ----

typedef enum SweepCost { COST_SIZE, COST_SPEED } SweepCost;

static double cost_of(const SweepRow *row, SweepCost cost) {
  return cost == COST_SIZE ? (double)row->first->plan.parameters_trunk / 1e6 : row->speed.mean;
}

static bool is_on_front(const SweepRow *row, SweepCost cost) {
  return cost == COST_SIZE ? row->small_front : row->fast_front;
}

static double shown_quality(const SweepResults *results, const SweepRow *row) {
  return results->by_knn ? 100 * row->knn.mean : row->loss.mean;
}

static const char *row_title(Arena *arena, const SweepResults *results, const SweepRow *row) {
  SweepFigure figure = results->by_knn ? row->knn : row->loss;
  double factor = results->by_knn ? 100 : 1;
  const char *name = sweep_row_name(arena, results, row);
  if (isnan(figure.deviation)) return arena_printf(arena, "%s: %.5g", name, factor * figure.mean);
  return arena_printf(arena, "%s: %.5g ± %.2g", name, factor * figure.mean, factor * figure.deviation);
}

// Rows that are done, by rising cost; all, or those of the front, or the best.
typedef enum SweepShown { SHOW_ALL, SHOW_FRONT, SHOW_BEST } SweepShown;

static SeerSeries rows_series(Arena *arena, const SweepResults *results, SweepCost cost, SweepShown shown) {
  int count = 0;
  const SweepRow **rows = arena_array(arena, const SweepRow *, results->row_count + 1);
  for (int i = 0; i < results->row_count; i++) {
    const SweepRow *row = &results->rows[i];
    if (isnan(sweep_row_quality(results, row)) || (shown == SHOW_FRONT && !is_on_front(row, cost)) ||
        (shown == SHOW_BEST && !row->best))
      continue;
    int at = count++;
    for (; at > 0 && cost_of(rows[at - 1], cost) > cost_of(row, cost); at--) rows[at] = rows[at - 1];
    rows[at] = row;
  }
  double *x = arena_array(arena, double, count + 1), *y = arena_array(arena, double, count + 1);
  const char **labels = arena_array(arena, const char *, count + 1),
             **titles = arena_array(arena, const char *, count + 1);
  for (int i = 0; i < count; i++) {
    x[i] = cost_of(rows[i], cost);
    y[i] = shown_quality(results, rows[i]);
    labels[i] = sweep_row_name(arena, results, rows[i]);
    titles[i] = row_title(arena, results, rows[i]);
  }
  return (SeerSeries){.x = x, .y = y, .count = count, .labels = shown == SHOW_ALL ? labels : NULL, .titles = titles};
}

static void print_trade(const Page *page, SweepCost cost, bool inside) {
  const SweepResults *results = page->results;
  SeerSeries series[3];
  series[0] = rows_series(page->arena, results, cost, SHOW_FRONT);
  series[0].name = cost == COST_SIZE ? "no other is as good and smaller" : "no other is as good and faster";
  series[0].join = SEER_JOIN_LINE;
  series[0].dashes = "5 4";
  series[1] = rows_series(page->arena, results, cost, SHOW_ALL);
  series[1].name = results->sweep->seed_axis >= 0 ? "variants, means over seeds" : "variants";
  series[1].mark = SEER_MARK_DOT;
  series[2] = rows_series(page->arena, results, cost, SHOW_BEST);
  series[2].name = "best";
  series[2].mark = SEER_MARK_STAR;
  for (int i = 0; i < 3; i++) series[i].color = seer_plot_color(i == 0 ? 1 : i == 1 ? 0 : 3);
  const SeerPlot plot = {
      .title = inside ? NULL : arena_printf(page->arena, "%s: quality against size", results->sweep->program),
      .x = {.label = cost == COST_SIZE ? "parameters of the trunk, millions" : "images per second", .log = true},
      .y = {.label = results->by_knn ? "kNN accuracy, %" : "loss"},
      .series = series,
      .series_count = 3,
      .width = inside ? 520 : 0,
      .height = inside ? 340 : 0,
      .inside = inside};
  seer_plot_print(page->out, &plot);
}

// ---- curves over the steps ----

// Means over equal runs of points.
static SeerSeries loss_series(Arena *arena, const SweepVariant *variant) {
  const SeerHistory *history = &variant->history;
  int count = history->count < CURVE_POINTS ? history->count : CURVE_POINTS;
  double *x = arena_array(arena, double, count + 1), *y = arena_array(arena, double, count + 1);
  for (int i = 0; i < count; i++) {
    int from = (int)((int64_t)i * history->count / count), to = (int)((int64_t)(i + 1) * history->count / count);
    for (int j = from; j < to; j++) {
      x[i] += history->step[j] / (to - from);
      y[i] += history->loss[j] / (to - from);
    }
  }
  return (SeerSeries){.name = variant->name, .x = x, .y = y, .count = count, .join = SEER_JOIN_LINE, .width = 1.6};
}

static SeerSeries knn_series(Arena *arena, const SweepVariant *variant) {
  const SeerHistory *history = &variant->history;
  double *x = arena_array(arena, double, history->count + 1), *y = arena_array(arena, double, history->count + 1);
  int count = 0;
  for (int i = 0; i < history->count; i++) {
    if (isnan(history->knn[i])) continue;
    x[count] = history->step[i];
    y[count++] = 100 * history->knn[i];
  }
  return (SeerSeries){.name = variant->name,
                      .x = x,
                      .y = y,
                      .count = count,
                      .join = SEER_JOIN_LINE,
                      .mark = SEER_MARK_DOT,
                      .width = 1.6};
}

// One curve for each variant, of one colour for each row. False: none has `least` points.
static bool print_curves(const Page *page, SeerSeries (*make)(Arena *, const SweepVariant *), const char *title,
                         const char *note, const char *label, int least) {
  const SweepResults *results = page->results;
  SeerSeries *series = arena_array(page->arena, SeerSeries, results->sweep->variant_count + 1);
  int count = 0;
  for (int row = 0; row < results->row_count; row++) {
    for (int i = 0; i < results->rows[row].count; i++) {
      series[count] = make(page->arena, results->rows[row].variants[i]);
      series[count].color = seer_plot_color(row);
      if (i) series[count].dashes = "4 3";
      if (series[count].count >= least) count++;
    }
  }
  if (!count) return false;
  fprintf(page->out, "<section class=\"card\"><h2>%s</h2><p class=\"note\">%s</p>", title, note);
  const SeerPlot plot = {.x = {.label = "step"},
                         .y = {.label = label},
                         .series = series,
                         .series_count = count,
                         .width = 1040,
                         .bare = count > NAMED_CURVES,
                         .inside = true};
  seer_plot_print(page->out, &plot);
  fputs("</section>\n", page->out);
  return true;
}

// ---- texts ----

static void print_text(const Page *page, const char *element, const char *class, const char *text) {
  fprintf(page->out, "<%s%s%s%s>", element, class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
  seer_page_escape(page->out, text);
  fprintf(page->out, "</%s>", element);
}

static void print_figure(const Page *page, SweepFigure figure, double factor, int digits) {
  if (isnan(figure.mean)) {
    fputs("<td class=\"n\">–</td>", page->out);
    return;
  }
  fprintf(page->out, "<td class=\"n\">%.*f", digits, factor * figure.mean);
  if (!isnan(figure.deviation)) fprintf(page->out, " ± %.*f", digits, factor * figure.deviation);
  fputs("</td>", page->out);
}

static void print_row(const Page *page, const SweepRow *row) {
  const Sweep *sweep = page->results->sweep;
  const SweepVariant *first = row->first;
  uint64_t bytes = first->peak_bytes ? first->peak_bytes : first->plan.peak_bytes;
  fprintf(page->out, "<tr><th class=\"n\">%s</th>", row->best ? "★ best" : row->as_good ? "as good" : "");
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) print_text(page, "td", "n", first->values[i]);
  }
  print_figure(page, row->loss, 1, 4);
  print_figure(page, row->knn, 100, 2);
  print_figure(page, row->speed, 1, 1);
  if (first->built)
    fprintf(page->out, "<td class=\"n\">%.1f</td><td class=\"n\">%.3f</td><td class=\"n\">%.4g</td>",
            (double)bytes / 1048576, (double)first->plan.parameters_trunk / 1e6, first->plan.macs / 1e6);
  else
    fputs("<td></td><td></td><td></td>", page->out);
  fprintf(page->out, "<td class=\"n\">%s%s%s</td>", row->small_front ? "size" : "",
          row->small_front && row->fast_front ? ", " : "", row->fast_front ? "speed" : "");
  if (row->done == row->count)
    fprintf(page->out, "<td class=\"n\">%d</td></tr>\n", row->count);
  else if (row->count > 1)
    fprintf(page->out, "<td class=\"n\">%d of %d</td></tr>\n", row->done, row->count);
  else
    fprintf(page->out, "<td class=\"n\">%s</td></tr>\n", sweep_state_name(first));
}

static void print_rows(const Page *page) {
  const Sweep *sweep = page->results->sweep;
  fputs(
      "<section class=\"card\"><h2>Variants</h2><p class=\"note\">Loss: mean of the last steps. kNN: share of labelled "
      "pictures whose label their neighbours vote, after the last step. Memory: of one rank. Parameters and "
      "multiply-adds, of all views of a picture: of the trunk, in millions. Front: no other variant "
      "is as good and smaller (size), or as good and faster (speed).</p><div class=\"wide\"><table "
      "class=\"who\"><thead><tr><th></th>",
      page->out);
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) print_text(page, "th", "n", sweep->columns[i]);
  }
  fputs(
      "<th class=\"n\">loss</th><th class=\"n\">kNN %</th><th class=\"n\">images/s</th><th class=\"n\">memory, "
      "MiB</th><th class=\"n\">M parameters</th><th class=\"n\">M multiply-"
      "adds</th><th class=\"n\">front</th><th class=\"n\">runs</th></tr></thead><tbody>\n",
      page->out);
  for (int i = 0; i < page->results->row_count; i++) print_row(page, &page->results->rows[i]);
  fputs("</tbody></table></div></section>\n", page->out);
}

static void print_tiles(const Page *page) {
  const SweepResults *results = page->results;
  fprintf(page->out, "<div class=\"tiles\"><div class=\"tile\"><b>%d of %d</b><span>variants done</span></div>",
          results->done, results->sweep->variant_count);
  if (results->failed) fprintf(page->out, "<div class=\"tile\"><b>%d</b><span>failed</span></div>", results->failed);
  if (results->best) {
    fprintf(page->out,
            results->by_knn ? "<div class=\"tile\"><b>%.2f %%</b><span>" : "<div class=\"tile\"><b>%.4g</b><span>",
            shown_quality(results, results->best));
    fprintf(page->out, "best %s: ", results->by_knn ? "kNN accuracy" : "loss");
    seer_page_escape(page->out, sweep_row_name(page->arena, results, results->best));
    fputs("</span></div>", page->out);
  }
  fputs("</div>\n", page->out);
}

static void print_failures(const Page *page) {
  const Sweep *sweep = page->results->sweep;
  if (!page->results->failed) return;
  fputs("<section class=\"card\"><h2>What failed</h2><ul>", page->out);
  for (int i = 0; i < sweep->variant_count; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    if (variant->state != SWEEP_FAILED && variant->state != SWEEP_REFUSED) continue;
    fputs("<li>", page->out);
    seer_page_escape(page->out, variant->name);
    fprintf(page->out, ", %s: ", sweep_state_name(variant));
    seer_page_escape(page->out, variant->reason ? variant->reason : "");
    fputs("</li>\n", page->out);
  }
  fputs("</ul></section>\n", page->out);
}

static void print_trades(const Page *page) {
  if (!page->results->best) return;
  fputs("<div class=\"pair\"><section class=\"card\"><h2>Quality against size</h2>", page->out);
  print_trade(page, COST_SIZE, true);
  fputs("</section><section class=\"card\"><h2>Quality against speed</h2>", page->out);
  print_trade(page, COST_SPEED, true);
  fputs("</section></div>\n", page->out);
}

static void print_page(const Page *page) {
  const Sweep *sweep = page->results->sweep;
  const char *title = arena_printf(page->arena, "%s: a sweep", sweep->program);
  seer_page_begin(page->out, title);
  print_text(page, "h1", NULL, title);
  fputs("<p class=\"sub\">over ", page->out);
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i) fputs(", ", page->out);
    seer_page_escape(page->out, sweep->keys[i]);
  }
  fputs("</p>\n", page->out);
  print_tiles(page);
  print_trades(page);
  print_rows(page);
  print_curves(page, loss_series, "Loss",
               sweep->seed_axis >= 0 ? "of every variant; dashed: further seeds of the same" : "of every variant",
               "loss", 1);
  print_curves(page, knn_series, "Nearest neighbours in training",
               "share of labelled pictures named right by their "
               "neighbours",
               "kNN accuracy, %", 2);
  print_failures(page);
  seer_page_end(page->out);
}

static void print_into(const SweepResults *results, Writer *out, void (*print)(const Page *)) {
  WriterStream stream;
  stream_begin(&stream, out);
  Page page = {arena_make("page"), stream.file, results};
  print(&page);
  arena_release(page.arena);
  stream_end(&stream);
}

static void print_picture(const Page *page) { print_trade(page, COST_SIZE, false); }

void sweep_print_page(const SweepResults *results, Writer *out) { print_into(results, out, print_page); }
void sweep_print_svg(const SweepResults *results, Writer *out) { print_into(results, out, print_picture); }
