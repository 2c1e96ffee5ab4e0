// State and optimizer: running statistics, gradient accumulation, SGD with momentum, LARC. A result may lie on the
// operand that it updates. active? [1]: where it is 0, parameter and velocity stay; unscale? [1]: gradients are
// multiplied by it.
//
// Grid: elements (grid.h), no shared memory:
//   running_update(running, batch, y, count, momentum, factor)   (1 - momentum) * running + momentum * factor * batch
//   accumulate(accumulator, gradient, restart? [1], y, count, factor)
//     accumulator + factor * gradient; where *restart is not 0, without the accumulator
//   sgd_update(parameter, gradient, velocity, learning_rate [1], active?, unscale?, next_parameter, next_velocity,
//              count, nesterov, momentum, weight_decay)
//     with g = gradient + weight_decay * parameter: velocity' = momentum * velocity + g, parameter' = parameter -
//     rate * velocity' (nesterov: rate * (g + momentum * velocity'))
//   not_finite(x, found [1], count, largest)   found = 1 where a number is not finite or beyond +-largest, else as it was
// Grid: shares * DIVIDE_UP(share, LARC_ELEMENTS), which are the parts; shared memory ROW_BYTES:
//   larc_norms(parameter, gradient, unscale?, sums [parts][2], count, share)   sums of squares of both, in double; the
//     numbers come in shares of so many, and no part has some of two
// Grid: as many blocks as results, shared memory ROW_BYTES:
//   larc_fold(sums [blocks][parts][2], folded [blocks][2], parts)   of so many parts each
// Grid: DIVIDE_UP(count, LARC_UPDATE_ELEMENTS), shared memory ROW_BYTES:
//   larc_update(parameter, gradient, velocity, learning_rate, active?, unscale?, sums, next_parameter, next_velocity,
//               count, parts, stride, clip, nesterov, momentum, weight_decay, trust, epsilon)
//     as sgd_update, with g * ratio; ratio = trust * |p| / (|g| + weight_decay * |p| + epsilon), clip: min(ratio /
//     rate, 1); where |p| or |g| is 0, neither ratio nor decay; sums: pairs, `stride` doubles apart
#include "grid.h"

enum { LARC_ELEMENTS = 65536, LARC_UPDATE_ELEMENTS = 4096 };

DEVICE_KERNEL(running_update, THREADS, 1, 0,
              (const float *running, const float *batch, float *y, u64 count, float momentum, float factor)) {
  const u64 at = grid_element();
  const float keep = (float)(1 - (double)momentum), take = (float)((double)momentum * (double)factor);
  if (at < count) y[at] = keep * running[at] + take * batch[at];
}

DEVICE_KERNEL(accumulate, THREADS, 1, 0,
              (const float *accumulator, const float *gradient, const float *restart, float *y, u64 count,
               float factor)) {
  const u64 at = grid_element();
  if (at >= count) return;
  const bool anew = restart && *restart != 0;
  y[at] = (anew ? 0 : accumulator[at]) + factor * gradient[at];
}

// What a step does with every element.
struct Step {
  float rate, momentum, decay, ratio;
  bool nesterov;
};

DEVICE void element_step(Step step, u64 at, const float *parameter, float gradient, const float *velocity,
                         float *next_parameter, float *next_velocity) {
  const float g = (gradient + parameter[at] * step.decay) * step.ratio, v = velocity[at] * step.momentum + g;
  next_parameter[at] = parameter[at] - (step.nesterov ? g + v * step.momentum : v) * step.rate;
  next_velocity[at] = v;
}

DEVICE void element_keep(u64 at, const float *parameter, const float *velocity, float *next_parameter,
                         float *next_velocity) {
  next_parameter[at] = parameter[at];
  next_velocity[at] = velocity[at];
}

DEVICE_KERNEL(sgd_update, THREADS, 1, 0,
              (const float *parameter, const float *gradient, const float *velocity, const float *learning_rate,
               const float *active, const float *unscale, float *next_parameter, float *next_velocity, u64 count,
               int nesterov, float momentum, float weight_decay)) {
  const u64 at = grid_element();
  if (at >= count) return;
  if (active && *active == 0) {
    element_keep(at, parameter, velocity, next_parameter, next_velocity);
  } else {
    const Step step = {*learning_rate, momentum, weight_decay, 1, nesterov != 0};
    const float g = gradient[at] * (unscale ? *unscale : 1);
    element_step(step, at, parameter, g, velocity, next_parameter, next_velocity);
  }
}

