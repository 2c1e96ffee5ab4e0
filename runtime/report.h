// The report page of a run: one file without network, with curves, prototype usage, pictures and their neighbours.
#ifndef SEER_RUNTIME_REPORT_H
#define SEER_RUNTIME_REPORT_H

#include "runtime/data/decoder.h"
#include "runtime/engine.h"
#include "runtime/files.h"
#include "runtime/options.h"

typedef struct SeerReportRequest {
  const char *run;
  const SeerOptions *options;
  SeerEngine *engine;        // its state holds the trained network
  const SeerSource *source;  // NULL: no pictures, so no neighbours
  SeerDecoder *decoder;      // of its pictures; left to seer_report_write
  uint64_t seed;             // of the run: of the untrained network that is compared against
} SeerReportRequest;

// Writes RUN/report.html, whose path is left in *path.
SeerStatus seer_report_write(const SeerReportRequest *wanted, SeerPath *path);

#endif
