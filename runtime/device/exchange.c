// Decides how ranks exchange, and passes on what is asked of it.
#include "runtime/device/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/nccl_exchange.h"
#include "runtime/device/staged.h"

enum { TOLD_BYTES = 640 };

struct SeerExchange {
  SeerDevice *device;
  SeerDeviceStream *compute;
  SeerStaged *staged;
  SeerNcclExchange *nccl;  // one of both
  char told[TOLD_BYTES];
};

// ---- the decision ----

// What a rank tells all of itself.
typedef struct Candidate {
  int version;  // of NCCL; 0: none
  int ordinal;
  char name[64], uuid[41], lack[384];  // lack: why there is none
} Candidate;

SeerStatus seer_exchange_read(const char *asked) {
  if (!asked || strcmp(asked, "nccl") == 0 || strcmp(asked, "host") == 0) return SEER_OK;
  return seer_fail(SEER_USAGE, "'--exchange' takes 'nccl' or 'host', not '%s'", asked);
}

static Candidate candidate_here(const SeerDevice *device, const SeerNccl **nccl) {
  const SeerDeviceFacts *facts = seer_device_facts(device);
  Candidate here = {.ordinal = facts->ordinal};
  snprintf(here.name, sizeof here.name, "%.*s", (int)sizeof here.name - 1, facts->name);
  snprintf(here.uuid, sizeof here.uuid, "%s", facts->uuid);
  if (seer_nccl_open(nccl)) {
    snprintf(here.lack, sizeof here.lack, "%.*s", (int)strcspn(seer_error(), "\n"), seer_error());
    seer_error_clear();
  } else {
    here.version = (*nccl)->version;
  }
  return here;
}

// Why NCCL cannot be, into `why`; false: it can.
static bool obstacle_find(const Candidate *ranks, int count, char *why, size_t bytes) {
  for (int a = 0; a < count; a++) {
    for (int b = a + 1; b < count; b++) {
      if (strcmp(ranks[a].uuid, ranks[b].uuid) != 0) continue;
      snprintf(why, bytes, "ranks %d and %d share GPU %d '%s' (%s), and NCCL wants one for each", a, b,
               ranks[a].ordinal, ranks[a].name, ranks[a].uuid);
      return true;
    }
  }
  for (int rank = 0; rank < count; rank++) {
    if (ranks[rank].version) continue;
    snprintf(why, bytes, "rank %d: %s", rank, ranks[rank].lack);
    return true;
  }
  for (int rank = 1; rank < count; rank++) {
    if (ranks[rank].version == ranks[0].version) continue;
    char first[32], other[32];
    seer_nccl_version_print(ranks[0].version, first, sizeof first);
    seer_nccl_version_print(ranks[rank].version, other, sizeof other);
    snprintf(why, bytes, "rank 0 has NCCL %s and rank %d has %s", first, rank, other);
    return true;
  }
  return false;
}

// *nccl is NULL where ranks exchange by way of the host; `why` then says it.
static SeerStatus way_decide(const SeerExchangeConfig *config, bool forced, const SeerNccl **nccl, char *why,
                             size_t bytes) {
  int count = seer_comm_size(config->comm);
  Candidate here = candidate_here(config->device, nccl), *ranks = calloc((size_t)count, sizeof *ranks);
  SeerStatus status = ranks ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  status = seer_comm_agree(config->comm, status);
  if (!status) status = seer_comm_all_gather(config->comm, &here, sizeof here, ranks);
  if (!status && obstacle_find(ranks, count, why, bytes)) {
    *nccl = NULL;
    if (forced) {
      status = SEER_MACHINE;
      // One says it for all.
      if (seer_comm_rank(config->comm) == 0)
        seer_fail(status, "'--exchange nccl' cannot be: %s\nnote: '--exchange host' goes by way of the host and MPI",
                  why);
    }
  }
  free(ranks);
  return status;
}

