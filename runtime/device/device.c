// A GPU through the driver's functions: opens it with the kernels that fit, and tells every failure with its name.
#include "runtime/device/device.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine.h"

// Numbers of the driver's interface (CUDA driver API reference).
enum {
  THREADS_MOST = 1,
  CLOCK_KHZ = 13,
  MULTIPROCESSORS = 16,
  CACHE_BYTES = 38,
  CAPABILITY_MAJOR = 75,
  CAPABILITY_MINOR = 76,
  SHARED_BYTES_MOST_ASKED_FOR = 97
};
enum { FUNCTION_SHARED_BYTES = 8 };     // attribute: what a launch may ask for
enum { SHARED_BYTES_UNASKED = 49152 };  // that need not be asked for
enum { STREAM_APART = 1 };              // from the default stream, which nothing here uses
enum { EVENT_UNTIMED = 2 };
enum { CAPTURE_OF_THREAD = 1 };  // other threads may do as they like meanwhile

struct SeerDevice {
  const SeerDriver *driver;
  const SeerKernels *kernels;
  SeerDeviceFacts facts;
  int handle;
  SeerDriverContext *context;
  unsigned number;                       // no other of this process has it
  _Atomic int status;                    // once it is lost
  const SeerArchitecture *architecture;  // of the kernels
  SeerDriverModule **modules;
  SeerDriverFunction **functions;
};

// ---- failures ----

static _Thread_local unsigned current;  // number of the device whose context is the thread's

static SeerStatus failed(SeerDevice *device, int result, const char *what) {
  char text[256];
  SeerStatus status = seer_driver_status(result);
  seer_driver_describe(device->driver, result, text, sizeof text);
  seer_fail(status, "GPU %d '%s': %s: %s%s", device->facts.ordinal, device->facts.name, what, text,
            seer_driver_note(result));
  int well = SEER_OK;
  if (seer_driver_is_lost(result)) atomic_compare_exchange_strong(&device->status, &well, (int)status);
  return status;
}

static SeerStatus finish(SeerDevice *device, int result, const char *what) {
  return result ? failed(device, result, what) : SEER_OK;
}

// Every call begins so.
static SeerStatus enter(SeerDevice *device) {
  SeerStatus status = seer_device_status(device);
  if (status || current == device->number) return status;
  status = finish(device, device->driver->ctx_set_current(device->context), "cuCtxSetCurrent");
  if (!status) current = device->number;
  return status;
}

#define CALL(device, function, symbol, ...)                                                     \
  do {                                                                                          \
    SeerStatus entered = enter(device);                                                         \
    return entered ? entered : finish(device, (device)->driver->function(__VA_ARGS__), symbol); \
  } while (0)
// Releasing fails only where the GPU is lost, or something before it did.
#define RELEASE(device, handle, function)                                                            \
  do {                                                                                               \
    if (!(handle)) return;                                                                           \
    if (current != (device)->number && (device)->driver->ctx_set_current((device)->context)) return; \
    current = (device)->number;                                                                      \
    (device)->driver->function(handle);                                                              \
  } while (0)

SeerStatus seer_device_use(SeerDevice *device) { return enter(device); }
SeerStatus seer_device_status(const SeerDevice *device) { return (SeerStatus)atomic_load(&device->status); }
const SeerDeviceFacts *seer_device_facts(const SeerDevice *device) { return &device->facts; }

// ---- opening ----

SeerStatus seer_device_count(int *count) {
  const SeerDriver *driver;
  *count = 0;
  SeerStatus status = seer_driver_open(&driver);
  if (status) return status;
  int result = driver->device_get_count(count);
  if (!result && *count == 0) result = SEER_DRIVER_NO_DEVICE;
  return seer_driver_check(driver, result, "cuDeviceGetCount");
}

static void uuid_print(const SeerDriverUuid *uuid, char *text, size_t bytes) {
  size_t at = (size_t)snprintf(text, bytes, "GPU");
  for (int i = 0; i < 16; i++) {
    const char *dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    at += (size_t)snprintf(text + at, bytes - at, "%s%02x", dash, uuid->bytes[i]);
  }
}

