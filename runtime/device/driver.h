// The CUDA driver, opened when a trainer needs a GPU; nothing of CUDA is linked in, and no header of it is used. The
// declarations follow the driver's binary interface (CUDA driver API reference); names that end in _v2 are those that
// its header gives to programs.
//
// $SEER_LIBCUDA names the library to open, and then no other is tried: the tests' simulated GPU is one.
#ifndef SEER_RUNTIME_DEVICE_DRIVER_H
#define SEER_RUNTIME_DEVICE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

typedef uint64_t SeerAddress;  // of memory of a GPU
typedef struct SeerDeviceStream SeerDeviceStream;
typedef struct SeerDeviceEvent SeerDeviceEvent;
typedef struct SeerDeviceGraph SeerDeviceGraph;  // one that can be launched
typedef struct SeerDriverContext SeerDriverContext;
typedef struct SeerDriverModule SeerDriverModule;
typedef struct SeerDriverFunction SeerDriverFunction;
typedef struct SeerDriverGraph SeerDriverGraph;  // what a capture gives
typedef struct SeerDriverUuid {
  unsigned char bytes[16];
} SeerDriverUuid;

// Its functions (functions.def) return a result, 0 for success.
typedef struct SeerDriver {
  const char *library;  // as it was opened
  int version;          // of CUDA that it knows, times 1000: 13000; minor version times 10: 12040
#define FUNCTION(field, symbol, since, parameters) int(*field) parameters;
#include "runtime/device/functions.def"
} SeerDriver;

// Results that callers ask for by name.
enum { SEER_DRIVER_OUT_OF_MEMORY = 2, SEER_DRIVER_NO_DEVICE = 100, SEER_DRIVER_NOT_READY = 600 };

// Opens the driver the first time; it stays open. Fails (SEER_MACHINE) where there is no library, where it lacks a
// function, and where it finds no GPU. Safe from any thread.
SeerStatus seer_driver_open(const SeerDriver **driver);

// SEER_OK for result 0. Else an error: what was done ("cuMemAlloc_v2 of the arena"), the driver's name and text of the
// result, and what to do about it. SEER_BUG where seer asked for what the driver forbids.
SeerStatus seer_driver_check(const SeerDriver *driver, int result, const char *what);

// The same in parts. "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"; and the rest of a message: "" or "\nnote: ...".
void seer_driver_describe(const SeerDriver *driver, int result, char *text, size_t bytes);
SeerStatus seer_driver_status(int result);
const char *seer_driver_note(int result);
// After this result the GPU's memory and all that is in it are gone for this process.
bool seer_driver_is_lost(int result);

#endif
