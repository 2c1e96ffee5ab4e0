// How unevenly ranks compute, and what the slowest of many takes: expectations by numeric integration, whatever the
// number of ranks.
//
// A rank's time from one collective to the next is its mean times a factor: lognormal with mean 1, drawn anew each
// time, and, for a share of the ranks, always the same rank, `slow_factor` times that.
#ifndef SEER_SIMULATE_SPREAD_H
#define SEER_SIMULATE_SPREAD_H

#include <stdbool.h>

typedef struct Spread {
  double jitter;       // standard deviation of the factor's logarithm; 0: none
  double slow_share;   // of ranks
  double slow_factor;  // at least 1
} Spread;

static inline bool spread_is_none(const Spread *spread) {
  return spread->jitter <= 0 && (spread->slow_share <= 0 || spread->slow_factor <= 1);
}

typedef struct Moments {
  double mean, variance;
} Moments;

// The largest factor among `ranks` ranks.
Moments spread_largest(const Spread *spread, double ranks);

// A group of ranks that wait for each other many times: of ranks without a slow one among them, and with one or more.
typedef struct GroupMoments {
  double slow_share;  // of groups
  Moments even, slow;
} GroupMoments;
GroupMoments spread_largest_of_group(const Spread *spread, double ranks);

// The latest of `groups` groups, whose times are normal: of each either `even` or, `slow_share` of them, `slow`.
double spread_latest(const GroupMoments *times, double groups);

#endif
