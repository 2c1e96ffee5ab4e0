// Bootstrap over units; see statistics.h. What a unit's cases add to each group is summed once, so that a replicate is
// one pass over units. Its draw is addressed by its number, so threads share the replicates out as they like.
#include "runtime/evaluate/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/shares.h"
#include "runtime/random.h"
#include "runtime/sample.h"

#define NORMAL_QUANTILE 1.959963984540054  // has SEER_CONFIDENCE within
enum { RARE = 5, FINITE_TENTHS = 9 };

// ---- quantiles ----

// By how much Student's interval of `units` is wider than one of `z` deviations of the bootstrap, which divides by n
// and not by n - 1. Student's quantile by the series of Cornish and Fisher.
static double widening(double z, int64_t units) {
  double v = (double)(units - 1);
  if (units < 2) return NAN;
  double t = z + (pow(z, 3) + z) / (4 * v) + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * v * v);
  return t / z * sqrt((double)units / v);
}

// Keeps the finite of `values`, sorted. False when more than a tenth are not.
static bool finite_sort(double *values, int count, int *kept) {
  *kept = 0;
  for (int i = 0; i < count; i++) {
    if (isfinite(values[i])) values[(*kept)++] = values[i];
  }
  seer_sample_sort(values, *kept);
  return *kept > 0 && (int64_t)*kept * 10 >= (int64_t)count * FINITE_TENTHS;
}

// `values` of the replicates, which are sorted.
static void interval_percentile(double *values, int count, int64_t units, SeerEstimate *interval) {
  int kept;
  interval->low = interval->high = NAN;
  if (units < 2 || !finite_sort(values, count, &kept)) return;
  double level = erfc(NORMAL_QUANTILE * widening(NORMAL_QUANTILE, units) / sqrt(2)) / 2;
  interval->low = fmin(interval->value, seer_sample_quantile(values, kept, level));
  interval->high = fmax(interval->value, seer_sample_quantile(values, kept, 1 - level));
}

// ---- what units add to groups ----

// Sums over the cases of one unit that are in one group.
typedef struct Entries {
  int32_t *groups;   // [count]
  double *sums;      // [count][width]; the last is the number of cases
  int64_t *of_unit;  // [units + 1]
  int64_t count, room;
  int width;
} Entries;

typedef struct Bootstrap {
  const SeerObservations *observations;
  const SeerBootstrap *bootstrap;
  SeerStatistics *statistics;
  Entries entries;
  int32_t unit_count;  // of those with a case in a group
  int group_count;
  int32_t *times;      // [threads][units]
  double *sums;        // [threads][groups][width]
  double *replicates;  // [groups][measures][replicates]
  bool *rare;          // [groups][measures]
} Bootstrap;

static bool entries_grow(Entries *entries) {
  if (entries->count < entries->room) return true;
  int64_t room = entries->room ? 2 * entries->room : 1024;
  int32_t *groups = realloc(entries->groups, (size_t)room * sizeof *groups);
  if (groups) entries->groups = groups;
  double *sums = realloc(entries->sums, (size_t)(room * entries->width) * sizeof *sums);
  if (sums) entries->sums = sums;
  if (groups && sums) entries->room = room;
  return groups && sums;
}

// The cases in the order of their units: [cases], those of unit u from starts[u] on.
static int64_t *cases_sort(const SeerObservations *o, int64_t *starts) {
  int64_t *order = malloc(((size_t)o->case_count + 1) * sizeof *order);
  for (int64_t i = 0; i < o->case_count; i++) starts[o->units[i] + 1]++;
  for (int32_t u = 0; u < o->unit_count; u++) starts[u + 1] += starts[u];
  for (int64_t i = 0; order && i < o->case_count; i++) order[starts[o->units[i]]++] = i;
  for (int32_t u = o->unit_count; u > 0; u--) starts[u] = starts[u - 1];
  starts[0] = 0;
  return order;
}

