// The few calls of MPI that a run needs, in a library opened at run time.
#ifndef SEER_RUNTIME_MPI_H
#define SEER_RUNTIME_MPI_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/comm/launcher.h"
#include "runtime/status.h"

// Handles are addresses in Open MPI and small integers in MPICH; both travel in a word.
typedef struct SeerMpi {
  void *library;
  void *world, *byte;
  void *in_place, *status_ignore;
  size_t handle_bytes;  // of a handle in an array
  int (*init_thread)(int *argc, char ***argv, int required, int *provided);
  int (*finalize)(void);
  int (*abort)(void *comm, int code);
  int (*comm_rank)(void *comm, int *rank);
  int (*comm_size)(void *comm, int *size);
  int (*comm_split)(void *comm, int colour, int key, void **made);
  int (*get_library_version)(char *version, int *length);
  int (*allgather)(const void *mine, int count, void *type, void *all, int all_count, void *all_type, void *comm);
  int (*alltoallv)(const void *mine, const int *counts, const int *begins, void *type, void *all, const int *all_counts,
                   const int *all_begins, void *all_type, void *comm);
  int (*allgatherv)(const void *mine, int count, void *type, void *all, const int *counts, const int *begins,
                    void *all_type, void *comm);
  // types: handles of handle_bytes each.
  int (*ialltoallw)(const void *mine, const int *counts, const int *begins, const void *types, void *all,
                    const int *all_counts, const int *all_begins, const void *all_types, void *comm, void **request);
  int (*test)(void **request, int *done, void *status);
  int (*wait)(void **request, void *status);
  int (*type_create_hindexed)(int count, const int *lengths, const intptr_t *begins, void *type, void **made);
  int (*type_commit)(void **type);
  int (*type_free)(void **type);
} SeerMpi;

// Opens the library of a flavour; does not initialise it.
SeerStatus seer_mpi_open(SeerMpiFlavour flavour, SeerMpi *mpi);
const char *seer_mpi_flavour_name(SeerMpiFlavour flavour);

#endif
