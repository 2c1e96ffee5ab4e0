// What a sample of times says of the time that is behind them.
#ifndef SEER_RUNTIME_SAMPLE_H
#define SEER_RUNTIME_SAMPLE_H

typedef struct SeerSample {
  int count;
  double median, least;
  // The median of what was sampled lies in low..high with probability `coverage`: at least 0.95, or less where `count`
  // is below 6 and the whole sample is no wider.
  double low, high, coverage;
} SeerSample;

// Ascending; of no NaN.
void seer_sample_sort(double *values, int count);
// Of sorted values, count > 0: the one that a share `level` of them lies below, between neighbours in proportion.
double seer_sample_quantile(const double *sorted, int count, double level);

// Sorts `values`. The interval is the one between order statistics, which assumes nothing of the distribution but that
// draws are independent: H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., 7.1; recommended for timings by
// T. Hoefler, R. Belli, Scientific benchmarking of parallel computing systems, SC 2015, rule 5. All zero for count 0.
SeerSample seer_sample_summarize(double *values, int count);

#endif
