// Progress of work whose end is known; see meter.h.
#include "runtime/evaluate/meter.h"

#include <stdio.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/progress.h"

SeerMeter seer_meter_make(const char *what, bool quiet) {
  double now = seer_seconds_now();
  return (SeerMeter){
      .what = what, .quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1, .began = now, .printed = now};
}

void seer_meter_tell(void *data, double done) {
  SeerMeter *meter = data;
  double now = seer_seconds_now();
  if (meter->quiet || now - meter->printed < (meter->terminal ? 0.1 : 10)) return;
  char eta[32];
  seer_duration_text(eta, sizeof eta, done > 0 ? (now - meter->began) * (1 - done) / done : 0);
  fprintf(stderr, "%s%s: %.0f %%, eta %s%s", meter->terminal ? "\r" : "", meter->what, 100 * done, eta,
          meter->terminal ? "\033[K" : "\n");
  meter->printed = now;
  meter->drawn = meter->terminal;
}

void seer_meter_end(SeerMeter *meter) {
  if (meter->drawn) fprintf(stderr, "\r\033[K");
  meter->drawn = false;
}
