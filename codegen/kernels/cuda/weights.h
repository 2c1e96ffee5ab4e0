// The order in which pack.cu leaves weights for convolutions: what a block multiplies in one step lies together, as in
// its shared memory, so that one copy brings it.
//
// [groups][tiles of channels][steps][channels of a tile][depth of a step]; each step's matrix is swizzled (operands.h),
// and zero where there is no channel or no depth. The depth is the channels of taps, one behind the other, in phases:
// taps whose rows and columns in the kernel leave the same remainders of `stride`, which is that of a gradient and else
// 1. Phases come by the remainder of rows, then of columns, and each begins with a step.
#ifndef SEER_KERNELS_WEIGHTS_H
#define SEER_KERNELS_WEIGHTS_H

#include "operands.h"

// The depth of a step, of `all` that taps have: what the launch says, but by warpgroups as much as is swizzled at once.
#ifdef WARPGROUP_MULTIPLY
#define STEP_DEPTH(all, tile_depth) ((all) > 32 ? 64 : (tile_depth))
#else
#define STEP_DEPTH(all, tile_depth) (tile_depth)
#endif

// How many rows, or columns, of a kernel leave `remainder`.
DEVICE int phase_lines(int kernel, int stride, int remainder) { return (kernel - remainder + stride - 1) / stride; }

// The steps of all phases before one: with stride * stride, of all. Taps have `width` channels.
DEVICE int steps_before(int phase, int kernel, int stride, int width, int depth) {
  int steps = 0;
#pragma unroll 1
  for (int i = 0; i < phase; i++) {
    const int taps = phase_lines(kernel, stride, i / stride) * phase_lines(kernel, stride, i % stride);
    steps += DIVIDE_UP(taps * width, depth);
  }
  return steps;
}

#endif
