// The roofline picture (S. Williams, A. Waterman, D. Patterson, CACM 52(4), 2009): one dot for each op of the step. To
// the right those that multiply and add, under the roof that memory and arithmetic make; to the left, in a panel of
// their own, those that only move bytes, under what memory gives. A dot above the slope had its operands in a cache.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bench.h"
#include "runtime/files.h"
#include "runtime/page.h"
#include "runtime/plot.h"

enum {
  WIDTH = 1190,
  HEIGHT = 640,
  TOP = 78,
  BOTTOM = 580,
  MOVES_LEFT = 64,  // the panel of ops without multiply-adds
  MOVES_RIGHT = 244,
  LEFT = 312,
  RIGHT = 884,
  LEGEND = 910,
  COLOURS = SEER_PLOT_COLORS
};

typedef struct Axis {
  double low, high;  // powers of ten
  double from, to;   // pixels
} Axis;

static double place(const Axis *axis, double value) {
  double share = (log10(value > 0 ? value : 1e-30) - axis->low) / (axis->high - axis->low);
  share = share < 0 ? 0 : share > 1 ? 1 : share;
  return axis->from + share * (axis->to - axis->from);
}

typedef struct Picture {
  const SeerBench *bench;
  FILE *out;
  Axis intensity, rate, bandwidth;
} Picture;

