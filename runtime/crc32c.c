// CRC-32C by the processor's instruction where it has one (SSE 4.2); else four bits a step.
#include "runtime/crc32c.h"

#include <string.h>

static uint32_t crc_by_table(uint32_t crc, const unsigned char *at, size_t bytes) {
  static const uint32_t table[16] = {0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
                                     0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
                                     0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};
  for (size_t i = 0; i < bytes; i++) {
    crc ^= at[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc, const unsigned char *at,
                                                                     size_t bytes) {
  uint64_t wide = crc;
  for (; bytes >= sizeof wide; at += sizeof wide, bytes -= sizeof wide) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = (uint32_t)wide;
  for (size_t i = 0; i < bytes; i++) crc = __builtin_ia32_crc32qi(crc, at[i]);
  return crc;
}
#endif

uint32_t seer_crc32c_extend(uint32_t crc, const void *data, size_t bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc_by_instruction(~crc, data, bytes);
#endif
  return ~crc_by_table(~crc, data, bytes);
}

uint32_t seer_crc32c(const void *data, size_t bytes) { return seer_crc32c_extend(0, data, bytes); }

uint32_t seer_crc32c_masked(const void *data, size_t bytes) {
  uint32_t crc = seer_crc32c(data, bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}
