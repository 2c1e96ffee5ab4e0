// Times the collectives of the step with nothing beside them; see bench_ranks.h. Ranks meet before each, so that what
// is timed is the exchange and no wait for one that comes late.
#include <stdlib.h>

#include "runtime/bench_ranks.h"
#include "runtime/clock.h"
#include "runtime/program.h"
#include "runtime/sample.h"

enum { MOST_TIMES = 200, FEW_TIMES = 9 };

// From a BatchNorm's statistics to the gradient of the largest layers.
static const int64_t exchange_bytes[SEER_EXCHANGE_SIZES] = {256, 4096, 65536, 1 << 19, 1 << 22, 1 << 24};

const char *const seer_exchange_names[SEER_EXCHANGE_KINDS] = {"gather", "average"};

typedef struct Buffers {
  float *mine, *scratch, *all;  // [bytes], [ranks][share], [ranks][bytes]
} Buffers;

static SeerStatus buffers_make(int ranks, Buffers *buffers) {
  int64_t most = exchange_bytes[SEER_EXCHANGE_SIZES - 1], floats = most / (int64_t)sizeof(float);
  buffers->mine = calloc((size_t)floats, sizeof(float));
  buffers->scratch = calloc((size_t)(ranks * seer_average_share(floats, ranks)), sizeof(float));
  buffers->all = calloc((size_t)ranks, (size_t)most);
  if (buffers->mine && buffers->scratch && buffers->all) return SEER_OK;
  return seer_fail(SEER_MACHINE, "no memory to exchange %lld bytes", (long long)most);
}

static void buffers_release(Buffers *buffers) {
  free(buffers->mine);
  free(buffers->scratch);
  free(buffers->all);
}

static SeerStatus exchange_once(SeerComm *comm, const SeerExchange *exchange, Buffers *buffers) {
  if (exchange->kind == SEER_EXCHANGE_GATHER)
    return seer_comm_all_gather(comm, buffers->mine, (size_t)exchange->bytes, buffers->all);
  return seer_comm_average(comm, exchange->bytes / (int64_t)sizeof(float), SEER_FP32, 0, buffers->mine,
                           buffers->scratch, buffers->all);
}

static SeerStatus exchange_time(SeerComm *comm, SeerExchange *exchange, Buffers *buffers) {
  double seconds[MOST_TIMES];
  int times = exchange->bytes > 1 << 18 ? FEW_TIMES : MOST_TIMES;
  SeerStatus status = exchange_once(comm, exchange, buffers);  // pages and connections are there from now on
  for (int i = 0; i < times && !status; i++) {
    status = seer_comm_agree(comm, SEER_OK);
    double began = seer_seconds_now();
    if (!status) status = exchange_once(comm, exchange, buffers);
    seconds[i] = seer_seconds_now() - began;
  }
  if (status) return status;
  SeerSample sample = seer_sample_summarize(seconds, times);
  exchange->median = sample.median;
  exchange->least = sample.least;
  return SEER_OK;
}

SeerStatus seer_exchange_measure(SeerComm *comm, SeerExchange *exchanges) {
  Buffers buffers = {0};
  SeerStatus status = seer_comm_agree(comm, buffers_make(seer_comm_size(comm), &buffers));
  for (int i = 0; i < SEER_EXCHANGE_KINDS * SEER_EXCHANGE_SIZES && !status; i++) {
    exchanges[i] = (SeerExchange){.kind = (SeerExchangeKind)(i / SEER_EXCHANGE_SIZES),
                                  .bytes = exchange_bytes[i % SEER_EXCHANGE_SIZES]};
    status = exchange_time(comm, &exchanges[i], &buffers);
  }
  buffers_release(&buffers);
  return status;
}