static SeerStatus facts_read(SeerDevice *device) {
  const SeerDriver *driver = device->driver;
  SeerDeviceFacts *facts = &device->facts;
  size_t memory_bytes = 0;
  int cache_bytes = 0, major = 0, minor = 0;
  SeerDriverUuid uuid;
  SeerStatus status =
      finish(device, driver->device_get_name(facts->name, sizeof facts->name, device->handle), "cuDeviceGetName");
  if (!status) status = finish(device, driver->device_total_mem(&memory_bytes, device->handle), "cuDeviceTotalMem_v2");
  if (!status) status = finish(device, driver->device_get_uuid(&uuid, device->handle), "cuDeviceGetUuid_v2");
  if (status) return status;
  const struct {
    int attribute, *value;
  } wanted[] = {{THREADS_MOST, &facts->threads_most},
                {SHARED_BYTES_MOST_ASKED_FOR, &facts->shared_bytes_most},
                {CLOCK_KHZ, &facts->clock_khz},
                {MULTIPROCESSORS, &facts->multiprocessors},
                {CACHE_BYTES, &cache_bytes},
                {CAPABILITY_MAJOR, &major},
                {CAPABILITY_MINOR, &minor}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    int result = driver->device_get_attribute(wanted[i].value, wanted[i].attribute, device->handle);
    if (result) return failed(device, result, "cuDeviceGetAttribute");
  }
  facts->driver_version = driver->version;
  facts->capability = 10 * major + minor;
  facts->memory_bytes = memory_bytes;
  facts->cache_bytes = (uint64_t)cache_bytes;
  uuid_print(&uuid, facts->uuid, sizeof facts->uuid);
  return SEER_OK;
}

static SeerStatus context_open(SeerDevice *device) {
  static atomic_uint devices;
  const SeerDriver *driver = device->driver;
  int count = 0;
  SeerStatus status = seer_device_count(&count);
  if (status) return status;
  if (device->facts.ordinal < 0 || device->facts.ordinal >= count) {
    return seer_fail(SEER_MACHINE,
                     "there is no GPU %d: this process may use %d, counted from 0\nnote: `nvidia-smi -L` lists them; "
                     "CUDA_VISIBLE_DEVICES, where it is set, leaves only those it names",
                     device->facts.ordinal, count);
  }
  status = finish(device, driver->device_get(&device->handle, device->facts.ordinal), "cuDeviceGet");
  if (!status) status = facts_read(device);
  if (!status) {
    int result = driver->primary_ctx_retain(&device->context, device->handle);
    status = finish(device, result, "cuDevicePrimaryCtxRetain");
  }
  if (status) return status;
  device->number = atomic_fetch_add(&devices, 1) + 1;
  return enter(device);
}

// How closely an architecture fits: 0 not at all. PTX counts least, and of a kind the newest is best.
static int architecture_fit(const char *name, int capability, bool is_simulated) {
  if (is_simulated) return strcmp(name, "simulated_sm_90a") == 0 ? 2 * (capability == 90) : !strcmp(name, "simulated");
  bool is_ptx = strncmp(name, "compute_", 8) == 0;
  if (!is_ptx && strncmp(name, "sm_", 3) != 0) return 0;
  char *rest;
  int number = (int)strtol(name + (is_ptx ? 8 : 3), &rest, 10);
  if (number <= 0 || number > capability) return 0;
  if (*rest) return number == capability ? 3000 : 0;
  if (is_ptx) return number;
  return number / 10 == capability / 10 ? 1000 + number : 0;
}

static SeerStatus architecture_missing(const SeerDevice *device, bool is_simulated) {
  const SeerKernels *kernels = device->kernels;
  char have[256] = "";
  for (int i = 0; i < kernels->architecture_count; i++) {
    size_t at = strlen(have);
    snprintf(have + at, sizeof have - at, "%s%s", i ? ", " : "", kernels->architectures[i].name);
  }
  int capability = device->facts.capability;
  char target[32];
  snprintf(target, sizeof target, is_simulated ? "simulated" : capability == 90 ? "sm_%da" : "sm_%d", capability);
  return seer_fail(SEER_MACHINE,
                   "GPU %d '%s', of compute capability %d.%d, runs nothing of what this trainer was built for: %s\n"
                   "note: build it again with `seerc build --target=cuda:%s`",
                   device->facts.ordinal, device->facts.name, capability / 10, capability % 10,
                   *have ? have : "no GPU at all", target);
}

