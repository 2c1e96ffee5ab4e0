// What tests of kernels on the simulated GPU share: its memory, random images with their pads, runs under every
// schedule whose results must be the same bits, and errors in the L2 norm.
//
// Included after the kernel, whose macros it reads.
#ifndef SEER_TESTS_CUDA_KERNEL_TEST_H
#define SEER_TESTS_CUDA_KERNEL_TEST_H

#include <cmath>
#include <cstdio>
#include <cstring>
#include <type_traits>

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

// Runs a kernel under every schedule, on a result full of poison each time, or of which a part is: `part` items from
// `first` on. False: they differ.
template <class T>
bool run(void (*kernel)(void **), void **arguments, simulated::Index grid, unsigned threads, size_t shared_bytes,
         Buffer<T> &result, size_t first, size_t part) {
  Buffer<T> before(result.count);
  bool same = true;
  for (int schedule = 0; schedule < 3; schedule++) {
    std::memset((void *)(result.items + first), 0xFF, part * sizeof(T));
    simulated::launch({kernel, arguments, grid, {threads, 1, 1}, shared_bytes}, (simulated::Schedule)schedule, 7);
    if (schedule == 0) std::memcpy((void *)before.items, result.items, result.bytes());
    same = same && std::memcmp(before.items, result.items, result.bytes()) == 0;
  }
  return same;
}
template <class T>
bool run(void (*kernel)(void **), void **arguments, simulated::Index grid, unsigned threads, size_t shared_bytes,
         Buffer<T> &result) {
  return run(kernel, arguments, grid, threads, shared_bytes, result, 0, result.count);
}

