// Closed forms; see shares.h.
#include "runtime/data/shares.h"

#include <math.h>

void share_interval(uint64_t count, uint64_t all, double *low, double *high) {
  const double z = 1.959963984540054;  // the normal distribution has 0.95 within
  double n = (double)all, share = all > 0 ? (double)count / n : 0, scale = 1 + z * z / n;
  double middle = (share + z * z / (2 * n)) / scale;
  double half = z / scale * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  *low = count == 0 ? 0 : middle - half;
  *high = count == all ? 1 : middle + half;
}

double shares_distance(const double *shares, const double *reference, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += fabs(shares[i] - reference[i]);
  return sum / 2;
}

double shares_divergence(const double *shares, const double *reference, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    if (shares[i] > 0) sum += reference[i] > 0 ? shares[i] * log(shares[i] / reference[i]) : (double)INFINITY;
  }
  return sum;
}
