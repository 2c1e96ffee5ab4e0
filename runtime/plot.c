// Draws charts; see plot.h.
#include "runtime/plot.h"

#include <math.h>
#include <string.h>

#include "runtime/page.h"

enum { WIDTH = 720, HEIGHT = 420, LEFT = 58, RIGHT = 14, TOP = 14, BOTTOM = 30, LINE = 18, BOXES_MAX = 1000 };

// First those that a reader of any colour vision tells apart (M. Okabe, K. Ito, 2008), then more; last, of the rest.
const char *seer_plot_color(int index) {
  static const char *const colors[SEER_PLOT_COLORS + 1] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                           "#e69f00", "#56b4e9", "#7a5195", "#8c6d31",
                                                           "#b22222", "#2f4b7c", "#9aa3b2"};
  return colors[index >= 0 && index < SEER_PLOT_COLORS ? index : SEER_PLOT_COLORS];
}

typedef struct Box {
  double left, top, right, bottom;
} Box;

typedef struct Frame {
  const SeerPlot *plot;
  FILE *out;
  double width, height;  // with the legend
  Box inner;
  SeerScale x, y;
  Box taken[BOXES_MAX];  // by marks and labels
  int taken_count;
} Frame;

static bool is_drawn(const SeerPlot *plot, const SeerSeries *series, int i) {
  double x = series->x[i], y = series->y[i];
  return isfinite(x) && isfinite(y) && (!plot->x.log || x > 0) && (!plot->y.log || y > 0);
}

typedef struct Range {
  double low, high;
} Range;

static void range_hold(Range *range, const SeerPlotAxis *axis, double value) {
  if (!isfinite(value) || (axis->log && value <= 0)) return;
  range->low = fmin(range->low, value);
  range->high = fmax(range->high, value);
}

// Points stand off the ends; lines reach them.
static SeerScale scale_of(Range range, const SeerPlotAxis *axis, bool round, double room) {
  if (!(range.low <= range.high)) range = (Range){axis->log ? 0.1 : 0, 1};
  if (axis->from_zero && !axis->log) range.low = fmin(range.low, 0);
  if (axis->log) {
    double factor = pow(range.high / range.low, room);
    return seer_scale_log(range.low / factor, range.high * factor, axis->unit);
  }
  double more = (range.high - range.low) * room;
  bool at_zero = axis->from_zero && range.low >= 0;
  return seer_scale_linear(at_zero ? 0 : range.low - more, range.high + more, axis->unit, round);
}

static void scales_make(Frame *frame) {
  const SeerPlot *plot = frame->plot;
  Range x = {INFINITY, -INFINITY}, y = x;
  bool marks = false;
  for (int s = 0; s < plot->series_count; s++) {
    const SeerSeries *series = &plot->series[s];
    marks |= series->mark != SEER_MARK_NONE;
    for (int i = 0; i < series->count; i++) {
      if (series->low) range_hold(&y, &plot->y, series->low[i]);
      if (series->high) range_hold(&y, &plot->y, series->high[i]);
      if (!is_drawn(plot, series, i)) continue;
      range_hold(&x, &plot->x, series->x[i]);
      range_hold(&y, &plot->y, series->y[i]);
    }
  }
  frame->x = scale_of(x, &plot->x, false, marks ? 0.04 : 0);
  frame->y = scale_of(y, &plot->y, true, plot->y.log ? 0.06 : 0);
}

static double place_x(const Frame *frame, double x) {
  return frame->inner.left + seer_scale_share(&frame->x, x) * (frame->inner.right - frame->inner.left);
}

static double place_y(const Frame *frame, double y) {
  return frame->inner.bottom - seer_scale_share(&frame->y, y) * (frame->inner.bottom - frame->inner.top);
}

static double text_width(const char *text) { return 6.4 * (double)strlen(text); }

