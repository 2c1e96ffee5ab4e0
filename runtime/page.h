// Parts of a report page: escaped text, curves and bars as SVG, thumbnails as data URIs. Everything goes to a stream;
// nothing refers to the network.
#ifndef SEER_RUNTIME_PAGE_H
#define SEER_RUNTIME_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/data/decoder.h"

void seer_page_begin(FILE *page, const char *title);
void seer_page_end(FILE *page);
// Any bytes: what is no UTF-8, and control characters, become U+FFFD.
void seer_page_escape(FILE *page, const char *text);

typedef struct SeerChart {
  const char *title, *note;
  const double *x, *y;  // [count], x rising
  int count;
  const char *color;
  bool smooth;  // a pale line of the values under a smoothed one
  bool from_zero;
} SeerChart;

void seer_chart_print(FILE *page, const SeerChart *chart);
// One line of several, with the interval that it may lie in.
typedef struct SeerBand {
  const char *name;
  const double *y, *low, *high;  // [count], NaN: not known there; low NULL: no interval
} SeerBand;

// At most SEER_BANDS_MAX lines over a rising x, as shares: colour and dashes tell them apart, and names beside their
// ends. A card of its own.
enum { SEER_BANDS_MAX = 6 };
void seer_bands_print(FILE *page, const char *title, const char *note, const double *x, int count,
                      const SeerBand *bands, int band_count);
// Values as bars from the largest to the smallest, joined into at most 400 of them.
void seer_bars_print(FILE *page, const char *title, const char *note, const double *values, int count);

// An <img> of the picture's square middle. False when it cannot be decoded: nothing is printed.
bool seer_thumbnail_print(FILE *page, SeerDecoder *decoder, int64_t picture, int64_t max_pixels, int side,
                          const char *attributes);
// The bare data URI, malloc'ed; NULL when it cannot be decoded.
char *seer_thumbnail_uri(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, int side);

#endif
