// TensorBoard event files: TFRecord framing around hand-encoded Event messages, scalars only.
#ifndef SEER_RUNTIME_EVENTS_H
#define SEER_RUNTIME_EVENTS_H

#include <stdint.h>

#include "runtime/files.h"

typedef struct SeerEvents {
  int fd;  // -1: not open
  SeerPath path;
} SeerEvents;

typedef struct SeerScalar {
  const char *tag;
  double value;
} SeerScalar;

// Makes a new event file in `folder`. `first_step` > 0 tells readers to drop what earlier files say from that step on.
SeerStatus seer_events_open(SeerEvents *events, const char *folder, int64_t first_step);
SeerStatus seer_events_write(SeerEvents *events, int64_t step, const SeerScalar *scalars, int count);
void seer_events_close(SeerEvents *events);

#endif
