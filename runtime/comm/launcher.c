// Reads what launchers leave in the environment. Open MPI's mpirun and MPICH's (and Intel's) mpiexec name the world's
// size; srun names it too, and leaves PMIX_RANK for Open MPI or PMI_RANK for MPICH when it was told to by --mpi.
#include "runtime/comm/launcher.h"

#include <limits.h>
#include <stdlib.h>

typedef struct Trace {
  const char *launcher, *size, *sign;  // variables; `sign` must be there, too
  SeerMpiFlavour flavour;
} Trace;

// The first that is found counts: mpirun inside a Slurm job leaves both its own and Slurm's.
static const Trace traces[] = {
    {"mpirun of Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", SEER_MPI_OPEN_MPI},
    {"srun --mpi=pmix", "SLURM_STEP_NUM_TASKS", "PMIX_RANK", SEER_MPI_OPEN_MPI},
    {"srun --mpi=pmi2", "SLURM_STEP_NUM_TASKS", "PMI_RANK", SEER_MPI_MPICH},
    {"mpiexec of MPICH", "PMI_SIZE", "PMI_RANK", SEER_MPI_MPICH},
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", SEER_MPI_NONE},
};

// -1: none.
static int count_read(const char *variable) {
  const char *text = getenv(variable);
  if (!text) return -1;
  char *end;
  long count = strtol(text, &end, 10);
  return end == text || *end || count < 0 || count > INT_MAX ? -1 : (int)count;
}

SeerStart seer_start_find(void) {
  for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
    int size = getenv(traces[i].sign) ? count_read(traces[i].size) : 0;
    int rank = count_read(traces[i].sign);
    if (size > 0) return (SeerStart){traces[i].launcher, traces[i].flavour, size, rank < 0 ? 0 : rank};
  }
  return (SeerStart){"no launcher", SEER_MPI_NONE, 1, 0};
}
