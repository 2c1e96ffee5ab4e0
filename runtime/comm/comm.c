// The communicator of all processes of a run; see comm.h.
#include "runtime/comm/comm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/mpi.h"

enum { MAX_VERSION_BYTES = 8192, MPI_THREAD_FUNNELED = 1 };

struct SeerComm {
  SeerMpi mpi;
  int rank, size;
  char library[MAX_VERSION_BYTES + 1];
};

static SeerStatus lone_processes(const SeerStart *start, const SeerComm *comm) {
  return seer_fail(SEER_MACHINE,
                   "%d processes were started by %s, and each of them is alone: %s%s\nnote: start with the mpirun that "
                   "belongs to the MPI of this machine; under Slurm with `srun --mpi=pmix` for Open MPI, `srun "
                   "--mpi=pmi2` for MPICH",
                   start->size, start->launcher, comm ? comm->library : "it tells no MPI how they reach each other",
                   comm ? " found no other" : "");
}

static SeerStatus world_join(const SeerStart *start, SeerComm *comm) {
  int provided = 0, length = 0;
  // An MPI that fails to start ends the process with a message of its own.
  if (comm->mpi.init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != 0)
    return seer_fail(SEER_MACHINE, "%s does not start", seer_mpi_flavour_name(start->flavour));
  comm->mpi.comm_rank(comm->mpi.world, &comm->rank);
  comm->mpi.comm_size(comm->mpi.world, &comm->size);
  comm->mpi.get_library_version(comm->library, &length);
  comm->library[strcspn(comm->library, ",\n")] = '\0';
  for (char *c = comm->library; *c; c++) {
    if (*c == '\t') *c = ' ';
  }
  return comm->size == start->size ? SEER_OK : lone_processes(start, comm);
}

SeerStatus seer_comm_open(SeerComm **opened) {
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
  comm->mpi.finalize();
  free(comm);
}

int seer_comm_rank(const SeerComm *comm) { return comm ? comm->rank : 0; }
int seer_comm_size(const SeerComm *comm) { return comm ? comm->size : 1; }
const char *seer_comm_library(const SeerComm *comm) { return comm ? comm->library : "none"; }

SeerStatus seer_comm_all_gather(SeerComm *comm, const void *mine, size_t bytes, void *all) {
  if (!comm) {
    memcpy(all, mine, bytes);
    return SEER_OK;
  }
  const SeerMpi *mpi = &comm->mpi;
  if (bytes > INT_MAX || mpi->allgather(mine, (int)bytes, mpi->byte, all, (int)bytes, mpi->byte, mpi->world) != 0)
    return seer_fail(SEER_MACHINE, "rank %d could not gather %zu bytes from all ranks", comm->rank, bytes);
  return SEER_OK;
}
