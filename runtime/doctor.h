// What the doctor finds out on every rank of a run, and what it thinks of it.
#ifndef SEER_RUNTIME_DOCTOR_H
#define SEER_RUNTIME_DOCTOR_H

#include "runtime/comm/comm.h"
#include "runtime/options.h"
#include "runtime/program.h"

enum { SEER_NAME_BYTES = 64, SEER_MESSAGE_BYTES = 512 };

// Of one rank and its host; travels between ranks as bytes.
typedef struct SeerRankFacts {
  char host[SEER_NAME_BYTES], level[SEER_NAME_BYTES];
  char missing[SEER_NAME_BYTES];    // what the processor lacks, or ""
  char mpi[SEER_NAME_BYTES];        // seer_comm_library
  char program[SEER_NAME_BYTES];    // hash of the running file, or ""
  char folder[SEER_MESSAGE_BYTES];  // why rank 0's file in the run's folder is not to be seen, or ""
  char data[SEER_MESSAGE_BYTES];    // why pictures cannot be read, or ""
  char gpu[4 * SEER_NAME_BYTES];    // what it would run on, or ""
  char no_gpu[SEER_MESSAGE_BYTES];  // why it has none, or ""
  int64_t pictures;                 // -1: none are named
  int32_t cores, threads;
  int32_t bound;                               // 1: to these cores of the host
  double clock_seconds;                        // ahead of rank 0
  uint64_t needed, available, snapshot, disk;  // bytes
} SeerRankFacts;

// How many ranks share a rank's host, and what they need together.
typedef struct SeerHostShare {
  int ranks, threads;
  uint64_t needed;
} SeerHostShare;

// all [ranks]. Collective; what one rank cannot do is a fact, not an error.
SeerStatus seer_doctor_look(const SeerProgram *program, const SeerOptions *options, SeerComm *comm, SeerRankFacts *all);
// The first thing that keeps this trainer from running, as an error; the same on every rank.
SeerStatus seer_doctor_judge(const SeerProgram *program, const SeerRankFacts *all, int ranks);
// What works, but not well, on standard error.
void seer_doctor_warn(const SeerRankFacts *all, int ranks);

SeerHostShare seer_host_share(const SeerRankFacts *all, int ranks, int rank);
// Whether a rank is the first of its host.
bool seer_host_leads(const SeerRankFacts *all, int rank);
double seer_clocks_apart(const SeerRankFacts *all, int ranks);
uint64_t seer_run_disk_bytes(const SeerProgram *program, const SeerRankFacts *facts);

#endif