static SeerStatus architecture_find(SeerDevice *device, const SeerArchitecture **architecture) {
  bool is_simulated = strncmp(device->facts.name, "Simulated", strlen("Simulated")) == 0;
  int best = 0;
  for (int i = 0; i < device->kernels->architecture_count; i++) {
    const SeerArchitecture *candidate = &device->kernels->architectures[i];
    int fit = architecture_fit(candidate->name, device->facts.capability, is_simulated);
    if (fit <= best) continue;
    best = fit;
    *architecture = candidate;
  }
  return best ? SEER_OK : architecture_missing(device, is_simulated);
}

static SeerStatus kernel_open(SeerDevice *device, int number, SeerDriverFunction **function) {
  const SeerDeviceFacts *facts = &device->facts;
  const SeerKernel *kernel = &device->kernels->kernels[number];
  const SeerBlock *block = &device->architecture->blocks[number];
  if (block->threads > facts->threads_most || block->shared_bytes > facts->shared_bytes_most) {
    return seer_fail(SEER_MACHINE,
                     "GPU %d '%s': kernel '%s' needs %d threads and %d bytes of shared memory a block, of at most %d "
                     "and %d\nnote: build the trainer again for this GPU",
                     facts->ordinal, facts->name, kernel->name, block->threads, block->shared_bytes,
                     facts->threads_most, facts->shared_bytes_most);
  }
  char what[256];
  snprintf(what, sizeof what, "cuModuleGetFunction of kernel '%s' ('%s')", kernel->name, kernel->function);
  int result = device->driver->module_get_function(function, device->modules[kernel->module], kernel->function);
  if (result || block->shared_bytes <= SHARED_BYTES_UNASKED) return finish(device, result, what);
  snprintf(what, sizeof what, "cuFuncSetAttribute of kernel '%s', %d bytes of shared memory", kernel->name,
           block->shared_bytes);
  result = device->driver->func_set_attribute(*function, FUNCTION_SHARED_BYTES, block->shared_bytes);
  return finish(device, result, what);
}

static SeerStatus kernels_open(SeerDevice *device) {
  const SeerKernels *kernels = device->kernels;
  const SeerArchitecture *architecture = NULL;
  SeerStatus status = architecture_find(device, &architecture);
  if (status) return status;
  device->architecture = architecture;
  device->facts.architecture = architecture->name;
  device->modules = calloc((size_t)kernels->module_count + 1, sizeof(SeerDriverModule *));
  device->functions = calloc((size_t)kernels->kernel_count + 1, sizeof(SeerDriverFunction *));
  if (!device->modules || !device->functions) return seer_fail(SEER_MACHINE, "no memory for the kernels' handles");
  for (int i = 0; i < kernels->module_count && !status; i++) {
    char what[128];
    snprintf(what, sizeof what, "cuModuleLoadData of module %d for %s", i, architecture->name);
    int result = device->driver->module_load_data(&device->modules[i], architecture->modules[i].bytes);
    status = finish(device, result, what);
  }
  for (int i = 0; i < kernels->kernel_count && !status; i++) status = kernel_open(device, i, &device->functions[i]);
  return status;
}

SeerStatus seer_device_open(const SeerKernels *kernels, int ordinal, SeerDevice **device) {
  *device = NULL;
  const SeerDriver *driver;
  SeerStatus status = seer_driver_open(&driver);
  if (status) return status;
  SeerDevice *opened = calloc(1, sizeof *opened);
  if (!opened) return seer_fail(SEER_MACHINE, "no memory for the GPU's handles");
  opened->driver = driver;
  opened->kernels = kernels;
  opened->facts.ordinal = ordinal;
  snprintf(opened->facts.name, sizeof opened->facts.name, "unknown");
  status = context_open(opened);
  if (!status && kernels) status = kernels_open(opened);
  if (status)
    seer_device_close(opened);
  else
    *device = opened;
  return status;
}

void seer_device_close(SeerDevice *device) {
  if (!device) return;
  bool usable = device->context && device->driver->ctx_set_current(device->context) == 0;
  for (int i = 0; usable && device->modules && i < device->kernels->module_count; i++) {
    if (device->modules[i]) device->driver->module_unload(device->modules[i]);
  }
  if (device->context) device->driver->primary_ctx_release(device->handle);
  current = 0;
  free(device->modules);
  free(device->functions);
  free(device);
}

// ---- memory ----

