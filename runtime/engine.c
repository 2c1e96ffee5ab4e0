// Threads and memory of a run; see engine.h. Sizes come from the program, none is decided here.
#include "runtime/engine.h"

#include <string.h>

#include "runtime/comm/comm.h"

uint64_t seer_program_bytes(const SeerProgram *program) {
  uint64_t step_bytes = program->state_bytes + program->arena_bytes;
  return program->accelerator ? step_bytes + program->input_bytes
                              : step_bytes + program->ring_bytes + program->snapshot_bytes;
}

SeerStatus seer_engine_check_cpu(const SeerProgram *program) {
  const char *missing = NULL;
  if (seer_cpu_supports(program->cpu, &missing)) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "this trainer was built for processors of level '%s', and this one lacks '%s'\n"
                   "note: rebuild it with `seerc build --cpu %s`",
                   program->cpu, missing, seer_cpu_level());
}

uint64_t seer_machine_bytes(const SeerProgram *program, bool training) {
  uint64_t step_bytes = program->state_bytes + (program->accelerator ? program->host_bytes : program->arena_bytes);
  return training ? step_bytes + program->ring_bytes + program->snapshot_bytes : step_bytes;
}

static SeerStatus memory_check(const SeerProgram *program, bool training) {
  uint64_t needed = seer_machine_bytes(program, training), available = seer_memory_available();
  if (needed <= available) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "this trainer needs %.1f MiB of memory, and %.1f MiB are available\n"
                   "note: stop other programs, or build with a smaller train.batch or a larger train.accumulate%s",
                   (double)needed / 1048576, (double)available / 1048576,
                   program->host_bytes ? ", or with checkpoint.offload = no" : "");
}

SeerStatus seer_engine_make(const SeerProgram *program, struct SeerComm *comm, int threads, bool training,
                            SeerEngine *engine) {
  *engine = (SeerEngine){.program = program};
  engine->context.program = program;
  engine->context.comm = comm;
  engine->context.first_not_finite = -1;
  engine->loss_scale = seer_loss_scale_start(program->scales_loss);
  SeerStatus status = memory_check(program, training);
  if (!status) status = seer_memory_map(program->state_bytes, "parameters and optimizer state", &engine->context.state);
  if (!status && program->accelerator)
    status = program->accelerator->open(program, comm, &engine->accelerator);
  else if (!status)
    status = seer_memory_map(program->arena_bytes, "activations and gradients", &engine->context.arena);
  if (!status && training) status = seer_memory_map(program->ring_bytes, "pictures decoded ahead", &engine->ring);
  if (!status && training && program->snapshot_bytes)
    status = seer_memory_map(program->snapshot_bytes, "the copy of the state that snapshots are written from",
                             &engine->staging);
  if (!status && !(engine->context.pool = seer_pool_make(threads))) status = SEER_MACHINE;
  if (!status && program->train) status = seer_slices_make(program, &engine->slices);
  if (status) seer_engine_release(engine);
  return status;
}

SeerStatus seer_engine_join(SeerEngine *engine, struct SeerComm *comm, const char *asked) {
  if (engine->accelerator) return engine->program->accelerator->join(engine->accelerator, comm, asked);
  if (!asked) return SEER_OK;
  // One says it for all.
  return seer_comm_rank(comm) > 0
             ? SEER_USAGE
             : seer_fail(SEER_USAGE, "'--exchange' is for trainers that run on GPUs, and this one does not");
}

const char *seer_engine_exchange(const SeerEngine *engine) {
  return engine->accelerator ? engine->program->accelerator->exchange(engine->accelerator) : NULL;
}

const char *seer_engine_libraries(const SeerEngine *engine) {
  return engine->accelerator ? engine->program->accelerator->libraries(engine->accelerator) : NULL;
}

SeerStatus seer_engine_run(SeerEngine *engine, SeerContext *context, SeerEntry *entry) {
  if (engine->accelerator) {
    SeerStatus status = engine->program->accelerator->run(engine->accelerator, context, entry);
    // What fails there fails on one rank, in the midst of a step.
    if (status) seer_comm_give_up(context->comm);
    return status;
  }
  // The update is one for all slices.
  seer_slices_run(entry == engine->program->train ? engine->slices : NULL, context, entry);
  return (SeerStatus)context->network;
}

SeerStatus seer_engine_read(const SeerEngine *engine, int slice, uint64_t offset, uint64_t size_bytes, void *to) {
  offset += (uint64_t)slice * engine->program->slice_bytes;
  if (engine->accelerator) return engine->program->accelerator->read(engine->accelerator, offset, size_bytes, to);
  memcpy(to, engine->context.arena + offset, size_bytes);
  return SEER_OK;
}

SeerStatus seer_engine_state_fetch(const SeerEngine *engine) {
  return engine->accelerator ? engine->program->accelerator->state_fetch(engine->accelerator) : SEER_OK;
}

void seer_engine_state_changed(const SeerEngine *engine) {
  if (engine->accelerator) engine->program->accelerator->state_changed(engine->accelerator);
}

unsigned char *seer_engine_unit_memory(const SeerEngine *engine) {
  return engine->accelerator ? engine->program->accelerator->unit_memory(engine->accelerator) : engine->context.state;
}

void seer_engine_release(SeerEngine *engine) {
  if (engine->accelerator) engine->program->accelerator->close(engine->accelerator);
  seer_slices_release(engine->slices);
  seer_pool_release(engine->context.pool);
  seer_memory_unmap(engine->context.state, engine->program->state_bytes);
  seer_memory_unmap(engine->context.arena, engine->program->arena_bytes);
  seer_memory_unmap(engine->ring, engine->program->ring_bytes);
  seer_memory_unmap(engine->staging, engine->program->snapshot_bytes);
  *engine = (SeerEngine){.program = engine->program};
}
