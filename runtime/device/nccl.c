// Opens NCCL, and tells what goes wrong in its words.
#include "runtime/device/nccl.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/symbol.h"

static const char usual_file[] = "libnccl.so.2";

// ---- opening ----

static SeerStatus library_find(void **library, const char **file) {
  const char *named = getenv("SEER_LIBNCCL");
  bool is_named = named && *named;
  *file = is_named ? named : usual_file;
  *library = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
  if (*library) return SEER_OK;
  const char *reason = dlerror();
  return seer_fail(SEER_MACHINE, "cannot open NCCL%s, '%s': %s%s", is_named ? ", which SEER_LIBNCCL names" : "", *file,
                   reason ? reason : "unknown reason",
                   is_named ? "\nnote: unset SEER_LIBNCCL to use that of the system"
                            : "\nnote: install NVIDIA's NCCL (package libnccl2), or name its library in SEER_LIBNCCL");
}

static SeerStatus functions_find(void *library, const char *file, SeerNccl *nccl) {
  const char *missing = NULL;
#define FUNCTION(type, field, symbol, parameters) \
  if (!seer_symbol_find(library, symbol, &nccl->field, sizeof nccl->field) && !missing) missing = symbol;
#include "runtime/device/nccl.def"
  if (!nccl->get_version) return seer_fail(SEER_MACHINE, "'%s' is no NCCL: it has no 'ncclGetVersion'", file);
  if (nccl->get_version(&nccl->version) != 0) nccl->version = 0;
  if (!missing && nccl->version >= SEER_NCCL_OLDEST) return SEER_OK;
  char there[32], needed[32], lacks[64] = "";
  seer_nccl_version_print(nccl->version, there, sizeof there);
  seer_nccl_version_print(SEER_NCCL_OLDEST, needed, sizeof needed);
  if (missing) snprintf(lacks, sizeof lacks, ", and has no '%s'", missing);
  return seer_fail(SEER_MACHINE, "NCCL '%s' is too old: it is %s%s, and %s is needed\nnote: install a newer NCCL", file,
                   there, lacks, needed);
}

static SeerStatus nccl_find(SeerNccl *nccl) {
  void *library = NULL;
  // The order in which this process starts what several communicators do is the same on all ranks; NCCL is to keep it.
  setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "1", 0);
  SeerStatus status = library_find(&library, &nccl->library);
  if (status) return status;
  status = functions_find(library, nccl->library, nccl);
  if (status) dlclose(library);
  return status;
}

SeerStatus seer_nccl_open(const SeerNccl **nccl) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static SeerNccl opened;
  static bool is_open;
  pthread_mutex_lock(&lock);
  SeerStatus status = SEER_OK;
  if (!is_open) {
    opened = (SeerNccl){0};
    status = nccl_find(&opened);
    is_open = status == SEER_OK;
  }
  *nccl = is_open ? &opened : NULL;
  pthread_mutex_unlock(&lock);
  return status;
}

void seer_nccl_version_print(int version, char *text, size_t bytes) {
  // 2.8 and before had one digit less.
  int unit = version < 10000 ? 1000 : 10000;
  snprintf(text, bytes, "%d.%d.%d", version / unit, version % unit / 100, version % 100);
}

// ---- calls ----

SeerStatus seer_nccl_check(const SeerNccl *nccl, SeerNcclComm *comm, int result, const char *what) {
  if (!result) return SEER_OK;
  const char *meaning = nccl->get_error_string(result), *last = nccl->get_last_error(comm);
  return seer_fail(SEER_MACHINE, "%s: NCCL: %s (%d)%s%s\nnote: NCCL_DEBUG=WARN in the environment lets NCCL say more",
                   what, meaning ? meaning : "an unknown error", result, last && *last ? ": " : "", last ? last : "");
}

SeerStatus seer_nccl_join(const SeerNccl *nccl, const SeerNcclId *id, int rank, int ranks, SeerNcclComm **comm) {
  enum { MAGIC = (int)0xcafebeef, LAYOUT = 21700, LEFT_TO_NCCL = INT_MIN };
  // Three communicators may be at work at once, and must all find room on a GPU for what runs of them.
  enum { BLOCKS_MOST = 32 };
  SeerNcclConfig config = {.size_bytes = sizeof config,
                           .magic = (unsigned)MAGIC,
                           .version = LAYOUT,
                           .blocking = 1,
                           .cluster_size = LEFT_TO_NCCL,
                           .blocks_least = LEFT_TO_NCCL,
                           .blocks_most = BLOCKS_MOST};
  *comm = NULL;
  int result = nccl->comm_init_rank_config(comm, ranks, *id, rank, &config);
  char what[96];
  snprintf(what, sizeof what, "ncclCommInitRankConfig, as rank %d of %d", rank, ranks);
  SeerStatus status = seer_nccl_check(nccl, NULL, result, what);
  if (status) *comm = NULL;
  return status;
}
