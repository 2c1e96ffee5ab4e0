// The vector of images every kernel computes with, and small operations on it: loads, sums over lanes, exp.
// LANES is set by the compiler command (-DLANES=8 or 16); the vectors are GCC/Clang vector extensions, so the same
// source serves x86-64, x86-64-v3 and x86-64-v4. Compile with -ffp-contract=fast, so that products and sums fuse.
#ifndef SEER_KERNELS_LANES_H
#define SEER_KERNELS_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "element.h"

#ifndef LANES
#define LANES 8
#endif

// Without AVX, passing such a vector by value would depend on the CPU; everything here is inlined. (gcc's note to that
// effect answers only to -Wno-psabi on the command line.)
#pragma GCC diagnostic ignored "-Wpsabi"

#define KERNEL static inline __attribute__((always_inline))

// For inner loops that are the same for all shapes: one copy, whose registers no caller disturbs.
#define KERNEL_SHARED static __attribute__((noinline, unused))

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef float Lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef float LanesUnaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t LanesInt __attribute__((vector_size(4 * LANES), may_alias));

// p is aligned to a whole vector: every pixel and channel of a lane tensor is.
KERNEL Lanes lanes_load(const float *p) { return *(const Lanes *)p; }
KERNEL void lanes_store(float *p, Lanes v) { *(Lanes *)p = v; }
KERNEL Lanes lanes_load_unaligned(const float *p) { return *(const LanesUnaligned *)p; }
KERNEL void lanes_store_unaligned(float *p, Lanes v) { *(LanesUnaligned *)p = v; }
#if defined(IMAGES_BF16) && defined(__AVX512BF16__) && LANES == 16
#include <immintrin.h>
#define KNOWS_BF16
#endif

// LANES elements of an image tensor, rounded to nearest, ties to even, where they are stored in 16 bits.
#ifndef IMAGES_BF16
KERNEL Lanes element_load(const Element *p) { return lanes_load(p); }
KERNEL void element_store(Element *p, Lanes v) { lanes_store(p, v); }
#else
typedef uint32_t LanesBits __attribute__((vector_size(4 * LANES), may_alias));
typedef uint16_t LanesHalves __attribute__((vector_size(2 * LANES), may_alias));
typedef uint16_t LanesPairs __attribute__((vector_size(4 * LANES), may_alias));
KERNEL Lanes element_load(const Element *p) {
  return (Lanes)(__builtin_convertvector(*(const LanesHalves *)p, LanesBits) << 16);
}
// Rounded, in the upper halves.
KERNEL LanesBits lanes_rounded(Lanes v) { return (LanesBits)v + 0x7FFF + ((LanesBits)v >> 16 & 1); }
KERNEL void element_store(Element *p, Lanes v) {
#ifdef KNOWS_BF16
  *(LanesHalves *)p = (LanesHalves)_mm512_cvtneps_pbh((__m512)v);
#else
  *(LanesHalves *)p = __builtin_convertvector(lanes_rounded(v) >> 16, LanesHalves);
#endif
}
#endif

// Where the processor multiplies pairs in bf16 and sums them in float, what convolutions multiply are pairs: of channels,
// or, in the weight gradient of a 1 x 1 kernel, of images. A pair lies in the 32 bits of a float, the first in its lower
// half. DEPTH is how many products a lane of one vector makes. BF16_PAIRS can be defined to compute the same without
// such a processor: slowly, for tests.
#if defined(KNOWS_BF16) && !defined(BF16_PAIRS)
#define BF16_PAIRS
#endif
#ifdef BF16_PAIRS
enum { DEPTH = 2 };
#else
enum { DEPTH = 1 };
#endif

// The vector that a kernel multiplies, of two that follow each other in depth; without pairs the first alone.
KERNEL Lanes lanes_pair(Lanes first, Lanes second) {
#if defined(KNOWS_BF16)
  const __m512bh both = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);  // first in the lower half
  const LanesPairs order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return (Lanes)_mm512_permutexvar_epi16((__m512i)order, (__m512i)both);
#elif defined(BF16_PAIRS)
  return (Lanes)((lanes_rounded(second) & 0xFFFF0000) | lanes_rounded(first) >> 16);
#else
  (void)second;
  return first;
#endif
}

