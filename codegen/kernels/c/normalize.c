// Batch normalisation of lane tensors [n,h,w,c] and of row-major matrices [n][c]: statistics, affine map, gradients.
//
// Statistics: each part sums the deviations of its pixels from one of them, and their squares; parts are combined in
// double precision in a fixed order (Chan, Golub, LeVeque 1979), so |mean| >> deviation costs no digits.
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "statistics.h"
#include "tuned.h"
#include "view.h"

void batch_statistics(int n, int h, int w, int c, const Element *restrict x, float *restrict statistics, int task) {
  const int parts = (int)pixel_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  statistics_part((int)(last - first), c, 0, c, lanes_live(n, block), x + (block * pixels + first) * c * LANES,
                  (double *)(void *)statistics + (int64_t)task * c * 3);
}

// {count, mean, sum of squared deviations} of one channel over `parts` parts, in their order.
KERNEL void statistics_over(int parts, int c, const double *source, int channel, double *all) {
  double count = 0, average = 0, squares = 0;
  for (int part = 0; part < parts; part++) {
    const double *p = source + ((int64_t)part * c + channel) * 3;
    const double delta = p[1] - average, total = count + p[0];
    average += delta * (p[0] / total);
    squares += p[2] + delta * delta * (count * p[0] / total);
    count = total;
  }
  all[0] = count;
  all[1] = average;
  all[2] = squares;
}

void statistics_fold(int parts, int c, const float *restrict statistics, float *restrict mean, float *restrict variance,
                     int task) {
  const int first = task * 32, last = first + 32 < c ? first + 32 : c;
  for (int channel = first; channel < last; channel++) {
    double all[3];
    statistics_over(parts, c, (const double *)(const void *)statistics, channel, all);
    mean[channel] = (float)all[1];
    variance[channel] = (float)(all[2] / all[0]);
  }
}

void statistics_join(int parts, int c, const float *restrict statistics, float *restrict part, int task) {
  const int first = task * 32, last = first + 32 < c ? first + 32 : c;
  for (int channel = first; channel < last; channel++)
    statistics_over(parts, c, (const double *)(const void *)statistics, channel,
                    (double *)(void *)part + (int64_t)channel * 3);
}

KERNEL float inverse_deviation(float variance, double epsilon) {
  return (float)(1.0 / sqrt((double)variance + epsilon));
}

void batch_normalize(int n, int h, int w, int c, double epsilon, int relu, const Element *x, const float *gamma,
                     const float *beta, const float *mean, const float *variance, const Element *residual, Element *y,
                     int task) {
  (void)n;
  const int parts = (int)pixel_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  for (int channel = 0; channel < c; channel += 64) {
    const int count = c - channel < 64 ? c - channel : 64;
    float factor[64], centre[64], shift[64];
    for (int i = 0; i < count; i++) {
      factor[i] = gamma[channel + i] * inverse_deviation(variance[channel + i], epsilon);
      centre[i] = mean[channel + i];
      shift[i] = beta[channel + i];
    }
    for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++) {
      const int64_t base = (pixel * c + channel) * LANES;
      for (int i = 0; i < count; i++) {
        const int64_t at = base + (int64_t)i * LANES;
        Lanes v = (element_load(x + at) - centre[i]) * factor[i] + shift[i];
        if (residual) v += element_load(residual + at);
        element_store(y + at, relu ? lanes_max(v, lanes_splat(0.0f)) : v);
      }
    }
  }
}

void normalization_factors(int c, double epsilon, const float *restrict gamma, const float *restrict beta,
                           const float *restrict mean, const float *restrict variance, float *restrict factors,
                           int task) {
  const int first = task * 64, last = first + 64 < c ? first + 64 : c;
  for (int i = first; i < last; i++) {
    factors[i] = mean[i];
    factors[c + i] = gamma[i] * inverse_deviation(variance[i], epsilon);
    factors[2 * c + i] = beta[i];
  }
}

void gradient_factors(int n, int h, int w, int c, double epsilon, const float *restrict gamma,
                      const float *restrict mean, const float *restrict variance, const float *restrict dgamma,
                      const float *restrict dbeta, float *restrict factors, int task) {
  const int first = task * 64, last = first + 64 < c ? first + 64 : c;
  const float inverse = (float)(1.0 / ((double)n * h * w));
  for (int i = first; i < last; i++) {
    const float deviation = inverse_deviation(variance[i], epsilon);
    factors[i] = mean[i];
    factors[c + i] = -dgamma[i] * deviation * inverse;
    factors[2 * c + i] = -dbeta[i] * inverse;
    factors[3 * c + i] = gamma[i] * deviation;
  }
}