SeerStatus seer_device_free_bytes(SeerDevice *device, uint64_t *free_bytes) {
  size_t left = 0, all = 0;
  *free_bytes = 0;
  SeerStatus status = enter(device);
  if (!status) status = finish(device, device->driver->mem_get_info(&left, &all), "cuMemGetInfo_v2");
  if (!status) *free_bytes = left;
  return status;
}

static double mebibytes(uint64_t bytes) { return (double)bytes / 1048576; }

SeerStatus seer_device_alloc(SeerDevice *device, uint64_t size_bytes, const char *what, SeerAddress *address) {
  *address = 0;
  SeerStatus status = enter(device);
  if (status) return status;
  int result = device->driver->mem_alloc(address, size_bytes);
  if (!result) return SEER_OK;
  *address = 0;
  char text[512];
  if (result != SEER_DRIVER_OUT_OF_MEMORY) {
    snprintf(text, sizeof text, "cuMemAlloc_v2 of %llu bytes for %s", (unsigned long long)size_bytes, what);
    return failed(device, result, text);
  }
  size_t left = 0, all = device->facts.memory_bytes;
  device->driver->mem_get_info(&left, &all);
  return seer_fail(SEER_MACHINE, "GPU %d '%s': cannot get %.1f MiB for %s: %.1f of its %.1f MiB are free%s",
                   device->facts.ordinal, device->facts.name, mebibytes(size_bytes), what, mebibytes(left),
                   mebibytes(all), seer_driver_note(result));
}

void seer_device_free(SeerDevice *device, SeerAddress address) { RELEASE(device, address, mem_free); }

SeerStatus seer_device_host_alloc(SeerDevice *device, uint64_t size_bytes, const char *what, void **memory) {
  *memory = NULL;
  SeerStatus status = enter(device);
  if (status) return status;
  int result = device->driver->mem_host_alloc(memory, size_bytes, 0);
  if (!result) return SEER_OK;
  *memory = NULL;
  char text[512];
  snprintf(text, sizeof text, "cuMemHostAlloc of %.1f MiB for %s", mebibytes(size_bytes), what);
  if (result != SEER_DRIVER_OUT_OF_MEMORY) return failed(device, result, text);
  return seer_fail(SEER_MACHINE,
                   "GPU %d '%s': cannot get %.1f MiB of the machine's memory, page-locked, for %s: %.1f MiB are "
                   "available\nnote: stop other programs, or raise `ulimit -l`",
                   device->facts.ordinal, device->facts.name, mebibytes(size_bytes), what,
                   mebibytes(seer_memory_available()));
}

void seer_device_host_free(SeerDevice *device, void *memory) { RELEASE(device, memory, mem_free_host); }

SeerStatus seer_device_upload(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, const void *from,
                              uint64_t size_bytes) {
  CALL(device, memcpy_to_device, "cuMemcpyHtoDAsync_v2", to, from, size_bytes, stream);
}

SeerStatus seer_device_download(SeerDevice *device, SeerDeviceStream *stream, void *to, SeerAddress from,
                                uint64_t size_bytes) {
  CALL(device, memcpy_to_host, "cuMemcpyDtoHAsync_v2", to, from, size_bytes, stream);
}

SeerStatus seer_device_copy(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, SeerAddress from,
                            uint64_t size_bytes) {
  CALL(device, memcpy_on_device, "cuMemcpyDtoDAsync_v2", to, from, size_bytes, stream);
}

SeerStatus seer_device_fill(SeerDevice *device, SeerDeviceStream *stream, SeerAddress to, unsigned char byte,
                            uint64_t size_bytes) {
  CALL(device, memset_bytes, "cuMemsetD8Async", to, byte, size_bytes, stream);
}

// ---- launches ----

SeerStatus seer_device_launch(SeerDevice *device, SeerDeviceStream *stream, int kernel, unsigned x, unsigned y,
                              unsigned z, void **arguments) {
  SeerStatus status = enter(device);
  if (status) return status;
  const SeerBlock *block = &device->architecture->blocks[kernel];
  int result = device->driver->launch_kernel(device->functions[kernel], x, y, z, (unsigned)block->threads, 1, 1,
                                             (unsigned)block->shared_bytes, stream, arguments, NULL);
  if (!result) return SEER_OK;
  char what[256];
  snprintf(what, sizeof what, "cuLaunchKernel of '%s' in %u x %u x %u blocks", device->kernels->kernels[kernel].name, x,
           y, z);
  return failed(device, result, what);
}

