// The sums of all parts (batch_norm_backward_sums.cu): the gradients of gamma and beta; and from those the line that
// makes of dz and x the gradient of what BatchNorm read.
#include "channels.h"

enum { THREADS = 64 };

// parts [parts][channels_all] = {sum dz, sum dz * (x - mean)}, variance -> dgamma, dbeta, of the channels that exist.
// In double precision, parts in order. Grid: channels_all by 64. No shared memory.
DEVICE_KERNEL(batch_norm_backward_fold, THREADS, 1, 0,
              (const float *__restrict__ sums, const float *__restrict__ variance, float *__restrict__ dgamma,
               float *__restrict__ dbeta, int parts, int channels_all, int group_channels, int group_pitch,
               float epsilon)) {
  const int channel = blockIdx.x * THREADS + threadIdx.x;
  if (channel >= channels_all || channels_exist(channel, group_channels, group_pitch) <= 0) return;
  const int number = channel_number(channel, group_channels, group_pitch);
  double sum = 0, product = 0;
#pragma unroll 1
  for (int part = 0; part < parts; part++) {
    sum += sums[((u64)part * channels_all + channel) * 2];
    product += sums[((u64)part * channels_all + channel) * 2 + 1];
  }
  dgamma[number] = (float)(product / square_root((double)variance[number] + epsilon));
  dbeta[number] = (float)sum;
}

// gamma, mean, variance, dgamma, dbeta of the channels that exist -> lines [3][channels_all]: a, b, c of
// dx = dz * a + x * b + c, zero in pads. Grid: channels_all by 64. No shared memory.
DEVICE_KERNEL(batch_norm_backward_line, THREADS, 1, 0,
              (const float *__restrict__ gamma, const float *__restrict__ mean, const float *__restrict__ variance,
               const float *__restrict__ dgamma, const float *__restrict__ dbeta, float *__restrict__ lines, int pixels,
               int channels_all, int group_channels, int group_pitch, float epsilon)) {
  const int channel = blockIdx.x * THREADS + threadIdx.x;
  if (channel >= channels_all) return;
  double line = 0, slope = 0, shift = 0;
  if (channels_exist(channel, group_channels, group_pitch) > 0) {
    const int number = channel_number(channel, group_channels, group_pitch);
    const double inverse = 1 / square_root((double)variance[number] + epsilon);
    line = gamma[number] * inverse;
    slope = -line * inverse * dgamma[number] / pixels;
    shift = -line * dbeta[number] / pixels - slope * mean[number];
  }
  lines[channel] = (float)line;
  lines[channels_all + channel] = (float)slope;
  lines[2 * channels_all + channel] = (float)shift;
}