static void case_add(const Bootstrap *b, int64_t at, int group, int64_t *touched, Entries *entries) {
  const SeerObservations *o = b->observations;
  if (touched[group] < 0) {
    touched[group] = entries->count++;
    entries->groups[touched[group]] = group;
    memset(entries->sums + touched[group] * entries->width, 0, (size_t)entries->width * sizeof *entries->sums);
  }
  double *sums = entries->sums + touched[group] * entries->width;
  for (int c = 0; c < o->column_count; c++) sums[c] += (double)o->columns[c][at];
  sums[o->column_count] += 1;
}

static bool entries_make(Bootstrap *b) {
  const SeerObservations *o = b->observations;
  Entries *entries = &b->entries;
  entries->width = o->column_count + 1;
  entries->of_unit = calloc((size_t)o->unit_count + 1, sizeof *entries->of_unit);
  int64_t *starts = calloc((size_t)o->unit_count + 2, sizeof *starts);
  int64_t *touched = malloc(((size_t)b->group_count + 1) * sizeof *touched);
  int64_t *order = starts ? cases_sort(o, starts) : NULL;
  bool made = entries->of_unit && touched && order;
  for (int g = 0; made && g < b->group_count; g++) touched[g] = -1;
  for (int32_t u = 0; made && u < o->unit_count; u++) {
    for (int64_t at = starts[u]; made && at < starts[u + 1]; at++) {
      for (int p = 0; made && p < o->partition_count; p++) {
        int group = o->partitions[p].groups[order[at]];
        made = group < 0 || entries_grow(entries);
        if (made && group >= 0) case_add(b, order[at], b->statistics->first[p] + group, touched, entries);
      }
    }
    int64_t first = entries->of_unit[b->unit_count];
    for (int64_t e = first; made && e < entries->count; e++) touched[entries->groups[e]] = -1;
    if (made && entries->count > first) entries->of_unit[++b->unit_count] = entries->count;
  }
  free(starts);
  free(touched);
  free(order);
  return made;
}

// ---- replicates ----

static void units_draw(int32_t unit_count, uint64_t seed, int replicate, int32_t *times) {
  SeerRandom random = seer_random_make(seed, SEER_STREAM_BOOTSTRAP, 0, (uint64_t)replicate, 0);
  memset(times, 0, (size_t)unit_count * sizeof *times);
  for (int32_t i = 0; i < unit_count; i++) times[seer_random_below(&random, (uint32_t)unit_count)]++;
}

// `times` NULL: each unit once.
static void groups_sum(const Bootstrap *b, const int32_t *times, double *sums) {
  const Entries *entries = &b->entries;
  int width = entries->width;
  memset(sums, 0, (size_t)b->group_count * (size_t)width * sizeof *sums);
  for (int32_t u = 0; u < b->unit_count; u++) {
    double weight = times ? times[u] : 1;
    if (times && times[u] == 0) continue;
    for (int64_t e = entries->of_unit[u]; e < entries->of_unit[u + 1]; e++) {
      double *to = sums + (size_t)entries->groups[e] * (size_t)width;
      const double *from = entries->sums + e * width;
      for (int c = 0; c < width; c++) to[c] += weight * from[c];
    }
  }
}

static double measure_of(const Bootstrap *b, int measure, const double *sums) {
  const SeerMeasureColumns *columns = &b->observations->measures[measure];
  double under = sums[columns->denominator < 0 ? b->observations->column_count : columns->denominator];
  return under > 0 ? sums[columns->numerator] / under : (double)NAN;
}

static void replicate_run(const void *arguments, int task, int worker) {
  const Bootstrap *b = arguments;
  const SeerObservations *o = b->observations;
  int32_t *times = b->times + (size_t)worker * (size_t)b->unit_count;
  double *sums = b->sums + (size_t)worker * (size_t)b->group_count * (size_t)b->entries.width;
  units_draw(b->unit_count, b->bootstrap->seed, task, times);
  groups_sum(b, times, sums);
  for (int g = 0; g < b->group_count; g++) {
    for (int m = 0; m < o->measure_count; m++)
      b->replicates[((size_t)g * (size_t)o->measure_count + (size_t)m) * (size_t)b->bootstrap->replicates +
                    (size_t)task] = measure_of(b, m, sums + (size_t)g * (size_t)b->entries.width);
  }
}