// Folds the lanes of `count` channels' sums into pairs: {of sum, of product}, dead lanes left out. What lies beyond
// `count`, to a multiple of four, is there.
KERNEL void sums_fold(int count, Lanes live, const float *sum, const float *product, double *target) {
  for (int i = 0; i < count; i += 4) {
    Lanes v[8];
    UNROLL
    for (int j = 0; j < 4; j++) {
      v[j] = lanes_load(sum + (i + j) * LANES) * live;
      v[4 + j] = lanes_load(product + (i + j) * LANES) * live;
    }
    float folded[8] __attribute__((aligned(16)));
    lanes_sum4(v[0], v[1], v[2], v[3], folded);
    lanes_sum4(v[4], v[5], v[6], v[7], folded + 4);
    for (int j = 0; j < 4 && i + j < count; j++) {
      target[2 * (i + j)] = (double)folded[j];
      target[2 * (i + j) + 1] = (double)folded[4 + j];
    }
  }
}

// Sums of one task for the gradient: workspace[task][channel] = {sum of dz, sum of dz * (x - mean)}, live lanes only,
// where dz = dy, or with y (after ReLU) dy where y > 0, or with y's mask where its bit is set; masked (may be NULL, may
// be dy) takes dz.
KERNEL void batch_norm_sums(int n, int h, int w, int c, const Element *dy, const Element *y, const uint8_t *mask,
                            const Element *x, const float *mean, Element *masked, float *workspace, int task) {
  const int parts = (int)sum_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = block * pixels + pixels * part / parts;
  const int64_t last = block * pixels + pixels * (part + 1) / parts;
  const Lanes live = lanes_mask(lanes_live(n, block));
  double *target = (double *)(void *)workspace + (int64_t)task * c * 2;
  for (int channel = 0; channel < c; channel += 64) {
    const int count = c - channel < 64 ? c - channel : 64;
    float sum[64 * LANES] __attribute__((aligned(64))) = {0}, product[64 * LANES] __attribute__((aligned(64))) = {0};
    for (int64_t pixel = first; pixel < last; pixel++)
      for (int i = 0; i < count; i++) {
        const int64_t at = (pixel * c + channel + i) * LANES;
        Lanes d = element_load(dy + at);
        if (y) d = lanes_select(element_load(y + at) > 0.0f, d, lanes_splat(0.0f));
        if (mask) d = lanes_select(lanes_load_positive(mask + at / 8), d, lanes_splat(0.0f));
        if (masked) element_store(masked + at, d);
        lanes_store(sum + i * LANES, lanes_load(sum + i * LANES) + d);
        d = lanes_load(product + i * LANES) + d * (element_load(x + at) - mean[channel + i]);
        lanes_store(product + i * LANES, d);
      }
    sums_fold(count, live, sum, product, target + 2 * channel);
  }
}

void batch_norm_backward_sums(int n, int h, int w, int c, const Element *dy, const Element *x, const float *mean,
                              float *workspace, int task) {
  batch_norm_sums(n, h, w, c, dy, NULL, NULL, x, mean, NULL, workspace, task);
}

void batch_norm_relu_backward_sums(int n, int h, int w, int c, const Element *dy, const Element *y, const Element *x,
                                   const float *mean, Element *masked, float *workspace, int task) {
  batch_norm_sums(n, h, w, c, dy, y, NULL, x, mean, masked, workspace, task);
}

void batch_norm_mask_backward_sums(int n, int h, int w, int c, const Element *dy, const uint8_t *mask, const Element *x,
                                   const float *mean, Element *masked, float *workspace, int task) {
  batch_norm_sums(n, h, w, c, dy, NULL, mask, x, mean, masked, workspace, task);
}

