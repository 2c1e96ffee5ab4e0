// The communicator of all processes of a run; see comm.h.
#include "runtime/comm/comm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/comm/mpi.h"
#include "runtime/comm/watch.h"
#include "runtime/pairwise.h"
#include "runtime/program.h"

enum { MAX_VERSION_BYTES = 8192, MPI_THREAD_FUNNELED = 1 };

struct SeerComm {
  SeerMpi mpi;
  SeerWatch *watch;
  void *group;  // of ranks that normalise together; NULL: none was made
  int rank, size, local_rank, local_size;
  int *counts, *begins, *share_counts, *share_begins;  // [size] each in one block, scratch: bytes of pieces
  SeerPlace *places;                                   // [size]
  char library[MAX_VERSION_BYTES + 1];
};

static SeerStatus gather_among(SeerComm *comm, void *ranks, const char *what, const void *mine, size_t bytes,
                               void *all) {
  const SeerMpi *mpi = &comm->mpi;
  if (bytes > INT_MAX)
    return seer_fail(SEER_MACHINE, "rank %d cannot gather %zu bytes from all ranks at once", comm->rank, bytes);
  seer_watch_enter(comm->watch, what, bytes);
  int failed = mpi->allgather(mine, (int)bytes, mpi->byte, all, (int)bytes, mpi->byte, ranks);
  seer_watch_leave(comm->watch);
  if (!failed) return SEER_OK;
  return seer_fail(SEER_MACHINE, "rank %d could not gather %zu bytes from all ranks", comm->rank, bytes);
}

static SeerStatus gather(SeerComm *comm, const char *what, const void *mine, size_t bytes, void *all) {
  return gather_among(comm, comm->mpi.world, what, mine, bytes, all);
}

static SeerStatus lone_processes(const SeerStart *start, const SeerComm *comm) {
  return seer_fail(SEER_MACHINE,
                   "%d processes were started by %s, and each of them is alone: %s%s\nnote: start with the mpirun that "
                   "belongs to the MPI of this machine; under Slurm with `srun --mpi=pmix` for Open MPI, `srun "
                   "--mpi=pmi2` for MPICH",
                   start->size, start->launcher, comm ? comm->library : "it tells no MPI how they reach each other",
                   comm ? " found no other" : "");
}

static SeerStatus places_gather(SeerComm *comm) {
  comm->places = calloc((size_t)comm->size, sizeof *comm->places);
  if (!comm->places) return seer_fail(SEER_MACHINE, "out of memory");
  SeerPlace here = seer_place_here();
  SeerStatus status = gather(comm, "gather of hosts", &here, sizeof here, comm->places);
  for (int i = 0; i < comm->size && !status; i++) {
    if (i == comm->rank) comm->local_rank = comm->local_size;
    comm->local_size += strcmp(comm->places[i].host, here.host) == 0;
  }
  return status;
}

static int world_abort(void *handle, int code) {
  const SeerComm *comm = handle;
  return comm->mpi.abort(comm->mpi.world, code);
}

static SeerStatus world_join(const SeerStart *start, SeerComm *comm) {
  int provided = 0, length = 0;
  // An MPI that fails to start ends the process with a message of its own.
  seer_watch_enter(comm->watch, "start of MPI", 0);
  int failed = comm->mpi.init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  seer_watch_leave(comm->watch);
  if (failed)
    return seer_fail(SEER_MACHINE, "%s does not start", seer_mpi_flavour_name(start->flavour));
  seer_watch_joined(comm->watch, world_abort, comm);
  comm->mpi.comm_rank(comm->mpi.world, &comm->rank);
  comm->mpi.comm_size(comm->mpi.world, &comm->size);
  comm->mpi.get_library_version(comm->library, &length);
  comm->library[strcspn(comm->library, ",\n")] = '\0';
  for (char *c = comm->library; *c; c++) {
    if (*c == '\t') *c = ' ';
  }
  comm->counts = calloc(4 * (size_t)comm->size, sizeof *comm->counts);
  if (!comm->counts) return seer_fail(SEER_MACHINE, "out of memory");
  comm->begins = comm->counts + comm->size;
  comm->share_counts = comm->begins + comm->size;
  comm->share_begins = comm->share_counts + comm->size;
  return comm->size == start->size ? places_gather(comm) : lone_processes(start, comm);
}

SeerStatus seer_comm_open(const char *name, double patience_seconds, SeerComm **opened) {
  SeerStart start = seer_start_find();
  *opened = NULL;
  if (start.size == 1) return SEER_OK;
  if (start.flavour == SEER_MPI_NONE) return lone_processes(&start, NULL);
  SeerComm *comm = calloc(1, sizeof *comm);
  if (!comm) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_mpi_open(start.flavour, &comm->mpi);
  if (status) {
    free(comm);
    return status;
  }
  SeerWatchConfig config = {
      .name = name, .rank = start.rank, .ranks = start.size, .patience_seconds = patience_seconds};
  status = seer_watch_make(&config, &comm->watch);
  if (status) {
    free(comm);
    return status;
  }
  status = world_join(&start, comm);
  if (status) {
    seer_comm_close(comm);
    return status;
  }
  *opened = comm;
  return SEER_OK;
}

