// A subset of numbered pictures: a bit for each, and how many stand before each group of bits, so that the k-th of them
// is found at once. Of 10^9 pictures 127 MB: more than 16 MiB lie in a file without a name, mapped, for the system to
// keep in memory or not.
#ifndef SEER_RUNTIME_DATA_KEPT_H
#define SEER_RUNTIME_DATA_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

enum { SEER_KEPT_GROUP = 4096, SEER_KEPT_MOST_BYTES = 16 << 20 };

typedef struct SeerKept {
  uint64_t *bits;
  uint64_t *before;  // [groups + 1]
  int64_t pictures, count;
  size_t bytes;  // of the mapping
} SeerKept;

// None of `pictures`. `folder` is where the file goes.
SeerStatus seer_kept_make(int64_t pictures, const char *folder, SeerKept *kept);
void seer_kept_release(SeerKept *kept);
// Once all bits are set: before any other call.
void seer_kept_count(SeerKept *kept);
static inline bool seer_kept_has(const SeerKept *kept, int64_t picture) {
  return kept->bits[picture / 64] >> (picture % 64) & 1;
}
// The picture that `number` others of the subset stand before; 0 <= number < count.
int64_t seer_kept_select(const SeerKept *kept, int64_t number);

#endif
