// One shard of a pack: written, or found to be there from a run before.
#ifndef SEER_COMPILER_DATA_PACK_SHARD_H
#define SEER_COMPILER_DATA_PACK_SHARD_H

#include "compiler/data/jobs.h"
#include "compiler/data/samples.h"

typedef struct DataShardPlan {
  const char *folder;  // of the pack
  const DataSample *samples;
  const char *const *keys;
  size_t count;
  size_t number;
  bool is_perceptual;
} DataShardPlan;

// About how many bytes a sample takes in a shard, before anything of it was read.
uint64_t data_sample_bytes(const DataSample *sample);
// FOLDER/.pack/NNNNNN.part
const char *data_shard_part(Arena *arena, const char *folder, size_t number);
// Writes FOLDER/NNNNNN.tar and its part unless both are there and belong together.
SeerStatus data_shard_write(const DataShardPlan *plan, DataProgress *progress);

#endif
