// Copies beside the step; see offload.h.
#include "runtime/device/offload.h"

#include <stdlib.h>

#include "runtime/device/launch.h"

struct SeerOffload {
  SeerDevice *device;
  SeerDeviceStream *compute, *down, *up;
  SeerDeviceEvent *reached;  // by the stream that another one is about to follow
  unsigned char *memory;
};

static SeerStatus offload_fill(SeerOffload *offload, uint64_t host_bytes) {
  void *memory = NULL;
  SeerStatus status = seer_device_host_alloc(offload->device, host_bytes, "offloaded activations", &memory);
  offload->memory = memory;
  if (!status) status = seer_device_stream_make(offload->device, &offload->down);
  if (!status) status = seer_device_stream_make(offload->device, &offload->up);
  if (!status) status = seer_device_event_make(offload->device, false, &offload->reached);
  return status;
}

SeerStatus seer_offload_make(SeerDevice *device, SeerDeviceStream *compute, uint64_t host_bytes, SeerOffload **made) {
  *made = NULL;
  SeerOffload *offload = calloc(1, sizeof *offload);
  if (!offload) return seer_fail(SEER_MACHINE, "out of memory");
  *offload = (SeerOffload){.device = device, .compute = compute};
  SeerStatus status = offload_fill(offload, host_bytes);
  if (status)
    seer_offload_release(offload);
  else
    *made = offload;
  return status;
}

void seer_offload_release(SeerOffload *offload) {
  if (!offload) return;
  seer_device_stream_release(offload->device, offload->down);
  seer_device_stream_release(offload->device, offload->up);
  seer_device_event_release(offload->device, offload->reached);
  seer_device_host_free(offload->device, offload->memory);
  free(offload);
}

static SeerStatus join(SeerOffload *offload, SeerDeviceStream *stream, SeerDeviceStream *ahead) {
  return seer_device_stream_join(offload->device, stream, ahead, offload->reached);
}

void seer_offload_start(SeerContext *context, uint64_t host_offset, uint64_t size_bytes, const void *from) {
  SeerOffload *offload = context->offload;
  if (context->network) return;
  // What is copied has been computed.
  SeerStatus status = join(offload, offload->down, offload->compute);
  if (!status)
    status = seer_device_download(offload->device, offload->down, offload->memory + host_offset,
                                  (SeerAddress)(uintptr_t)from, size_bytes);
  context->network = (int)status;
}

void seer_offload_finish(SeerContext *context) {
  SeerOffload *offload = context->offload;
  if (!context->network) context->network = (int)join(offload, offload->compute, offload->down);
}

void seer_fetch_start(SeerContext *context, uint64_t host_offset, uint64_t size_bytes, void *to) {
  SeerOffload *offload = context->offload;
  if (context->network) return;
  // The compute stream is done with what lay there, and has waited for the copy to the host.
  SeerStatus status = join(offload, offload->up, offload->compute);
  if (!status)
    status = seer_device_upload(offload->device, offload->up, (SeerAddress)(uintptr_t)to, offload->memory + host_offset,
                                size_bytes);
  context->network = (int)status;
}

void seer_fetch_finish(SeerContext *context) {
  SeerOffload *offload = context->offload;
  if (!context->network) context->network = (int)join(offload, offload->compute, offload->up);
}