static double rate_of(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

static void axis_hold(Axis *axis, double value) {
  if (!(value > 0)) return;
  double power = log10(value);
  if (power < axis->low) axis->low = floor(power);
  if (power > axis->high) axis->high = ceil(power);
}

// Four powers of ten below the roof hold all but specks.
static void axes_make(Picture *picture) {
  const SeerPeak *peak = &picture->bench->peak;
  double ridge = rate_of(peak->flops_per_second, peak->bytes_per_second), room = 1.5;
  picture->intensity = (Axis){floor(log10(ridge)), floor(log10(ridge)) + 1, LEFT, RIGHT};
  picture->rate = (Axis){floor(log10(peak->flops_per_second)), ceil(log10(peak->flops_per_second * room)), BOTTOM, TOP};
  picture->bandwidth =
      (Axis){floor(log10(peak->bytes_per_second)), ceil(log10(peak->bytes_per_second * room)), BOTTOM, TOP};
  double lowest[] = {picture->rate.high - 4, picture->bandwidth.high - 4};
  for (int i = 0; i < picture->bench->op_count; i++) {
    const SeerBenchOp *op = &picture->bench->ops[i];
    if (op->flops > 0 && op->bytes > 0) axis_hold(&picture->intensity, op->flops / op->bytes);
    axis_hold(op->flops > 0 ? &picture->rate : &picture->bandwidth,
              rate_of(op->flops > 0 ? op->flops : op->bytes, op->seconds));
  }
  if (picture->rate.low < lowest[0]) picture->rate.low = lowest[0];
  if (picture->bandwidth.low < lowest[1]) picture->bandwidth.low = lowest[1];
}

static void tick_print(FILE *out, double power, double unit) {
  double value = pow(10, power) / unit;
  fprintf(out, value >= 1e4 || value < 1e-3 ? "%.0e" : "%g", value);
}

static void rates_print(const Picture *picture, const Axis *axis, int left, int right, const char *unit) {
  for (double power = axis->low; power <= axis->high + 1e-9; power++) {
    double y = place(axis, pow(10, power));
    fprintf(picture->out, "<path d=\"M%d %.1fH%d\" stroke=\"#e9ecf2\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
            left, y, right, left - 8, y + 4);
    tick_print(picture->out, power, 1e9);
    fputs("</text>\n", picture->out);
  }
  fprintf(picture->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left - 8, TOP - 12, unit);
}

static void frame_print(const Picture *picture) {
  rates_print(picture, &picture->bandwidth, MOVES_LEFT, MOVES_RIGHT, "GB/s");
  rates_print(picture, &picture->rate, LEFT, RIGHT, "GFLOP/s");
  const Axis *x = &picture->intensity;
  for (double power = x->low; power <= x->high + 1e-9; power++) {
    double at = place(x, pow(10, power));
    fprintf(picture->out,
            "<path d=\"M%.1f %dV%d\" stroke=\"#e9ecf2\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", at, TOP,
            BOTTOM, at, BOTTOM + 20);
    tick_print(picture->out, power, 1);
    fputs("</text>\n", picture->out);
  }
  fprintf(picture->out,
          "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations for each byte of operands and results</text>\n"
          "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">no multiply-adds</text>\n",
          (LEFT + RIGHT) / 2, BOTTOM + 42, (MOVES_LEFT + MOVES_RIGHT) / 2, BOTTOM + 42);
}

static void roofs_print(const Picture *picture) {
  const SeerPeak *peak = &picture->bench->peak;
  double lowest = pow(10, picture->intensity.low), floor_rate = pow(10, picture->rate.low);
  double begin = floor_rate / peak->bytes_per_second;
  if (begin < lowest) begin = lowest;
  double ridge = rate_of(peak->flops_per_second, peak->bytes_per_second);
  double roof = place(&picture->rate, peak->flops_per_second);
  double memory = place(&picture->bandwidth, peak->bytes_per_second);
  fprintf(picture->out,
          "<path d=\"M%.1f %.1fL%.1f %.1fH%d\" fill=\"none\" stroke=\"#1b2230\" stroke-width=\"1.6\"/>\n"
          "<path d=\"M%d %.1fH%d\" stroke=\"#1b2230\" stroke-width=\"1.6\"/>\n",
          place(&picture->intensity, begin), place(&picture->rate, begin * peak->bytes_per_second),
          place(&picture->intensity, ridge), roof, RIGHT, MOVES_LEFT, memory, MOVES_RIGHT);
}

// Over the dots.
static void roofs_name(const Picture *picture) {
  const SeerPeak *peak = &picture->bench->peak;
  double roof = place(&picture->rate, peak->flops_per_second);
  double memory = place(&picture->bandwidth, peak->bytes_per_second);
  fprintf(picture->out,
          "<text class=\"roof\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">measured peak %.1f GFLOP/s</text>\n"
          "<text class=\"roof\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">memory %.1f GB/s</text>\n",
          RIGHT - 4, roof - 7, peak->flops_per_second / 1e9, MOVES_RIGHT - 4, memory - 7, peak->bytes_per_second / 1e9);
}

static int colour_of(const SeerBench *bench, const char *kind) {
  int at = 0;
  while (at < bench->kinds.count && at < COLOURS && strcmp(bench->kinds.items[at].name, kind) != 0) at++;
  return at < COLOURS ? at : COLOURS;
}

static void title_print(const Picture *picture, const SeerBenchOp *op) {
  const SeerLaunch *launch = op->launch;
  const SeerPeak *peak = &picture->bench->peak;
  FILE *out = picture->out;
  seer_page_escape(out, launch->op);
  fprintf(out, "%s%s %s", *launch->op ? ": " : "", launch->kind, launch->again ? "again in " : "");
  seer_page_escape(out, launch->pass);
  if (launch->size_group >= 0) fprintf(out, ", size group %d", launch->size_group);
  if (*launch->location) {
    fputs(" (", out);
    seer_page_escape(out, launch->location);
    fputs(")", out);
  }
  fprintf(out, "\n%.4f ms, %.2f %% of the step\n", 1e3 * op->seconds,
          100 * rate_of(op->seconds, picture->bench->profiled_step));
  if (op->flops > 0) {
    double intensity = rate_of(op->flops, op->bytes), rate = rate_of(op->flops, op->seconds);
    double roof = fmin(peak->flops_per_second, op->bytes > 0 ? intensity * peak->bytes_per_second : INFINITY);
    fprintf(out, "%.1f GFLOP/s, %.0f %% of its roof; %.1f operations a byte; ", rate / 1e9, 100 * rate_of(rate, roof),
            intensity);
  }
  fprintf(out, "%.1f GB/s", rate_of(op->bytes, op->seconds) / 1e9);
}

// Ops that only move bytes are spread over their panel by kind, each in a column of its own.
static double column_place(const SeerBench *bench, int colour) {
  int columns = 1, at = 0;  // one for the rest
  for (int i = 0; i < bench->kinds.count && i < COLOURS; i++) {
    if (bench->kinds.items[i].flops > 0) continue;
    columns++;
    at += i < colour;
  }
  return MOVES_LEFT + (MOVES_RIGHT - MOVES_LEFT) * (at + 0.5) / columns;
}

static void dot_print(const Picture *picture, const SeerBenchOp *op) {
  const SeerBench *bench = picture->bench;
  int colour = colour_of(bench, op->launch->kind);
  double share = rate_of(op->seconds, bench->profiled_step), radius = fmax(2, 80 * sqrt(share)), x, y;
  if (op->flops > 0) {
    x = place(&picture->intensity, op->bytes > 0 ? op->flops / op->bytes : 1e30);
    y = place(&picture->rate, rate_of(op->flops, op->seconds));
  } else {
    x = column_place(bench, colour);
    y = place(&picture->bandwidth, rate_of(op->bytes, op->seconds));
  }
  fprintf(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"><title>", x, y, radius,
          seer_plot_color(colour));
  title_print(picture, op);
  fputs("</title></circle>\n", picture->out);
}

static int time_compare(const void *a, const void *b) {
  const SeerBenchOp *x = *(const SeerBenchOp *const *)a, *y = *(const SeerBenchOp *const *)b;
  if (x->seconds > y->seconds || x->seconds < y->seconds) return x->seconds > y->seconds ? -1 : 1;
  return x < y ? -1 : x > y;
}

// The largest first, so that none hides a smaller one.
static bool dots_print(const Picture *picture) {
  const SeerBench *bench = picture->bench;
  const SeerBenchOp **order = calloc((size_t)bench->op_count + 1, sizeof(const SeerBenchOp *));
  if (!order) return false;
  for (int i = 0; i < bench->op_count; i++) order[i] = &bench->ops[i];
  qsort(order, (size_t)bench->op_count, sizeof *order, time_compare);
  fputs("<g fill-opacity=\".6\" stroke=\"#fff\" stroke-width=\".6\">\n", picture->out);
  for (int i = 0; i < bench->op_count; i++) dot_print(picture, order[i]);
  fputs("</g>\n", picture->out);
  free(order);
  return true;
}

static void legend_row(FILE *out, int row, const char *name, double share) {
  int y = TOP + 12 + 24 * row;
  fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">",
          LEGEND, y - 10, seer_plot_color(row), LEGEND + 19, y);
  seer_page_escape(out, name);
  fprintf(out, "</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.1f %%</text>\n", WIDTH - 14, y, 100 * share);
}

