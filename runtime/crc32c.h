// CRC-32C (Castagnoli), as RFC 3720 defines it, and the masked form that TFRecord files carry.
#ifndef SEER_RUNTIME_CRC32C_H
#define SEER_RUNTIME_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t seer_crc32c(const void *data, size_t bytes);
uint32_t seer_crc32c_masked(const void *data, size_t bytes);
// Of what `crc` is of with `bytes` more behind it; `crc` of nothing is 0.
uint32_t seer_crc32c_extend(uint32_t crc, const void *data, size_t bytes);

#endif
