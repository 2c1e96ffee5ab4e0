// What ranks have sent each other becomes one: gradients' parts, BatchNorm's statistics and sums. Sums are in double, in
// the order of ranks.
//
// Gradients travel as floats or in a format of 16 bits (runtime/narrow.h): then each part of `part` floats has its
// numbers, narrow, where it begins.
// Grid: elements (grid.h), over what is made; no shared memory:
//   average_parts(all [parts][part], average [part], parts, part)   the mean; average may be the first part
//   average_narrow_parts(all, average [part], parts, part, format)   average lies elsewhere
//   narrow_floats(from [count], to [count] of 16 bits, count, format)   elsewhere
//   statistics_fold_ranks(all [ranks][2][span], mean [c], variance [c], ranks, c, span)
//     from mean and variance of each rank, of as many pixels, to those of all
//   sums_fold_ranks(all [ranks][2][span], dgamma [c], dbeta [c], ranks, c, span)   the means
// Grid: elements of a row in x, rows in y; no shared memory:
//   copy_rows(from, to, row, from_pitch, to_pitch)   floats; `row` is how many a row has
// Grid: as many blocks as parts, no shared memory:
//   narrow_parts(all [parts][part], count, part, format)   in place; behind the first `count` numbers come zeros
// Grid: one block, no shared memory:
//   average_narrow_in_place(all, parts, part, format)   the mean, as floats, in the place of the first part
#include "grid.h"

enum { FORMAT_F16 = 1, NUMBERS = 16, BLOCK_NUMBERS = NUMBERS * THREADS };

DEVICE Element narrow(float number, int format) {
  return format == FORMAT_F16 ? f16_from_float(number) : bf16_from_float(number);
}
DEVICE float widen(Element number, int format) {
  return format == FORMAT_F16 ? float_from_f16(number) : float_from_bf16(number);
}

DEVICE_KERNEL(average_parts, THREADS, 1, 0, (const float *all, float *average, int parts, u64 part)) {
  const u64 at = grid_element();
  if (at >= part) return;
  double sum = 0;
#pragma unroll 1
  for (int i = 0; i < parts; i++) sum += (double)all[i * part + at];
  average[at] = (float)(sum / parts);
}

DEVICE float narrow_average(const float *all, int parts, u64 part, int format, u64 at) {
  double sum = 0;
#pragma unroll 1
  for (int i = 0; i < parts; i++) sum += (double)widen(((const Element *)(all + i * part))[at], format);
  return (float)(sum / parts);
}

DEVICE_KERNEL(average_narrow_parts, THREADS, 1, 0,
              (const float *__restrict__ all, float *__restrict__ average, int parts, u64 part, int format)) {
  const u64 at = grid_element();
  if (at < part) average[at] = narrow_average(all, parts, part, format, at);
}

DEVICE_KERNEL(narrow_floats, THREADS, 1, 0,
              (const float *__restrict__ from, Element *__restrict__ to, u64 count, int format)) {
  const u64 at = grid_element();
  if (at < count) to[at] = narrow(from[at], format);
}

DEVICE_KERNEL(copy_rows, THREADS, 1, 0,
              (const float *__restrict__ from, float *__restrict__ to, u64 row, u64 from_pitch, u64 to_pitch)) {
  const u64 at = grid_element();
  if (at < row) to[blockIdx.y * to_pitch + at] = from[blockIdx.y * from_pitch + at];
}

// Backward: what is written lies behind what is still to be read.
DEVICE_KERNEL(average_narrow_in_place, THREADS, 1, 0, (float *all, int parts, u64 part, int format)) {
#pragma unroll 1
  for (u64 left = DIVIDE_UP(part, BLOCK_NUMBERS); left > 0; left--) {
    const u64 first = (left - 1) * BLOCK_NUMBERS + threadIdx.x;
    float averages[NUMBERS];
#pragma unroll
    for (int i = 0; i < NUMBERS; i++) {
      const u64 at = first + (u64)i * THREADS;
      averages[i] = at < part ? narrow_average(all, parts, part, format, at) : 0;
    }
    block_wait();
#pragma unroll
    for (int i = 0; i < NUMBERS; i++) {
      const u64 at = first + (u64)i * THREADS;
      if (at < part) all[at] = averages[i];
    }
  }
}

// Forward, for the same reason.
DEVICE_KERNEL(narrow_parts, THREADS, 1, 0, (float *all, u64 count, u64 part, int format)) {
  const u64 begin = blockIdx.x * part, rest = count > begin ? count - begin : 0, own = rest < part ? rest : part;
  const float *const from = all + begin;
  Element *const to = (Element *)(all + begin);
#pragma unroll 1
  for (u64 first = threadIdx.x; first - threadIdx.x < part; first += BLOCK_NUMBERS) {
    Element numbers[NUMBERS];
#pragma unroll
    for (int i = 0; i < NUMBERS; i++) {
      const u64 at = first + (u64)i * THREADS;
      numbers[i] = at < own ? narrow(from[at], format) : (Element)0;
    }
    block_wait();
#pragma unroll
    for (int i = 0; i < NUMBERS; i++) {
      const u64 at = first + (u64)i * THREADS;
      if (at < part) to[at] = numbers[i];
    }
  }
}

DEVICE_KERNEL(statistics_fold_ranks, THREADS, 1, 0,
              (const float *__restrict__ all, float *__restrict__ mean, float *__restrict__ variance, int ranks, int c,
               int span)) {
  const u64 channel = grid_element();
  if (channel >= (u64)c) return;
  double sum = 0, squares = 0;
#pragma unroll 1
  for (int rank = 0; rank < ranks; rank++) sum += (double)all[(u64)rank * 2 * span + channel];
  const double centre = sum / ranks;
#pragma unroll 1
  for (int rank = 0; rank < ranks; rank++) {
    const float *const own = all + (u64)rank * 2 * span + channel;
    squares += (double)own[span] + ((double)own[0] - centre) * ((double)own[0] - centre);
  }
  mean[channel] = (float)centre;
  variance[channel] = (float)(squares / ranks);
}

DEVICE_KERNEL(sums_fold_ranks, THREADS, 1, 0,
              (const float *__restrict__ all, float *__restrict__ dgamma, float *__restrict__ dbeta, int ranks, int c,
               int span)) {
  const u64 channel = grid_element();
  if (channel >= (u64)c) return;
  double product = 0, sum = 0;
#pragma unroll 1
  for (int rank = 0; rank < ranks; rank++) {
    product += (double)all[(u64)rank * 2 * span + channel];
    sum += (double)all[((u64)rank * 2 + 1) * span + channel];
  }
  dgamma[channel] = (float)(product / ranks);
  dbeta[channel] = (float)(sum / ranks);
}
