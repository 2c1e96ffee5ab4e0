// What the parts of the simulated driver share: results, handles, what is live, how a call begins. See driver.cpp.
#ifndef SEER_SIMULATED_DRIVER_STATE_H
#define SEER_SIMULATED_DRIVER_STATE_H

#include <map>
#include <set>
#include <string>
#include <thread>

#include "runtime/device/driver.h"
#include "simulator.h"
#include "work.h"

// Name, number, text of the results that it gives or that tests ask for.
#define RESULTS(X)                                                                                       \
  X(SUCCESS, 0, "no error")                                                                              \
  X(INVALID_VALUE, 1, "invalid argument")                                                                \
  X(OUT_OF_MEMORY, 2, "out of memory")                                                                   \
  X(NOT_INITIALIZED, 3, "initialization error")                                                          \
  X(DEVICE_UNAVAILABLE, 46, "the device is busy or unavailable")                                         \
  X(NO_DEVICE, 100, "no device that CUDA can use")                                                       \
  X(INVALID_DEVICE, 101, "invalid device ordinal")                                                       \
  X(INVALID_IMAGE, 200, "the image is invalid")                                                          \
  X(INVALID_CONTEXT, 201, "invalid device context")                                                      \
  X(NO_BINARY_FOR_GPU, 209, "no image for this device")                                                  \
  X(ECC_UNCORRECTABLE, 214, "uncorrectable ECC error")                                                   \
  X(INVALID_HANDLE, 400, "invalid resource handle")                                                      \
  X(ILLEGAL_STATE, 401, "not allowed in this state")                                                     \
  X(NOT_FOUND, 500, "named symbol not found")                                                            \
  X(NOT_READY, 600, "not ready")                                                                         \
  X(ILLEGAL_ADDRESS, 700, "an illegal memory access")                                                    \
  X(LAUNCH_FAILED, 719, "a launch failed")                                                               \
  X(NOT_PERMITTED, 800, "not permitted")                                                                 \
  X(NOT_SUPPORTED, 801, "not supported")                                                                 \
  X(SYSTEM_DRIVER_MISMATCH, 803, "the driver and its library do not match")                              \
  X(STREAM_CAPTURE_UNSUPPORTED, 900, "not permitted while a stream is captured")                         \
  X(STREAM_CAPTURE_INVALIDATED, 901, "the capture failed because of an earlier error")                   \
  X(STREAM_CAPTURE_MERGE, 902, "two captures would become one")                                          \
  X(STREAM_CAPTURE_UNMATCHED, 903, "the capture did not begin in this stream")                           \
  X(STREAM_CAPTURE_UNJOINED, 904, "a captured stream was not joined to that in which the capture began") \
  X(STREAM_CAPTURE_ISOLATION, 905, "a captured stream would depend on work outside of the capture")      \
  X(CAPTURED_EVENT, 907, "the event was recorded in a capture")                                          \
  X(STREAM_CAPTURE_WRONG_THREAD, 908, "the capture began on another thread")

