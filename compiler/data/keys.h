// The names of packed pictures: WebDataset takes what stands before the first dot of a name as the sample's key.
#ifndef SEER_COMPILER_DATA_KEYS_H
#define SEER_COMPILER_DATA_KEYS_H

#include "compiler/data/samples.h"

// A key for each sample, all different: its name without the suffix; in it dots of the last part, control characters,
// backslashes and bytes that are no UTF-8 become '_', and what begins with a dot is led by '_'. A key that was given
// before, in the order of samples, gets '~2', '~3' and so on. At most 1,024 bytes: of a longer name the end is left out
// for the hash of the whole. NULL without memory (the error is recorded).
const char **data_keys_make(Arena *arena, const DataSamples *samples);

#endif