DEVICE_KERNEL(larc_norms, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ parameter, const float *__restrict__ gradient,
               const float *__restrict__ unscale, double *__restrict__ sums, u64 count, u64 share)) {
  SHARED_MEMORY(memory);
  const u64 parts = DIVIDE_UP(share, LARC_ELEMENTS), begin = blockIdx.x / parts * share;
  const u64 share_end = begin + share < count ? begin + share : count;
  const u64 first = begin + blockIdx.x % parts * LARC_ELEMENTS;
  const u64 end = first + LARC_ELEMENTS < share_end ? first + LARC_ELEMENTS : share_end;
  const float factor = unscale ? *unscale : 1;
  double p = 0, g = 0;
#pragma unroll 1
  for (u64 at = first + threadIdx.x; at < end; at += THREADS) {
    const float scaled = gradient[at] * factor;
    p += (double)parameter[at] * (double)parameter[at];
    g += (double)scaled * (double)scaled;
  }
  p = row_sum(p, memory);
  g = row_sum(g, memory);
  if (threadIdx.x > 0) return;
  sums[2 * (u64)blockIdx.x] = p;
  sums[2 * (u64)blockIdx.x + 1] = g;
}

// The sums of all parts, to all threads of the block.
DEVICE void parts_sum(const double *sums, int parts, int stride, double &p, double &g, void *shared) {
  p = g = 0;
#pragma unroll 1
  for (int part = threadIdx.x; part < parts; part += THREADS)
    p += sums[(u64)part * stride], g += sums[(u64)part * stride + 1];
  p = row_sum(p, shared);
  g = row_sum(g, shared);
}

DEVICE_KERNEL(larc_fold, THREADS, 1, ROW_BYTES,
              (const double *__restrict__ sums, double *__restrict__ folded, int parts)) {
  SHARED_MEMORY(memory);
  double p, g;
  parts_sum(sums + (u64)blockIdx.x * parts * 2, parts, 2, p, g, memory);
  if (threadIdx.x > 0) return;
  folded[2 * (u64)blockIdx.x] = p;
  folded[2 * (u64)blockIdx.x + 1] = g;
}

DEVICE_KERNEL(larc_update, THREADS, 1, ROW_BYTES,
              (const float *parameter, const float *gradient, const float *velocity, const float *learning_rate,
               const float *active, const float *unscale, const double *sums, float *next_parameter,
               float *next_velocity, u64 count, int parts, int stride, int clip, int nesterov, float momentum,
               float weight_decay, float trust, float epsilon)) {
  SHARED_MEMORY(memory);
  double p, g;
  parts_sum(sums, parts, stride, p, g, memory);
  p = square_root(p), g = square_root(g);
  Step step = {*learning_rate, momentum, 0, 1, nesterov != 0};
  if (p != 0 && g != 0) {
    double ratio = (double)trust * p / (g + (double)weight_decay * p + (double)epsilon);
    if (clip) ratio /= (double)step.rate;
    if (clip && !(ratio < 1)) ratio = 1;
    step.decay = weight_decay;
    step.ratio = (float)ratio;
  }
  const bool keep = active && *active == 0;
  const float factor = unscale ? *unscale : 1;
  const u64 first = (u64)blockIdx.x * LARC_UPDATE_ELEMENTS;
  const u64 end = first + LARC_UPDATE_ELEMENTS < count ? first + LARC_UPDATE_ELEMENTS : count;
#pragma unroll 1
  for (u64 at = first + threadIdx.x; at < end; at += THREADS) {
    if (keep)
      element_keep(at, parameter, velocity, next_parameter, next_velocity);
    else
      element_step(step, at, parameter, gradient[at] * factor, velocity, next_parameter, next_velocity);
  }
}

DEVICE_KERNEL(not_finite, THREADS, 1, 0,
              (const float *__restrict__ x, int *__restrict__ found, u64 count, float largest)) {
  const u64 at = grid_element();
  // All who find one store the same.
  if (at < count && !(x[at] <= largest && x[at] >= -largest)) *found = 1;
}
