// Pictures whose bytes are the same, by their 64-bit hash and size.
#ifndef SEER_COMPILER_DATA_DUPLICATES_H
#define SEER_COMPILER_DATA_DUPLICATES_H

#include "runtime/data/index.h"

// How many pictures could be left out so that each is there once. Holds at most 512 MiB at a time, whatever the number
// of pictures; those without a known hash, or with a damaged entry, are passed over.
SeerStatus data_duplicates_count(const SeerIndex *index, uint64_t *duplicates);

#endif
