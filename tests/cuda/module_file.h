// A file of kernels for the simulated GPU, as trainers carry it.
#ifndef SEER_TESTS_CUDA_MODULE_FILE_H
#define SEER_TESTS_CUDA_MODULE_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include "runtime/device/device.h"

// Without bytes where it cannot be read. They are never released.
static inline SeerModule module_read(const char *path) {
  SeerModule module = {0};
  FILE *file = fopen(path, "rb");
  if (!file) return module;
  long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
  unsigned char *bytes = size > 0 ? malloc((size_t)size) : NULL;
  rewind(file);
  if (bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size) module = (SeerModule){bytes, (size_t)size};
  if (!module.bytes) free(bytes);
  fclose(file);
  return module;
}

#endif