// The library stays open: it may have handlers that run at exit.
void seer_comm_close(SeerComm *comm) {
  if (!comm) return;
  seer_watch_ends(comm->watch);
  seer_watch_enter(comm->watch, "end of MPI", 0);
  comm->mpi.finalize();
  seer_watch_leave(comm->watch);
  seer_watch_release(comm->watch);
  free(comm->places);
  free(comm->counts);
  free(comm);
}

int seer_comm_rank(const SeerComm *comm) { return comm ? comm->rank : 0; }
int seer_comm_size(const SeerComm *comm) { return comm ? comm->size : 1; }
int seer_comm_local_size(const SeerComm *comm) { return comm ? comm->local_size : 1; }
int seer_comm_local_rank(const SeerComm *comm) { return comm ? comm->local_rank : 0; }
const char *seer_comm_library(const SeerComm *comm) { return comm ? comm->library : "none"; }

SeerStatus seer_comm_watch(SeerComm *comm, const char *folder) {
  return comm ? seer_comm_agree(comm, seer_watch_open(comm->watch, folder, comm->places)) : SEER_OK;
}

void seer_comm_step(SeerComm *comm, int64_t step) {
  if (comm) seer_watch_step(comm->watch, step);
}

void seer_comm_work(SeerComm *comm, const char *work, bool long_work) {
  if (comm) seer_watch_work(comm->watch, work, long_work);
}

void seer_comm_enter(SeerComm *comm, const char *collective) { seer_watch_enter(comm->watch, collective, 0); }
void seer_comm_leave(SeerComm *comm) { seer_watch_leave(comm->watch); }
void seer_comm_leave_busy(SeerComm *comm) { seer_watch_leave_busy(comm->watch); }

void seer_comm_give_up(SeerComm *comm) {
  char text[4096];
  if (!comm) return;
  snprintf(text, sizeof text, "rank %d: %s\nnote: all ranks end; go on from the last snapshot with --resume",
           comm->rank, seer_error());
  seer_watch_give_up(comm->watch, text);
}

double seer_comm_waited(const SeerComm *comm) { return comm ? seer_watch_waited(comm->watch) : 0; }
const char *seer_comm_host(const SeerComm *comm, int rank) { return comm ? comm->places[rank].host : "this host"; }
const SeerMpi *seer_comm_mpi(const SeerComm *comm) { return &comm->mpi; }

SeerStatus seer_comm_all_gather(SeerComm *comm, const void *mine, size_t bytes, void *all) {
  if (comm) return gather(comm, "gather", mine, bytes, all);
  memcpy(all, mine, bytes);
  return SEER_OK;
}

SeerStatus seer_comm_group_make(SeerComm *comm, int ranks) {
  seer_watch_enter(comm->watch, "forming of groups", 0);
  int failed = comm->mpi.comm_split(comm->mpi.world, comm->rank / ranks, comm->rank, &comm->group);
  seer_watch_leave(comm->watch);
  return failed ? seer_fail(SEER_MACHINE, "MPI cannot form groups of %d ranks", ranks) : SEER_OK;
}

SeerStatus seer_comm_group_gather(SeerComm *comm, const void *mine, size_t bytes, void *all) {
  return gather_among(comm, comm->group, "gather within a group", mine, bytes, all);
}

static int64_t share_floats(int64_t count, int64_t share, int rank) {
  int64_t left = count - rank * share;
  return left < 0 ? 0 : left < share ? left : share;
}

// Bytes of each rank's share on both ways: as it is sent, and as the mean comes back.
static void shares_describe(SeerComm *comm, int64_t count, int bytes) {
  int64_t share = seer_average_share(count, comm->size), own = share_floats(count, share, comm->rank);
  for (int i = 0; i < comm->size; i++) {
    comm->counts[i] = (int)(share_floats(count, share, i) * bytes);
    comm->begins[i] = comm->counts[i] ? (int)(i * share * bytes) : 0;
    comm->share_counts[i] = (int)(own * bytes);
    comm->share_begins[i] = (int)(i * own * bytes);
  }
}

// shares: [ranks][own] in `format`. Narrow ones are half of the scratch, or less: the mean goes where none of them is.
static const float *shares_average(const SeerComm *comm, int64_t own, int64_t share, SeerFormat format,
                                   float *scratch) {
  float *mean = format == SEER_FP32 ? scratch : scratch + (comm->size - 1) * share;
  const uint16_t *narrow = (const uint16_t *)(const void *)scratch;
  for (int64_t i = 0; i < own; i++) {
    double sum = 0;
    for (int rank = 0; rank < comm->size; rank++)
      sum += format == SEER_FP32 ? (double)scratch[rank * own + i] : (double)seer_widen(format, narrow[rank * own + i]);
    mean[i] = (float)(sum / comm->size);
  }
  return mean;
}

