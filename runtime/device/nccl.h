// NCCL, opened when ranks have a GPU each; nothing of it is linked in, and no header of it is used. The declarations
// follow its binary interface (NCCL user guide, API reference).
//
// $SEER_LIBNCCL names the library to open, and then no other is tried: the tests' simulated one is such.
#ifndef SEER_RUNTIME_DEVICE_NCCL_H
#define SEER_RUNTIME_DEVICE_NCCL_H

#include "runtime/device/driver.h"

typedef struct SeerNcclComm SeerNcclComm;  // a communicator
typedef struct SeerNcclId {
  char bytes[128];
} SeerNcclId;

// As of version 2.17; what came later is left to NCCL.
typedef struct SeerNcclConfig {
  size_t size_bytes;
  unsigned magic, version;
  int blocking, cluster_size, blocks_least, blocks_most;
  const char *network;
} SeerNcclConfig;

// Its functions (nccl.def) that give a result give 0 for success.
typedef struct SeerNccl {
  const char *library;  // as it was opened
  int version;          // 22809: 2.28.9
#define FUNCTION(type, field, symbol, parameters) type(*field) parameters;
#include "runtime/device/nccl.def"
} SeerNccl;

enum { SEER_NCCL_IN_PROGRESS = 7 };
enum { SEER_NCCL_BYTES = 1 };  // type: numbers of 8 bits
// From here on several communicators of a GPU may be at work at once.
enum { SEER_NCCL_OLDEST = 22600 };

// Opens it the first time; it stays open. Fails (SEER_MACHINE) where there is no library, where it lacks a function,
// and where it is too old.
SeerStatus seer_nccl_open(const SeerNccl **nccl);

// A communicator of `ranks` ranks, which all call this and wait for each other.
SeerStatus seer_nccl_join(const SeerNccl *nccl, const SeerNcclId *id, int rank, int ranks, SeerNcclComm **comm);
// SEER_OK for result 0. Else an error: what was done, and NCCL's own words; `comm` may be NULL.
SeerStatus seer_nccl_check(const SeerNccl *nccl, SeerNcclComm *comm, int result, const char *what);

void seer_nccl_version_print(int version, char *text, size_t bytes);

#endif
