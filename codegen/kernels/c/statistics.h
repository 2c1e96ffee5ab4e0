// Statistics of a part of a lane tensor, for the convolution that has just made it and for BatchNorm on its own.
#ifndef SEER_KERNELS_STATISTICS_H
#define SEER_KERNELS_STATISTICS_H

#include "lanes.h"

// Statistics of channels [first, last) of `pixels` pixels of one image block: part[channel] = {count, mean, sum of
// squared deviations}. Sums are of deviations from the mean of the first pixel.
KERNEL void statistics_part(int pixels, int c, int first, int last, int live, const Element *x, double *part) {
  const int64_t stride = (int64_t)c * LANES;
  const Lanes mask = lanes_mask(live);
  const double all = (double)pixels * live;
  for (int channel = first; channel < last; channel += 4) {
    const int count = last - channel < 4 ? last - channel : 4;
    const Element *source[4];
    Lanes sum[4], square[4];
    float pivot[4] __attribute__((aligned(16))), sums[4] __attribute__((aligned(16)));
    float squares[4] __attribute__((aligned(16)));
    UNROLL
    for (int i = 0; i < 4; i++) {
      source[i] = x + (int64_t)(channel + (i < count ? i : 0)) * LANES;
      sum[i] = element_load(source[i]) * mask;
    }
    lanes_sum4(sum[0], sum[1], sum[2], sum[3], pivot);
    UNROLL
    for (int i = 0; i < 4; i++) {
      pivot[i] /= (float)live;
      sum[i] = square[i] = lanes_splat(0.0f);
    }
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
      UNROLL
      for (int i = 0; i < 4; i++) {
        const Lanes d = element_load(source[i] + pixel * stride) - pivot[i];
        sum[i] += d;
        square[i] += d * d;
      }
    }
    if (live < LANES) UNROLL
    for (int i = 0; i < 4; i++) sum[i] *= mask, square[i] *= mask;
    lanes_sum4(sum[0], sum[1], sum[2], sum[3], sums);
    lanes_sum4(square[0], square[1], square[2], square[3], squares);
    for (int i = 0; i < count; i++) {
      double *target = part + (int64_t)(channel + i) * 3;
      target[0] = all;
      target[1] = (double)pivot[i] + (double)sums[i] / all;
      target[2] = fmax((double)squares[i] - (double)sums[i] * (double)sums[i] / all, 0.0);
    }
  }
}

#endif
