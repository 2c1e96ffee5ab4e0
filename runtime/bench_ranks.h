// A bench of several ranks: they join as in training, and besides the step what they send each other is timed alone.
#ifndef SEER_RUNTIME_BENCH_RANKS_H
#define SEER_RUNTIME_BENCH_RANKS_H

#include "runtime/comm/comm.h"
#include "runtime/comm/traffic.h"
#include "runtime/engine.h"
#include "runtime/options.h"

typedef struct SeerBenchRanks {
  SeerComm *comm;        // NULL: started alone
  SeerTraffic *traffic;  // of the program's units; NULL: none
} SeerBenchRanks;

// *program: the trainer's evaluation on the way in, the world's of these ranks on the way out. Collective.
SeerStatus seer_bench_ranks_join(const SeerProgram **program, const SeerOptions *options, SeerBenchRanks *ranks);
// Gives the engine what its step sends through. Collective.
SeerStatus seer_bench_ranks_attach(SeerBenchRanks *ranks, SeerEngine *engine, const SeerOptions *options);
void seer_bench_ranks_release(SeerBenchRanks *ranks);

// What the step's collectives take when nothing else is done, by the bytes that a rank brings along.
typedef enum SeerExchangeKind {
  SEER_EXCHANGE_GATHER,   // every rank gets every other's
  SEER_EXCHANGE_AVERAGE,  // of floats, in order of ranks, on every rank
  SEER_EXCHANGE_KINDS
} SeerExchangeKind;
extern const char *const seer_exchange_names[SEER_EXCHANGE_KINDS];

enum { SEER_EXCHANGE_SIZES = 6 };

typedef struct SeerExchange {
  SeerExchangeKind kind;
  int64_t bytes;
  double median, least;  // seconds, of this rank
} SeerExchange;

// exchanges [SEER_EXCHANGE_KINDS * SEER_EXCHANGE_SIZES]; takes about a second. Collective; not of one rank.
SeerStatus seer_exchange_measure(SeerComm *comm, SeerExchange *exchanges);

#endif
