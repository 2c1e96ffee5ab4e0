// Pictures that look alike: groups, by chains of pairs whose perceptual hashes differ in a few bits.
#ifndef SEER_COMPILER_DATA_NEAR_H
#define SEER_COMPILER_DATA_NEAR_H

#include <stddef.h>
#include <stdint.h>

#include "compiler/base/writer.h"
#include "runtime/data/index.h"

enum { DATA_NEAR_USUAL = 6, DATA_NEAR_MOST = 15 };

// Numbers each hash by its group: of two that differ in at most `distance` bits it is the same, and of what a chain of
// those joins. groups[i] is the first member's place. 0 <= distance <= DATA_NEAR_MOST. SEER_MACHINE: no memory.
//
// Hashes are cut into four parts of 16 bits. Of two that differ in `distance` bits one part differs in no more than a
// quarter of them, so only those with such a part are compared (multi-index hashing: Norouzi, Punjani, Fleet, CVPR
// 2012). Time grows with the square of the number of different hashes, slowly: a second for 10^6 at a distance of 6.
SeerStatus data_near_groups(const uint64_t *hashes, size_t count, int distance, int jobs, uint32_t *groups);

// Prints how many look alike, and the largest groups by the places of their pictures; with `json` all, as a member
// "near_duplicates" of an object. SEER_INPUT: the index has no perceptual hashes.
SeerStatus data_near_print(const SeerIndex *index, int distance, int jobs, bool json, Writer *out);

#endif
