// A machine's description as calibrate writes it: every number with where it comes from.
#ifndef SEER_DRIVER_CALIBRATE_FILE_H
#define SEER_DRIVER_CALIBRATE_FILE_H

#include "compiler/driver/calibrate_fit.h"

enum { CALIBRATE_MOST_PRECISIONS = 2 };

typedef struct CalibratedMachine {
  const char *processor, *level, *date;  // level: what the kernels were compiled for
  const char *how;                       // what was timed, for the sources
  int cores, threads;                    // threads: that were measured; 0: a GPU, whose ranks have one each
  uint64_t memory_bytes;
  double flops, efficiency, bandwidth;
  double cache_bytes;  // INFINITY: all
  int precision_count;
  const char *precisions[CALIBRATE_MOST_PRECISIONS];
  Rates rates[CALIBRATE_MOST_PRECISIONS];
  RateFit fits[CALIBRATE_MOST_PRECISIONS][RATE_KIND_COUNT];
  bool has_exchange;  // of ranks of one node
  const char *exchange_how;
  double node_latency_seconds, node_bandwidth;
} CalibratedMachine;

void calibrated_machine_print(const CalibratedMachine *machine, Writer *out);

#endif