// The same of two numbers, to be splat.
KERNEL float float_pair(float first, float second) {
#ifdef BF16_PAIRS
  const Lanes pair = lanes_pair((Lanes){first}, (Lanes){second});
  return pair[0];
#else
  (void)second;
  return first;
#endif
}

// sum + a * b, of pairs with both products.
KERNEL Lanes lanes_multiply_add(Lanes sum, Lanes a, Lanes b) {
#if defined(KNOWS_BF16)
  return (Lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#elif defined(BF16_PAIRS)
  const LanesBits x = (LanesBits)a, y = (LanesBits)b;
  return sum + (Lanes)(x & 0xFFFF0000) * (Lanes)(y & 0xFFFF0000) + (Lanes)(x << 16) * (Lanes)(y << 16);
#else
  return sum + a * b;
#endif
}

KERNEL Lanes lanes_splat(float v) { return v - (Lanes){0}; }  // 0 + v would be an addition: v may be -0

// LANES_PIN keeps a loaded vector in a register: compilers like to load it again for each product that uses it, and
// then loads, not products, set the pace. LANES_CLEAR makes zeros anew: compilers like to keep a vector of zeros in a
// register that the sums need.
#if LANES == 8 && defined(__AVX__)
#define LANES_PIN(vector) __asm__("" : "+x"(vector))
#define LANES_CLEAR(vector) __asm__ volatile("vxorps %0, %0, %0" : "=x"(vector))
#elif LANES == 16 && defined(__AVX512DQ__)
#define LANES_PIN(vector) __asm__("" : "+v"(vector))
#define LANES_CLEAR(vector) __asm__ volatile("vxorps %0, %0, %0" : "=v"(vector))
#else
#define LANES_PIN(vector) ((void)0)
#define LANES_CLEAR(vector) ((vector) = lanes_splat(0.0f))
#endif

// The first `count` < LANES floats at p, the rest zero.
KERNEL Lanes lanes_load_part(const float *p, int count) {
  float part[LANES] __attribute__((aligned(64))) = {0};
  for (int i = 0; i < count; i++) part[i] = p[i];
  return lanes_load(part);
}

KERNEL void lanes_store_part(float *p, Lanes v, int count) {
  float part[LANES] __attribute__((aligned(64)));
  lanes_store(part, v);
  for (int i = 0; i < count; i++) p[i] = part[i];
}

KERNEL Lanes lanes_select(LanesInt mask, Lanes yes, Lanes no) {
  return (Lanes)((mask & (LanesInt)yes) | (~mask & (LanesInt)no));
}
KERNEL Lanes lanes_max(Lanes a, Lanes b) { return lanes_select(a > b, a, b); }

// One bit a lane, set where x > 0: LANES / 8 bytes. And back: all ones in the lanes whose bit is set.
KERNEL void lanes_store_positive(uint8_t *mask, Lanes x) {
  int32_t positive[LANES] __attribute__((aligned(64)));
  *(LanesInt *)positive = x > 0.0f;
  for (int byte = 0; byte < LANES / 8; byte++) {
    int bits = 0;
    for (int i = 0; i < 8; i++) bits |= positive[8 * byte + i] & 1 << i;
    mask[byte] = (uint8_t)bits;
  }
}

KERNEL LanesInt lanes_load_positive(const uint8_t *mask) {
  int bits[LANES] __attribute__((aligned(64)));
  for (int i = 0; i < LANES; i++) bits[i] = mask[i / 8] & 1 << i % 8;
  return *(const LanesInt *)bits != 0;
}

// Images of block `block` that exist.
KERNEL int lanes_live(int n, int block) {
  int left = n - block * LANES;
  return left < LANES ? left : LANES;
}

// 1 in the first `live` lanes, 0 in the dead ones.
KERNEL Lanes lanes_mask(int live) {
  float mask[LANES] __attribute__((aligned(64)));
  for (int i = 0; i < LANES; i++) mask[i] = i < live ? 1.0f : 0.0f;
  return lanes_load(mask);
}

// Sum over lanes as a fixed tree (halves).
KERNEL float lanes_sum(Lanes v) {
  float part[LANES] __attribute__((aligned(64)));
  lanes_store(part, v);
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
}

// Four sums over lanes at once: {sum of a, of b, of c, of d}, each a fixed tree.
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define LANES_SHUFFLE 1
#endif
#endif
#if defined(LANES_SHUFFLE) && LANES == 8
#define LANES_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
#define LANES_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#elif defined(LANES_SHUFFLE) && LANES == 16
#define LANES_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
#define LANES_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#endif
#ifdef LANES_EVEN
typedef float Quad __attribute__((vector_size(16), may_alias));
KERNEL void lanes_sum4(Lanes a, Lanes b, Lanes c, Lanes d, float *sums) {
  const Lanes ab = LANES_EVEN(a, b) + LANES_ODD(a, b), cd = LANES_EVEN(c, d) + LANES_ODD(c, d);
  float part[LANES] __attribute__((aligned(64)));
  lanes_store(part, LANES_EVEN(ab, cd) + LANES_ODD(ab, cd));
  Quad sum = *(const Quad *)part + *(const Quad *)(part + 4);
#if LANES == 16
  sum += *(const Quad *)(part + 8) + *(const Quad *)(part + 12);
#endif
  *(Quad *)sums = sum;
}
#else
KERNEL void lanes_sum4(Lanes a, Lanes b, Lanes c, Lanes d, float *sums) {
  sums[0] = lanes_sum(a);
  sums[1] = lanes_sum(b);
  sums[2] = lanes_sum(c);
  sums[3] = lanes_sum(d);
}
#endif

// Transposes LANES vectors.
#if defined(LANES_SHUFFLE) && LANES == 8
#define LANES_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define LANES_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif defined(LANES_SHUFFLE) && LANES == 16
#define LANES_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define LANES_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif
#ifdef LANES_LOW
// Each round interleaves the two halves: what was at bits b3 b2 b1 b0 of (vector, lane) comes one place further round.
KERNEL void lanes_interleave(const Lanes *v, Lanes *to) {
  UNROLL
  for (int i = 0; i < LANES / 2; i++) {
    to[2 * i] = LANES_LOW(v[i], v[i + LANES / 2]);
    to[2 * i + 1] = LANES_HIGH(v[i], v[i + LANES / 2]);
  }
}
KERNEL void lanes_transpose(Lanes *v) {
  Lanes w[LANES];
  lanes_interleave(v, w);
  lanes_interleave(w, v);
  lanes_interleave(v, w);
#if LANES == 16
  lanes_interleave(w, v);
#else
  UNROLL
  for (int i = 0; i < LANES; i++) v[i] = w[i];
#endif
}
#else
KERNEL void lanes_transpose(Lanes *v) {
  float all[LANES * LANES] __attribute__((aligned(64))), turned[LANES * LANES] __attribute__((aligned(64)));
  for (int i = 0; i < LANES; i++) lanes_store(all + i * LANES, v[i]);
  for (int i = 0; i < LANES * LANES; i++) turned[i] = all[i % LANES * LANES + i / LANES];
  for (int i = 0; i < LANES; i++) v[i] = lanes_load(turned + i * LANES);
}
#endif

// In double precision, for sums that must not lose digits.
KERNEL double lanes_sum_live(Lanes v, int live) {
  float part[LANES] __attribute__((aligned(64)));
  lanes_store(part, v);
  double sum = 0;
  for (int i = 0; i < live; i++) sum += (double)part[i];
  return sum;
}

KERNEL float lanes_largest(Lanes v) {
  float part[LANES] __attribute__((aligned(64)));
  lanes_store(part, v);
  float largest = part[0];
  for (int i = 1; i < LANES; i++) largest = part[i] > largest ? part[i] : largest;
  return largest;
}

// e^x to about 1e-7 relative; 0 below -87, e^88 above 88. A NaN stays a NaN.
KERNEL Lanes lanes_exp(Lanes x) {
  Lanes clamped = lanes_select(x > 88.0f, lanes_splat(88.0f), lanes_select(x < -87.0f, lanes_splat(-87.0f), x));
  Lanes shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the low bits now hold round(x / ln 2)
  Lanes n = shifted - 12582912.0f;
  Lanes r = clamped - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  LanesInt power = ((LanesInt)shifted - 0x4B400000 + 127) << 23;
  return lanes_select(x < -87.0f, lanes_splat(0.0f), p * (Lanes)power);
}

#endif
