// The list of pictures that cannot be decoded: JSON lines {"picture": NAME, "reason": TEXT}, each picture once, also
// over resumed runs. Bytes of names that are no UTF-8 are written as U+FFFD. One thread only.
#ifndef SEER_RUNTIME_DATA_QUARANTINE_H
#define SEER_RUNTIME_DATA_QUARANTINE_H

#include <stdint.h>

#include "runtime/status.h"

typedef struct SeerQuarantine SeerQuarantine;

// `path` may name a list of an earlier run, which goes on; NULL: nothing is written.
SeerStatus seer_quarantine_make(const char *path, SeerQuarantine **quarantine);
SeerStatus seer_quarantine_add(SeerQuarantine *quarantine, const char *name, const char *reason);
void seer_quarantine_release(SeerQuarantine *quarantine);

#endif
