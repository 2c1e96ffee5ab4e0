// Functions of libraries that are opened at run time.
#ifndef SEER_RUNTIME_DEVICE_SYMBOL_H
#define SEER_RUNTIME_DEVICE_SYMBOL_H

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

// Puts the address of a function into a pointer to such, of `size` bytes; NULL where there is none. ISO C has no
// conversion from an object's address to a function's; POSIX promises that it holds.
static inline bool seer_symbol_find(void *library, const char *name, void *function, size_t size) {
  void *address = dlsym(library, name);
  memcpy(function, &address, size);
  return address != NULL;
}

#endif
