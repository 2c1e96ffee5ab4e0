// Batches of augmented views, decoded ahead of the step by a few threads.
//
// Order and augmentation are pure functions of (seed, epoch, position, crop): the position-th picture of epoch e is
// permutation(seed, e, position), its draws are Philox(seed, e, position, crop, draw). Thread count, ring depth and the
// step at which the loader starts change no byte. An epoch holds as many positions as there are in whole batches of all
// ranks.
//
// A picture that cannot be decoded is replaced by the picture at permutation(seed, e, (position + k * stride) % count)
// for the first k >= 1 that decodes (stated in docs/guide.md), and listed once in the quarantine file with the reason.
// stride is the least number above 0.618 * count that shares no divisor with count: every picture gets its turn.
// The run stops when more than max_undecodable * max(min(seen, count), min(count, 1000)) pictures met by this loader
// cannot be decoded: a share of the data set, not of the first few pictures.
#ifndef SEER_RUNTIME_DATA_LOADER_H
#define SEER_RUNTIME_DATA_LOADER_H

#include <stdint.h>

#include "runtime/data/columns.h"
#include "runtime/data/source.h"
#include "runtime/program.h"
#include "runtime/status.h"

typedef struct SeerLoader SeerLoader;

typedef struct SeerLoaderConfig {
  const SeerViews *views;
  int batch;        // pictures of this rank's micro-step
  int slices;       // of this rank, which the batch divides into; 0: one
  int rank, ranks;  // of each `batch * ranks` positions, this rank takes the rank-th `batch`
  uint64_t seed;
  int threads;             // >= 1
  int64_t first_position;  // pictures seen so far by all ranks, over all epochs
  double max_undecodable;  // share of pictures
  int64_t max_pixels;
  bool sandbox;          // pictures are decoded in the sandbox: decoder.h
  bool scaled_decoding;  // JPEGs may be decoded at a half, a quarter or an eighth, where every crop has pixels enough
  const SeerColumns *columns;   // looked up for each picture; NULL: none
  const char *quarantine_path;  // JSON lines {picture, reason}, appended; NULL: none
  unsigned char *ring;          // seer_loader_ring_bytes() bytes, SEER_ALIGNMENT-aligned
  int ring_depth;               // batches held, >= 1; 2 or more to decode during the step
} SeerLoaderConfig;

typedef struct SeerBatch {
  const uint8_t *images[SEER_MAX_SIZE_GROUPS];  // u8 [slices][crops * batch / slices][size][size][3], crop-major
  const int32_t *labels;                        // [batch]; -1 where the source has none
  const int64_t *pictures;                      // [batch] index in the source
  const uint64_t *codes;                        // [batch][columns] of config.columns; NULL: none
  int64_t first_position;                       // of the batch's first slot, over all epochs; the others follow it
  double wait_seconds;                          // the step waited this long for the loader
} SeerBatch;

// ring_depth times the sum of: each size group's crops * batch * size * size * 3, batch * 8 and batch * 4, each rounded
// up to SEER_ALIGNMENT. The compiler plans these bytes, so the formula stands here: per batch, indices, labels, then
// the images of each size group, each rounded up to SEER_ALIGNMENT.
static inline uint64_t seer_ring_align(uint64_t bytes) {
  return (bytes + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT;
}

static inline uint64_t seer_ring_group_bytes(const SeerSizeGroup *group, int batch) {
  uint64_t side = (uint64_t)group->size;
  return seer_ring_align((uint64_t)group->crops * (uint64_t)batch * side * side * 3);
}

static inline uint64_t seer_loader_ring_bytes(const SeerViews *views, int batch, int ring_depth) {
  uint64_t bytes =
      seer_ring_align((uint64_t)batch * sizeof(int64_t)) + seer_ring_align((uint64_t)batch * sizeof(int32_t));
  for (int i = 0; i < views->size_group_count; i++) bytes += seer_ring_group_bytes(&views->size_groups[i], batch);
  return bytes * (uint64_t)ring_depth;
}

// Where the task-th picture of this rank stands among those of all ranks, over all epochs. A run's position is told in
// these, so that it goes on the same way whatever the ranks.
static inline int64_t seer_loader_position(const SeerLoaderConfig *config, int64_t task) {
  int64_t batch = task / config->batch, slot = task % config->batch;
  return config->first_position + (batch * config->ranks + config->rank) * config->batch + slot;
}

// Views and source must outlive the loader. A data set smaller than one batch is an error.
SeerStatus seer_loader_make(const SeerLoaderConfig *config, const SeerSource *source, SeerLoader **loader);
// The batch stays valid until the next call. After an error every call returns that error.
SeerStatus seer_loader_next(SeerLoader *loader, SeerBatch *batch);
// Pictures that this loader met and could not decode.
int64_t seer_loader_quarantined(const SeerLoader *loader);
void seer_loader_release(SeerLoader *loader);

#endif
