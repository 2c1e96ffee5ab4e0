// Pairwise sums; see pairwise.h.
#include "runtime/pairwise.h"

#include <string.h>

// Floats that are summed over all rows before the next ones: the sums under way stay in the nearest cache.
enum { BLOCK = 512 };

double seer_pairwise_sum(const double *numbers, size_t stride, int count) {
  if (count < 2) return count ? numbers[0] : 0;
  int left = count / 2;
  return seer_pairwise_sum(numbers, stride, left) +
         seer_pairwise_sum(numbers + stride * (size_t)left, stride, count - left);
}

static void block_sum(const float *rows, size_t stride, int count, size_t length, float *restrict sums) {
  if (count == 1) {
    memcpy(sums, rows, length * sizeof *sums);
    return;
  }
  if (count == 2) {
    for (size_t i = 0; i < length; i++) sums[i] = rows[i] + rows[stride + i];
    return;
  }
  float right[BLOCK];
  int left = count / 2;
  block_sum(rows, stride, left, length, sums);
  block_sum(rows + stride * (size_t)left, stride, count - left, length, right);
  for (size_t i = 0; i < length; i++) sums[i] += right[i];
}

void seer_pairwise_rows(const float *rows, size_t stride, int count, float scale, size_t length, float *sums) {
  for (size_t begin = 0; begin < length; begin += BLOCK) {
    float block[BLOCK];
    size_t size = length - begin < BLOCK ? length - begin : BLOCK;
    block_sum(rows + begin, stride, count, size, block);
    for (size_t i = 0; i < size; i++) sums[begin + i] = block[i] * scale;
  }
}
