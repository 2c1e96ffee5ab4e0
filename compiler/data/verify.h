// seerc data verify: that an index, its shards and every picture are what they say.
#ifndef SEER_COMPILER_DATA_VERIFY_H
#define SEER_COMPILER_DATA_VERIFY_H

#include "compiler/base/writer.h"
#include "runtime/data/index.h"

enum { DATA_FAULTS_SHOWN = 10000 };

// Checks every CRC of the index; each shard's size, checksum and tar headers, and that a member lies where each entry
// says; each picture's hash, and that it decodes. Prints one line a fault, in the order of shards and pictures, and
// counts them in *faults.
SeerStatus data_verify(const SeerIndex *index, int jobs, Writer *out, uint64_t *faults);

#endif
