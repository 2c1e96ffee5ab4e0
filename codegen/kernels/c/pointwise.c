// Pointwise operations on `count` floats, whatever their layout, or elements of images, and those that scale or pool
// whole channels. Pointwise results may be written in place of an operand. Tasks of pointwise kernels:
// pointwise_tasks(count).
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "task_range.h"
#include "tuned.h"
#include "view.h"

KERNEL Lanes relu_lanes(Lanes x) { return lanes_max(x, lanes_splat(0.0f)); }
KERNEL Lanes relu_backward_lanes(Lanes dy, Lanes y) { return lanes_select(y > 0.0f, dy, lanes_splat(0.0f)); }
KERNEL Lanes sigmoid_lanes(Lanes x) { return 1.0f / (1.0f + lanes_exp(-x)); }

void relu(int64_t count, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, relu_lanes(lanes_load(x + i)));
  if (r.rest) lanes_store_part(y + r.whole, relu_lanes(lanes_load_part(x + r.whole, r.rest)), r.rest);
}

void relu_images(int64_t count, const Element *x, Element *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) element_store(y + i, relu_lanes(element_load(x + i)));
}

void positive_mask(int64_t count, const Element *restrict x, uint8_t *restrict mask, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store_positive(mask + i / 8, element_load(x + i));
}

void relu_backward(int64_t count, const float *dy, const float *y, float *dx, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES)
    lanes_store(dx + i, relu_backward_lanes(lanes_load(dy + i), lanes_load(y + i)));
  if (r.rest) {
    Lanes part = relu_backward_lanes(lanes_load_part(dy + r.whole, r.rest), lanes_load_part(y + r.whole, r.rest));
    lanes_store_part(dx + r.whole, part, r.rest);
  }
}

void relu_backward_images(int64_t count, const Element *dy, const Element *y, Element *dx, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES)
    element_store(dx + i, relu_backward_lanes(element_load(dy + i), element_load(y + i)));
}

void sigmoid(int64_t count, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, sigmoid_lanes(lanes_load(x + i)));
  if (r.rest) lanes_store_part(y + r.whole, sigmoid_lanes(lanes_load_part(x + r.whole, r.rest)), r.rest);
}

void sigmoid_backward(int64_t count, const float *dy, const float *y, float *dx, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) {
    Lanes s = lanes_load(y + i);
    lanes_store(dx + i, lanes_load(dy + i) * s * (1.0f - s));
  }
  for (int64_t i = r.whole; i < r.last; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

void add(int64_t count, const float *a, const float *b, float *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, lanes_load(a + i) + lanes_load(b + i));
  for (int64_t i = r.whole; i < r.last; i++) y[i] = a[i] + b[i];
}

void add_images(int64_t count, const Element *a, const Element *b, Element *y, int task) {
  const TaskRange r = task_range(count, task);
  for (int64_t i = r.first; i < r.whole; i += LANES) element_store(y + i, element_load(a + i) + element_load(b + i));
}

void scale(int64_t count, double factor, const float *x, float *y, int task) {
  const TaskRange r = task_range(count, task);
  const float by = (float)factor;
  for (int64_t i = r.first; i < r.whole; i += LANES) lanes_store(y + i, lanes_load(x + i) * by);
  for (int64_t i = r.whole; i < r.last; i++) y[i] = x[i] * by;
}

void scale_channels(int n, int h, int w, int c, const Element *restrict x, const float *restrict s, Element *restrict y,
                    int task) {
  (void)n;
  const int parts = (int)pixel_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const int64_t width = (int64_t)c * LANES;
  const float *factors = s + block * width;
  for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++)
    for (int64_t i = 0; i < width; i += LANES)
      element_store(y + pixel * width + i, element_load(x + pixel * width + i) * lanes_load(factors + i));
}

// The channels of one image block that a task of channel_tasks has.
typedef struct ChannelTask {
  int block, first, count;
} ChannelTask;

KERNEL ChannelTask channel_task(int c, int task) {
  const int parts = (c + CHANNEL_RUN - 1) / CHANNEL_RUN, first = task % parts * CHANNEL_RUN;
  return (ChannelTask){task / parts, first, first + CHANNEL_RUN < c ? CHANNEL_RUN : c - first};
}

