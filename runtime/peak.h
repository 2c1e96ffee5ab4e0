// What this processor can do at most, measured: the roofs that a step is held against.
#ifndef SEER_RUNTIME_PEAK_H
#define SEER_RUNTIME_PEAK_H

#include <stdint.h>

#include "runtime/parallel.h"
#include "runtime/status.h"

typedef struct SeerPeak {
  double flops_per_second;  // fp32, a multiply-add is two
  double bytes_per_second;  // from and to memory
  int vector_floats;        // of the vectors it was measured with
  uint64_t triad_bytes;     // that the bandwidth was measured over
} SeerPeak;

// Takes about a second and, for its time, triad_bytes of memory. On all threads of the pool.
SeerStatus seer_peak_measure(SeerPool *pool, SeerPeak *peak);

#endif
