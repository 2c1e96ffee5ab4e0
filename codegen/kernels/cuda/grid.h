// How the kernels that are given their shapes as arguments share out their work, and the trees that join what the
// threads of a block have. A grid has only x, one of
//
//   elements  DIVIDE_UP(count, THREADS): one element a thread, or what a kernel names instead
//   rows      as many as rows: a block's THREADS have every THREADS-th number of one row
//   columns   DIVIDE_UP(columns, COLUMN_WIDTH): a block's COLUMN_THREADS have COLUMN_WIDTH columns, each thread every
//             COLUMN_ROWS-th row of one
#ifndef SEER_KERNELS_GRID_H
#define SEER_KERNELS_GRID_H

#include "device.h"

enum {
  THREADS = 256,
  COLUMN_WIDTH = 32,
  COLUMN_ROWS = 16,
  COLUMN_THREADS = COLUMN_WIDTH * COLUMN_ROWS,
  ROW_BYTES = THREADS * 8,  // of shared memory, for trees
  COLUMN_BYTES = COLUMN_THREADS * 8
};

DEVICE u64 grid_element() { return (u64)blockIdx.x * THREADS + threadIdx.x; }
DEVICE int grid_row() { return (int)blockIdx.x; }
DEVICE int grid_column() { return (int)(blockIdx.x * COLUMN_WIDTH + threadIdx.x % COLUMN_WIDTH); }
DEVICE int grid_column_row() { return (int)(threadIdx.x / COLUMN_WIDTH); }

// Joins the values of threads whose numbers are the same modulo `left`: halves of them, as a tree. All get the result;
// `shared` has one T for each thread and may be that of the tree before.
template <int threads, int left, class T, class Join>
DEVICE T tree(T value, T *shared, Join join) {
  block_wait();  // nobody reads what the tree before has left
  shared[threadIdx.x] = value;
  block_wait();
#pragma unroll 1
  for (int half = threads / 2; half >= left; half /= 2) {
    if ((int)threadIdx.x < half) shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
    block_wait();
  }
  return shared[threadIdx.x % left];
}

struct Sum {
  DEVICE_MEMBER double operator()(double a, double b) const { return a + b; }
};
// A NaN may be lost here: the sums of exponentials that follow keep it.
struct Largest {
  DEVICE_MEMBER float operator()(float a, float b) const { return b > a ? b : a; }
};

DEVICE double row_sum(double value, void *shared) { return tree<THREADS, 1>(value, (double *)shared, Sum()); }
DEVICE float row_largest(float value, void *shared) { return tree<THREADS, 1>(value, (float *)shared, Largest()); }
DEVICE double column_sum(double value, void *shared) {
  return tree<COLUMN_THREADS, COLUMN_WIDTH>(value, (double *)shared, Sum());
}
DEVICE float column_largest(float value, void *shared) {
  return tree<COLUMN_THREADS, COLUMN_WIDTH>(value, (float *)shared, Largest());
}

#endif