static double *replicates_of(const Bootstrap *b, int group, int measure) {
  size_t row = (size_t)group * (size_t)b->observations->measure_count + (size_t)measure;
  return b->replicates + row * (size_t)b->bootstrap->replicates;
}

// ---- groups ----

static SeerEstimate *value_of(const Bootstrap *b, int group, int measure) {
  return &b->statistics->values[(size_t)group * (size_t)b->observations->measure_count + (size_t)measure];
}

// Shares that too few units have, or lack, for their interval to be seen in the replicates.
static bool is_rare(const Bootstrap *b, int group, int measure) {
  return b->rare[(size_t)group * (size_t)b->observations->measure_count + (size_t)measure];
}

// Counts the units of each group that have something of a measure, and those that do not have all.
static bool rare_find(Bootstrap *b) {
  const SeerObservations *o = b->observations;
  size_t places = (size_t)b->group_count * (size_t)o->measure_count;
  int64_t *have = calloc(places + 1, sizeof *have), *lack = calloc(places + 1, sizeof *lack);
  bool made = have && lack;
  for (int64_t e = 0; made && e < b->entries.count; e++) {
    const double *sums = b->entries.sums + e * b->entries.width;
    for (int m = 0; m < o->measure_count; m++) {
      size_t place = (size_t)b->entries.groups[e] * (size_t)o->measure_count + (size_t)m;
      int under = o->measures[m].denominator < 0 ? o->column_count : o->measures[m].denominator;
      have[place] += sums[o->measures[m].numerator] > 0;
      lack[place] += sums[o->measures[m].numerator] < sums[under];
    }
  }
  for (size_t place = 0; made && place < places; place++) {
    double value = b->statistics->values[place].value;
    b->rare[place] = value >= 0 && value <= 1 && (have[place] < RARE || lack[place] < RARE);
  }
  free(have);
  free(lack);
  return made;
}

static void group_finish(const Bootstrap *b, int group, int measure, double *scratch) {
  SeerEstimate *interval = value_of(b, group, measure);
  int64_t units = b->statistics->sizes[group].units;
  int replicates = b->bootstrap->replicates;
  interval->low = interval->high = NAN;
  if (isnan(interval->value)) return;
  if (units >= 2 && is_rare(b, group, measure)) {
    share_interval((uint64_t)llround(interval->value * (double)units), (uint64_t)units, &interval->low,
                   &interval->high);
    interval->low = fmin(interval->low, interval->value);
    interval->high = fmax(interval->high, interval->value);
    return;
  }
  memcpy(scratch, replicates_of(b, group, measure), (size_t)replicates * sizeof *scratch);
  interval_percentile(scratch, replicates, units, interval);
}

static SeerStatus groups_finish(Bootstrap *b, double *scratch) {
  const SeerObservations *o = b->observations;
  SeerStatistics *statistics = b->statistics;
  groups_sum(b, NULL, b->sums);
  for (int64_t e = 0; e < b->entries.count; e++) statistics->sizes[b->entries.groups[e]].units++;
  for (int g = 0; g < b->group_count; g++) {
    const double *sums = b->sums + (size_t)g * (size_t)b->entries.width;
    statistics->sizes[g].cases = (int64_t)sums[o->column_count];
    statistics->sizes[g].small = statistics->sizes[g].units < b->bootstrap->least;
    for (int m = 0; m < o->measure_count; m++) value_of(b, g, m)->value = measure_of(b, m, sums);
  }
  if (!rare_find(b)) return seer_fail(SEER_MACHINE, "no memory for the statistics of %d groups", b->group_count);
  for (int g = 0; g < b->group_count; g++) {
    for (int m = 0; m < o->measure_count; m++) group_finish(b, g, m, scratch);
  }
  return SEER_OK;
}

// ---- pairs of groups ----

typedef struct Pair {
  int high, low;  // groups among all
  int64_t units;  // of the smaller one
  double difference;
  double deviation;     // of the replicates; 0: they tell nothing, and the bounds are of the groups' own
  double below, above;  // then: how far off the bounds of the pair alone are
} Pair;

