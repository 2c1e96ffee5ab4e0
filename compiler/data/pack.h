// seerc data pack: pictures into tar shards of about one size, with a JSON file beside each picture and an index.
//
// Which picture goes into which shard follows from the list of what there is to pack, so shards are written side by
// side, each under a temporary name, and a run that was killed goes on behind the shards that are there. The same input
// gives the same bytes, however many jobs there were and however often it was stopped.
//
// DIR holds 000000.tar and so on, pictures.index, pack.json (what was packed) and, if any were, left_out.jsonl
// (pictures that do not decode, and why). While packing goes on, DIR/.pack holds what is not yet finished.
#ifndef SEER_COMPILER_DATA_PACK_H
#define SEER_COMPILER_DATA_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"
#include "runtime/status.h"

typedef struct DataPackOptions {
  const char *const *sources;
  int source_count;
  const char *folder;
  uint64_t shard_bytes;  // about; one picture at least goes into each
  int jobs;
  bool is_perceptual;  // what pictures look like is told in the index
} DataPackOptions;

// Prints what came of it to `out`.
SeerStatus data_pack(Arena *arena, const DataPackOptions *options, Writer *out);

#endif
