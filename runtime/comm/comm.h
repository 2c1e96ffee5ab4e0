// The processes of one run: found by what their launcher left in the environment, joined by MPI.
//
// No MPI is linked in. A process that was started alone never looks for one; one of several opens the library that
// belongs to its launcher, so the same program runs under Open MPI and under MPICH (and what keeps MPICH's ABI).
#ifndef SEER_RUNTIME_COMM_H
#define SEER_RUNTIME_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/narrow.h"
#include "runtime/status.h"

typedef struct SeerComm SeerComm;

// Joins the other processes of this run; NULL comm: started alone. Collective. An error (SEER_MACHINE) when the library
// is missing, or when the launcher started several processes and MPI finds itself alone in each. `name` is the
// trainer's, for the messages of the watch, which ends all ranks when one waits longer than `patience_seconds`
// (watch.h; 0: its own).
SeerStatus seer_comm_open(const char *name, double patience_seconds, SeerComm **comm);
// Collective: the launcher takes a process that leaves without it for a crash. NULL is allowed.
void seer_comm_close(SeerComm *comm);

// Of NULL: rank 0 of 1.
int seer_comm_rank(const SeerComm *comm);
int seer_comm_size(const SeerComm *comm);
// Ranks on this host, and this one's number among them.
int seer_comm_local_size(const SeerComm *comm);
int seer_comm_local_rank(const SeerComm *comm);
// What MPI calls itself, its first line; "none" of NULL.
const char *seer_comm_library(const SeerComm *comm);

// From here on every rank keeps a record in `folder`, which all of them write to, and faults are named (watch.h).
// Collective.
SeerStatus seer_comm_watch(SeerComm *comm, const char *folder);
// For the watch: the step at hand, from 1; what a rank is busy with between collectives, a constant text, and whether
// nobody can say how long that takes. NULL is allowed.
void seer_comm_step(SeerComm *comm, int64_t step);
void seer_comm_work(SeerComm *comm, const char *work, bool long_work);
// Around a wait for other ranks that is not one of the collectives below; a constant text.
void seer_comm_enter(SeerComm *comm, const char *collective);
void seer_comm_leave(SeerComm *comm);
// The same where this rank was at work meanwhile: not of seer_comm_waited.
void seer_comm_leave_busy(SeerComm *comm);
// For a rank that cannot go on while others are on their way to a collective that it will not reach: ends all ranks,
// with the message of its last error. Does not return where there are several.
void seer_comm_give_up(SeerComm *comm);
// Seconds that this rank has spent in collectives.
double seer_comm_waited(const SeerComm *comm);
const char *seer_comm_host(const SeerComm *comm, int rank);
// The library, for what else travels; not of NULL.
const struct SeerMpi *seer_comm_mpi(const SeerComm *comm);

// Every rank's `bytes` of `mine`, in the order of ranks, into `all` [size][bytes]. Collective.
SeerStatus seer_comm_all_gather(SeerComm *comm, const void *mine, size_t bytes, void *all);

// Forms groups of `ranks` ranks, one behind the other; once. Collective.
SeerStatus seer_comm_group_make(SeerComm *comm, int ranks);
// Every one's of this rank's group. Collective within the group.
SeerStatus seer_comm_group_gather(SeerComm *comm, const void *mine, size_t bytes, void *all);

// The mean over ranks of `count` floats, which travel in `format`, summed in the order of ranks: the same bits on every
// rank, whatever the MPI. With `slices`, `mine` is a sum over this rank's share of so many: summed pairwise
// (runtime/pairwise.h) in f32, and the mean is over slices. `scratch` as for seer_average_ranks in runtime/program.h;
// `average` may be `mine` where there are others and the format is f32. Collective.
SeerStatus seer_comm_average(SeerComm *comm, int64_t count, SeerFormat format, int slices, const float *mine,
                             float *scratch, float *average);
// Each of `count` numbers becomes its sum over ranks, pairwise. For few of them. Collective.
SeerStatus seer_comm_sum(SeerComm *comm, double *numbers, int count);
// The number becomes the largest of all ranks. Collective.
SeerStatus seer_comm_largest(SeerComm *comm, int *number);
// Tells all ranks how one fared: SEER_OK only when all have it; else an error that names the first rank that failed.
// `mine` keeps its own message. Collective.
SeerStatus seer_comm_agree(SeerComm *comm, SeerStatus mine);
// The same, and the number becomes the largest of all ranks, in one collective.
SeerStatus seer_comm_agree_largest(SeerComm *comm, SeerStatus mine, int *number);

#endif