unsigned seer_device_block_threads(const SeerDevice *device, int kernel) {
  return (unsigned)device->architecture->blocks[kernel].threads;
}

SeerStatus seer_device_call(SeerDevice *device, SeerDeviceStream *stream, void (*function)(void *data), void *data) {
  CALL(device, launch_host_func, "cuLaunchHostFunc", stream, function, data);
}

// ---- streams and events ----

SeerStatus seer_device_stream_make(SeerDevice *device, SeerDeviceStream **stream) {
  *stream = NULL;
  CALL(device, stream_create, "cuStreamCreate", stream, STREAM_APART);
}

void seer_device_stream_release(SeerDevice *device, SeerDeviceStream *stream) {
  RELEASE(device, stream, stream_destroy);
}

SeerStatus seer_device_stream_wait(SeerDevice *device, SeerDeviceStream *stream) {
  CALL(device, stream_synchronize, "cuStreamSynchronize", stream);
}

SeerStatus seer_device_stream_look(SeerDevice *device, SeerDeviceStream *stream, bool *done) {
  *done = false;
  SeerStatus status = enter(device);
  if (status) return status;
  int result = device->driver->stream_query(stream);
  if (result == SEER_DRIVER_NOT_READY) return SEER_OK;
  *done = result == 0;
  return finish(device, result, "cuStreamQuery");
}

SeerStatus seer_device_stream_follow(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceEvent *event) {
  CALL(device, stream_wait_event, "cuStreamWaitEvent", stream, event, 0);
}

SeerStatus seer_device_stream_join(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceStream *ahead,
                                   SeerDeviceEvent *event) {
  SeerStatus status = seer_device_event_record(device, event, ahead);
  return status ? status : seer_device_stream_follow(device, stream, event);
}

SeerStatus seer_device_event_make(SeerDevice *device, bool timed, SeerDeviceEvent **event) {
  *event = NULL;
  CALL(device, event_create, "cuEventCreate", event, timed ? 0 : EVENT_UNTIMED);
}

void seer_device_event_release(SeerDevice *device, SeerDeviceEvent *event) { RELEASE(device, event, event_destroy); }

SeerStatus seer_device_event_record(SeerDevice *device, SeerDeviceEvent *event, SeerDeviceStream *stream) {
  CALL(device, event_record, "cuEventRecord", event, stream);
}

SeerStatus seer_device_event_wait(SeerDevice *device, SeerDeviceEvent *event) {
  CALL(device, event_synchronize, "cuEventSynchronize", event);
}

SeerStatus seer_device_event_seconds(SeerDevice *device, SeerDeviceEvent *from, SeerDeviceEvent *to, double *seconds) {
  float milliseconds = 0;
  *seconds = 0;
  SeerStatus status = enter(device);
  if (status) return status;
  status = finish(device, device->driver->event_elapsed_time(&milliseconds, from, to), "cuEventElapsedTime");
  if (!status) *seconds = (double)milliseconds / 1000;
  return status;
}

// ---- graphs ----

SeerStatus seer_device_capture_begin(SeerDevice *device, SeerDeviceStream *stream) {
  CALL(device, stream_begin_capture, "cuStreamBeginCapture_v2", stream, CAPTURE_OF_THREAD);
}

SeerStatus seer_device_capture_end(SeerDevice *device, SeerDeviceStream *stream, SeerDeviceGraph **graph) {
  *graph = NULL;
  SeerDriverGraph *captured = NULL;
  SeerStatus status = enter(device);
  if (status) return status;
  status = finish(device, device->driver->stream_end_capture(stream, &captured), "cuStreamEndCapture");
  if (status) return status;
  status = finish(device, device->driver->graph_instantiate(graph, captured, 0), "cuGraphInstantiateWithFlags");
  if (status) *graph = NULL;
  device->driver->graph_destroy(captured);
  return status;
}

SeerStatus seer_device_graph_launch(SeerDevice *device, SeerDeviceGraph *graph, SeerDeviceStream *stream) {
  CALL(device, graph_launch, "cuGraphLaunch", graph, stream);
}

void seer_device_graph_release(SeerDevice *device, SeerDeviceGraph *graph) {
  RELEASE(device, graph, graph_exec_destroy);
}