SeerStatus seer_exchange_make(const SeerExchangeConfig *config, const char *asked, SeerExchange **made) {
  *made = NULL;
  SeerExchange *exchange = calloc(1, sizeof *exchange);
  SeerStatus status = exchange ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  status = seer_comm_agree(config->comm, status);
  if (status) {
    free(exchange);
    return status;
  }
  exchange->device = config->device;
  exchange->compute = config->compute;
  const SeerNccl *nccl = NULL;
  char why[TOLD_BYTES - 64] = "as '--exchange host' asks";
  if (!asked || strcmp(asked, "host") != 0) status = way_decide(config, asked != NULL, &nccl, why, sizeof why);
  if (!status && nccl) {
    char version[32];
    seer_nccl_version_print(nccl->version, version, sizeof version);
    snprintf(exchange->told, sizeof exchange->told, "ranks exchange by NCCL %s ('%s')", version, nccl->library);
    status = seer_nccl_exchange_make(nccl, config, &exchange->nccl);
  } else if (!status) {
    snprintf(exchange->told, sizeof exchange->told, "ranks exchange by way of the host and MPI: %s", why);
    status = seer_staged_make(config->program, config->device, config->compute, config->state, &exchange->staged);
  }
  if (status)
    seer_exchange_release(exchange);
  else
    *made = exchange;
  return status;
}

void seer_exchange_release(SeerExchange *exchange) {
  if (!exchange) return;
  seer_staged_release(exchange->staged);
  seer_nccl_exchange_release(exchange->nccl);
  free(exchange);
}

const char *seer_exchange_told(const SeerExchange *exchange) { return exchange->told; }

bool seer_exchange_is_captured(const SeerExchange *exchange) { return exchange->nccl != NULL; }

unsigned char *seer_exchange_unit_memory(const SeerExchange *exchange) {
  return exchange->staged ? seer_staged_state(exchange->staged) : NULL;
}

// ---- passed on ----

SeerStatus seer_exchange_begin(SeerExchange *exchange) {
  if (exchange->staged) return seer_staged_begin(exchange->staged);
  seer_nccl_exchange_begin(exchange->nccl);
  return SEER_OK;
}

SeerStatus seer_exchange_wait(SeerExchange *exchange) {
  if (exchange->staged) return seer_device_stream_wait(exchange->device, exchange->compute);
  return seer_nccl_exchange_wait(exchange->nccl);
}

SeerStatus seer_exchange_end(SeerExchange *exchange) {
  if (exchange->nccl) return seer_nccl_exchange_end(exchange->nccl);
  SeerStatus status = seer_device_stream_wait(exchange->device, exchange->compute);
  return status ? status : seer_staged_end(exchange->staged);
}

SeerStatus seer_exchange_gather(SeerExchange *exchange, const SeerContext *context, bool group, int64_t floats,
                                SeerAddress mine, SeerAddress all) {
  return exchange->nccl ? seer_nccl_exchange_gather(exchange->nccl, group, floats, mine, all)
                        : seer_staged_gather(exchange->staged, context, group, floats, mine, all);
}

SeerStatus seer_exchange_average(SeerExchange *exchange, const SeerContext *context, int64_t count, SeerFormat format,
                                 SeerAddress mine, SeerAddress scratch, SeerAddress average) {
  return exchange->nccl ? seer_nccl_exchange_average(exchange->nccl, count, format, mine, scratch, average)
                        : seer_staged_average(exchange->staged, context, count, format, mine, average);
}

SeerStatus seer_exchange_start(SeerExchange *exchange, SeerContext *context, SeerWay way, int unit, SeerAddress whole) {
  return exchange->nccl ? seer_nccl_exchange_start(exchange->nccl, context, way, unit, whole)
                        : seer_staged_start(exchange->staged, context, way, unit, whole);
}

SeerStatus seer_exchange_finish(SeerExchange *exchange, SeerContext *context, SeerWay way, int unit) {
  return exchange->nccl ? seer_nccl_exchange_finish(exchange->nccl, way, unit)
                        : seer_staged_finish(exchange->staged, context, way, unit);
}
