// What simulated libraries of NVIDIA's share, which a trainer opens in the place of the real ones: numbers of three
// types, checks of memory, statuses that tests ask for, calls on streams of the simulated driver.
//
// A call is work of its stream, and a node of a graph where that is captured; nothing is read or written before then.
// What is undefined in a library ends the process as faults of the driver do.
#ifndef SEER_SIMULATED_LIBRARY_H
#define SEER_SIMULATED_LIBRARY_H

#include <cstdint>
#include <string>
#include <vector>

#include "driver_state.h"

namespace simulated {

enum NumberType { NUMBER_FLOAT, NUMBER_FP16, NUMBER_BF16 };

inline size_t number_bytes(NumberType type) { return type == NUMBER_FLOAT ? 4 : 2; }

inline double number_read(NumberType type, uintptr_t at, size_t index) {
  if (type == NUMBER_FLOAT) return (double)((const float *)at)[index];
  const uint16_t bits = ((const uint16_t *)at)[index];
  return (double)(type == NUMBER_FP16 ? from_f16(bits) : from_bf16(bits));
}

inline void number_write(NumberType type, uintptr_t at, size_t index, float value) {
  if (type == NUMBER_FLOAT)
    ((float *)at)[index] = value;
  else
    ((uint16_t *)at)[index] = type == NUMBER_FP16 ? to_f16(value) : to_bf16(value);
}

// What a call reads or writes.
struct Region {
  const char *what;
  uintptr_t at;
  size_t bytes;
  bool is_written;
};

// One library: `name` as in its variables of the environment, SEER_SIMULATED_NAME_...
struct SimulatedLibrary {
  std::string name;
  std::map<std::string, int> calls;
  std::set<const void *> live;   // handles and descriptors
  std::set<std::string> loaded;  // kinds of calls whose code is there
};

inline const char *library_setting(const SimulatedLibrary &library, const char *what) {
  return std::getenv(("SEER_SIMULATED_" + library.name + "_" + what).c_str());
}

// NAME_FAIL="FUNCTION:N:STATUS": the N-th call of the function gives this status.
inline int library_injected(SimulatedLibrary &library, const char *function) {
  const int call = ++library.calls[function];
  const char *wanted = library_setting(library, "FAIL");
  if (!wanted) return 0;
  char name[64];
  int number, status;
  if (std::sscanf(wanted, "%63[^:]:%d:%d", name, &number, &status) != 3)
    fault(library.name.c_str(), "'%s' is not FUNCTION:N:STATUS", wanted);
  return number == call && std::string(name) == function ? status : 0;
}

template <class Handle>
void library_demand(const SimulatedLibrary &library, const char *function, const Handle *handle) {
  if (!is_live(library.live, handle)) fault(function, "is given a handle or a descriptor that is not there");
}

template <class Handle>
void library_release(SimulatedLibrary &library, const char *function, Handle *handle) {
  if (!library.live.erase(handle)) fault(function, "releases what is not there");
  delete handle;
}

inline void library_leaks_report(const SimulatedLibrary &library) {
  std::unique_lock<std::mutex> held(lock);
  for (const SeerDriverContext &device : state.devices)
    if (device.lost) return;
  if (!state.is_strict || library.live.empty()) return;
  std::fprintf(stderr, "simulated %s: never released: %zu handles and descriptors\n", library.name.c_str(),
               library.live.size());
  std::_Exit(70);
}

inline void regions_check(const char *function, const SeerDriverContext *context, const std::vector<Region> &regions) {
  for (const Region &one : regions) {
    if (!one.bytes) continue;
    demand_inside(function, context, one.at, one.bytes);
    for (const Region &other : regions)
      if (&one != &other && one.is_written && other.bytes && one.at < other.at + other.bytes &&
          other.at < one.at + one.bytes)
        fault(function, "its %s lies on its %s", one.what, other.what);
  }
}

// Sends a call that takes the simulated clock so many blocks, or NAME_BLOCKS. `kind`: code that is loaded when it is
// first called, which a capture forbids: false, and the capture has failed. Called with `lock` held.
inline bool library_send(SimulatedLibrary &library, const char *function, SeerDeviceStream *stream,
                         const std::string &kind, size_t blocks, std::vector<Region> regions,
                         std::function<void()> compute) {
  if (!is_live(state.streams, stream)) fault(function, "names no stream");
  if (stream->context != current) fault(function, "the stream is of another GPU than the thread's");
  if (library.loaded.insert(kind).second && stream->capture) {
    library.loaded.erase(kind);
    stream->capture->is_invalid = true;
    return false;
  }
  const char *wanted = library_setting(library, "BLOCKS");
  if (wanted) blocks = std::strtoull(wanted, nullptr, 10);
  SeerDriverContext *context = stream->context;
  regions_check(function, context, regions);
  return enqueue(stream, [function, context, regions, compute, blocks] {
           regions_check(function, context, regions);
           compute();
           clock_launched(blocks);
         }) == SUCCESS;
}

}  // namespace simulated

#endif