static bool is_compared(const Bootstrap *b, int group, int measure) {
  const SeerEstimate *value = value_of(b, group, measure);
  return !b->statistics->sizes[group].small && isfinite(value->low) && isfinite(value->high);
}

static void pair_make(const Bootstrap *b, int one, int other, int measure, Pair *pair) {
  const SeerEstimate *x = value_of(b, one, measure), *y = value_of(b, other, measure);
  bool swapped = x->value < y->value;
  const SeerEstimate *up = swapped ? y : x, *down = swapped ? x : y;
  *pair = (Pair){.high = swapped ? other : one, .low = swapped ? one : other, .difference = up->value - down->value};
  const double *high = replicates_of(b, pair->high, measure), *low = replicates_of(b, pair->low, measure);
  double squares = 0;
  int count = 0;
  for (int r = 0; r < b->bootstrap->replicates; r++) {
    double apart = high[r] - low[r] - pair->difference;
    if (!isfinite(apart)) continue;
    squares += apart * apart;
    count++;
  }
  int64_t units = b->statistics->sizes[one].units, others = b->statistics->sizes[other].units;
  pair->units = units < others ? units : others;
  if (!is_rare(b, one, measure) && !is_rare(b, other, measure) && count > 0) {
    pair->deviation = sqrt(squares / count);
  } else {
    pair->below = hypot(up->value - up->low, down->high - down->value);
    pair->above = hypot(up->high - up->value, down->value - down->low);
  }
}

// How many deviations are exceeded with the probability `tail`.
static double normal_quantile(double tail) {
  double low = 0, high = 40;
  for (int i = 0; i < 80; i++) {
    double middle = (low + high) / 2;
    if (erfc(middle / sqrt(2)) / 2 > tail)
      low = middle;
    else
      high = middle;
  }
  return (low + high) / 2;
}

// How many deviations off the bounds have to be to hold for all pairs at once: the quantile, over the replicates, of
// the farthest that any pair lies off. Where some have no deviation, as Bonferroni has it.
static double simultaneous(const Bootstrap *b, const Pair *pairs, int count, int measure, double *scratch) {
  int kept, replicates = b->bootstrap->replicates;
  bool all_tell = true;
  if (count < 2) return NORMAL_QUANTILE;
  for (int p = 0; p < count; p++) all_tell = all_tell && pairs[p].deviation > 0;
  for (int r = 0; all_tell && r < replicates; r++) {
    scratch[r] = NAN;
    for (int p = 0; p < count; p++) {
      double apart = replicates_of(b, pairs[p].high, measure)[r] - replicates_of(b, pairs[p].low, measure)[r];
      scratch[r] = fmax(scratch[r], fabs(apart - pairs[p].difference) / pairs[p].deviation);
    }
  }
  double widest = all_tell && finite_sort(scratch, replicates, &kept)
                      ? seer_sample_quantile(scratch, kept, SEER_CONFIDENCE)
                      : normal_quantile((1 - SEER_CONFIDENCE) / 2 / count);
  return fmax(NORMAL_QUANTILE, widest);
}

static SeerEstimate pair_interval(const Pair *pair, double deviations) {
  double below = pair->below * deviations / NORMAL_QUANTILE, above = pair->above * deviations / NORMAL_QUANTILE;
  if (pair->deviation > 0) below = above = pair->deviation * deviations * widening(deviations, pair->units);
  return (SeerEstimate){pair->difference, pair->difference - below, pair->difference + above};
}

// Newcombe's way on a logarithmic scale, where replicates tell too little.
static void ratio_of_intervals(const SeerEstimate *up, const SeerEstimate *down, SeerEstimate *ratio) {
  if (!(down->low > 0) || !(up->low > 0)) {
    ratio->low = up->low > 0 ? up->low / down->high : 0;
    ratio->high = down->low > 0 ? up->high / down->low : (double)INFINITY;
    return;
  }
  ratio->low = ratio->value * exp(-hypot(log(up->value / up->low), log(down->high / down->value)));
  ratio->high = ratio->value * exp(hypot(log(up->high / up->value), log(down->value / down->low)));
}