namespace simulated {

enum Result {
#define RESULT(name, number, text) name = number,
  RESULTS(RESULT)
#undef RESULT
};

enum { SHARED_BYTES_UNASKED = 48 * 1024, ALLOCATION_UNIT = 256, ARGUMENT_UNIT = 64 };
enum { CAPTURE_GLOBAL, CAPTURE_OF_THREAD, CAPTURE_RELAXED };
enum { FUNCTION_SHARED_BYTES = 8, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

struct Node {
  std::function<void()> run;
  std::function<bool()> advance;
  bool of_host;
  unsigned lane;
  std::vector<size_t> after;
};

struct Capture {
  std::vector<Node> nodes;
  SeerDeviceStream *origin;
  std::set<SeerDeviceStream *> streams;
  int mode;
  std::thread::id thread;
  bool is_invalid, has_ended;
};
typedef std::shared_ptr<Capture> CaptureRef;

}  // namespace simulated

// Of one device.
struct SeerDriverContext {
  int ordinal, holders;
  int lost;  // the result after which the GPU was lost
  size_t used_bytes;
};
struct SeerDeviceStream {
  SeerDriverContext *context;
  unsigned lane;
  simulated::OperationRef last;
  simulated::CaptureRef capture;
  std::vector<size_t> tail;  // what the next node of the capture comes after
};
struct SeerDeviceEvent {
  bool is_timed;
  simulated::OperationRef last;
  simulated::CaptureRef capture;  // in which it was recorded last
  std::vector<size_t> nodes;
};
struct SeerDriverGraph {
  std::vector<simulated::Node> nodes;
};
struct SeerDeviceGraph {
  std::vector<simulated::Node> nodes;
  simulated::OperationRef last;
};
struct SeerDriverFunction {
  std::string name;
  void (*kernel)(void **arguments);
  const unsigned *parameters, *shape;
  int shared_bytes_most;
};
struct SeerDriverModule {
  void *library;
  std::vector<std::unique_ptr<SeerDriverFunction>> functions;
};

namespace simulated {

// Bytes as they were asked for.
struct Usage {
  size_t now, most;
};

// Never released: threads may outlive the end of main().
struct State {
  bool is_initialized;
  size_t all_bytes;   // of each device
  size_t host_bytes;  // that can be page-locked
  Usage gpu, host;
  Schedule schedule;
  bool is_strict;
  unsigned lanes;
  std::vector<SeerDriverContext> devices;
  std::map<std::string, int> calls;
  std::map<uintptr_t, size_t> allocations, host_allocations;
  std::map<uintptr_t, SeerDriverContext *> owners;  // of allocations
  std::set<const void *> streams, events, captured, graphs, modules, functions;
  std::set<CaptureRef> captures;
};
extern State &state;
extern thread_local bool is_host_function;  // of this thread: it must not call the driver
extern thread_local SeerDriverContext *current;

// Ends the process: "simulated driver: FUNCTION: ...".
[[noreturn]] void fault(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The fault that memory is not inside of one allocation of the GPU.
void demand_inside(const char *function, const SeerDriverContext *context, uintptr_t at, size_t bytes);
SeerDriverUuid uuid_of(const SeerDriverContext *context);

// How every call begins; with the lock held. Not 0: what it returns at once.
int enter(const char *function, bool of_context);
#define ENTER(of_context)                  \
  std::unique_lock<std::mutex> held(lock); \
  if (const int refused = enter(__func__, of_context)) return refused

template <class Handle>
bool is_live(const std::set<const void *> &live, const Handle *handle) {
  return live.count(handle) != 0;
}
template <class Handle>
Handle *keep(std::set<const void *> &live, Handle *handle) {
  live.insert(handle);
  return handle;
}
template <class Handle>
int release(std::set<const void *> &live, Handle *handle, const char *function) {
  if (!live.erase(handle)) {
    if (state.is_strict) fault(function, "releases what is not there");
    return INVALID_HANDLE;
  }
  delete handle;
  return SUCCESS;
}

#define DEMAND(live, handle) \
  if (!is_live(state.live, handle)) return INVALID_HANDLE
#define DEMAND_STREAM(stream)                                                                        \
  if (!(stream)) fault(__func__, "names the default stream, which is not simulated: make a stream"); \
  DEMAND(streams, stream);                                                                           \
  if ((stream)->context != current) return INVALID_CONTEXT

// Behind what the stream has so far; a node of its capture while it is captured. `advance`: of work.h.
int enqueue(SeerDeviceStream *stream, std::function<void()> run, bool of_host = false,
            std::function<bool()> advance = nullptr);
// What memory and modules ask for may wait for the GPU, which a capture forbids.
int forbidden_by_capture();
#define OUTSIDE_OF_CAPTURES() \
  if (const int refused = forbidden_by_capture()) return refused

}  // namespace simulated

#endif
