// The state of a run at step 0, from the seed alone.
#ifndef SEER_RUNTIME_INIT_H
#define SEER_RUNTIME_INIT_H

#include "runtime/parts.h"

// Fills what `rank` keeps of every tensor as its SeerInit says: element i of tensor NAME is a function of (seed, NAME,
// i).
void seer_state_init(const SeerProgram *program, uint64_t seed, int rank, SeerPool *pool, unsigned char *state);

uint64_t seer_tensor_bytes(const SeerTensor *tensor);  // of the whole
float *seer_tensor_values(const SeerTensor *tensor, unsigned char *state);
// Is it part of a snapshot? Accumulators are not: they start anew with each step.
bool seer_tensor_is_kept(const SeerTensor *tensor);
// The first tensor of the state with a value that is not finite; NULL: none.
const SeerTensor *seer_state_find_not_finite(const SeerProgram *program, const unsigned char *state);

#endif
