// Integrals over distributions of the largest of many draws; see spread.h.
#include "compiler/simulate/spread.h"

#include <math.h>

enum { INTERVALS = 2000 };  // of Simpson's rule, even
// So many standard deviations to both sides hold all that counts of a million draws.
static const double REACH = 9;

static double normal_below(double z) { return 0.5 * erfc(-z / sqrt(2)); }

// Chance that a factor is below exp(u), of ranks of `slowness` times the mean.
static double factor_below(double u, double jitter, double slowness) {
  double middle = log(slowness) - jitter * jitter / 2;
  if (jitter <= 0) return u >= middle;
  return normal_below((u - middle) / jitter);
}

// Which of the ranks' draws: of all, or given that none is slow, or that one or more are.
typedef enum Given { GIVEN_NOTHING, GIVEN_EVEN, GIVEN_SLOW } Given;

static double largest_below(const Spread *spread, double ranks, Given given, double u) {
  double even = factor_below(u, spread->jitter, 1), slow = factor_below(u, spread->jitter, spread->slow_factor);
  double none = pow((1 - spread->slow_share) * even, ranks);
  if (given == GIVEN_EVEN) return pow(even, ranks);
  double all = pow((1 - spread->slow_share) * even + spread->slow_share * slow, ranks);
  if (given == GIVEN_NOTHING) return all;
  double share = 1 - pow(1 - spread->slow_share, ranks);
  return share > 0 ? fmin(1, (all - none) / share) : 1;
}

static double simpson_weight(int i) { return i == 0 || i == INTERVALS ? 1 : i % 2 ? 4 : 2; }

// Without jitter there are two factors: 1 and the slow ranks'.
static Moments of_two_factors(const Spread *spread, double ranks, Given given) {
  double slow = 1 - pow(1 - spread->slow_share, ranks), more = spread->slow_factor - 1;
  if (given == GIVEN_EVEN) return (Moments){1, 0};
  if (given == GIVEN_SLOW) return (Moments){spread->slow_factor, 0};
  return (Moments){1 + slow * more, slow * (1 - slow) * more * more};
}

// E X = x0 + integral of P(X > x) over x from x0, and E X^2 = x0^2 + integral of 2 x P(X > x), with x = exp(u).
static Moments moments_of(const Spread *spread, double ranks, Given given) {
  if (spread->jitter <= 0) return of_two_factors(spread, ranks, given);
  double jitter = spread->jitter, middle = -jitter * jitter / 2;
  double low = middle - REACH * jitter, high = middle + log(spread->slow_factor) + REACH * jitter;
  double step = (high - low) / INTERVALS, mean = 0, square = 0;
  for (int i = 0; i <= INTERVALS; i++) {
    double u = low + i * step, x = exp(u);
    double above = (1 - largest_below(spread, ranks, given, u)) * x * simpson_weight(i) * step / 3;
    mean += above;
    square += 2 * x * above;
  }
  mean += exp(low);
  square += exp(2 * low);
  return (Moments){mean, fmax(0, square - mean * mean)};
}

Moments spread_largest(const Spread *spread, double ranks) { return moments_of(spread, ranks, GIVEN_NOTHING); }

GroupMoments spread_largest_of_group(const Spread *spread, double ranks) {
  bool has_slow = spread->slow_share > 0 && spread->slow_factor > 1;
  GroupMoments group = {.slow_share = has_slow ? 1 - pow(1 - spread->slow_share, ranks) : 0};
  group.even = moments_of(spread, ranks, GIVEN_EVEN);
  group.slow = has_slow ? moments_of(spread, ranks, GIVEN_SLOW) : group.even;
  return group;
}

static double time_below(const Moments *time, double x) {
  if (time->variance <= 0) return x >= time->mean;
  return normal_below((x - time->mean) / sqrt(time->variance));
}

double spread_latest(const GroupMoments *times, double groups) {
  const Moments *even = &times->even, *slow = &times->slow;
  double share = times->slow_share;
  if (even->variance <= 0 && slow->variance <= 0)
    return even->mean + (slow->mean - even->mean) * (1 - pow(1 - share, groups));
  double wide = sqrt(fmax(even->variance, slow->variance));
  double low = fmin(even->mean, slow->mean) - REACH * wide, high = fmax(even->mean, slow->mean) + REACH * wide;
  double step = (high - low) / INTERVALS, mean = low;
  for (int i = 0; i <= INTERVALS; i++) {
    double x = low + i * step;
    double below = (1 - share) * time_below(even, x) + share * time_below(slow, x);
    mean += (1 - pow(below, groups)) * simpson_weight(i) * step / 3;
  }
  return mean;
}
