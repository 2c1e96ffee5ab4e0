// Frame, text and charts of a report page; see page.h.
#include "runtime/page.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/plot.h"
#include "runtime/utf8.h"

enum { WIDTH = 640, HEIGHT = 230, POINTS_MAX = 700, BARS_MAX = 400 };

static const char style[] =
    ":root{--ink:#1b2230;--soft:#667085;--line:#e6e9f0;--blue:#2f6fed;--teal:#0f9d8a;--amber:#d97b0d;--paper:#fff}"
    "*{box-sizing:border-box}body{margin:0;background:#f5f6fa;color:var(--ink);font:15px/1.55 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'DejaVu Sans',sans-serif}main{max-width:1120px;margin:0 auto;padding:36px 24px 64px}"
    "h1{font-size:34px;letter-spacing:-.02em;margin:0}h2{font-size:19px;letter-spacing:-.01em;margin:0 0 4px}"
    ".sub{color:var(--soft);margin:4px 0 26px}.note{color:var(--soft);font-size:13.5px;margin:0 0 12px}"
    ".grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:18px}"
    ".card{background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:20px "
    "22px;margin-bottom:18px;"
    "box-shadow:0 1px 2px rgba(20,30,60,.04)}.grid .card{margin:0}.grid .card:first-child{grid-column:1/-1}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin-bottom:18px}"
    ".tile{background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:14px 18px}"
    ".tile b{display:block;font-size:25px;letter-spacing:-.02em;font-variant-numeric:tabular-nums}"
    ".tile span{color:var(--soft);font-size:13px}svg{display:block;width:100%;height:auto}svg "
    "image{mix-blend-mode:multiply}"
    "svg text{font:11.5px system-ui,'DejaVu Sans',sans-serif;fill:#667085;font-variant-numeric:tabular-nums}"
    ".race{display:grid;grid-template-columns:150px 1fr 64px;gap:9px 14px;align-items:center}"
    ".race .bar{background:#eef1f6;border-radius:8px;height:20px;overflow:hidden}.race .bar "
    "i{display:block;height:100%;"
    "border-radius:8px;background:#b9c2d3}.race .first i{background:linear-gradient(90deg,#2f6fed,#0f9d8a)}"
    ".race b{font-variant-numeric:tabular-nums;text-align:right}"
    ".row{display:grid;grid-template-columns:112px 22px "
    "repeat(7,minmax(0,1fr));gap:10px;align-items:start;padding:12px 0;"
    "border-top:1px solid var(--line)}.row:first-of-type{border-top:0}figure{margin:0;min-width:0}"
    "figure img{width:100%;aspect-ratio:1;border-radius:10px;display:block;background:#eef1f6;border:3px solid "
    "transparent}"
    "figure.query img{border-color:var(--ink)}figure.same img{border-color:var(--teal)}figure.other "
    "img{border-color:#e3e6ee}"
    "figcaption{font-size:11.5px;color:var(--soft);white-space:nowrap;overflow:hidden;text-overflow:ellipsis;margin-"
    "top:3px}"
    ".arrow{color:#b4bccb;font-size:20px;align-self:center;text-align:center;padding-bottom:18px}"
    "pre{overflow:auto;background:#f5f6fa;border-radius:10px;padding:14px;font-size:12.5px}summary{cursor:pointer;font-"
    "weight:600}"
    "@media(max-width:820px){.grid{grid-template-columns:minmax(0,1fr)}.row{grid-template-columns:90px 14px "
    "repeat(4,minmax(0,1fr))}"
    ".row figure:nth-of-type(n+6){display:none}}";