static void ratio_make(const Bootstrap *b, const Pair *pair, int measure, double *scratch, SeerEstimate *ratio) {
  const SeerEstimate *up = value_of(b, pair->high, measure), *down = value_of(b, pair->low, measure);
  *ratio = (SeerEstimate){down->value > 0 ? up->value / down->value : (double)NAN, NAN, NAN};
  if (isnan(ratio->value)) return;
  if (!(pair->deviation > 0)) {
    ratio_of_intervals(up, down, ratio);
    return;
  }
  const double *high = replicates_of(b, pair->high, measure), *low = replicates_of(b, pair->low, measure);
  for (int r = 0; r < b->bootstrap->replicates; r++) scratch[r] = low[r] > 0 ? high[r] / low[r] : (double)NAN;
  interval_percentile(scratch, b->bootstrap->replicates, pair->units, ratio);
}

static void disparity_make(const Bootstrap *b, int partition, int measure, Pair *pairs, double *scratch) {
  int first = b->statistics->first[partition], end = b->statistics->first[partition + 1], count = 0, widest = 0;
  SeerDisparity *disparity =
      &b->statistics->disparities[(size_t)partition * (size_t)b->observations->measure_count + (size_t)measure];
  *disparity = (SeerDisparity){.high = -1, .low = -1, .difference = {NAN, NAN, NAN}, .ratio = {NAN, NAN, NAN}};
  for (int i = first; i < end; i++) {
    if (!is_compared(b, i, measure)) continue;
    disparity->compared++;
    for (int j = first; j < i; j++) {
      if (is_compared(b, j, measure)) pair_make(b, j, i, measure, &pairs[count++]);
    }
  }
  if (count == 0) return;
  double deviations = simultaneous(b, pairs, count, measure, scratch);
  for (int p = 0; p < count; p++) {
    if (pairs[p].difference > pairs[widest].difference) widest = p;
    disparity->clear_pairs += pair_interval(&pairs[p], deviations).low > 0;
  }
  const Pair *pair = &pairs[widest];
  disparity->pairs = count;
  disparity->high = pair->high - first;
  disparity->low = pair->low - first;
  disparity->difference = pair_interval(pair, deviations);
  disparity->is_clear = disparity->difference.low > 0;
  ratio_make(b, pair, measure, scratch, &disparity->ratio);
}

// Of one group: its value less the mean of the others that are compared.
static void apart_make(const Bootstrap *b, int partition, int group, int measure, double *scratch) {
  int first = b->statistics->first[partition], end = b->statistics->first[partition + 1], others = 0;
  const SeerEstimate *own = value_of(b, group, measure);
  SeerEstimate *apart = &b->statistics->apart[(size_t)group * (size_t)b->observations->measure_count + (size_t)measure];
  double mean = 0, below = 0, above = 0;
  bool tells = !is_rare(b, group, measure);
  for (int g = first; g < end; g++) {
    const SeerEstimate *value = value_of(b, g, measure);
    if (g == group || !is_compared(b, g, measure)) continue;
    others++;
    mean += value->value;
    below = hypot(below, value->high - value->value);
    above = hypot(above, value->value - value->low);
    tells = tells && !is_rare(b, g, measure);
  }
  *apart = (SeerEstimate){NAN, NAN, NAN};
  if (others == 0 || !is_compared(b, group, measure)) return;
  apart->value = own->value - mean / others;
  if (!tells) {
    apart->low = apart->value - hypot(own->value - own->low, below / others);
    apart->high = apart->value + hypot(own->high - own->value, above / others);
    return;
  }
  for (int r = 0; r < b->bootstrap->replicates; r++) {
    double sum = 0;
    for (int g = first; g < end; g++) {
      if (g != group && is_compared(b, g, measure)) sum += replicates_of(b, g, measure)[r];
    }
    scratch[r] = replicates_of(b, group, measure)[r] - sum / others;
  }
  interval_percentile(scratch, b->bootstrap->replicates, b->statistics->sizes[group].units, apart);
}

