// Tensors that lie in one safetensors file or are spread over several, whole or in pieces.
//
// A piece is a tensor of one dimension named "NAME[BEGIN:END]": floats BEGIN..END of NAME in row-major order. The shape
// of the whole stands in the metadata of its file, under NAME: "[64, 3, 3, 3]". All else is a whole tensor.
#ifndef SEER_RUNTIME_COLLECTION_H
#define SEER_RUNTIME_COLLECTION_H

#include "runtime/safetensors.h"

typedef struct SeerCollection SeerCollection;

// What a file holds of a tensor.
typedef struct SeerHeld {
  char *name;                          // of the whole tensor
  int rank;                            // of the whole
  int64_t size[SEER_STORED_RANK_MAX];  // of the whole
  uint64_t begin, count;               // elements of the whole that lie here
  const SeerSafetensors *file;
  const SeerStored *stored;
} SeerHeld;

SeerStatus seer_collection_open(const SeerPath *paths, int count, SeerCollection **collection);
void seer_collection_close(SeerCollection *collection);

// Of the path with this index.
const SeerSafetensors *seer_collection_file(const SeerCollection *collection, int index);
// By name, pieces of one tensor by their begin.
int seer_collection_count(const SeerCollection *collection);
const SeerHeld *seer_collection_held(const SeerCollection *collection, int index);
// The first piece of a tensor; NULL: not there.
const SeerHeld *seer_collection_find(const SeerCollection *collection, const char *name);
// That the pieces from `first` on make the whole, each element once. `where` is for the error.
SeerStatus seer_collection_check(const SeerCollection *collection, const SeerHeld *first, const char *where);
// Elements begin..begin+count of a checked tensor, as f32.
SeerStatus seer_collection_read(const SeerCollection *collection, const SeerHeld *first, uint64_t begin, uint64_t count,
                                float *values);

#endif
