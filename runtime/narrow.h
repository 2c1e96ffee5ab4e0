// Floats in 16 bits for their way between ranks: fp16 and bf16, rounded to nearest, ties to even (IEEE 754-2019,
// 4.3.1). Shared by kernels and runtime, so that both round alike; branches are selections, for compilers to vectorise.
#ifndef SEER_RUNTIME_NARROW_H
#define SEER_RUNTIME_NARROW_H

#include <stdint.h>
#include <string.h>

typedef enum SeerFormat { SEER_FP32, SEER_FP16, SEER_BF16 } SeerFormat;

static inline int seer_format_bytes(SeerFormat format) { return format == SEER_FP32 ? 4 : 2; }
// The largest number that is not rounded to infinity, so far as a gradient may be.
static inline float seer_format_largest(SeerFormat format) { return format == SEER_FP16 ? 65504.0f : 3.38953139e38f; }

static inline uint32_t seer_float_bits(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}

static inline float seer_bits_float(uint32_t bits) {
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

static inline uint16_t seer_fp16_from_float(float number) {
  enum { REBIAS = (127 - 15) << 23, SMALLEST_NORMAL = (127 - 14) << 23, INFINITE_FROM = 0x477FF000 };
  uint32_t bits = seer_float_bits(number), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  // Of a number below 2^-14 the sum with 1/2 leaves what fp16 keeps of it in the lowest bits.
  uint32_t tiny = seer_float_bits(seer_bits_float(magnitude) + 0.5f) - seer_float_bits(0.5f);
  uint32_t normal = (magnitude - REBIAS + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  uint32_t beyond = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
  uint32_t narrow = magnitude < SMALLEST_NORMAL ? tiny : normal;
  return (uint16_t)(sign | (magnitude >= INFINITE_FROM ? beyond : narrow));
}

static inline float seer_fp16_to_float(uint16_t half) {
  uint32_t magnitude = half & 0x7FFFu, sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t finite = seer_float_bits(seer_bits_float(magnitude << 13) * 0x1p112f);
  return seer_bits_float(sign | (magnitude >= 0x7C00 ? magnitude << 13 | 0x7F800000 : finite));
}

static inline uint16_t seer_bf16_from_float(float number) {
  uint32_t bits = seer_float_bits(number);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? bits >> 16 | 0x40 : rounded);
}

static inline float seer_bf16_to_float(uint16_t half) { return seer_bits_float((uint32_t)half << 16); }

static inline uint16_t seer_narrow(SeerFormat format, float number) {
  return format == SEER_FP16 ? seer_fp16_from_float(number) : seer_bf16_from_float(number);
}

static inline float seer_widen(SeerFormat format, uint16_t number) {
  return format == SEER_FP16 ? seer_fp16_to_float(number) : seer_bf16_to_float(number);
}

#endif