static void legend_print(const Picture *picture) {
  const SeerBench *bench = picture->bench;
  double others = 0;
  for (int i = 0; i < bench->kinds.count; i++) {
    double share = rate_of(bench->kinds.items[i].seconds, bench->profiled_step);
    if (i < COLOURS)
      legend_row(picture->out, i, bench->kinds.items[i].name, share);
    else
      others += share;
  }
  int rows = bench->kinds.count < COLOURS ? bench->kinds.count : COLOURS;
  if (bench->kinds.count > COLOURS) legend_row(picture->out, rows++, "other kinds", others);
  const char *const notes[] = {"of the step's time, as is", "the area of each dot", "above the slope: operands",
                               "came from a cache"};
  for (int i = 0; i < 4; i++)
    fprintf(picture->out, "<text x=\"%d\" y=\"%d\">%s</text>\n", LEGEND,
            TOP + 26 + 24 * rows + 17 * i + (i > 1 ? 8 : 0), notes[i]);
}

static void head_print(const Picture *picture) {
  const SeerBench *bench = picture->bench;
  FILE *out = picture->out;
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
          "font-family=\"system-ui,'DejaVu Sans',sans-serif\" font-size=\"12\" fill=\"#667085\">\n"
          "<style>.roof{fill:#1b2230;paint-order:stroke;stroke:#fff;stroke-width:4px}</style>\n<rect width=\"100%%\" "
          "height=\"100%%\" fill=\"white\"/>\n"
          "<text x=\"%d\" y=\"28\" font-size=\"17\" fill=\"#1b2230\">",
          WIDTH, HEIGHT, WIDTH, HEIGHT, MOVES_LEFT - 44);
  seer_page_escape(out, bench->program->name);
  fprintf(out, ": every op of a training step</text>\n<text x=\"%d\" y=\"48\">", MOVES_LEFT - 44);
  seer_page_escape(out, bench->machine);
  fprintf(out, ", %d threads; step %.4f s, %.1f images/s, %.1f %% of the measured peak</text>\n", bench->threads,
          bench->step.median, rate_of(bench->program->batch, bench->step.median),
          100 * seer_bench_share_of_peak(bench));
}

SeerStatus seer_roofline_write(const SeerBench *bench, const char *path) {
  char *text = NULL;
  size_t bytes = 0;
  Picture picture = {.bench = bench, .out = open_memstream(&text, &bytes)};
  bool drawn = picture.out != NULL;
  if (drawn) {
    axes_make(&picture);
    head_print(&picture);
    frame_print(&picture);
    roofs_print(&picture);
    drawn = dots_print(&picture);
    roofs_name(&picture);
    legend_print(&picture);
    fputs("</svg>\n", picture.out);
    drawn = fclose(picture.out) == 0 && drawn;
  }
  SeerStatus status =
      drawn ? seer_file_replace(path, text, bytes) : seer_fail(SEER_MACHINE, "no memory for the picture '%s'", path);
  free(text);
  return status;
}