static void text_print(const Frame *frame, double x, double y, const char *anchor, const char *text) {
  fprintf(frame->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
  seer_page_escape(frame->out, text);
  fputs("</text>", frame->out);
}

static void axes_print(const Frame *frame) {
  const Box *inner = &frame->inner;
  double ticks[SEER_TICKS_MAX];
  char text[SEER_TICK_BYTES];
  int count = seer_scale_ticks(&frame->y, ticks);
  for (int i = 0; i < count; i++) {
    double y = place_y(frame, ticks[i]);
    fprintf(frame->out, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#e9ecf2\"/>", inner->left, y, inner->right);
    seer_scale_text(&frame->y, ticks[i], text);
    text_print(frame, inner->left - 8, y + 4, "end", text);
  }
  count = seer_scale_ticks(&frame->x, ticks);
  for (int i = 0; i < count; i++) {
    double x = place_x(frame, ticks[i]);
    if (!frame->plot->inside || frame->x.log)
      fprintf(frame->out, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#e9ecf2\"/>", x, inner->top, inner->bottom);
    seer_scale_text(&frame->x, ticks[i], text);
    text_print(frame, x, inner->bottom + 22, "middle", text);
  }
  if (frame->plot->y.label) text_print(frame, 8, inner->top - 14, "start", frame->plot->y.label);
  if (frame->plot->x.label)
    text_print(frame, (inner->left + inner->right) / 2, inner->bottom + 22 + LINE, "middle", frame->plot->x.label);
  fputs("\n", frame->out);
}

static const char *color_of(const Frame *frame, const SeerSeries *series) {
  return series->color ? series->color : seer_plot_color((int)(series - frame->plot->series));
}

static void band_print(const Frame *frame, const SeerSeries *series) {
  for (int from = 0, to; from < series->count; from = to + 1) {
    for (to = from; to < series->count && is_drawn(frame->plot, series, to) && isfinite(series->low[to]);) to++;
    if (to - from < 2) continue;
    fprintf(frame->out, "<path fill=\"%s\" fill-opacity=\".14\" d=\"", color_of(frame, series));
    for (int i = from; i < to; i++)
      fprintf(frame->out, "%c%.1f %.1f", i > from ? 'L' : 'M', place_x(frame, series->x[i]),
              place_y(frame, series->high[i]));
    for (int i = to; i-- > from;)
      fprintf(frame->out, "L%.1f %.1f", place_x(frame, series->x[i]), place_y(frame, series->low[i]));
    fputs("Z\"/>\n", frame->out);
  }
}

static void line_print(const Frame *frame, const SeerSeries *series) {
  bool drawing = false;
  fprintf(frame->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.3g\"", color_of(frame, series),
          series->width > 0 ? series->width : 2);
  if (series->opacity > 0) fprintf(frame->out, " stroke-opacity=\"%.2f\"", series->opacity);
  if (series->dashes && *series->dashes) fprintf(frame->out, " stroke-dasharray=\"%s\"", series->dashes);
  fputs(" stroke-linejoin=\"round\" d=\"", frame->out);
  for (int i = 0; i < series->count; i++) {
    if (!is_drawn(frame->plot, series, i)) {
      drawing = false;
      continue;
    }
    double x = place_x(frame, series->x[i]), y = place_y(frame, series->y[i]);
    if (drawing && series->join == SEER_JOIN_STEPS)
      fprintf(frame->out, "H%.1fV%.1f", x, y);
    else
      fprintf(frame->out, "%c%.1f %.1f", drawing ? 'L' : 'M', x, y);
    drawing = true;
  }
  fputs("\"/>\n", frame->out);
}

static void bars_print(const Frame *frame, const SeerSeries *series) {
  fprintf(frame->out, "<g fill=\"%s\" fill-opacity=\"%.2f\">\n", color_of(frame, series),
          series->opacity > 0 ? series->opacity : 1);
  for (int i = 0; i + 1 < series->count; i++) {
    if (!is_drawn(frame->plot, series, i)) continue;
    double x = place_x(frame, series->x[i]), width = place_x(frame, series->x[i + 1]) - x;
    double y = place_y(frame, series->y[i]), zero = place_y(frame, 0);
    fprintf(frame->out, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>", x, y < zero ? y : zero,
            width > 3 ? width - 1 : width, fabs(zero - y));
  }
  fputs("</g>\n", frame->out);
}

static void mark_begin(const Frame *frame, SeerMark mark, double x, double y, const char *color) {
  FILE *out = frame->out;
  if (mark == SEER_MARK_STAR)
    fprintf(out,
            "<path transform=\"translate(%.1f %.1f)\" fill=\"%s\" d=\"M0-8L2-2.6L7.6-2.5L3.2 1L4.7 6.5L0 3.3L-4.7 "
            "6.5L-3.2 1L-7.6-2.5L-2-2.6Z\">",
            x, y, color);
  else if (mark == SEER_MARK_RING)
    fprintf(out,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\" fill=\"none\" pointer-events=\"all\" stroke=\"%s\" "
            "stroke-width=\"1.5\">",
            x, y, color);
  else
    fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\" fill=\"%s\">", x, y, color);
}

static void mark_end(const Frame *frame, SeerMark mark) {
  fputs(mark == SEER_MARK_STAR ? "</path>" : "</circle>", frame->out);
}

static void marks_print(const Frame *frame, const SeerSeries *series) {
  for (int i = 0; i < series->count; i++) {
    if (!is_drawn(frame->plot, series, i)) continue;
    mark_begin(frame, series->mark, place_x(frame, series->x[i]), place_y(frame, series->y[i]),
               color_of(frame, series));
    if (series->titles && series->titles[i]) {
      fputs("<title>", frame->out);
      seer_page_escape(frame->out, series->titles[i]);
      fputs("</title>", frame->out);
    }
    mark_end(frame, series->mark);
    fputs("\n", frame->out);
  }
}

// Labels keep off marks as well as off each other.
static void marks_take_room(Frame *frame, const SeerSeries *series) {
  for (int i = 0; i < series->count && frame->taken_count < BOXES_MAX; i++) {
    if (!is_drawn(frame->plot, series, i)) continue;
    double x = place_x(frame, series->x[i]), y = place_y(frame, series->y[i]);
    frame->taken[frame->taken_count++] = (Box){x - 4, y - 4, x + 4, y + 4};
  }
}

static bool is_free(const Frame *frame, const Box *box) {
  if (box->left < frame->inner.left || box->right > frame->width || box->top < frame->inner.top - 12) return false;
  if (box->bottom > frame->inner.bottom) return false;
  for (int i = 0; i < frame->taken_count; i++) {
    const Box *other = &frame->taken[i];
    if (box->left < other->right && other->left < box->right && box->top < other->bottom && other->top < box->bottom)
      return false;
  }
  return true;
}

// Right above, left above, right below, left below; where none is free, nowhere: the title tells it.
static void label_print(Frame *frame, double x, double y, const char *text) {
  double width = text_width(text);
  for (int place = 0; place < 4 && frame->taken_count < BOXES_MAX; place++) {
    bool left = place % 2, below = place > 1;
    double from = left ? x - 6 - width : x + 6, base = below ? y + 15 : y - 6;
    Box box = {from, base - 11, from + width, base + 2};
    if (!is_free(frame, &box)) continue;
    frame->taken[frame->taken_count++] = box;
    text_print(frame, left ? x - 6 : x + 6, base, left ? "end" : "start", text);
    return;
  }
}

static void labels_print(Frame *frame, const SeerSeries *series) {
  for (int i = 0; i < series->count; i++) {
    if (!series->labels[i] || !is_drawn(frame->plot, series, i)) continue;
    label_print(frame, place_x(frame, series->x[i]), place_y(frame, series->y[i]), series->labels[i]);
  }
  fputs("\n", frame->out);
}

// Where the next entry of the legend stands; the first row is 0.
typedef struct LegendPlace {
  double x;
  int row;
} LegendPlace;

static LegendPlace legend_next(const Frame *frame, LegendPlace at, double width) {
  return at.x > LEFT && at.x + width > frame->width - RIGHT ? (LegendPlace){LEFT, at.row + 1} : at;
}

static double entry_width(const SeerSeries *series) { return 30 + text_width(series->name) + 18; }

static int legend_rows(const Frame *frame) {
  LegendPlace at = {LEFT, 0};
  bool any = false;
  for (int s = 0; s < frame->plot->series_count && !frame->plot->bare; s++) {
    const SeerSeries *series = &frame->plot->series[s];
    if (!series->name) continue;
    any = true;
    at = legend_next(frame, at, entry_width(series));
    at.x += entry_width(series);
  }
  return any ? at.row + 1 : 0;
}

static void legend_print(const Frame *frame, double top) {
  LegendPlace at = {LEFT, 0};
  for (int s = 0; s < frame->plot->series_count && !frame->plot->bare; s++) {
    const SeerSeries *series = &frame->plot->series[s];
    if (!series->name) continue;
    at = legend_next(frame, at, entry_width(series));
    double y = top + LINE * at.row;
    if (series->join != SEER_JOIN_NONE)
      fprintf(frame->out, "<path d=\"M%.1f %.1fh22\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>", at.x,
              y - 4, color_of(frame, series), series->dashes && *series->dashes ? series->dashes : "none");
    if (series->mark != SEER_MARK_NONE) {
      mark_begin(frame, series->mark, at.x + 11, y - 4, color_of(frame, series));
      mark_end(frame, series->mark);
    }
    text_print(frame, at.x + 30, y, "start", series->name);
    at.x += entry_width(series);
  }
}

static void alone_begin(FILE *out, int width, int height) {
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
          "font-family=\"system-ui,'DejaVu Sans',sans-serif\" font-size=\"11.5\" fill=\"#667085\">\n"
          "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
          width, height, width, height);
}

static void title_print(FILE *out, const char *title) {
  fputs("<text x=\"8\" y=\"24\" font-size=\"16\" fill=\"#1b2230\">", out);
  seer_page_escape(out, title);
  fputs("</text>\n", out);
}

static void head_print(const Frame *frame) {
  const SeerPlot *plot = frame->plot;
  FILE *out = frame->out;
  if (plot->inside) {
    fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", frame->width, frame->height);
    seer_page_escape(out, plot->title ? plot->title : plot->y.label ? plot->y.label : "chart");
    fputs("\">\n", out);
    return;
  }
  if (plot->nested)
    fprintf(out, "<svg x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%.0f\">\n", plot->left, plot->top, frame->width,
            frame->height);
  else
    alone_begin(out, (int)frame->width, (int)frame->height);
  if (plot->title) title_print(out, plot->title);
  if (plot->note) text_print(frame, 8, plot->title ? 43 : 24, "start", plot->note);
}

static Frame frame_make(FILE *out, const SeerPlot *plot) {
  Frame frame = {.plot = plot, .out = out, .width = plot->width ? plot->width : WIDTH};
  double height = plot->height ? plot->height : HEIGHT, top = TOP, bottom = BOTTOM;
  if (!plot->inside) top += (plot->title ? 22 : 0) + (plot->note ? LINE : 0);
  if (plot->y.label) top += LINE + 4;
  if (plot->x.label) bottom += LINE;
  int rows = legend_rows(&frame);
  frame.inner = (Box){LEFT + (plot->y.unit != SEER_NUMBERS ? 10 : 0), top, frame.width - RIGHT, height - bottom};
  frame.height = height + (rows ? LINE * rows + 6 : 0);
  return frame;
}

// Legend included.
static int height_of(const SeerPlot *plot) { return (int)frame_make(NULL, plot).height; }

void seer_plots_print(FILE *out, const char *title, const SeerPlot *plots, int count) {
  enum { HEAD = 36, GAP = 24 };
  int width = 0, height = HEAD, row = 0;
  for (int i = 0; i < count; i++) {
    int own = height_of(&plots[i]), own_width = plots[i].width ? plots[i].width : WIDTH;
    if (own_width > width) width = own_width;
    if (own > row || i % 2 == 0) row = own;
    if (i % 2 || i + 1 == count) height += row + GAP;
  }
  alone_begin(out, count > 1 ? 2 * width + GAP : width, height);
  title_print(out, title);
  int top = HEAD;
  for (int i = 0; i < count; i++) {
    SeerPlot plot = plots[i];
    plot.nested = true;
    plot.inside = false;
    plot.left = i % 2 ? width + GAP : 0;
    plot.top = top;
    seer_plot_print(out, &plot);
    int own = height_of(&plots[i]);
    if (own > row || i % 2 == 0) row = own;
    if (i % 2) top += row + GAP;
  }
  fputs("</svg>\n", out);
}

void seer_plot_print(FILE *out, const SeerPlot *plot) {
  Frame frame = frame_make(out, plot);
  scales_make(&frame);
  head_print(&frame);
  axes_print(&frame);
  for (int s = 0; s < plot->series_count; s++) {
    if (plot->series[s].low) band_print(&frame, &plot->series[s]);
  }
  for (int s = 0; s < plot->series_count; s++) {
    if (plot->series[s].join == SEER_JOIN_BARS)
      bars_print(&frame, &plot->series[s]);
    else if (plot->series[s].join != SEER_JOIN_NONE)
      line_print(&frame, &plot->series[s]);
  }
  for (int s = 0; s < plot->series_count; s++) {
    if (plot->series[s].mark == SEER_MARK_NONE) continue;
    marks_print(&frame, &plot->series[s]);
    marks_take_room(&frame, &plot->series[s]);
  }
  for (int s = 0; s < plot->series_count; s++) {
    if (plot->series[s].labels) labels_print(&frame, &plot->series[s]);
  }
  legend_print(&frame, (plot->height ? plot->height : HEIGHT) + LINE - 4);
  fputs("</svg>\n", out);
}
