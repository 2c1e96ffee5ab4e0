// What the runtime asks of a machine beside the processor that runs the step: a GPU. A trainer for GPUs names its own
// (SeerProgram.accelerator); all others run the step on the processor.
//
// The state lives in this machine's memory, where snapshots are written from, and is copied to and fro when one side
// wants what the other has made; the arena is the accelerator's alone.
#ifndef SEER_RUNTIME_ACCELERATOR_H
#define SEER_RUNTIME_ACCELERATOR_H

#include "runtime/program.h"
#include "runtime/status.h"

typedef struct SeerAccelerator SeerAccelerator;

typedef struct SeerAcceleratorType {
  // Opens it and gets the memory that the plan gives the program. `comm` as SeerContext's: of several ranks on a host
  // each takes one, in their order. Collective.
  SeerStatus (*open)(const SeerProgram *program, struct SeerComm *comm, SeerAccelerator **accelerator);
  void (*close)(SeerAccelerator *accelerator);
  // What `open` would take, and how much of its memory is free, in a few words; fails where `open` would. Takes no more
  // than a look: `doctor`. Not collective.
  SeerStatus (*look)(const SeerProgram *program, const struct SeerComm *comm, char *text, size_t bytes);
  // Of a program of several ranks, before its first run: decides how they send each other what their accelerators have,
  // as `asked` by --exchange. NULL comm: started alone. Collective.
  SeerStatus (*join)(SeerAccelerator *accelerator, struct SeerComm *comm, const char *asked);
  // How, in a few words; NULL of one rank.
  const char *(*exchange)(const SeerAccelerator *accelerator);
  // Which libraries it calls, in a few words; NULL: none.
  const char *(*libraries)(const SeerAccelerator *accelerator);
  // Runs an entry on the context's pictures, labels, scalars and state, and waits for it. The state is brought along
  // where it was changed here or another one was there.
  SeerStatus (*run)(SeerAccelerator *accelerator, SeerContext *context, SeerEntry *entry);
  // How long runs have taken since it was asked last, without what was brought for them, by the accelerator's clock: 0
  // at first, since only then it begins to look at that.
  SeerStatus (*seconds)(SeerAccelerator *accelerator, double *seconds);
  // Until this machine's memory has what the last run made of the state.
  SeerStatus (*state_fetch)(SeerAccelerator *accelerator);
  // The state was changed here; what the accelerator has is void.
  void (*state_changed)(SeerAccelerator *accelerator);
  SeerStatus (*read)(SeerAccelerator *accelerator, uint64_t arena_offset, uint64_t size_bytes, void *to);
  // After `train`: the first parameter, a number of SeerProgram.tensors, whose gradient is not finite, or -1.
  SeerStatus (*find_not_finite)(SeerAccelerator *accelerator, int *tensor);
  const char *(*name)(const SeerAccelerator *accelerator);
  // What the collectives of runtime/program.h do, called while an entry runs; addresses are the accelerator's. `group`:
  // of the ranks that BatchNorm goes over.
  SeerStatus (*gather)(SeerContext *context, bool group, int64_t floats, const float *mine, float *all);
  SeerStatus (*average)(SeerContext *context, int64_t count, SeerFormat format, const float *mine, float *scratch,
                        float *average);
  SeerStatus (*unit_start)(SeerContext *context, SeerWay way, int unit, float *whole);
  SeerStatus (*unit_finish)(SeerContext *context, SeerWay way, int unit);
  // Where units lie in this machine's memory on their way, laid out as the state: for seer_traffic_make.
  unsigned char *(*unit_memory)(SeerAccelerator *accelerator);
} SeerAcceleratorType;

#endif
