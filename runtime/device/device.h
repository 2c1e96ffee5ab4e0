// One GPU that a trainer has opened: the kernels it carries, memory, streams, events and graphs. What it does runs in
// the order of a stream and, unless a function says otherwise, after the call has returned.
//
// A call that fails tells so with the GPU's name (seer_fail). Once the GPU is lost (its memory broke, a kernel did what
// it must not, it was taken away), every later call returns the same status at once; what releases still releases.
// Any thread may call, one at a time for each stream; seer_device_open and seer_device_close when no other does.
#ifndef SEER_RUNTIME_DEVICE_DEVICE_H
#define SEER_RUNTIME_DEVICE_DEVICE_H

#include "runtime/device/driver.h"

// ---- what a trainer carries ----

// Compiled code for one architecture; PTX ends with a zero byte.
typedef struct SeerModule {
  const void *bytes;
  size_t size_bytes;
} SeerModule;

// What a launch of a kernel asks for, of a block.
typedef struct SeerBlock {
  int threads, shared_bytes;
} SeerBlock;

// "sm_80": any GPU of compute capability 8.x; with another digit (sm_86) those from 8.6; with a letter (sm_90a) 9.0
// alone. "compute_80": PTX, for any GPU from 8.0 that no other serves. "simulated": the tests' GPU; "simulated_sm_90a":
// where its capability is 9.0.
typedef struct SeerArchitecture {
  const char *name;
  const SeerModule *modules;  // module_count of SeerKernels
  const SeerBlock *blocks;    // kernel_count
} SeerArchitecture;

typedef struct SeerKernel {
  const char *name;      // as errors and profiles call it
  const char *function;  // in its module
  int module;
} SeerKernel;

typedef struct SeerKernels {
  int architecture_count, module_count, kernel_count;
  const SeerArchitecture *architectures;
  const SeerKernel *kernels;
} SeerKernels;

// ---- the GPU ----

typedef struct SeerDevice SeerDevice;

typedef struct SeerDeviceFacts {
  char name[128];
  char uuid[41];  // "GPU-" and 32 digits in groups, as `nvidia-smi -L` prints it
  int ordinal, driver_version;
  int capability;  // 10 times the major one and the minor one: 90
  int multiprocessors, clock_khz;
  int threads_most, shared_bytes_most;  // of a block
  uint64_t memory_bytes, cache_bytes;
  const char *architecture;  // whose modules were loaded; NULL without kernels
} SeerDeviceFacts;

// GPUs that this process may use; opens the driver. None is an error.
SeerStatus seer_device_count(int *count);

// Opens a GPU and loads `kernels` (NULL: none) for it: those that were compiled for it most closely. Fails where the
// driver cannot be opened, no such GPU is there, no architecture fits, or a kernel wants more than the GPU has.
SeerStatus seer_device_open(const SeerKernels *kernels, int ordinal, SeerDevice **device);
// NULL is nothing. What was made with it and not released must not be used any more.
void seer_device_close(SeerDevice *device);
const SeerDeviceFacts *seer_device_facts(const SeerDevice *device);
// SEER_OK, or what every call returns since the GPU was lost.
SeerStatus seer_device_status(const SeerDevice *device);

// ---- memory; sizes in bytes, not zero; at multiples of 256 ----

// `what` completes "cannot get 3.0 MiB for ...". Contents are whatever was there.
SeerStatus seer_device_alloc(SeerDevice *device, uint64_t size_bytes, const char *what, SeerAddress *address);
// Waits for all work on the GPU. 0 is nothing.
void seer_device_free(SeerDevice *device, SeerAddress address);
SeerStatus seer_device_free_bytes(SeerDevice *device, uint64_t *free_bytes);
// Memory of the machine that the GPU copies from and to while the processor goes on (page-locked).
SeerStatus seer_device_host_alloc(SeerDevice *device, uint64_t size_bytes, const char *what, void **memory);
void seer_device_host_free(SeerDevice *device, void *memory);

