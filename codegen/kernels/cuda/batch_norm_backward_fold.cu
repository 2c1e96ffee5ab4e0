// The sums of all parts (batch_norm_backward_sums.cu): the gradients of gamma and beta, and the line that makes of dz
// and x the gradient of what BatchNorm read.
//
// Constants: CHANNELS, PIXELS, PARTS.
//
// parts [PARTS][CHANNELS] = {sum dz, sum dz * (x - mean)} -> dgamma, dbeta, and lines [3][CHANNELS]: a, b, c of
// dx = dz * a + x * b + c (batch_norm_backward_apply.cu). In double precision, parts in order.
// Grid: channels by THREADS. No shared memory.
#include "device.h"

enum { THREADS = 64 };

DEVICE_KERNEL(batch_norm_backward_fold, THREADS, 1, 0,
              (const float *__restrict__ parts, const float *__restrict__ gamma, const float *__restrict__ mean,
               const float *__restrict__ variance, float epsilon, float *__restrict__ dgamma, float *__restrict__ dbeta,
               float *__restrict__ lines)) {
  const int channel = blockIdx.x * THREADS + threadIdx.x;
  if (channel >= CHANNELS) return;
  double sum = 0, product = 0;
#pragma unroll 1
  for (int part = 0; part < PARTS; part++) {
    sum += parts[((u64)part * CHANNELS + channel) * 2];
    product += parts[((u64)part * CHANNELS + channel) * 2 + 1];
  }
  const double inverse = 1 / square_root((double)variance[channel] + epsilon), line = gamma[channel] * inverse;
  const double slope = -line * inverse * inverse * product / PIXELS;
  dgamma[channel] = (float)(product * inverse);
  dbeta[channel] = (float)sum;
  lines[channel] = (float)line;
  lines[CHANNELS + channel] = (float)slope;
  lines[2 * CHANNELS + channel] = (float)(-line * sum / PIXELS - slope * mean[channel]);
}
