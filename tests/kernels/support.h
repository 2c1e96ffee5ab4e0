// What the kernel tests share: aligned tensors of exact size (so that AddressSanitizer sees the first float beyond),
// random contents with hostile dead lanes, addressing of lane tensors, comparison with a double-precision reference.
#ifndef SEER_TESTS_KERNELS_SUPPORT_H
#define SEER_TESTS_KERNELS_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/kernels/c/kernels.h"
#include "codegen/kernels/c/lanes.h"
#include "codegen/kernels/c/tuned.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// Runs every task, the last one first: no task may depend on another.
#define RUN_TASKS(count, call)                               \
  do {                                                       \
    for (int task = (int)(count)-1; task >= 0; task--) call; \
  } while (0)

static inline float *floats_make(int64_t count) {
  void *p = NULL;
  assert_int_equal(posix_memalign(&p, 64, (size_t)(count > 0 ? count : 1) * sizeof(float)), 0);
  for (int64_t i = 0; i < count; i++) ((float *)p)[i] = -777.0f;
  return p;
}

static inline double *doubles_make(int64_t count) {
  double *p = calloc((size_t)(count > 0 ? count : 1), sizeof(double));
  assert_non_null(p);
  return p;
}

// Uniform in -1..1, the same on every machine.
static inline double random_value(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 40) / 8388608.0 - 1.0;
}

static inline float *random_floats(int64_t count, uint64_t seed) {
  float *p = floats_make(count);
  for (int64_t i = 0; i < count; i++) p[i] = (float)random_value(&seed);
  return p;
}

// Index of image i, pixel, channel in a lane tensor.
static inline int64_t lane_index(int64_t image, int64_t pixel, int64_t channel, int64_t pixels, int64_t c) {
  return (((image / LANES) * pixels + pixel) * c + channel) * LANES + image % LANES;
}

// What a stored element stands for, and what is stored of a number.
#ifdef IMAGES_BF16
static inline double element_value(Element element) {
  const uint32_t bits = (uint32_t)element << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return (double)value;
}
static inline Element element_of(double number) {
  const float value = (float)number;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (Element)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
#define ELEMENT_ERROR 0.00391  // half a unit of the last of 8 bits
#define ELEMENT_NORM_ERROR 0.0024  // of many elements; twice of one
#else
static inline double element_value(Element element) { return (double)element; }
static inline Element element_of(double number) { return (Element)number; }
#define ELEMENT_ERROR 0.0
#define ELEMENT_NORM_ERROR 0.0
#endif

// What products may be off by, of the largest sum: their operands are rounded, too, where they are pairs.
#ifdef BF16_PAIRS
#define PRODUCT_ERROR 0.02
#else
#define PRODUCT_ERROR 0.0
#endif

// A lane tensor [n, pixels, c]: random, dead lanes large.
static inline float *random_lanes(int64_t n, int64_t pixels, int64_t c, uint64_t seed) {
  int64_t count = lane_tensor_floats(n, 1, pixels, c, &tuned);
  float *p = floats_make(count);
  for (int64_t i = 0; i < count; i++) p[i] = 1e4f;
  for (int64_t i = 0; i < n; i++)
    for (int64_t pixel = 0; pixel < pixels; pixel++)
      for (int64_t channel = 0; channel < c; channel++)
        p[lane_index(i, pixel, channel, pixels, c)] = (float)random_value(&seed);
  return p;
}

static inline float *lanes_make(int64_t n, int64_t pixels, int64_t c) {
  return floats_make(lane_tensor_floats(n, 1, pixels, c, &tuned));
}

static inline Element *images_make(int64_t n, int64_t pixels, int64_t c) {
  void *p = NULL;
  const int64_t count = lane_tensor_floats(n, 1, pixels, c, &tuned);
  assert_int_equal(posix_memalign(&p, 64, (size_t)count * sizeof(Element)), 0);
  for (int64_t i = 0; i < count; i++) ((Element *)p)[i] = element_of(-777);
  return p;
}

// random_lanes as elements.
static inline Element *random_images(int64_t n, int64_t pixels, int64_t c, uint64_t seed) {
  float *lanes = random_lanes(n, pixels, c, seed);
  Element *p = images_make(n, pixels, c);
  for (int64_t i = 0; i < lane_tensor_floats(n, 1, pixels, c, &tuned); i++) p[i] = element_of((double)lanes[i]);
  free(lanes);
  return p;
}

static inline float *images_to_lanes(const Element *x, int64_t n, int64_t pixels, int64_t c) {
  float *lanes = lanes_make(n, pixels, c);
  for (int64_t i = 0; i < lane_tensor_floats(n, 1, pixels, c, &tuned); i++) lanes[i] = (float)element_value(x[i]);
  return lanes;
}

static inline void check_value(const char *what, int64_t at, double got, double want, double size, double tolerance) {
  double error = fabs(got - want);
  if (!(error <= tolerance * (size > fabs(want) ? size : fabs(want)))) {
    fail_msg("%s[%lld]: got %.9g, wanted %.9g", what, (long long)at, got, want);
  }
}

// Row-major or flat values against the reference; errors are relative to the largest reference value.
static inline void check_floats(const char *what, const float *got, const double *want, int64_t count,
                                double tolerance) {
  double size = 0;
  for (int64_t i = 0; i < count; i++) size = fabs(want[i]) > size ? fabs(want[i]) : size;
  for (int64_t i = 0; i < count; i++) check_value(what, i, (double)got[i], want[i], size, tolerance);
}

// A lane tensor against a reference [n][pixels][c]; dead lanes must at least be finite.
static inline void check_lanes(const char *what, const float *got, const double *want, int64_t n, int64_t pixels,
                               int64_t c, double tolerance) {
  double size = 0;
  for (int64_t i = 0; i < n * pixels * c; i++) size = fabs(want[i]) > size ? fabs(want[i]) : size;
  for (int64_t i = 0; i < n; i++)
    for (int64_t pixel = 0; pixel < pixels; pixel++)
      for (int64_t channel = 0; channel < c; channel++) {
        int64_t at = (i * pixels + pixel) * c + channel;
        check_value(what, at, (double)got[lane_index(i, pixel, channel, pixels, c)], want[at], size, tolerance);
      }
  for (int64_t i = 0; i < lane_tensor_floats(n, 1, pixels, c, &tuned); i++) assert_true(isfinite(got[i]));
}

// The same of elements, whose rounding may come on top; by the norm of the whole, too.
static inline void check_images(const char *what, const Element *got, const double *want, int64_t n, int64_t pixels,
                                int64_t c, double tolerance) {
  float *lanes = images_to_lanes(got, n, pixels, c);
  check_lanes(what, lanes, want, n, pixels, c, tolerance + ELEMENT_ERROR);
  double error = 0, size = 0;
  for (int64_t i = 0; i < n * pixels * c; i++) {
    const double value = (double)lanes[lane_index(i / c / pixels, i / c % pixels, i % c, pixels, c)];
    error += (value - want[i]) * (value - want[i]), size += want[i] * want[i];
  }
  const double rounding = ELEMENT_NORM_ERROR * (1 + 1 / sqrt((double)(n * pixels * c)));
  if (!(sqrt(error) <= (tolerance + rounding) * sqrt(size)))
    fail_msg("%s: error %.3g of the norm", what, sqrt(error / size));
  free(lanes);
}

#endif
