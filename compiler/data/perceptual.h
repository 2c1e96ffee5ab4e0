// A hash of what a picture looks like: 64 bits that change little when it is scaled, compressed again, brightened or
// made grey, and by half when it is another picture.
#ifndef SEER_COMPILER_DATA_PERCEPTUAL_H
#define SEER_COMPILER_DATA_PERCEPTUAL_H

#include <stdint.h>

#include "runtime/data/source.h"

// 0: the picture has no structure to tell it by. Its brightness is averaged over 32 x 32 fields; a bit says whether one
// of 64 low frequencies of their cosine transform is above the median. (After C. Zauner, Implementation and
// Benchmarking of Perceptual Image Hash Functions, 2010.)
uint64_t data_perceptual_hash(const SeerPicture *picture);
// A SeerShrink: a decoder may leave pixels out as long as every field has four.
int data_perceptual_shrink(void *data, int width, int height);

#endif