// Copies. Memory of the machine that is not seer_device_host_alloc's works, too, but the call then takes as long as the
// copy. Otherwise `from` must stay as it is, and `to` tells nothing, until the stream has been waited for.
SeerStatus seer_device_upload(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, const void *from,
                              uint64_t size_bytes);
SeerStatus seer_device_download(SeerDevice *device, SeerDeviceStream *stream, void *to, SeerAddress from,
                                uint64_t size_bytes);
SeerStatus seer_device_copy(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, SeerAddress from,
                            uint64_t size_bytes);
SeerStatus seer_device_fill(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, unsigned char byte,
                            uint64_t size_bytes);

// ---- launches ----

// Launches kernel number `kernel` of those the device was opened with in x * y * z blocks. `arguments` holds the
// address of each parameter; their values are read before the call returns.
SeerStatus seer_device_launch(SeerDevice *device, SeerDeviceStream *stream, int kernel, unsigned x, unsigned y,
                              unsigned z, void **arguments);
// Of a block of that kernel.
unsigned seer_device_block_threads(const SeerDevice *device, int kernel);
// Calls `function` on a thread of the driver's when the stream comes to it; the stream goes on when it returns. It must
// call nothing of this header.
SeerStatus seer_device_call(SeerDevice *device, SeerDeviceStream *stream, void (*function)(void *data), void *data);

// Makes the GPU the calling thread's, for libraries that look for it there.
SeerStatus seer_device_use(SeerDevice *device);

// ---- streams and events ----

SeerStatus seer_device_stream_make(SeerDevice *device, SeerDeviceStream **stream);
// Lets its work run to the end. NULL is nothing.
void seer_device_stream_release(SeerDevice *device, SeerDeviceStream *stream);
// Until all work of the stream is done; tells what went wrong in it.
SeerStatus seer_device_stream_wait(SeerDevice *device, SeerDeviceStream *stream);
// Whether it is, without waiting.
SeerStatus seer_device_stream_look(SeerDevice *device, SeerDeviceStream *stream, bool *done);
// What comes to `stream` from here on begins after what `event` recorded last.
SeerStatus seer_device_stream_follow(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceEvent *event);
// What comes to `stream` from here on begins after what `ahead` has so far, which `event` then stands for.
SeerStatus seer_device_stream_join(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceStream *ahead,
                                   SeerDeviceEvent *event);

// `timed`: for seer_device_event_seconds; others cost less.
SeerStatus seer_device_event_make(SeerDevice *device, bool timed, SeerDeviceEvent **event);
void seer_device_event_release(SeerDevice *device, SeerDeviceEvent *event);
SeerStatus seer_device_event_record(SeerDevice *device, SeerDeviceEvent *event, SeerDeviceStream *stream);
SeerStatus seer_device_event_wait(SeerDevice *device, SeerDeviceEvent *event);
// Between two timed events that have been waited for; a resolution of about half a microsecond.
SeerStatus seer_device_event_seconds(SeerDevice *device, SeerDeviceEvent *from, SeerDeviceEvent *to, double *seconds);

// ---- graphs: what was sent to a stream, to be launched again and again for the price of one launch ----

// From here on the calls of this thread that name `stream`, or a stream that follows an event recorded in it, are kept
// and not run. `stream` must follow every such stream again before the end. Nothing may be waited for, allocated or
// released meanwhile.
SeerStatus seer_device_capture_begin(SeerDevice *device, SeerDeviceStream *stream);
// Ends it, also after an error. `*graph` is NULL unless it succeeds.
SeerStatus seer_device_capture_end(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceGraph **graph);
// Arguments are those of the capture; launches of one graph run one after another.
SeerStatus seer_device_graph_launch(SeerDevice *device, SeerDeviceGraph *graph, SeerDeviceStream *stream);
void seer_device_graph_release(SeerDevice *device, SeerDeviceGraph *graph);

#endif
