// Axes of pictures: which numbers stand beside them, and where a value lies between their ends.
#ifndef SEER_RUNTIME_PLOT_SCALE_H
#define SEER_RUNTIME_PLOT_SCALE_H

#include <stdbool.h>

enum { SEER_TICKS_MAX = 24, SEER_TICK_BYTES = 32 };

typedef enum SeerQuantity {
  SEER_NUMBERS,  // 1500 is 1500, 15000 is 15k
  SEER_BYTES,    // 12 GiB
  SEER_SECONDS   // 30 ms, 2.5 d
} SeerQuantity;

typedef struct SeerScale {
  double low, high;  // of a log scale, too, the values themselves
  double step;       // between ticks of a linear scale
  bool log;
  SeerQuantity unit;
} SeerScale;

// Both make room where low is not below high. Linear: `round` moves the ends to ticks. Log: low > 0.
SeerScale seer_scale_linear(double low, double high, SeerQuantity unit, bool round);
SeerScale seer_scale_log(double low, double high, SeerQuantity unit);
// 0 at the low end, 1 at the high one.
double seer_scale_share(const SeerScale *scale, double value);
// Rising values within the ends, a few; returns how many.
int seer_scale_ticks(const SeerScale *scale, double ticks[SEER_TICKS_MAX]);
// A tick's text; any other value's, too, if rounder than it is.
void seer_scale_text(const SeerScale *scale, double value, char text[SEER_TICK_BYTES]);

#endif
