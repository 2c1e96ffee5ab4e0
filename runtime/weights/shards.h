// Shards of safetensors with an index as Hugging Face's: {"metadata": {...}, "weight_map": {"tensor": "file"}}. Files
// lie beside the index; each must hold exactly what the index says.
#ifndef SEER_RUNTIME_WEIGHTS_SHARDS_H
#define SEER_RUNTIME_WEIGHTS_SHARDS_H

#include <stdbool.h>

#include "runtime/collection.h"

// What a folder holds: an index, else model.safetensors. A folder of snapshots has neither.
SeerStatus seer_shards_find(const char *folder, SeerPath *path, bool *found);
SeerStatus seer_shards_open(const char *index, SeerCollection **tensors);

#endif
