// Tensors that ranks share out: which floats of the whole a rank keeps. See SeerTensor.
#ifndef SEER_RUNTIME_PARTS_H
#define SEER_RUNTIME_PARTS_H

#include "runtime/program.h"

// Floats begin..begin+count of the whole tensor, in row-major order, lie at `local` of the rank's part. Zeroed: none
// yet.
typedef struct SeerPiece {
  uint64_t local, begin, count;
} SeerPiece;

uint64_t seer_tensor_count(const SeerTensor *tensor);  // floats of the whole
// Floats that every rank keeps: the whole, or a part with what pads it.
uint64_t seer_part_count(const SeerTensor *tensor);
// The next piece that `rank` keeps, in rising order; false after the last. A part may have none.
bool seer_part_next(const SeerTensor *tensor, int rank, SeerPiece *piece);
// Of the ranks that keep the same, the one that speaks for them: the lowest.
bool seer_part_is_first(const SeerTensor *tensor, int rank);

#endif