// dz where the view is positive, of 64 channels at most of one pixel; with scale and pooled dz = dy * scale + pooled *
// share. Adds dz and dz * (x - centre) to `sum` and `product`.
KERNEL void view_sums(int scaled, View v, int64_t at, int channel, int count, const Element *dy, const float *scale,
                      const float *pooled, float share, Element *masked, float *sum, float *product) {
  for (int i = 0; i < count; i++) {
    const int64_t here = at + (int64_t)i * LANES, lane = (int64_t)(channel + i) * LANES;
    const float *factors = v.factors + channel + i;
    __builtin_prefetch(dy + here + v.c * LANES, 1);  // of the next pixel: the run is too short for hardware to
    __builtin_prefetch(v.x + here + v.c * LANES);
    Lanes d = element_load(dy + here);
    if (scaled) d = d * lanes_load(scale + lane) + lanes_load(pooled + lane) * share;
    const Lanes apart = element_load(v.x + here) - factors[0];
    d = lanes_select(apart * factors[v.c] + factors[2 * v.c] > 0.0f, d, lanes_splat(0.0f));
    element_store(masked + here, d);
    lanes_store(sum + i * LANES, lanes_load(sum + i * LANES) + d);
    lanes_store(product + i * LANES, lanes_load(product + i * LANES) + d * apart);
  }
}

void batch_norm_view_backward_sums(int n, int h, int w, int c, int scaled, const Element *dy, const Element *x,
                                   const float *factors, const float *scale, const float *pooled, Element *masked,
                                   float *workspace, int task) {
  const int parts = (int)sum_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const Lanes live = lanes_mask(lanes_live(n, block));
  const int64_t base = block * pixels * c * LANES, lane = (int64_t)block * c * LANES;
  const View v = {x + base, NULL, NULL, factors, c};
  double *target = (double *)(void *)workspace + (int64_t)task * c * 2;
  for (int channel = 0; channel < c; channel += 64) {
    const int count = c - channel < 64 ? c - channel : 64;
    float sum[64 * LANES] __attribute__((aligned(64))) = {0}, product[64 * LANES] __attribute__((aligned(64))) = {0};
    for (int64_t pixel = first; pixel < last; pixel++) {
      const int64_t at = (pixel * c + channel) * LANES;
      if (scaled)
        view_sums(1, v, at, channel, count, dy + base, scale + lane, pooled + lane, 1.0f / (float)pixels, masked + base,
                  sum, product);
      else
        view_sums(0, v, at, channel, count, dy + base, NULL, NULL, 0, masked + base, sum, product);
    }
    sums_fold(count, live, sum, product, target + 2 * channel);
  }
}

void batch_norm_backward_fold(int n, int h, int w, int c, double epsilon, const float *restrict variance,
                              const float *restrict workspace, float *restrict dgamma, float *restrict dbeta,
                              int task) {
  const double *source = (const double *)(const void *)workspace;
  const int parts = (int)sum_tasks(n, h, w, c, &tuned), first = task * 32, last = first + 32 < c ? first + 32 : c;
  for (int channel = first; channel < last; channel++) {
    double sum = 0, product = 0;
    for (int part = 0; part < parts; part++) {
      sum += source[((int64_t)part * c + channel) * 2];
      product += source[((int64_t)part * c + channel) * 2 + 1];
    }
    dbeta[channel] = (float)sum;
    dgamma[channel] = (float)(product / sqrt((double)variance[channel] + epsilon));
  }
}

void sums_fold_ranks(int ranks, int c, const float *restrict all, float *restrict dgamma, float *restrict dbeta,
                     int task) {
  const int64_t span = ranks_span(c);
  const int first = task * 32, last = first + 32 < c ? first + 32 : c;
  for (int channel = first; channel < last; channel++) {
    double product = 0, sum = 0;
    for (int rank = 0; rank < ranks; rank++) {
      product += (double)all[2 * rank * span + channel];
      sum += (double)all[(2 * rank + 1) * span + channel];
    }
    dgamma[channel] = (float)(product / ranks);
    dbeta[channel] = (float)(sum / ranks);
  }
}

