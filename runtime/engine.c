// Threads and memory of a run; see engine.h. Sizes come from the program, none is decided here.
#include "runtime/engine.h"

#include <string.h>

uint64_t seer_program_bytes(const SeerProgram *program) {
  return program->state_bytes + program->arena_bytes + program->ring_bytes + program->snapshot_bytes;
}

SeerStatus seer_engine_check_cpu(const SeerProgram *program) {
  const char *missing = NULL;
  if (seer_cpu_supports(program->cpu, &missing)) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "this trainer was built for processors of level '%s', and this one lacks '%s'\n"
                   "note: rebuild it with `seerc build --cpu %s`",
                   program->cpu, missing, seer_cpu_level());
}

static SeerStatus memory_check(const SeerProgram *program, bool training) {
  uint64_t needed = training ? seer_program_bytes(program) : program->state_bytes + program->arena_bytes;
  uint64_t available = seer_memory_available();
  if (needed <= available) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "this trainer needs %.1f MiB of memory, and %.1f MiB are available\n"
                   "note: stop other programs, or build with a smaller train.batch or a larger train.accumulate",
                   (double)needed / 1048576, (double)available / 1048576);
}

SeerStatus seer_engine_make(const SeerProgram *program, int threads, bool training, SeerEngine *engine) {
  *engine = (SeerEngine){.program = program};
  engine->context.program = program;
  engine->context.first_not_finite = -1;
  SeerStatus status = memory_check(program, training);
  if (!status) status = seer_memory_map(program->state_bytes, "parameters and optimizer state", &engine->context.state);
  if (!status) status = seer_memory_map(program->arena_bytes, "activations and gradients", &engine->context.arena);
  if (!status && training) status = seer_memory_map(program->ring_bytes, "pictures decoded ahead", &engine->ring);
  if (!status && training && program->snapshot_bytes)
    status = seer_memory_map(program->snapshot_bytes, "the copy of the state that snapshots are written from",
                             &engine->staging);
  if (!status && !(engine->context.pool = seer_pool_make(threads))) status = SEER_MACHINE;
  if (!status && program->train) status = seer_slices_make(program, &engine->slices);
  if (status) seer_engine_release(engine);
  return status;
}

void seer_engine_release(SeerEngine *engine) {
  seer_slices_release(engine->slices);
  seer_pool_release(engine->context.pool);
  seer_memory_unmap(engine->context.state, engine->program->state_bytes);
  seer_memory_unmap(engine->context.arena, engine->program->arena_bytes);
  seer_memory_unmap(engine->ring, engine->program->ring_bytes);
  seer_memory_unmap(engine->staging, engine->program->snapshot_bytes);
  *engine = (SeerEngine){.program = engine->program};
}
