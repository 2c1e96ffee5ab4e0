// Medians and their confidence intervals; see sample.h.
#include "runtime/sample.h"

#include <math.h>
#include <stdlib.h>

static int value_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void seer_sample_sort(double *values, int count) { qsort(values, (size_t)count, sizeof *values, value_compare); }

double seer_sample_quantile(const double *sorted, int count, double level) {
  double at = level * (count - 1);
  int below = (int)at;
  if (below >= count - 1) return sorted[count - 1];
  return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

// Of k heads in n throws of a fair coin.
static double coin_probability(int n, int k) {
  return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) - n * log(2));
}

// The largest r with P(x_(r) <= median <= x_(n+1-r)) = 1 - 2 P(fewer than r heads) >= 0.95, or 1.
static int interval_rank(int n, double *coverage) {
  int rank = 1;
  double below = coin_probability(n, 0);
  *coverage = 1 - 2 * below;
  while (rank < (n + 1) / 2) {
    double more = below + coin_probability(n, rank);
    if (1 - 2 * more < 0.95) break;
    below = more;
    rank++;
    *coverage = 1 - 2 * below;
  }
  return rank;
}

SeerSample seer_sample_summarize(double *values, int count) {
  if (count < 1) return (SeerSample){0};
  seer_sample_sort(values, count);
  SeerSample sample = {.count = count, .least = values[0]};
  sample.median = count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
  int rank = interval_rank(count, &sample.coverage);
  sample.low = values[rank - 1];
  sample.high = values[count - rank];
  return sample;
}
