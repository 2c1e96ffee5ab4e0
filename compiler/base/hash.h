// FNV-1a (Fowler, Noll, Vo), text by text.
#ifndef SEER_BASE_HASH_H
#define SEER_BASE_HASH_H

#include <stdint.h>

#define HASH_START 14695981039346656037u

static inline uint64_t hash_text(uint64_t hash, const char *text) {
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
  return hash;
}

#endif
