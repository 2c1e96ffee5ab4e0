// Inside of libraries.c: what each library is to it. Not for other rooms.
#ifndef SEER_RUNTIME_DEVICE_LIBRARY_H
#define SEER_RUNTIME_DEVICE_LIBRARY_H

#include "runtime/device/libraries.h"

typedef struct SeerLibraryHandle SeerLibraryHandle;
typedef struct SeerPreparedCall SeerPreparedCall;

typedef struct SeerLibraryType {
  const char *title;     // "cuBLASLt"
  const char *variable;  // of the environment, that names the file to open
  const char *file;      // "libcublasLt.so.", before its major version
  int newest, oldest;    // major versions, tried in this order
  const char *package;   // what brings it
  // Finds the functions, and the version, in an opened library: NULL, or the first that it lacks.
  const char *(*load)(void *library, int64_t *version);
  SeerStatus (*open)(SeerLibraryHandle **handle);
  void (*close)(SeerLibraryHandle *handle);
  SeerStatus (*prepare)(SeerLibraryHandle *handle, const SeerLibraryCall *call, SeerPreparedCall **prepared);
  void (*release)(SeerLibraryHandle *handle, SeerPreparedCall *prepared);
  SeerStatus (*run)(SeerLibraryHandle *handle, SeerPreparedCall *prepared, SeerDeviceStream *stream,
                    const void *const *pointers);
} SeerLibraryType;

extern const SeerLibraryType seer_cublaslt, seer_cudnn;

// Where the room that a call is given begins for the library.
static inline void *seer_library_workspace(const void *workspace) {
  uintptr_t at = (uintptr_t)workspace, unit = SEER_LIBRARY_ALIGNMENT;
  return (void *)((at + unit - 1) / unit * unit);
}

#endif
