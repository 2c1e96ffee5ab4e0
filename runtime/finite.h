// Looks for NaN and infinity by the exponent's bits, so that -ffast-math in a caller cannot hide them.
#ifndef SEER_RUNTIME_FINITE_H
#define SEER_RUNTIME_FINITE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool seer_narrow_finite(const uint16_t *values, uint64_t count, uint16_t exponent) {
  uint16_t bad = 0;
  for (uint64_t i = 0; i < count; i++) bad |= (uint16_t)((values[i] & exponent) == exponent);
  return !bad;
}
static inline bool seer_bf16_finite(const uint16_t *values, uint64_t count) {
  return seer_narrow_finite(values, count, 0x7f80u);
}
static inline bool seer_f16_finite(const uint16_t *values, uint64_t count) {
  return seer_narrow_finite(values, count, 0x7c00u);
}

static inline bool seer_floats_finite(const float *values, uint64_t count) {
  enum { CHUNK = 1024 };
  const uint32_t exponent = 0x7f800000u;
  for (uint64_t at = 0; at < count; at += CHUNK) {
    uint64_t end = count - at < CHUNK ? count : at + CHUNK;
    uint32_t bad = 0;
    for (uint64_t i = at; i < end; i++) {
      uint32_t bits;
      memcpy(&bits, &values[i], sizeof bits);
      bad |= (uint32_t)((bits & exponent) == exponent);
    }
    if (bad) return false;
  }
  return true;
}

#endif