// Of who_page.c and its charts; then, for all of a page, of dark screens.
static const char style_more[] =
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:18px;margin-bottom:18px}"
    ".pair .card{margin:0}"
    ".wide{overflow-x:auto}table.who{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:"
    "tabular-nums}table.who caption{text-align:left;color:var(--soft);padding:0 0 8px}table.who th{font-weight:600;"
    "text-align:left}table.who thead th{color:var(--soft);font-size:12.5px}table.who th,table.who td{padding:4px 10px "
    "4px 0;border-bottom:1px solid var(--line);vertical-align:middle}table.who .n{text-align:right;white-space:nowrap}"
    "table.who tbody th{font-weight:500;max-width:300px;overflow-wrap:anywhere}"
    ".part{position:relative;height:14px;min-width:140px;background:var(--line);border-radius:4px;overflow:hidden}"
    ".part i{position:absolute;left:0;top:0;bottom:0;background:var(--blue);opacity:.75}.part u{position:absolute;"
    "top:3px;bottom:3px;background:var(--ink);min-width:2px;border-radius:2px}.part s{position:absolute;top:0;bottom:0;"
    "width:2px;background:var(--amber)}"
    "table.heat td,table.heat thead th{text-align:right;padding:5px 8px}table.heat td.none{outline:2px dashed "
    "var(--amber);outline-offset:-3px}.warn{border-left:4px solid var(--amber);padding:2px 0 2px 12px;margin:12px 0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e7eaf1;--soft:#9aa5b8;--line:#2c3342;--paper:#171b24;--blue:"
    "#6d9bff;--teal:#35c4ae;--amber:#f0a24a}body,pre{background:#0f1219}svg text{fill:#9aa5b8}svg path[stroke="
    "\"#e9ecf2\"]{stroke:#2c3342}svg image{mix-blend-mode:normal}.race .bar,figure img{background:#242a37}figure.other "
    "img{border-color:#2c3342}}";

void seer_page_escape(FILE *page, const char *text) {
  for (; *text; text++) {
    size_t length = seer_utf8_length(text);
    if (length > 1) {
      fwrite(text, 1, length, page);
      text += length - 1;
      continue;
    }
    switch (length == 0 ? 1 : *text) {
      case '&': fputs("&amp;", page); break;
      case '<': fputs("&lt;", page); break;
      case '>': fputs("&gt;", page); break;
      case '"': fputs("&quot;", page); break;
      case '\'': fputs("&#39;", page); break;
      default:
        if (length > 0 && ((unsigned char)*text >= 32 || *text == '\n' || *text == '\t'))
          fputc(*text, page);
        else
          fputs("&#65533;", page);
    }
  }
}

void seer_page_begin(FILE *page, const char *title) {
  fputs(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>",
      page);
  seer_page_escape(page, title);
  fprintf(page, "</title>\n<style>%s%s</style></head><body><main>\n", style, style_more);
}

void seer_page_end(FILE *page) { fputs("</main></body></html>\n", page); }

static void card_begin(FILE *page, const char *title, const char *note) {
  fputs("<section class=\"card\"><h2>", page);
  seer_page_escape(page, title);
  fputs("</h2><p class=\"note\">", page);
  seer_page_escape(page, note);
  fputs("</p>", page);
}

// Means over equal runs of points, so that a page of a long training stays small.
static int points_thin(const SeerChart *chart, double *x, double *y) {
  int out = chart->count < POINTS_MAX ? chart->count : POINTS_MAX;
  for (int i = 0; i < out; i++) {
    int from = (int)((int64_t)i * chart->count / out), to = (int)((int64_t)(i + 1) * chart->count / out);
    x[i] = y[i] = 0;
    for (int j = from; j < to; j++) {
      x[i] += chart->x[j] / (to - from);
      y[i] += chart->y[j] / (to - from);
    }
  }
  return out;
}

