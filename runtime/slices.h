// The slices of one rank. With train.reproducible every number of ranks runs the step of `program->slices` ranks: each
// rank takes an equal number of slices, which share the state, have an arena each, and take turns between collectives.
// What they send each other, and how it is summed, is the same however many of them a process runs.
//
// All but the first slice have a thread of their own, to stand where they are while others go on. One runs at a time,
// so the pool serves all of them; the first runs on the caller's thread, the only one that may call MPI.
#ifndef SEER_RUNTIME_SLICES_H
#define SEER_RUNTIME_SLICES_H

#include "runtime/program.h"
#include "runtime/status.h"

typedef struct SeerSlices SeerSlices;

// *slices: NULL where a rank is one slice.
SeerStatus seer_slices_make(const SeerProgram *program, SeerSlices **slices);
void seer_slices_release(SeerSlices *slices);

// Runs `entry` once for each slice, as `context` says for all of them: its arena and pictures are those of the first.
// A failed collective, and the first launch of any slice that was not finite, come back in it. NULL slices: runs it.
void seer_slices_run(SeerSlices *slices, SeerContext *context, SeerEntry *entry);

// For launch.c. The slice's part of a gather, all [program->slices][floats]; and the mean over all slices of all ranks
// of a gradient, whose first slice's is `mine`.
void seer_slice_gather(struct SeerSlice *slice, int64_t floats, const float *mine, float *all);
SeerStatus seer_slices_average(const SeerContext *context, int64_t count, const float *mine, float *scratch,
                               float *average);

#endif
