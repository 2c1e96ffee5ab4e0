// Averages, transforms, compares with the median; see perceptual.h.
#include "compiler/data/perceptual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, LOW = 9, BITS = 64, LEAST_SIDE = 2 * SIDE };

int data_perceptual_shrink(void *data, int width, int height) {
  (void)data;
  int side = width < height ? width : height, shrink = 8;
  while (shrink > 1 && side / shrink < LEAST_SIDE) shrink /= 2;
  return shrink;
}

// Adds `count` values, spread evenly over SIDE fields: each field gets the mean of what lies in it.
static void spread(const double *values, int count, double fields[SIDE]) {
  double step = (double)SIDE / count;
  for (int i = 0; i < count; i++) {
    double begin = i * step, end = begin + step;
    for (int field = (int)begin; field < SIDE && field < end; field++) {
      double from = begin > field ? begin : field, to = end < field + 1 ? end : field + 1;
      if (to > from) fields[field] += values[i] * (to - from);
    }
  }
}

// Mean brightness of fields. False without memory.
static bool fields_make(const SeerPicture *picture, double fields[SIDE][SIDE]) {
  double *row = malloc((size_t)picture->width * sizeof *row), step = (double)SIDE / picture->height;
  if (row == NULL) return false;
  memset(fields, 0, SIDE * sizeof fields[0]);
  for (int y = 0; y < picture->height; y++) {
    const uint8_t *pixel = picture->pixels + (size_t)y * (size_t)picture->width * 3;
    for (int x = 0; x < picture->width; x++, pixel += 3) row[x] = 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2];
    double across[SIDE] = {0}, begin = y * step, end = begin + step;
    spread(row, picture->width, across);
    for (int field = (int)begin; field < SIDE && field < end; field++) {
      double from = begin > field ? begin : field, to = end < field + 1 ? end : field + 1;
      for (int x = 0; x < SIDE && to > from; x++) fields[field][x] += across[x] * (to - from);
    }
  }
  free(row);
  return true;
}

static int number_compare(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

uint64_t data_perceptual_hash(const SeerPicture *picture) {
  static const double pi = 3.14159265358979323846;
  double fields[SIDE][SIDE], waves[LOW][SIDE], part[LOW][SIDE] = {{0}}, found[BITS], sorted[BITS], most = 0;
  if (!fields_make(picture, fields)) return 0;
  for (int u = 0; u < LOW; u++) {
    for (int x = 0; x < SIDE; x++) waves[u][x] = cos(pi * (x + 0.5) * u / SIDE);
  }
  for (int u = 0; u < LOW; u++) {
    for (int y = 0; y < SIDE; y++) {
      for (int x = 0; x < SIDE; x++) part[u][x] += waves[u][y] * fields[y][x];
    }
  }
  for (int i = 0; i < BITS; i++) {
    int down = i == 0 ? LOW - 1 : i / 8, right = i == 0 ? 0 : i % 8;  // the mean itself tells nothing
    found[i] = 0;
    for (int x = 0; x < SIDE; x++) found[i] += part[down][x] * waves[right][x];
    if (fabs(found[i]) > most) most = fabs(found[i]);
  }
  if (most < 1000.0 * SIDE * SIDE / 64) return 0;  // a wave of less than a 32nd of a step of 8 bits
  memcpy(sorted, found, sizeof sorted);
  qsort(sorted, BITS, sizeof *sorted, number_compare);
  uint64_t hash = 0;
  double median = (sorted[BITS / 2 - 1] + sorted[BITS / 2]) / 2;
  for (int i = 0; i < BITS; i++) hash |= (uint64_t)(found[i] > median) << i;
  return hash;
}
