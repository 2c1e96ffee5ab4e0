// Renewal argument: a cycle begins with the first step after a restart and ends with the next one. In a cycle the k-th
// snapshot counts when it is reached and written before the failure, with the chance exp(-(k (work + pause) + write) /
// mean). Daly's formula is the same without writing.
#include "compiler/simulate/failures.h"

#include <math.h>

double failures_effective_share(const FailureCase *failures) {
  double mean = failures->mean_seconds, period = failures->work_seconds + failures->pause_seconds;
  if (period <= 0) return 1;
  if (mean <= 0) return failures->work_seconds / period;
  double kept = failures->work_seconds * exp(-failures->write_seconds / mean) / expm1(period / mean);
  return kept / (mean * exp(failures->restart_seconds / mean));
}

// The share has one maximum: it is searched in thirds of the logarithm.
double failures_best_work_seconds(const FailureCase *failures) {
  double mean = failures->mean_seconds;
  if (mean <= 0 || failures->pause_seconds <= 0) return 0;
  double low = log(failures->pause_seconds * 1e-3), high = log(mean * 10 + failures->pause_seconds);
  FailureCase at = *failures;
  for (int i = 0; i < 100; i++) {
    double first = low + (high - low) / 3, second = high - (high - low) / 3;
    at.work_seconds = exp(first);
    double one = failures_effective_share(&at);
    at.work_seconds = exp(second);
    if (failures_effective_share(&at) > one)
      low = first;
    else
      high = second;
  }
  return exp((low + high) / 2);
}

double failures_daly_seconds(const FailureCase *failures) {
  double mean = failures->mean_seconds, pause = failures->pause_seconds;
  if (mean <= 0 || pause <= 0) return 0;
  if (pause >= 2 * mean) return mean;
  double half = sqrt(pause / (2 * mean));
  return sqrt(2 * pause * mean) * (1 + half / 3 + half * half / 9) - pause;
}