void batch_norm_backward_input(int n, int h, int w, int c, double epsilon, const Element *dy, const Element *y,
                               const Element *x, const float *gamma, const float *mean, const float *variance,
                               const float *dgamma, const float *dbeta, Element *dx, int task) {
  const int parts = (int)pixel_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const float inverse = (float)(1.0 / ((double)n * (double)pixels));
  for (int channel = 0; channel < c; channel += 64) {
    const int count = c - channel < 64 ? c - channel : 64;
    float factor[64], centre[64], slope[64], shift[64];
    for (int i = 0; i < count; i++) {
      const float deviation = inverse_deviation(variance[channel + i], epsilon);
      factor[i] = gamma[channel + i] * deviation;
      centre[i] = mean[channel + i];
      slope[i] = -dgamma[channel + i] * deviation * inverse;
      shift[i] = -dbeta[channel + i] * inverse;
    }
    for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++) {
      const int64_t base = (pixel * c + channel) * LANES;
      for (int i = 0; i < count; i++) {
        const int64_t at = base + (int64_t)i * LANES;
        Lanes d = element_load(dy + at);
        if (y) d = lanes_select(element_load(y + at) > 0.0f, d, lanes_splat(0.0f));
        d += (element_load(x + at) - centre[i]) * slope[i] + shift[i];
        element_store(dx + at, d * factor[i]);
      }
    }
  }
}

// ---- row-major matrices [n][c]; tasks of all: column_tasks(c), 64 columns each ----

void batch_statistics_rows(int n, int c, const float *restrict x, float *restrict part, int task) {
  const int first = task * 64, count = c - first < 64 ? c - first : 64;
  double sum[64] = {0}, square[64] = {0};
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) sum[i] += (double)x[(int64_t)row * c + first + i];
  for (int i = 0; i < count; i++) sum[i] /= n;
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) {
      const double d = (double)x[(int64_t)row * c + first + i] - sum[i];
      square[i] += d * d;
    }
  double *target = (double *)(void *)part + (int64_t)first * 3;
  for (int i = 0; i < count; i++) {
    target[3 * i] = n;
    target[3 * i + 1] = sum[i];
    target[3 * i + 2] = square[i];
  }
}

void batch_normalize_rows(int n, int c, double epsilon, int relu, const float *x, const float *gamma, const float *beta,
                          const float *mean, const float *variance, const float *residual, float *y, int task) {
  const int first = task * 64, count = c - first < 64 ? c - first : 64;
  float factor[64];
  for (int i = 0; i < count; i++) factor[i] = gamma[first + i] * inverse_deviation(variance[first + i], epsilon);
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) {
      const int64_t at = (int64_t)row * c + first + i;
      float v = (x[at] - mean[first + i]) * factor[i] + beta[first + i];
      if (residual) v += residual[at];
      y[at] = relu && !(v > 0.0f) ? 0.0f : v;
    }
}

void batch_norm_backward_sums_rows(int n, int c, double epsilon, const float *dy, const float *y, const float *x,
                                   const float *mean, const float *variance, float *dgamma, float *dbeta, float *masked,
                                   int task) {
  const int first = task * 64, count = c - first < 64 ? c - first : 64;
  double sum[64] = {0}, product[64] = {0};
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) {
      const int64_t at = (int64_t)row * c + first + i;
      const float d = y && !(y[at] > 0.0f) ? 0.0f : dy[at];
      sum[i] += (double)d;
      product[i] += (double)d * ((double)x[at] - (double)mean[first + i]);
      if (masked) masked[at] = d;
    }
  for (int i = 0; i < count; i++) {
    dbeta[first + i] = (float)sum[i];
    dgamma[first + i] = (float)(product[i] / sqrt((double)variance[first + i] + epsilon));
  }
}

void batch_norm_backward_input_rows(int n, int c, double epsilon, const float *dy, const float *y, const float *x,
                                    const float *gamma, const float *mean, const float *variance, const float *dgamma,
                                    const float *dbeta, float *dx, int task) {
  const int first = task * 64, count = c - first < 64 ? c - first : 64;
  float deviation[64], slope[64], shift[64];
  for (int i = 0; i < count; i++) {
    deviation[i] = inverse_deviation(variance[first + i], epsilon);
    shift[i] = -dbeta[first + i] / (float)n;
    slope[i] = -dgamma[first + i] * deviation[i] / (float)n;
  }
  for (int row = 0; row < n; row++)
    for (int i = 0; i < count; i++) {
      const int64_t at = (int64_t)row * c + first + i;
      const float d = y && !(y[at] > 0.0f) ? 0.0f : dy[at];
      dx[at] = (d + (x[at] - mean[first + i]) * slope[i] + shift[i]) * (gamma[first + i] * deviation[i]);
    }
}
