// Reads tar archives member by member, in place: nothing is ever written anywhere.
#ifndef SEER_RUNTIME_DATA_TAR_H
#define SEER_RUNTIME_DATA_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

enum { SEER_TAR_NAME_MAX = 4096 };

// A regular file of the archive. `name` is relative, without "..", and like `start` lasts for the call alone.
typedef struct SeerTarMember {
  const char *name;
  uint64_t content, size;  // place of its bytes in the archive
  const uint8_t *start;    // the first of them, at most 512
  size_t start_bytes;
} SeerTarMember;

typedef SeerStatus SeerTarVisit(void *context, int file, const SeerTarMember *member);

// Calls `visit` for each regular file in the order of the archive, until it fails; `file` is open for reading.
// `bytes`, unless NULL, gets the archive's size.
SeerStatus seer_tar_walk(const char *path, SeerTarVisit *visit, void *context, uint64_t *bytes);

#endif