// ---- all of it ----

static SeerStatus memory_make(Bootstrap *b, int threads) {
  const SeerObservations *o = b->observations;
  SeerStatistics *statistics = b->statistics;
  size_t groups = (size_t)b->group_count + 1, measures = (size_t)o->measure_count;
  statistics->sizes = calloc(groups, sizeof *statistics->sizes);
  statistics->values = calloc(groups * measures, sizeof *statistics->values);
  statistics->apart = calloc(groups * measures, sizeof *statistics->apart);
  statistics->disparities = calloc((size_t)o->partition_count * measures + 1, sizeof *statistics->disparities);
  b->times = calloc((size_t)threads * ((size_t)o->unit_count + 1), sizeof *b->times);
  b->sums = calloc((size_t)threads * groups * ((size_t)o->column_count + 1), sizeof *b->sums);
  b->replicates = calloc(groups * measures * (size_t)b->bootstrap->replicates, sizeof *b->replicates);
  b->rare = calloc(groups * measures + 1, sizeof *b->rare);
  bool made = b->rare && statistics->sizes && statistics->values && statistics->apart && statistics->disparities &&
              b->times && b->sums && b->replicates && entries_make(b);
  return made ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for the statistics of %d groups", b->group_count);
}

static SeerStatus partitions_count(const SeerObservations *o, Bootstrap *b, int *widest) {
  b->statistics->first = calloc((size_t)o->partition_count + 1, sizeof *b->statistics->first);
  if (!b->statistics->first) return seer_fail(SEER_MACHINE, "no memory for the statistics of groups");
  *widest = 0;
  for (int p = 0; p < o->partition_count; p++) {
    b->statistics->first[p + 1] = b->statistics->first[p] + o->partitions[p].group_count;
    if (o->partitions[p].group_count > *widest) *widest = o->partitions[p].group_count;
  }
  b->group_count = b->statistics->first[o->partition_count];
  return SEER_OK;
}

SeerStatus seer_statistics_make(const SeerObservations *observations, const SeerBootstrap *bootstrap, SeerPool *pool,
                                SeerStatistics *statistics) {
  const SeerObservations *o = observations;
  *statistics = (SeerStatistics){.partition_count = o->partition_count, .measure_count = o->measure_count};
  Bootstrap b = {.observations = o, .bootstrap = bootstrap, .statistics = statistics};
  int widest = 0;
  SeerStatus status = partitions_count(o, &b, &widest);
  if (!status) status = memory_make(&b, seer_pool_threads(pool));
  Pair *pairs = malloc(((size_t)widest * (size_t)widest / 2 + 1) * sizeof *pairs);
  double *scratch = malloc((size_t)bootstrap->replicates * sizeof *scratch);
  if (!status && (!pairs || !scratch)) status = seer_fail(SEER_MACHINE, "no memory for pairs of %d groups", widest);
  if (!status && b.unit_count > 0) {
    seer_pool_run(pool, replicate_run, &b, bootstrap->replicates);
    status = groups_finish(&b, scratch);
    for (int p = 0; !status && p < o->partition_count; p++) {
      for (int m = 0; m < o->measure_count; m++) disparity_make(&b, p, m, pairs, scratch);
    }
    for (int p = 0; !status && p < o->partition_count; p++) {
      for (int g = statistics->first[p]; g < statistics->first[p + 1]; g++) {
        for (int m = 0; m < o->measure_count; m++) apart_make(&b, p, g, m, scratch);
      }
    }
  }
  free(pairs);
  free(scratch);
  free(b.times);
  free(b.sums);
  free(b.replicates);
  free(b.rare);
  free(b.entries.groups);
  free(b.entries.sums);
  free(b.entries.of_unit);
  if (status) seer_statistics_release(statistics);
  return status;
}

void seer_statistics_release(SeerStatistics *statistics) {
  free(statistics->first);
  free(statistics->sizes);
  free(statistics->values);
  free(statistics->apart);
  free(statistics->disparities);
  *statistics = (SeerStatistics){.first = NULL};
}
