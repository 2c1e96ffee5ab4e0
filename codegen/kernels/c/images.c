// Pictures into lanes, and rows between the lanes of a size group and row-major matrices.
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"
#include "tuned.h"

void normalize_images(int n, int h, int w, double mean0, double mean1, double mean2, double std0, double std1,
                      double std2, const uint8_t *restrict images, Element *restrict y, int task) {
  const double mean[3] = {mean0, mean1, mean2}, std[3] = {std0, std1, std2};
  const int parts = (int)pixel_parts(h, w, 3, &tuned), block = task / parts, part = task % parts;
  const int64_t pixels = (int64_t)h * w, first = pixels * part / parts, last = pixels * (part + 1) / parts;
  float scale[3], shift[3];
  for (int c = 0; c < 3; c++) {
    scale[c] = (float)(1.0 / (255.0 * std[c]));
    shift[c] = (float)(-mean[c] / std[c]);
  }
  const int live = lanes_live(n, block);
  const uint8_t *source = images + (int64_t)block * LANES * pixels * 3;
  Element *target = y + (int64_t)block * pixels * 3 * LANES;
  for (int64_t i = first * 3; i < last * 3; i += 3)
    for (int c = 0; c < 3; c++) {
      float values[LANES] __attribute__((aligned(64)));
      for (int lane = 0; lane < LANES; lane++)
        values[lane] = lane < live ? (float)source[lane * pixels * 3 + i + c] * scale[c] + shift[c] : 0.0f;
      element_store(target + (i + c) * LANES, lanes_load(values));
    }
}

void concat_rows_lanes(int n, int d, int first_row, const float *restrict x, float *restrict y, int task) {
  const int parts = (int)row_tasks(n, d, &tuned), first = (int)((int64_t)n * task / parts);
  const int last = (int)((int64_t)n * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    const float *source = x + (int64_t)(row / LANES) * d * LANES + row % LANES;
    float *target = y + (int64_t)(first_row + row) * d;
    for (int i = 0; i < d; i++) target[i] = source[(int64_t)i * LANES];
  }
}

void concat_rows_rows(int n, int d, int first_row, const float *restrict x, float *restrict y, int task) {
  const int parts = (int)row_tasks(n, d, &tuned);
  const int64_t first = (int64_t)n * task / parts, last = (int64_t)n * (task + 1) / parts;
  memcpy(y + (first_row + first) * d, x + first * d, (size_t)((last - first) * d) * sizeof(float));
}

void slice_rows_lanes(int begin, int end, int d, const float *restrict x, float *restrict y, int task) {
  const int live = lanes_live(end - begin, task);
  const float *source = x + ((int64_t)begin + (int64_t)task * LANES) * d;
  float *target = y + (int64_t)task * d * LANES;
  for (int i = 0; i < d; i++)
    for (int lane = 0; lane < LANES; lane++)
      target[(int64_t)i * LANES + lane] = lane < live ? source[(int64_t)lane * d + i] : 0.0f;
}

void slice_rows_rows(int begin, int end, int d, const float *restrict x, float *restrict y, int task) {
  concat_rows_rows(end - begin, d, 0, x + (int64_t)begin * d, y, task);
}

void pad_rows_rows(int n, int begin, int end, int d, const float *restrict dy, float *restrict dx, int task) {
  const int parts = (int)row_tasks(n, d, &tuned), first = (int)((int64_t)n * task / parts);
  const int last = (int)((int64_t)n * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    float *target = dx + (int64_t)row * d;
    if (row >= begin && row < end) {
      memcpy(target, dy + (int64_t)(row - begin) * d, (size_t)d * sizeof(float));
    } else {
      memset(target, 0, (size_t)d * sizeof(float));
    }
  }
}

void pad_rows_lanes(int n, int begin, int end, int d, const float *restrict dy, float *restrict dx, int task) {
  (void)n;
  float *target = dx + (int64_t)task * d * LANES;
  for (int i = 0; i < d; i++)
    for (int lane = 0; lane < LANES; lane++) {
      int row = task * LANES + lane;
      target[(int64_t)i * LANES + lane] = row >= begin && row < end ? dy[(int64_t)(row - begin) * d + i] : 0.0f;
    }
}