void seer_chart_print(FILE *page, const SeerChart *chart) {
  if (chart->count < 1) return;
  double x[POINTS_MAX], y[POINTS_MAX], smooth[POINTS_MAX];
  int count = points_thin(chart, x, y);
  double low = chart->from_zero ? 0 : y[0], high = y[0], weight = 0, sum = 0;
  for (int i = 0; i < count; i++) {
    if (y[i] < low) low = y[i];
    if (y[i] > high) high = y[i];
    double keep = 1 - 1.0 / (1 + count / 40.0);
    sum = keep * sum + y[i];
    weight = keep * weight + 1;
    smooth[i] = sum / weight;
  }
  const SeerSeries series[] = {{.x = x,
                                .y = y,
                                .count = count,
                                .join = SEER_JOIN_LINE,
                                .mark = count == 1 ? SEER_MARK_DOT : SEER_MARK_NONE,
                                .color = chart->color,
                                .width = chart->smooth ? 1 : 2,
                                .opacity = chart->smooth ? 0.3 : 1},
                               {.x = x, .y = smooth, .count = count, .join = SEER_JOIN_LINE, .color = chart->color}};
  SeerPlot plot = {.title = chart->title,
                   .y = {.from_zero = chart->from_zero},
                   .series = series,
                   .series_count = chart->smooth ? 2 : 1,
                   .width = WIDTH,
                   .height = HEIGHT,
                   .inside = true};
  card_begin(page, chart->title, chart->note);
  seer_plot_print(page, &plot);
  fputs("</section>\n", page);
}

void seer_bands_print(FILE *page, const char *title, const char *note, const double *x, int count,
                      const SeerBand *bands, int band_count) {
  static const char *const dashes[SEER_BANDS_MAX] = {"", "7 3", "2 3", "9 3 2 3", "4 4", "1 4"};
  SeerSeries series[SEER_BANDS_MAX];
  if (count < 1) return;
  if (band_count > SEER_BANDS_MAX) band_count = SEER_BANDS_MAX;
  for (int b = 0; b < band_count; b++) {
    series[b] = (SeerSeries){.name = bands[b].name,
                             .x = x,
                             .y = bands[b].y,
                             .low = bands[b].low,
                             .high = bands[b].high,
                             .count = count,
                             .join = SEER_JOIN_LINE,
                             .dashes = dashes[b]};
  }
  SeerPlot plot = {.title = title,
                   .y = {.from_zero = true},
                   .series = series,
                   .series_count = band_count,
                   .width = WIDTH,
                   .height = HEIGHT,
                   .inside = true};
  card_begin(page, title, note);
  seer_plot_print(page, &plot);
  fputs("</section>\n", page);
}

static int value_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x > y ? -1 : x < y;
}

void seer_bars_print(FILE *page, const char *title, const char *note, const double *values, int count) {
  double *sorted = malloc((size_t)(count > 0 ? count : 1) * sizeof *sorted), x[BARS_MAX + 1], bars[BARS_MAX + 1],
         total = 0;
  if (!sorted || count < 1) {
    free(sorted);
    return;
  }
  for (int i = 0; i < count; i++) total += sorted[i] = values[i];
  qsort(sorted, (size_t)count, sizeof *sorted, value_compare);
  int shown = count < BARS_MAX ? count : BARS_MAX;
  for (int i = 0; i < shown; i++) {
    int from = (int)((int64_t)i * count / shown), to = (int)((int64_t)(i + 1) * count / shown);
    x[i] = (double)count * i / shown;
    bars[i] = 0;
    for (int j = from; j < to; j++) bars[i] += total > 0 ? sorted[j] / total * count / (to - from) : 0;
  }
  free(sorted);
  x[shown] = count;  // where the last bar ends
  bars[shown] = 0;
  const double ends[] = {0, count}, alike[] = {1, 1};
  const char *const name[] = {NULL, "all alike"};
  const SeerSeries series[] = {
      {.x = x, .y = bars, .count = shown + 1, .join = SEER_JOIN_BARS, .color = "#0f9d8a", .opacity = 0.8},
      {.x = ends,
       .y = alike,
       .labels = name,
       .count = 2,
       .join = SEER_JOIN_LINE,
       .color = "#d97b0d",
       .dashes = "5 4",
       .width = 1}};
  SeerPlot plot = {.title = title,
                   .y = {.from_zero = true},
                   .series = series,
                   .series_count = 2,
                   .width = WIDTH,
                   .height = HEIGHT,
                   .inside = true};
  card_begin(page, title, note);
  seer_plot_print(page, &plot);
  fputs("</section>\n", page);
}