// RUN(kernel, grid, result, parameters of the kernel...): the same, with what the kernel tells of itself; RUN_PART:
// with the part's first item and how many it has.
#define RUN(name, grid, result, ...) RUN_PART(name, grid, result, 0, (result).count, __VA_ARGS__)
#define RUN_PART(name, grid, result, first, part, ...) \
  run_typed(name, name##_simulated, name##_shape, grid, result, first, part, __VA_ARGS__)
template <class T, class... Parameters>
bool run_typed(void (*)(Parameters...), void (*kernel)(void **), const unsigned *shape, simulated::Index grid,
               Buffer<T> &result, size_t first, size_t part, std::common_type_t<Parameters>... parameters) {
  void *arguments[] = {(void *)&parameters...};
  return run(kernel, arguments, grid, shape[0], shape[1], result, first, part);
}

// IN_PLACE(kernel, grid, both, wanted, parameters...): `both` is an operand and the result, which must be the bits of
// `wanted` under every schedule; it is the operand again afterwards.
#define IN_PLACE(name, grid, both, wanted, ...) \
  run_in_place(name, name##_simulated, name##_shape, grid, both, wanted, __VA_ARGS__)
template <class T, class... Parameters>
bool run_in_place(void (*)(Parameters...), void (*kernel)(void **), const unsigned *shape, simulated::Index grid,
                  Buffer<T> &both, const Buffer<T> &wanted, std::common_type_t<Parameters>... parameters) {
  Buffer<T> operand(both.count);
  std::memcpy((void *)operand.items, both.items, both.bytes());
  void *arguments[] = {(void *)&parameters...};
  bool same = true;
  for (int schedule = 0; schedule < 3; schedule++) {
    simulated::launch({kernel, arguments, grid, {shape[0], 1, 1}, shape[1]}, (simulated::Schedule)schedule, 7);
    same = same && std::memcmp(both.items, wanted.items, wanted.bytes()) == 0;
    std::memcpy((void *)both.items, operand.items, both.bytes());
  }
  return same;
}

// A grid of one dimension: of `count` pieces, `each` to a block.
inline simulated::Index grid_of(size_t count, size_t each) { return {(unsigned)DIVIDE_UP(count, each), 1, 1}; }

inline void fill_floats(Buffer<float> &buffer, float centre, float spread) {
  for (size_t i = 0; i < buffer.count; i++) buffer.items[i] = centre + spread * draw();
}

// A view of images x, whose pixels have `groups` groups of `pitch` channels, of which `exist` do, by plain rules.
// `line` [2][all] and `scale` [n][c] make `seen`, and `line_kept` and `scale_kept` leave that as it is: a kernel must
// make the same bits of x with the former as of `seen` with the latter.
struct Sight {
  Buffer<float> line, scale, line_kept, scale_kept;
  Buffer<Element> seen;
  Sight(const Buffer<Element> &x, int images, int groups, int exist, int pitch, bool normalized, bool scaled)
      : line((size_t)(2 * groups * pitch)),
        scale((size_t)(images * groups * exist)),
        line_kept(line.count),
        scale_kept(scale.count),
        seen(x.count) {
    const size_t all = (size_t)(groups * pitch), image = x.count / (size_t)images;
    for (size_t i = 0; i < line.count; i++) {
      const bool there = (int)(i % (size_t)pitch) < exist;
      line.items[i] = !there ? 0 : i < all ? 1 + 0.5f * draw() : 0.5f * draw();
      line_kept.items[i] = there && i < all ? 1 : 0;
    }
    fill_floats(scale, 0.5f, 0.5f);
    for (size_t i = 0; i < scale.count; i++) scale_kept.items[i] = 1;
    for (size_t i = 0; i < x.count; i++) {
      const size_t channel = i % all, place = channel % (size_t)pitch;
      Element e = x.items[i];
      if (normalized) e = rounded(std::fma(element_to_float(e), line.items[channel], line.items[all + channel]), true);
      if (scaled && place < (size_t)exist) {
        const size_t number = (i / image * (size_t)groups + channel / (size_t)pitch) * (size_t)exist + place;
        e = rounded(element_to_float(e) * scale.items[number], false);
      }
      seen.items[i] = e;
    }
  }
  static Element rounded(float value, bool positive) {
    return (Element)(elements_pack(positive && value < 0 ? 0 : value, 0) & 0xFFFF);
  }
};

// Prints what was found; the exit status.
inline int verdict(const char *what, double error, double tolerance, bool pads_zero, bool same) {
  const bool good = error <= tolerance && pads_zero && same;
  std::printf("%s: error %.2e of %.1e, pads %s, schedules %s%s\n", what, error, tolerance,
              pads_zero ? "zero" : "NOT ZERO", same ? "agree" : "DIFFER", good ? "" : ": WRONG");
  return good ? 0 : 1;
}

// Of floats or doubles: got[i] against wanted(i).
template <class T, class Wanted>
int compare(const char *what, const Buffer<T> &got, double tolerance, bool same, Wanted wanted) {
  Error error;
  for (size_t i = 0; i < got.count; i++) error.add((double)got.items[i], wanted(i));
  return verdict(what, error.relative(), tolerance, true, same);
}

// Packed weights as codegen/kernels/cuda/weights.h tells of them, written out place by place. rows, width: of a group,
// in memory.
struct Packing {
  int groups, rows, width, kernel, stride, tile_channels, depth;
  int tiles() const { return DIVIDE_UP(rows, tile_channels); }
  // Where the channels of a tap begin in the depth; of the tap after the last, how much depth there is.
  int begin(int tap) const {
    int at = 0;
    for (int phase = 0; phase < stride * stride; phase++) {
      int taps = 0;
      for (int other = 0; other < kernel * kernel; other++) {
        if (other / kernel % stride != phase / stride || other % kernel % stride != phase % stride) continue;
        if (other == tap) return at + taps * width;
        taps++;
      }
      at += DIVIDE_UP(taps * width, depth) * depth;
    }
    return at;
  }
  size_t count() const { return (size_t)(groups * tiles() * tile_channels) * (size_t)begin(kernel * kernel); }
  size_t place(int group, int row, int tap, int channel) const {
    const int at = begin(tap) + channel, steps = begin(kernel * kernel) / depth, line = row % tile_channels;
    const int chunk = at % depth / 8 ^ line * depth / 64 % (depth / 8);  // lines of 128 bytes that follow each other
    return (((size_t)(group * tiles() + row / tile_channels) * (size_t)steps + (size_t)(at / depth)) *
                (size_t)tile_channels +
            (size_t)line) *
               (size_t)depth +
           (size_t)(chunk * 8 + at % 8);
  }
};

// weights [groups * rows][taps][width], of which `exist` rows of a group are taken, into the places of `packed`; its
// others are zero.
inline void pack(const Packing &p, const Buffer<Element> &weights, int exist, Buffer<Element> &packed) {
  const int taps = p.kernel * p.kernel;
  std::memset((void *)packed.items, 0, packed.bytes());
  for (int row = 0; row < p.groups * p.rows; row++)
    for (int tap = 0; tap < taps && row % p.rows < exist; tap++)
      for (int channel = 0; channel < p.width; channel++)
        packed.items[p.place(row / p.rows, row % p.rows, tap, channel)] =
            weights.items[((size_t)row * (size_t)taps + (size_t)tap) * (size_t)p.width + (size_t)channel];
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
