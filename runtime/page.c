// Frame, text and charts of a report page; see page.h.
#include "runtime/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/utf8.h"

enum {
  WIDTH = 640,
  HEIGHT = 230,
  LEFT = 58,
  RIGHT = 14,
  TOP = 14,
  BOTTOM = 30,
  TICKS = 5,
  POINTS_MAX = 700,
  BARS_MAX = 400
};

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
    ".pair .card{margin:0}.legend{list-style:none;margin:8px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:4px 18px;"
    "font-size:13px}"
    ".legend svg{display:inline-block;width:34px;height:8px;margin-right:7px}"
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

typedef struct Axis {
  double low, high, step;
} Axis;

// Round numbers that hold [low, high] in about TICKS steps.
static Axis axis_make(double low, double high) {
  if (!(high > low)) {
    double room = fabs(low) > 0 ? fabs(low) * 0.1 : 1;
    low -= room;
    high += room;
  }
  double raw = (high - low) / TICKS, power = pow(10, floor(log10(raw))), share = raw / power;
  double step = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
  return (Axis){floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step};
}

typedef struct Frame {
  double x_low, x_high;
  Axis y;
} Frame;

static double place_x(const Frame *frame, double x) {
  double span = frame->x_high - frame->x_low;
  return LEFT + (span > 0 ? (x - frame->x_low) / span : 0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const Frame *frame, double y) {
  return TOP + (frame->y.high - y) / (frame->y.high - frame->y.low) * (HEIGHT - TOP - BOTTOM);
}

static void number_print(FILE *page, double value, double step) {
  if (fabs(value) < step * 1e-6) value = 0;
  if (fabs(value) >= 1e6)
    fprintf(page, "%.3gM", value / 1e6);
  else if (fabs(value) >= 1e4)
    fprintf(page, "%.4gk", value / 1e3);
  else
    fprintf(page, "%.6g", value);
}

static void frame_print(FILE *page, const Frame *frame) {
  int steps = (int)lround((frame->y.high - frame->y.low) / frame->y.step);
  for (int i = 0; i <= steps && i <= 3 * TICKS; i++) {
    double value = frame->y.low + i * frame->y.step, y = place_y(frame, value);
    fprintf(page, "<path d=\"M%d %.1fH%d\" stroke=\"#e9ecf2\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT, y,
            WIDTH - RIGHT, LEFT - 8, y + 4);
    number_print(page, value, frame->y.step);
    fputs("</text>", page);
  }
  Axis x = axis_make(frame->x_low, frame->x_high);
  for (double value = x.low; value <= frame->x_high + x.step * 1e-6; value += x.step) {
    if (value < frame->x_low) continue;
    fprintf(page, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", place_x(frame, value), HEIGHT - 8);
    number_print(page, value, x.step);
    fputs("</text>", page);
  }
}

static void line_print(FILE *page, const Frame *frame, const double *x, const double *y, int count, const char *color,
                       double width, double opacity) {
  fprintf(
      page,
      "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" stroke-opacity=\"%.2f\" stroke-linejoin=\"round\" d=\"",
      color, width, opacity);
  for (int i = 0; i < count; i++)
    fprintf(page, "%c%.1f %.1f", i ? 'L' : 'M', place_x(frame, x[i]), place_y(frame, y[i]));
  fputs("\"/>", page);
}

static void card_begin(FILE *page, const char *title, const char *note) {
  fputs("<section class=\"card\"><h2>", page);
  seer_page_escape(page, title);
  fputs("</h2><p class=\"note\">", page);
  seer_page_escape(page, note);
  fprintf(page, "</p><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
  seer_page_escape(page, title);
  fputs("\">", page);
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
  Frame frame = {x[0], x[count - 1], axis_make(low, high)};
  card_begin(page, chart->title, chart->note);
  frame_print(page, &frame);
  line_print(page, &frame, x, y, count, chart->color, chart->smooth ? 1 : 2, chart->smooth ? 0.3 : 1);
  if (chart->smooth) line_print(page, &frame, x, smooth, count, chart->color, 2.2, 1);
  if (count == 1)
    fprintf(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>", place_x(&frame, x[0]), place_y(&frame, y[0]),
            chart->color);
  fputs("</svg></section>\n", page);
}

// A path through the values that are known, broken where they are not.
static void known_path_print(FILE *page, const Frame *frame, const double *x, const double *y, int count) {
  bool drawing = false;
  for (int i = 0; i < count; i++) {
    if (isnan(y[i])) {
      drawing = false;
      continue;
    }
    fprintf(page, "%c%.1f %.1f", drawing ? 'L' : 'M', place_x(frame, x[i]), place_y(frame, y[i]));
    drawing = true;
  }
}

static void band_fill(FILE *page, const Frame *frame, const double *x, const SeerBand *band, int count,
                      const char *color) {
  for (int from = 0, to; from < count; from = to + 1) {
    for (to = from; to < count && !isnan(band->low[to]);) to++;
    if (to - from < 2) continue;
    fprintf(page, "<path fill=\"%s\" fill-opacity=\".14\" d=\"", color);
    for (int i = from; i < to; i++)
      fprintf(page, "%c%.1f %.1f", i > from ? 'L' : 'M', place_x(frame, x[i]), place_y(frame, band->high[i]));
    for (int i = to; i-- > from;) fprintf(page, "L%.1f %.1f", place_x(frame, x[i]), place_y(frame, band->low[i]));
    fputs("Z\"/>", page);
  }
}

void seer_bands_print(FILE *page, const char *title, const char *note, const double *x, int count,
                      const SeerBand *bands, int band_count) {
  static const char *const colors[] = {"#2f6fed", "#d97b0d", "#0f9d8a", "#7a5af8", "#c2417c", "#667085"};
  static const char *const dashes[] = {"", "7 3", "2 3", "9 3 2 3", "4 4", "1 4"};
  double high = 0;
  if (count < 1) return;
  for (int b = 0; b < band_count; b++) {
    const double *top = bands[b].low ? bands[b].high : bands[b].y;
    for (int i = 0; i < count; i++) high = top[i] > high ? top[i] : high;
  }
  Frame frame = {x[0], x[count - 1], axis_make(0, high > 0 ? high : 1)};
  card_begin(page, title, note);
  frame_print(page, &frame);
  for (int b = 0; b < band_count; b++) {
    if (bands[b].low) band_fill(page, &frame, x, &bands[b], count, colors[b]);
  }
  for (int b = 0; b < band_count; b++) {
    fprintf(page, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" d=\"", colors[b],
            dashes[b]);
    known_path_print(page, &frame, x, bands[b].y, count);
    fputs("\"/>", page);
  }
  fputs("</svg><ul class=\"legend\">", page);
  for (int b = 0; b < band_count; b++) {
    fprintf(page,
            "<li><svg viewBox=\"0 0 34 8\" aria-hidden=\"true\"><path stroke=\"%s\" stroke-width=\"3\" "
            "stroke-dasharray=\"%s\" d=\"M0 4H34\"/></svg>",
            colors[b], dashes[b]);
    seer_page_escape(page, bands[b].name);
    fputs("</li>", page);
  }
  fputs("</ul></section>\n", page);
}

static int value_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x > y ? -1 : x < y;
}

void seer_bars_print(FILE *page, const char *title, const char *note, const double *values, int count) {
  double *sorted = malloc((size_t)(count > 0 ? count : 1) * sizeof *sorted), bars[BARS_MAX], total = 0;
  if (!sorted || count < 1) {
    free(sorted);
    return;
  }
  for (int i = 0; i < count; i++) total += sorted[i] = values[i];
  qsort(sorted, (size_t)count, sizeof *sorted, value_compare);
  int shown = count < BARS_MAX ? count : BARS_MAX;
  for (int i = 0; i < shown; i++) {
    int from = (int)((int64_t)i * count / shown), to = (int)((int64_t)(i + 1) * count / shown);
    bars[i] = 0;
    for (int j = from; j < to; j++) bars[i] += total > 0 ? sorted[j] / total * count / (to - from) : 0;
  }
  free(sorted);
  Frame frame = {0, count, axis_make(0, bars[0] > 1 ? bars[0] : 1)};
  card_begin(page, title, note);
  frame_print(page, &frame);
  double width = (double)(WIDTH - LEFT - RIGHT) / shown;
  for (int i = 0; i < shown; i++) {
    double y = place_y(&frame, bars[i]);
    fprintf(page, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" fill=\"#0f9d8a\" fill-opacity=\".8\"/>",
            LEFT + i * width, y, width > 3 ? width - 1 : width, place_y(&frame, 0) - y);
  }
  fprintf(page,
          "<path d=\"M%d %.1fH%d\" stroke=\"#d97b0d\" stroke-dasharray=\"5 4\"/><text x=\"%d\" y=\"%.1f\" "
          "text-anchor=\"end\">all alike</text></svg></section>\n",
          LEFT, place_y(&frame, 1), WIDTH - RIGHT, WIDTH - RIGHT, place_y(&frame, 1) - 5);
}
