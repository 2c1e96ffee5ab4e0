// Progress of work whose end is known, on standard error: redrawn on a terminal, a line every ten seconds elsewhere.
#ifndef SEER_RUNTIME_EVALUATE_METER_H
#define SEER_RUNTIME_EVALUATE_METER_H

#include <stdbool.h>

typedef struct SeerMeter {
  const char *what;  // "linear probe"
  bool quiet, terminal, drawn;
  double began, printed;  // seconds
} SeerMeter;

SeerMeter seer_meter_make(const char *what, bool quiet);
// `meter` is a SeerMeter; `done` the share of the work, 0..1.
void seer_meter_tell(void *meter, double done);
void seer_meter_end(SeerMeter *meter);

#endif
