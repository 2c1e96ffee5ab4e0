// What kernels of each kind reach on a machine, as `seerc calibrate` measures it: a run takes its kind's start, its
// operations and its bytes at the kind's rates, one after the other, and what of the bytes is beyond the cache once
// more at the memory's. Two numbers or three for each kind, which are the same at all shapes.
#ifndef SEER_PLAN_RATES_H
#define SEER_PLAN_RATES_H

#include "compiler/plan/blocks.h"

typedef enum RateKind {
#define RATE(name, serial) RATE_##name,
#include "compiler/plan/rates.def"
#undef RATE
  RATE_KIND_COUNT
} RateKind;
extern const char *const rate_names[RATE_KIND_COUNT];

typedef struct Rate {
  bool known;  // false: the machine's flops and bandwidth speak for this kind
  double start_seconds, flop_seconds, byte_seconds;
} Rate;

// With so many cores as the machine's description says.
typedef struct Rates {
  Rate items[RATE_KIND_COUNT];
  double cache_bytes;          // that a run reads or writes without waiting for memory
  double memory_byte_seconds;  // of each byte beyond
} Rates;

// What a run does, as rates see it. Dead places of vectors are computed with, too.
typedef struct RateWork {
  RateKind kind;
  double flops, bytes;
} RateWork;

// value_bytes: by ValueId, as they lie in memory.
RateWork rate_work(const Graph *graph, OpId op, RunVariant variant, const uint64_t *value_bytes);
// Of an update: its gradient is looked through for what is not finite. No bytes of other ops.
RateWork rate_look(const Graph *graph, OpId op, const uint64_t *value_bytes);
bool rate_is_update(OpKind kind);
// `share`: cores, for each of those that rates are of. The kind must be known.
double rate_seconds(const Rates *rates, RateWork work, double share);

#endif
