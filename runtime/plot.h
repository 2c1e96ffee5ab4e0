// The one chart of pages and pictures: lines, steps, bands and points over two axes, linear or logarithmic, as SVG.
// It goes to a stream, refers to nothing outside, and is the same bytes for the same numbers.
#ifndef SEER_RUNTIME_PLOT_H
#define SEER_RUNTIME_PLOT_H

#include <stdio.h>

#include "runtime/plot_scale.h"

typedef enum SeerMark { SEER_MARK_NONE, SEER_MARK_DOT, SEER_MARK_RING, SEER_MARK_STAR } SeerMark;
// Bars: from 0 to y, each from its x to the next one; the last point ends the one before.
typedef enum SeerJoin { SEER_JOIN_NONE, SEER_JOIN_LINE, SEER_JOIN_STEPS, SEER_JOIN_BARS } SeerJoin;

typedef struct SeerSeries {
  const char *name;           // in the legend; NULL: it is not there
  const double *x, *y;        // [count]; not finite, or not above 0 on a log axis: not drawn, and the line breaks
  const double *low, *high;   // [count], a band around the line; NULL: none
  const char *const *labels;  // [count], beside the points where there is room; NULL: none, here or of all
  const char *const *titles;  // [count], shown where the pointer rests; NULL likewise
  int count;
  SeerJoin join;
  SeerMark mark;
  const char *color;      // NULL: seer_plot_color of its place among the series
  const char *dashes;     // of stroke-dasharray; NULL: a full line
  double width, opacity;  // of the line; 0: 2 and 1
} SeerSeries;

typedef struct SeerPlotAxis {
  const char *label;  // NULL: none
  SeerQuantity unit;
  bool log, from_zero;
} SeerPlotAxis;

typedef struct SeerPlot {
  const char *title, *note;  // above the picture; NULL: none
  SeerPlotAxis x, y;
  const SeerSeries *series;
  int series_count;
  int width, height;  // of the whole picture but its legend, which adds rows; 0: 720 and 420
  bool bare;          // without a legend
  bool inside;        // of a page, whose style sets fonts and colours of text; else it stands alone
  bool nested;        // in another <svg>, with its left top corner at (left, top)
  int left, top;
} SeerPlot;

// An <svg> element. Of series without a point the frame alone is drawn.
void seer_plot_print(FILE *out, const SeerPlot *plot);
// Several in one picture that stands alone, two side by side, under a title.
void seer_plots_print(FILE *out, const char *title, const SeerPlot *plots, int count);
// Colours that readers of any colour vision tell apart, as far as ten can be, and then grey.
enum { SEER_PLOT_COLORS = 10 };
const char *seer_plot_color(int index);

#endif
