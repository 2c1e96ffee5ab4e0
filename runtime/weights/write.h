// A safetensors file of weights that lie elsewhere, under any names. A piece at a time is read and written, so it needs
// little memory, however large the network.
#ifndef SEER_RUNTIME_WEIGHTS_WRITE_H
#define SEER_RUNTIME_WEIGHTS_WRITE_H

#include "runtime/weights/file.h"

// One tensor of the new file.
typedef struct SeerWritten {
  char name[SEER_WEIGHT_NAME_MAX];
  const SeerTensor *tensor;  // its shape
  const SeerWeight *weight;  // NULL: BatchNorm's count of batches, one number: the step
  bool turned;               // a first layer that takes blue, green, red
} SeerWritten;

// As f32; numbers that are not finite are refused. Under a temporary name first: a file of this name is always whole.
SeerStatus seer_weights_write(const SeerWeightFile *from, const SeerWritten *entries, int count,
                              const SeerMetadata *metadata, int metadata_count, const char *path, uint64_t *bytes);

#endif
