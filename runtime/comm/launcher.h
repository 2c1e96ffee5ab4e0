// How this process was started: by whom, as one of how many.
#ifndef SEER_RUNTIME_LAUNCHER_H
#define SEER_RUNTIME_LAUNCHER_H

// Kinds of MPI libraries, by what a program must know to call them.
typedef enum SeerMpiFlavour { SEER_MPI_NONE, SEER_MPI_OPEN_MPI, SEER_MPI_MPICH } SeerMpiFlavour;

typedef struct SeerStart {
  const char *launcher;    // "mpirun of Open MPI"
  SeerMpiFlavour flavour;  // SEER_MPI_NONE: the launcher tells no MPI how to reach the others
  int size;                // processes started together; 1: alone
  int rank;                // as the launcher counts
} SeerStart;

SeerStart seer_start_find(void);

#endif
