// What ranks send each other by NCCL, from GPU to GPU. Of one program; used by the thread that sends launches.
//
// Small collectives go in the compute stream. Parameters and gradients on their way have a stream and communicators of
// their own each, tied to the compute stream by events: the step goes on while they travel, and all of it can be
// captured. No sum is NCCL's: it brings parts, and kernels average them in the order of ranks, so that the bits are
// those of staged.h.
//
// After a failure the communicators are aborted, so that nothing of them runs on, and the other ranks wait in vain:
// seer_comm_give_up is what is left.
#ifndef SEER_RUNTIME_DEVICE_NCCL_EXCHANGE_H
#define SEER_RUNTIME_DEVICE_NCCL_EXCHANGE_H

#include "runtime/device/exchange.h"
#include "runtime/device/nccl.h"

typedef struct SeerNcclExchange SeerNcclExchange;

// Collective; all ranks have opened NCCL.
SeerStatus seer_nccl_exchange_make(const SeerNccl *nccl, const SeerExchangeConfig *config, SeerNcclExchange **exchange);
// NULL is nothing. Nothing may be on its way, and no graph that was captured may be left.
void seer_nccl_exchange_release(SeerNcclExchange *exchange);

// Before an entry, and after it: until all of the compute stream is done, or NCCL tells an error.
void seer_nccl_exchange_begin(SeerNcclExchange *exchange);
SeerStatus seer_nccl_exchange_end(SeerNcclExchange *exchange);
// The wait alone.
SeerStatus seer_nccl_exchange_wait(SeerNcclExchange *exchange);

// The collectives of runtime/program.h; addresses are the GPU's. `group`: of the ranks that BatchNorm goes over.
SeerStatus seer_nccl_exchange_gather(SeerNcclExchange *exchange, bool group, int64_t floats, SeerAddress mine,
                                     SeerAddress all);
SeerStatus seer_nccl_exchange_average(SeerNcclExchange *exchange, int64_t count, SeerFormat format, SeerAddress mine,
                                      SeerAddress scratch, SeerAddress average);
SeerStatus seer_nccl_exchange_start(SeerNcclExchange *exchange, SeerContext *context, SeerWay way, int unit,
                                    SeerAddress whole);
SeerStatus seer_nccl_exchange_finish(SeerNcclExchange *exchange, SeerWay way, int unit);

#endif
