// From timed runs to the rates of their kinds: least squares with coefficients that are not negative, in which runs
// that something disturbed count less. Pure mathematics, of no machine.
#ifndef SEER_DRIVER_CALIBRATE_FIT_H
#define SEER_DRIVER_CALIBRATE_FIT_H

#include "compiler/plan/rates.h"

typedef struct RateSample {
  RateWork work;
  double seconds;
} RateSample;

// How well a kind's rate tells its samples' times.
typedef struct RateFit {
  int samples;
  double seconds;     // of all samples
  double mean_error;  // of a sample, relative, weighted by time
} RateFit;

// `rates` as measured, of kinds that have samples. The cache is that of `memory`, and so is what bytes
// beyond it take; NULL: the power of two that explains the times best, or infinite, where none does by more than a
// fiftieth. fits [RATE_KIND_COUNT].
void rates_fit(Arena *arena, const RateSample *samples, int count, const Rates *memory, Rates *rates, RateFit *fits);

// Of an exchange between two ranks: seconds = start + bytes * byte_seconds, fitted as a rate is.
typedef struct ExchangeSample {
  double bytes, seconds;
} ExchangeSample;
void line_fit(Arena *arena, const ExchangeSample *samples, int count, double *start_seconds, double *byte_seconds);

#endif
