// What will be copied next. Products leave memory idle: while they are summed, it is asked for, line by line, since
// many at once would hold up the loads behind them.
#ifndef SEER_KERNELS_AHEAD_H
#define SEER_KERNELS_AHEAD_H

#include "view.h"

enum { AHEAD_LINE = 64 };

// Rows of lines, `stride` bytes apart, of two tensors that lie alike, or of the halves of one. Of the first row, `line`
// lines are done.
typedef struct Ahead {
  const char *x, *other;
  int64_t rows, lines, stride, line;
} Ahead;

static const Ahead ahead_nothing = {0};

// `count` channels from `channel` on of pixels [pixel, pixel + pixels), as a view reads them.
KERNEL Ahead ahead_pixels(int kind, View v, int64_t pixel, int64_t pixels, int channel, int count) {
  if (pixels <= 0) return ahead_nothing;
  const int64_t at = (pixel * v.c + channel) * LANES, bytes = (int64_t)count * LANES * (int64_t)sizeof(Element);
  const int64_t row = count == v.c ? pixels * bytes : bytes;
  Ahead a = {(const char *)(v.x + at),
             NULL,
             count == v.c ? 1 : pixels,
             (row + AHEAD_LINE - 1) / AHEAD_LINE,
             (int64_t)v.c * LANES * (int64_t)sizeof(Element),
             0};
  if (kind == VIEW_GRADIENT) {
    a.other = (const char *)(v.raw + at);
  } else if (a.rows > 1) {
    a.rows = (a.rows + 1) / 2;
    a.other = a.x + a.rows * a.stride;
  } else {
    a.lines = (a.lines + 1) / 2;
    a.other = a.x + a.lines * AHEAD_LINE;
  }
  return a;
}

// Lines to come of each tensor, or half.
KERNEL int64_t ahead_lines(const Ahead *a) { return a->rows * a->lines; }

// Where a loop begins to ask.
typedef struct AheadPiece {
  const char *x, *other;
} AheadPiece;

// The next piece, of `lines` lines of a row at most; when there is none, `idle`, which is in cache.
KERNEL AheadPiece ahead_piece(Ahead *a, int64_t lines, const void *idle) {
  if (a->rows <= 0) return (AheadPiece){idle, idle};
  const int64_t done = a->line * AHEAD_LINE;
  const AheadPiece piece = {a->x + done, a->other + done};
  a->line += lines;
  if (a->line >= a->lines) {
    a->line = 0;
    a->x += a->stride;
    a->other += a->stride;
    a->rows--;
  }
  return piece;
}

#endif
