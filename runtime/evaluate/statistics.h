// Means of groups, how far apart they are, and how sure one may be of both: intervals by the bootstrap (Efron, 1979)
// over units, the persons or households that were sampled, each with all its cases.
//
// Cases are pictures, boxes or queries. A partition sorts cases into groups, women and men or the crossings of several
// attributes; a case may be in none. A measure is the sum of one column over a group by the sum of another.
#ifndef SEER_RUNTIME_EVALUATE_STATISTICS_H
#define SEER_RUNTIME_EVALUATE_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/parallel.h"
#include "runtime/status.h"

enum { SEER_REPLICATES = 2000, SEER_REPLICATES_LEAST = 100, SEER_GROUP_LEAST = 30 };
#define SEER_CONFIDENCE 0.95

typedef struct SeerPartition {
  int group_count;
  const int32_t *groups;  // [cases], -1: in none
} SeerPartition;

// column[numerator] over column[denominator]; -1 as the denominator: over the number of cases.
typedef struct SeerMeasureColumns {
  int numerator, denominator;
} SeerMeasureColumns;

typedef struct SeerObservations {
  int64_t case_count;
  int32_t unit_count;
  const int32_t *units;  // [cases], 0..unit_count-1; those without a case in a group are not drawn
  int column_count;
  const float *const *columns;  // [column_count][cases], finite
  int measure_count;
  const SeerMeasureColumns *measures;
  int partition_count;
  const SeerPartition *partitions;
} SeerObservations;

typedef struct SeerBootstrap {
  uint64_t seed;
  int replicates;  // at least SEER_REPLICATES_LEAST
  int64_t least;   // units; smaller groups are compared with none
} SeerBootstrap;

// NaN where there is nothing to divide by. low and high enclose the value with SEER_CONFIDENCE.
typedef struct SeerEstimate {
  double value, low, high;
} SeerEstimate;

typedef struct SeerGroupSize {
  int64_t cases, units;
  bool small;  // fewer units than were asked for
} SeerGroupSize;

// The two groups of a partition whose values of a measure are farthest apart, of all that are large enough. The
// interval of the difference holds for all pairs at once, the choice of the largest included: so is_clear, that it
// leaves out 0, is not what chance makes of many comparisons. -1 as `high`: fewer than two groups are large enough.
typedef struct SeerDisparity {
  int high, low;                   // groups
  SeerEstimate difference, ratio;  // ratio: of this pair, without regard to others; NaN when one divides by 0
  bool is_clear;
  int compared;            // groups
  int pairs, clear_pairs;  // of them; those whose difference leaves out 0, too
} SeerDisparity;

typedef struct SeerStatistics {
  int partition_count, measure_count;
  int *first;                  // [partition_count + 1]: of the first group of each, among all groups
  SeerGroupSize *sizes;        // [groups]
  SeerEstimate *values;        // [groups][measure_count]
  SeerEstimate *apart;         // likewise: the value less the mean of the partition's other groups, of the compared
  SeerDisparity *disparities;  // [partition_count][measure_count]
} SeerStatistics;

// Same observations and seed, same bits, whatever the threads of `pool`.
//
// Intervals are percentiles of the replicates, at levels widened for few units (Hesterberg, Am. Stat. 69, 2015). Of a
// share that fewer than five units, or all but as many, have, the bootstrap knows too little: the interval is then
// Wilson's of as many units, and that of a difference is made of both groups' intervals (Newcombe, Stat. Med. 17,
// 1998). NaN as bounds: of a single unit, or where more than a tenth of the replicates leave the group out.
SeerStatus seer_statistics_make(const SeerObservations *observations, const SeerBootstrap *bootstrap, SeerPool *pool,
                                SeerStatistics *statistics);
void seer_statistics_release(SeerStatistics *statistics);

#endif
