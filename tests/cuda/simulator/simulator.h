// Launches on the simulated GPU. Blocks run one after another, their threads as the schedule says: what is right runs
// to the same result under every one. What a GPU forbids (a misaligned copy, an address outside of shared
// memory, threads of a warp that call different functions, a wait that never ends) ends the process: a line on standard
// error with block and thread, exit code 70.
#ifndef SEER_SIMULATOR_H
#define SEER_SIMULATOR_H

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "simulated_device.h"

namespace simulated {

// first_first: of the threads that can go on always the first one, so that one warp is as far ahead as it can be;
// last_first: the last one; random: all in turn, in orders that are drawn.
enum class Schedule { first_first, last_first, random };

enum { SHARED_BYTES_MOST = 227 * 1024 };  // of a block, sm_90; dynamic

struct Launch {
  void (*kernel)(void **arguments);  // NAME_simulated
  void **arguments;                  // the address of each parameter
  Index grid, block;
  size_t shared_bytes;
  const char *name = nullptr;  // for faults
};

// Ends the process with what was begun on standard error.
[[noreturn]] void fault_end(const char *format, va_list arguments);

void launch(const Launch &launch, Schedule schedule, uint64_t seed);

// Memory of the GPU: poisoned, at a multiple of 16 bytes, and ending where the next page cannot be touched, so that a
// kernel that reads or writes beyond it ends with a fault.
void *memory_make(size_t bytes);
void memory_release(void *memory, size_t bytes);

}  // namespace simulated

#endif
