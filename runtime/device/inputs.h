// What a GPU has besides state and arena: a micro-step's pictures and labels, the scalars, a flag for each tensor, and,
// where gradients go to the ranks that update them, room for those on their way.
#ifndef SEER_RUNTIME_DEVICE_INPUTS_H
#define SEER_RUNTIME_DEVICE_INPUTS_H

#include "runtime/program.h"

// Offsets in bytes, multiples of SEER_ALIGNMENT. Pictures of an evaluation lie at 0, in the place of training's.
typedef struct SeerInputs {
  uint64_t images[SEER_MAX_SIZE_GROUPS], labels, scalars, found, bounce, size_bytes;
} SeerInputs;

// NCCL takes 0.1 ms to fill it, against which its start is little.
enum { SEER_BOUNCE_BYTES = 16 << 20 };

// The compiler counts with it before there is a program: whether that trains and evaluates, its tensors, and whether it
// has units are told.
SeerInputs seer_inputs_place(const SeerProgram *program, bool trains, bool evaluates, int tensor_count, bool has_units);

// Pictures of a size group in a micro-step of one rank.
static inline uint64_t seer_group_pictures(const SeerProgram *program, int group) {
  return (uint64_t)program->views.size_groups[group].crops * (uint64_t)seer_rank_batch(program);
}

#endif
