// What ranks send each other from their GPUs: by NCCL (nccl_exchange.h) where every rank has a GPU of its own and the
// library, else by way of this machine's memory and MPI (staged.h). All ranks decide alike.
#ifndef SEER_RUNTIME_DEVICE_EXCHANGE_H
#define SEER_RUNTIME_DEVICE_EXCHANGE_H

#include "runtime/comm/comm.h"
#include "runtime/device/device.h"
#include "runtime/program.h"

typedef struct SeerExchange SeerExchange;

// Numbers of kernels of the device, of kernels/cuda/ranks.cu: average_parts, average_narrow_parts, narrow_floats,
// copy_rows.
typedef struct SeerExchangeKernels {
  int average, average_narrow, narrow, copy_rows;
} SeerExchangeKernels;

typedef struct SeerExchangeConfig {
  const SeerProgram *program;
  SeerComm *comm;
  SeerDevice *device;
  SeerDeviceStream *compute;  // that launches go to
  SeerAddress state;          // of the program, on the GPU
  SeerAddress bounce;         // for gradients on their way
  uint64_t bounce_bytes;
  SeerExchangeKernels kernels;
} SeerExchangeConfig;

// `asked`: "nccl", "host", or NULL. SEER_USAGE: neither of them.
SeerStatus seer_exchange_read(const char *asked);
// Collective. Where "nccl" is asked for and cannot be, the error says why.
SeerStatus seer_exchange_make(const SeerExchangeConfig *config, const char *asked, SeerExchange **exchange);
// NULL is nothing. Nothing may be on its way, and no graph that was captured may be left.
void seer_exchange_release(SeerExchange *exchange);
// "ranks exchange by ...", and why.
const char *seer_exchange_told(const SeerExchange *exchange);
// Whether an entry with collectives can be captured; else it is sent launch by launch.
bool seer_exchange_is_captured(const SeerExchange *exchange);
// For seer_traffic_make: where parts of the state lie on their way; NULL where they never come here.
unsigned char *seer_exchange_unit_memory(const SeerExchange *exchange);

// Before the first launch of an entry, and after the last: until all of it is done.
SeerStatus seer_exchange_begin(SeerExchange *exchange);
SeerStatus seer_exchange_end(SeerExchange *exchange);
// Until the compute stream is done, in the middle of an entry.
SeerStatus seer_exchange_wait(SeerExchange *exchange);

// The collectives of runtime/program.h; addresses are the GPU's. `group`: of the ranks that BatchNorm goes over.
SeerStatus seer_exchange_gather(SeerExchange *exchange, const SeerContext *context, bool group, int64_t floats,
                                SeerAddress mine, SeerAddress all);
SeerStatus seer_exchange_average(SeerExchange *exchange, const SeerContext *context, int64_t count, SeerFormat format,
                                 SeerAddress mine, SeerAddress scratch, SeerAddress average);
SeerStatus seer_exchange_start(SeerExchange *exchange, SeerContext *context, SeerWay way, int unit, SeerAddress whole);
SeerStatus seer_exchange_finish(SeerExchange *exchange, SeerContext *context, SeerWay way, int unit);

#endif
