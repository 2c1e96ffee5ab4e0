// What tests of kernels on the simulated GPU share: its memory, random images with their pads, runs under every
// schedule whose results must be the same bits, and errors in the L2 norm.
//
// Included after the kernel, whose macros it reads.
#ifndef SEER_TESTS_CUDA_KERNEL_TEST_H
#define SEER_TESTS_CUDA_KERNEL_TEST_H

#include <cmath>
#include <cstdio>
#include <cstring>

#include "tests/cuda/simulator/simulator.h"

// L2-relative: of a rounding to nearest; of sums in single precision.
const double ROUNDING = ELEMENT_IS_BF16 ? 2.4e-3 : 3e-4, SINGLE = 2e-6;

// Memory of the simulated GPU.
template <class T>
struct Buffer {
  T *items;
  size_t count;
  explicit Buffer(size_t n) : items((T *)simulated::memory_make(n * sizeof(T))), count(n) {}
  ~Buffer() { simulated::memory_release(items, bytes()); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  size_t bytes() const { return count * sizeof(T); }
};

// From -1 to 1, in thousandths; the same sequence in every run.
inline float draw() {
  static u32 state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)((int)(state >> 8) % 2001 - 1000) / 1000;
}

// Of rows of `pitch` elements, of which `exist` are drawn and the rest are zero.
inline void fill(Buffer<Element> &buffer, int exist, int pitch) {
  for (size_t i = 0; i < buffer.count; i++)
    buffer.items[i] = (int)(i % (size_t)pitch) < exist ? (Element)(elements_pack(draw(), 0) & 0xFFFF) : (Element)0;
}

struct Error {
  double apart = 0, all = 0;
  void add(double got, double wanted) {
    apart += (got - wanted) * (got - wanted);  // a NaN stays
    all += wanted * wanted;
  }
  double relative() const { return std::sqrt(apart / (all > 0 ? all : 1)); }
};

// Runs a kernel under every schedule, on a result full of poison each time. False: they differ.
template <class T>
bool run(void (*kernel)(void **), void **arguments, simulated::Index grid, unsigned threads, size_t shared_bytes,
         Buffer<T> &result) {
  Buffer<T> first(result.count);
  bool same = true;
  for (int schedule = 0; schedule < 3; schedule++) {
    std::memset((void *)result.items, 0xFF, result.bytes());
    simulated::launch({kernel, arguments, grid, {threads, 1, 1}, shared_bytes}, (simulated::Schedule)schedule, 7);
    if (schedule == 0) std::memcpy((void *)first.items, result.items, result.bytes());
    same = same && std::memcmp(first.items, result.items, result.bytes()) == 0;
  }
  return same;
}

// Prints what was found; the exit status.
inline int verdict(const char *what, double error, double tolerance, bool pads_zero, bool same) {
  const bool good = error <= tolerance && pads_zero && same;
  std::printf("%s: error %.2e of %.1e, pads %s, schedules %s%s\n", what, error, tolerance,
              pads_zero ? "zero" : "NOT ZERO", same ? "agree" : "DIFFER", good ? "" : ": WRONG");
  return good ? 0 : 1;
}

#ifdef KERNEL
// Calls visit(index of x, index of dy, tap) for every product of an output pixel of one group, in pixels of one image.
template <class Visit>
void for_each_tap(Visit visit) {
  for (int row = 0; row < ROWS; row++)
    for (int column = 0; column < COLUMNS; column++)
      for (int tap = 0; tap < KERNEL * KERNEL; tap++) {
        const int y = row * STRIDE - PAD + tap / KERNEL, x = column * STRIDE - PAD + tap % KERNEL;
        if (y >= 0 && y < HEIGHT && x >= 0 && x < WIDTH) visit(y * WIDTH + x, row * COLUMNS + column, tap);
      }
}

#endif

#endif
