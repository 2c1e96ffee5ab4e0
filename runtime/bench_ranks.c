// Ranks of a bench; see bench_ranks.h.
#include "runtime/bench_ranks.h"

#include "runtime/handshake.h"
#include "runtime/worlds.h"

SeerStatus seer_bench_ranks_join(const SeerProgram **program, const SeerOptions *options, SeerBenchRanks *ranks) {
  *ranks = (SeerBenchRanks){.comm = NULL};
  SeerStatus status = seer_comm_open((*program)->name, (*program)->patience_seconds, &ranks->comm);
  if (status) return status;
  int started = seer_comm_size(ranks->comm);
  const SeerProgram *world = seer_world_find(started);
  status = seer_handshake(ranks->comm, world, options);
  if (status) return status;
  if (!world) {
    status = seer_world_missing(started);
    if (seer_comm_rank(ranks->comm) > 0) seer_error_clear();
    return status;
  }
  *program = world;
  return SEER_OK;
}

SeerStatus seer_bench_ranks_attach(SeerBenchRanks *ranks, SeerEngine *engine, const SeerOptions *options) {
  SeerComm *comm = ranks->comm;
  const SeerProgram *program = engine->program;
  if (!comm) return SEER_OK;
  SeerStatus status = seer_comm_agree(comm, seer_engine_join(engine, comm, options->exchange));
  if (!status)
    status = seer_comm_agree(comm, seer_traffic_make(comm, program, seer_engine_unit_memory(engine), &ranks->traffic));
  if (!status && program->norm_ranks > 1 && program->norm_ranks < program->ranks)
    status = seer_comm_agree(comm, seer_comm_group_make(comm, program->norm_ranks));
  engine->context.traffic = ranks->traffic;
  engine->context.shard = seer_comm_rank(comm) / (program->group > 0 ? program->group : 1);
  seer_comm_work(comm, "the step", false);
  return status;
}

void seer_bench_ranks_release(SeerBenchRanks *ranks) {
  seer_traffic_release(ranks->traffic);
  seer_comm_close(ranks->comm);
  *ranks = (SeerBenchRanks){.comm = NULL};
}
