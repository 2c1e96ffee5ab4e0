// The machine side of a run: threads and the memory blocks that a program names (state, arena, the loader's ring, the
// staging of snapshots), mapped once at start. Nothing else is allocated for the step.
#ifndef SEER_RUNTIME_ENGINE_H
#define SEER_RUNTIME_ENGINE_H

#include <stdbool.h>

#include "runtime/accelerator.h"
#include "runtime/loss_scale.h"
#include "runtime/program.h"
#include "runtime/slices.h"
#include "runtime/status.h"

typedef struct SeerEngine {
  const SeerProgram *program;
  SeerContext context;
  unsigned char *ring, *staging;
  SeerSlices *slices;  // NULL: the rank is one
  SeerAccelerator *accelerator;  // NULL: the processor
  SeerLossScale loss_scale;      // of the next step
} SeerEngine;

// Called before anything that was compiled for the processor's level runs: pictures are decoded with it, too.
SeerStatus seer_engine_check_cpu(const SeerProgram *program);

// Starts threads, maps state and arena (zeroed), and what only `training` needs: the loader's ring and the staging of
// snapshots. `comm`: of the program's ranks, collective; NULL of one.
SeerStatus seer_engine_make(const SeerProgram *program, struct SeerComm *comm, int threads, bool training,
                            SeerEngine *engine);
void seer_engine_release(SeerEngine *engine);
// Before the first run: how ranks reach each other's accelerators, as `asked` by --exchange. Collective.
SeerStatus seer_engine_join(SeerEngine *engine, struct SeerComm *comm, const char *asked);
// That in a few words; NULL: nothing to tell.
const char *seer_engine_exchange(const SeerEngine *engine);
// Which libraries make layers, in a few words; NULL: none.
const char *seer_engine_libraries(const SeerEngine *engine);

// Runs an entry of the program, all slices of it, on the engine's context or one like it. SEER_OK, or what failed:
// collectives tell it in context->network, too.
SeerStatus seer_engine_run(SeerEngine *engine, SeerContext *context, SeerEntry *entry);
// What an entry has left at an offset of a slice's arena.
SeerStatus seer_engine_read(const SeerEngine *engine, int slice, uint64_t offset, uint64_t size_bytes, void *to);
// Before context.state is read, and after it was written: an accelerator has a copy of its own.
SeerStatus seer_engine_state_fetch(const SeerEngine *engine);
void seer_engine_state_changed(const SeerEngine *engine);
// For seer_traffic_make: the state, or, of an accelerator, what stands for it while parts of it travel.
unsigned char *seer_engine_unit_memory(const SeerEngine *engine);

// What the plan gave the run, in bytes: state, arena, ring and staging; of a GPU's memory: state, arena and inputs.
uint64_t seer_program_bytes(const SeerProgram *program);
// What it needs of this machine's memory: of a GPU's trainer the state's copy and what is offloaded; `training`: ring
// and staging, too.
uint64_t seer_machine_bytes(const SeerProgram *program, bool training);

// Zeroed, aligned to SEER_ALIGNMENT, with huge pages where the system grants them. `what` is for the error.
SeerStatus seer_memory_map(uint64_t size_bytes, const char *what, unsigned char **memory);
void seer_memory_unmap(unsigned char *memory, uint64_t size_bytes);
// What this process may still take: the smaller of the machine's and the control group's.
uint64_t seer_memory_available(void);
// Highest resident size of this process so far.
uint64_t seer_memory_resident_peak(void);

// Cores this process may use: affinity and control group quota. At least 1.
int seer_cpu_count(void);
// Threads for one of `processes` of this run on this host: all its cores where they are its own, else its share.
int seer_cpu_share(int processes);
// Does this processor have all of a level ("x86-64-v3")? `missing` gets the name of the first lacking feature.
bool seer_cpu_supports(const char *level, const char **missing);
// The processor's name, or its level where the system tells no name.
void seer_cpu_name(char *name, int bytes);
// The highest level of this processor.
const char *seer_cpu_level(void);

#endif