void scale_channels_backward(int n, int h, int w, int c, const Element *restrict dy, const Element *restrict x,
                             const float *restrict s, Element *restrict dx, float *restrict ds, int task) {
  (void)n;
  const ChannelTask t = channel_task(c, task);
  const int block = t.block, first = t.first, last = t.first + t.count;
  const int64_t width = (int64_t)c * LANES, base = (int64_t)block * h * w * width;
  float sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
  for (int row = 0; row < h; row++) {
    float row_sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
    for (int column = 0; column < w; column++) {
      const int64_t pixel = base + ((int64_t)row * w + column) * width;
      for (int i = first; i < last; i++) {
        const int64_t at = pixel + (int64_t)i * LANES;
        Lanes gradient = element_load(dy + at);
        float *sum = row_sums + (i - first) * LANES;
        lanes_store(sum, lanes_load(sum) + gradient * element_load(x + at));
        element_store(dx + at, gradient * lanes_load(s + block * width + (int64_t)i * LANES));
      }
    }
    for (int i = 0; i < CHANNEL_RUN * LANES; i++) sums[i] += row_sums[i];
  }
  memcpy(ds + block * width + (int64_t)first * LANES, sums, (size_t)(last - first) * LANES * sizeof(float));
}

// Adds `count` channels of a view from `channel` on, of `pixels` pixels in rows of `width`, times dy (NULL: one), to
// sums: row by row, so that large pictures lose no digits.
KERNEL void view_sum(int kind, int times, View v, int h, int w, int channel, int count, const Element *dy,
                     float *sums) {
  memset(sums, 0, (size_t)count * LANES * sizeof(float));
  for (int row = 0; row < h; row++) {
    float row_sums[CHANNEL_RUN * LANES] __attribute__((aligned(64))) = {0};
    for (int column = 0; column < w; column++) {
      const int64_t at = (((int64_t)row * w + column) * v.c + channel) * LANES;
      for (int i = 0; i < count; i++) {
        float *sum = row_sums + i * LANES;
        Lanes x = view_load(kind, v, at + (int64_t)i * LANES, channel + i);
        if (times) x *= element_load(dy + at + (int64_t)i * LANES);
        lanes_store(sum, lanes_load(sum) + x);
      }
    }
    for (int i = 0; i < count * LANES; i++) sums[i] += row_sums[i];
  }
}

void pool_average(int n, int h, int w, int c, int view, const Element *restrict x, const float *restrict factors,
                  float *restrict y, int task) {
  (void)n;
  const ChannelTask t = channel_task(c, task);
  const View v = {x + (int64_t)t.block * h * w * c * LANES, NULL, NULL, factors, c};
  const float inverse = 1.0f / (float)((int64_t)h * w);
  float sums[CHANNEL_RUN * LANES] __attribute__((aligned(64)));
  if (view == VIEW_PLAIN) view_sum(VIEW_PLAIN, 0, v, h, w, t.first, t.count, NULL, sums);
  if (view == VIEW_NORMALIZED) view_sum(VIEW_NORMALIZED, 0, v, h, w, t.first, t.count, NULL, sums);
  float *target = y + ((int64_t)t.block * c + t.first) * LANES;
  for (int i = 0; i < t.count * LANES; i += LANES) lanes_store(target + i, lanes_load(sums + i) * inverse);
}

void scale_gradient(int n, int h, int w, int c, const Element *restrict dy, const Element *restrict x,
                    const float *restrict factors, float *restrict ds, int task) {
  (void)n;
  const ChannelTask t = channel_task(c, task);
  const int64_t base = (int64_t)t.block * h * w * c * LANES;
  const View v = {x + base, NULL, NULL, factors, c};
  float sums[CHANNEL_RUN * LANES] __attribute__((aligned(64)));
  view_sum(VIEW_NORMALIZED, 1, v, h, w, t.first, t.count, dy + base, sums);
  memcpy(ds + ((int64_t)t.block * c + t.first) * LANES, sums, (size_t)t.count * LANES * sizeof(float));
}

void pool_average_backward(int n, int h, int w, int c, const float *restrict dy, Element *restrict dx, int task) {
  (void)n;
  const int parts = (int)pixel_parts(h, w, c, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  const int64_t width = (int64_t)c * LANES;
  const float inverse = 1.0f / (float)pixels;
  for (int64_t pixel = block * pixels + first; pixel < block * pixels + last; pixel++)
    for (int64_t i = 0; i < width; i += LANES)
      element_store(dx + pixel * width + i, lanes_load(dy + block * width + i) * inverse);
}
