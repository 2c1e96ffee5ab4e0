// Activations that wait in this machine's memory, page-locked, while the step on the GPU goes on: copied there on one
// stream and back on another, ordered by events against the stream of the launches. For captured entries and for those
// that are sent launch by launch; the emitted step starts and finishes the copies (launch.h).
#ifndef SEER_RUNTIME_DEVICE_OFFLOAD_H
#define SEER_RUNTIME_DEVICE_OFFLOAD_H

#include "runtime/device/device.h"

typedef struct SeerOffload SeerOffload;

// `compute`: the stream that launches go to. Takes `host_bytes`, not 0, at once: nothing is allocated later.
SeerStatus seer_offload_make(SeerDevice *device, SeerDeviceStream *compute, uint64_t host_bytes, SeerOffload **made);
// NULL is nothing. Nothing may be on its way.
void seer_offload_release(SeerOffload *offload);

#endif