SeerStatus seer_comm_average(SeerComm *comm, int64_t count, SeerFormat format, int slices, const float *mine,
                             float *scratch, float *average) {
  if (!comm) {
    memcpy(average, mine, (size_t)count * sizeof *mine);
    return SEER_OK;
  }
  const SeerMpi *mpi = &comm->mpi;
  int64_t share = seer_average_share(count, comm->size), own = share_floats(count, share, comm->rank);
  if (count > INT_MAX / (int)sizeof *mine)
    return seer_fail(SEER_MACHINE, "a gradient of %lld numbers is too long to be sent at once", (long long)count);
  const void *sent = mine;
  if (format != SEER_FP32) {
    uint16_t *narrow = (uint16_t *)(void *)average;
    for (int64_t i = 0; i < count; i++) narrow[i] = seer_narrow(format, mine[i]);
    sent = narrow;
  }
  shares_describe(comm, count, seer_format_bytes(format));
  seer_watch_enter(comm->watch, "exchange of a gradient", (uint64_t)count * (uint64_t)seer_format_bytes(format));
  int failed = mpi->alltoallv(sent, comm->counts, comm->begins, mpi->byte, scratch, comm->share_counts,
                              comm->share_begins, mpi->byte, mpi->world);
  seer_watch_leave(comm->watch);
  if (failed)
    return seer_fail(SEER_MACHINE, "rank %d could not send its part of a gradient", comm->rank);
  const float *mean = scratch;
  if (slices)
    seer_pairwise_rows(scratch, (size_t)own, comm->size, 1 / (float)slices, (size_t)own, scratch);
  else
    mean = shares_average(comm, own, share, format, scratch);
  shares_describe(comm, count, sizeof *mine);
  seer_watch_enter(comm->watch, "gather of a gradient", (uint64_t)count * sizeof *mine);
  failed = mpi->allgatherv(mean, (int)(own * (int64_t)sizeof *mine), mpi->byte, average, comm->counts, comm->begins,
                           mpi->byte, mpi->world);
  seer_watch_leave(comm->watch);
  if (failed)
    return seer_fail(SEER_MACHINE, "rank %d could not gather a gradient", comm->rank);
  return SEER_OK;
}

SeerStatus seer_comm_sum(SeerComm *comm, double *numbers, int count) {
  if (!comm) return SEER_OK;
  double *all = malloc((size_t)comm->size * (size_t)count * sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = gather(comm, "sum", numbers, (size_t)count * sizeof *all, all);
  for (int i = 0; i < count && !status; i++) numbers[i] = seer_pairwise_sum(all + i, (size_t)count, comm->size);
  free(all);
  return status;
}

SeerStatus seer_comm_agree_largest(SeerComm *comm, SeerStatus mine, int *number) {
  if (!comm) return mine;
  int said[2] = {(int)mine, *number}, *all = comm->counts, failed = -1;
  SeerStatus status = gather(comm, "agreement", said, sizeof said, all);
  bool gathered = status == SEER_OK;
  for (int rank = comm->size - 1; rank >= 0 && gathered; rank--) {
    if (all[2 * rank + 1] > *number) *number = all[2 * rank + 1];
    if (!all[2 * rank]) continue;
    failed = rank;
    status = (SeerStatus)all[2 * rank];
  }
  if (mine) {
    char error[4096];
    snprintf(error, sizeof error, "%s", seer_error());
    seer_error_clear();
    char who[32];
    snprintf(who, sizeof who, "rank %d: ", comm->rank);
    if (strncmp(error, who, strlen(who)) == 0) who[0] = '\0';  // agreed on before
    return *error ? seer_fail(mine, "%s%s", who, error) : mine;
  }
  // One says it for all that are well.
  if (failed >= 0 && (comm->rank == 0 || (comm->rank == 1 && failed == 0)))
    seer_fail(status, "rank %d failed; its own message says why", failed);
  return status;
}

SeerStatus seer_comm_largest(SeerComm *comm, int *number) {
  if (!comm) return SEER_OK;
  SeerStatus status = seer_comm_all_gather(comm, number, sizeof *number, comm->counts);
  for (int rank = 0; rank < comm->size && !status; rank++) {
    if (comm->counts[rank] > *number) *number = comm->counts[rank];
  }
  return status;
}

SeerStatus seer_comm_agree(SeerComm *comm, SeerStatus mine) {
  int none = 0;
  return seer_comm_agree_largest(comm, mine, &none);
}
