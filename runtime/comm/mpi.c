// Opens an MPI library. What differs between the flavours is the name of the file and the values of handles: Open MPI's
// are addresses of its own objects, MPICH's are numbers fixed by its ABI (mpi.h of each).
#include "runtime/comm/mpi.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

typedef struct Flavour {
  const char *name, *packages;
  const char *files[3];
  const char *world, *byte;  // symbols; NULL: the numbers
  uintptr_t world_number, byte_number;
  intptr_t in_place, status_ignore;
  size_t handle_bytes;
} Flavour;

static const Flavour flavours[] = {
    [SEER_MPI_NONE] = {.name = "no MPI"},
    [SEER_MPI_OPEN_MPI] = {"Open MPI", "openmpi-bin", {"libmpi.so.40"}, "ompi_mpi_comm_world", "ompi_mpi_byte", 0, 0,
                           1, 0, sizeof(void *)},
    [SEER_MPI_MPICH] = {"MPICH", "mpich", {"libmpich.so.12", "libmpi.so.12"}, NULL, NULL, 0x44000000, 0x4c00010d, -1, 1,
                        sizeof(int)},
};

const char *seer_mpi_flavour_name(SeerMpiFlavour flavour) { return flavours[flavour].name; }

// ISO C has no conversion from an object's address to a function's; POSIX promises that it holds.
static void *symbol_find(void *library, const char *name, void *function, size_t size, const char **missing) {
  void *address = dlsym(library, name);
  if (!address && !*missing) *missing = name;
  if (function) memcpy(function, &address, size);
  return address;
}

SeerStatus seer_mpi_open(SeerMpiFlavour flavour, SeerMpi *mpi) {
  const Flavour *kind = &flavours[flavour];
  const char *missing = NULL;
  *mpi = (SeerMpi){0};
  // Its plugins look for its symbols, hence global.
  for (int i = 0; kind->files[i] && !mpi->library; i++) mpi->library = dlopen(kind->files[i], RTLD_NOW | RTLD_GLOBAL);
  if (!mpi->library) {
    const char *reason = dlerror();
    return seer_fail(SEER_MACHINE,
                     "several processes were started, and %s cannot be opened: %s\nnote: install it on every host "
                     "(Debian: %s), or name its folder in LD_LIBRARY_PATH",
                     kind->name, reason ? reason : "unknown reason", kind->packages);
  }
#define FIND(field, name) symbol_find(mpi->library, name, &mpi->field, sizeof mpi->field, &missing)
  FIND(init_thread, "MPI_Init_thread");
  FIND(finalize, "MPI_Finalize");
  FIND(abort, "MPI_Abort");
  FIND(comm_rank, "MPI_Comm_rank");
  FIND(comm_size, "MPI_Comm_size");
  FIND(comm_split, "MPI_Comm_split");
  FIND(get_library_version, "MPI_Get_library_version");
  FIND(allgather, "MPI_Allgather");
  FIND(alltoallv, "MPI_Alltoallv");
  FIND(allgatherv, "MPI_Allgatherv");
  FIND(ialltoallw, "MPI_Ialltoallw");
  FIND(test, "MPI_Test");
  FIND(wait, "MPI_Wait");
  FIND(type_create_hindexed, "MPI_Type_create_hindexed");
  FIND(type_commit, "MPI_Type_commit");
  FIND(type_free, "MPI_Type_free");
#undef FIND
  mpi->world = kind->world ? symbol_find(mpi->library, kind->world, NULL, 0, &missing) : (void *)kind->world_number;
  mpi->byte = kind->byte ? symbol_find(mpi->library, kind->byte, NULL, 0, &missing) : (void *)kind->byte_number;
  mpi->in_place = (void *)kind->in_place;
  mpi->status_ignore = (void *)kind->status_ignore;
  mpi->handle_bytes = kind->handle_bytes;
  if (!missing) return SEER_OK;
  dlclose(mpi->library);
  return seer_fail(SEER_MACHINE,
                   "the library of %s has no '%s'\nnote: versions 4 and 5 of Open MPI and 3.1 and later of "
                   "MPICH are known",
                   kind->name, missing);
}
