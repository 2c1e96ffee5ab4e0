// Pointwise operations on `count` floats, whatever their layout, and the operations that scale or pool whole channels.
// Pointwise results may be written in place of an operand. Tasks of pointwise kernels: pointwise_tasks(count).
#ifndef SEER_KERNELS_POINTWISE_H
#define SEER_KERNELS_POINTWISE_H

#include "lanes.h"
#include "sizes.h"

// The floats of a task: [first, whole) in whole vectors, then `rest` more up to last.
typedef struct TaskRange {
  int64_t first, whole, last;
  int rest;
} TaskRange;

KERNEL TaskRange task_range(int64_t count, int task) {
  TaskRange r = {(int64_t)task * TASK_FLOATS, 0, 0, 0};
  r.last = r.first + TASK_FLOATS < count ? r.first + TASK_FLOATS : count;
  r.whole = r.first + (r.last - r.first) / LANES * LANES;
  r.rest = (int)(r.last - r.whole);
  return r;
}

KERNEL Lanes relu_lanes(Lanes x) { return lanes_max(x, lanes_splat(0.0f)); }
KERNEL Lanes relu_backward_lanes(Lanes dy, Lanes y) { return lanes_select(y > 0.0f, dy, lanes_splat(0.0f)); }
KERNEL Lanes sigmoid_lanes(Lanes x) { return 1.0f / (1.0f + lanes_exp(-x)); }

KERNEL void relu(int64_t count, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, relu_lanes(lanes_load(x + i)));
  if (r.rest) lanes_store_part(y + r.whole, relu_lanes(lanes_load_part(x + r.whole, r.rest)), r.rest);
}

// mask takes one bit for each float of x, in lanes: x > 0.
KERNEL void positive_mask(int64_t count, const float *restrict x, uint8_t *restrict mask, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store_positive(mask + i / 8, lanes_load(x + i));
}

KERNEL void relu_backward(int64_t count, const float *dy, const float *y, float *dx, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES)
    lanes_store(dx + i, relu_backward_lanes(lanes_load(dy + i), lanes_load(y + i)));
  if (r.rest) {
    Lanes part = relu_backward_lanes(lanes_load_part(dy + r.whole, r.rest), lanes_load_part(y + r.whole, r.rest));
    lanes_store_part(dx + r.whole, part, r.rest);
  }
}

KERNEL void sigmoid(int64_t count, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, sigmoid_lanes(lanes_load(x + i)));
  if (r.rest) lanes_store_part(y + r.whole, sigmoid_lanes(lanes_load_part(x + r.whole, r.rest)), r.rest);
}

KERNEL void sigmoid_backward(int64_t count, const float *dy, const float *y, float *dx, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) {
    Lanes s = lanes_load(y + i);
    lanes_store(dx + i, lanes_load(dy + i) * s * (1.0f - s));
  }
  for (int64_t i = r.whole; i < r.last; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

KERNEL void add(int64_t count, const float *a, const float *b, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, lanes_load(a + i) + lanes_load(b + i));
  for (int64_t i = r.whole; i < r.last; i++) y[i] = a[i] + b[i];
}

KERNEL void scale(int64_t count, double factor, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  const float by = (float)factor;
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, lanes_load(x + i) * by);
  for (int64_t i = r.whole; i < r.last; i++) y[i] = x[i] * by;
}

// x [n,h,w,c] * s [n,c] -> y, all in lanes. Tasks: lane_tasks(n, h, w, c, LANES).
KERNEL void scale_channels(int n, int h, int w, int c, const float *restrict x, const float *restrict s,
                           float *restrict y, int task) {
  (void)n;
  const int parts = (int)pixel_parts(h, w, c, LANES), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const int64_t width = (int64_t)c * LANES;
  const float *factors = s + block * width;
  for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++)
    for (int64_t i = 0; i < width; i += LANES)
      lanes_store(y + pixel * width + i, lanes_load(x + pixel * width + i) * lanes_load(factors + i));
}

// dx = dy * s, ds = sum over pixels of dy * x. Tasks: channel_tasks(n, c, LANES).
KERNEL void scale_channels_backward(int n, int h, int w, int c, const float *restrict dy, const float *restrict x,
                                    const float *restrict s, float *restrict dx, float *restrict ds, int task) {
  (void)n;
  const int parts = (c + CHANNEL_RUN - 1) / CHANNEL_RUN, block = task / parts, part = task % parts;
  const int first = part * CHANNEL_RUN, last = first + CHANNEL_RUN < c ? first + CHANNEL_RUN : c;
  const int64_t width = (int64_t)c * LANES, base = (int64_t)block * h * w * width;
  float sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
  for (int row = 0; row < h; row++) {
    float row_sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
    for (int column = 0; column < w; column++) {
      const int64_t pixel = base + ((int64_t)row * w + column) * width;
      for (int i = first; i < last; i++) {
        const int64_t at = pixel + (int64_t)i * LANES;
        Lanes gradient = lanes_load(dy + at);
        float *sum = row_sums + (i - first) * LANES;
        lanes_store(sum, lanes_load(sum) + gradient * lanes_load(x + at));
        lanes_store(dx + at, gradient * lanes_load(s + block * width + (int64_t)i * LANES));
      }
    }
    for (int i = 0; i < CHANNEL_RUN * LANES; i++) sums[i] += row_sums[i];
  }
  memcpy(ds + block * width + (int64_t)first * LANES, sums, (size_t)(last - first) * LANES * sizeof(float));
}

// x [n,h,w,c] -> y [n,c], mean over pixels, both in lanes. Tasks: channel_tasks(n, c, LANES).
KERNEL void pool_average(int n, int h, int w, int c, const float *restrict x, float *restrict y, int task) {
  (void)n;
  const int parts = (c + CHANNEL_RUN - 1) / CHANNEL_RUN, block = task / parts, part = task % parts;
  const int first = part * CHANNEL_RUN, last = first + CHANNEL_RUN < c ? first + CHANNEL_RUN : c;
  const int64_t width = (int64_t)c * LANES;
  const float inverse = 1.0f / (float)((int64_t)h * w);
  float sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
  for (int row = 0; row < h; row++) {
    float row_sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
    for (int column = 0; column < w; column++) {
      const float *pixel = x + (((int64_t)block * h + row) * w + column) * width + (int64_t)first * LANES;
      for (int i = 0; i < last - first; i++) {
        float *sum = row_sums + i * LANES;
        lanes_store(sum, lanes_load(sum) + lanes_load(pixel + (int64_t)i * LANES));
      }
    }
    for (int i = 0; i < CHANNEL_RUN * LANES; i++) sums[i] += row_sums[i];
  }
  for (int i = first; i < last; i++)
    lanes_store(y + block * width + (int64_t)i * LANES, lanes_load(sums + (i - first) * LANES) * inverse);
}

// dy [n,c] -> dx [n,h,w,c] = dy / (h*w), both in lanes. Tasks: lane_tasks(n, h, w, c, LANES).
KERNEL void pool_average_backward(int n, int h, int w, int c, const float *restrict dy, float *restrict dx, int task) {
  (void)n;
  const int parts = (int)pixel_parts(h, w, c, LANES), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const int64_t width = (int64_t)c * LANES;
  const float inverse = 1.0f / (float)pixels;
  for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++)
    for (int64_t i = 0; i < width; i += LANES)
      lanes_store(dx + pixel * width + i, lanes_load(dy + block * width + i) * inverse);
}

#endif
