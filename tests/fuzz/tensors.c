// libFuzzer target: any bytes as a file of weights. What opens has tensors with names, whose elements lie one behind
// another and can all be read; all else is refused. The length of the header is mended in most inputs.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
  if (!holds) abort();
}

static void tensors_read(const SeerSafetensors *file) {
  uint64_t end = 0;
  char text[256];
  float values[64];
  for (int i = 0; i < seer_safetensors_count(file); i++) {
    const SeerStored *tensor = seer_safetensors_tensor(file, i);
    uint64_t count = seer_stored_count(tensor);
    expect(tensor->begin == end && tensor->end - tensor->begin == count * seer_dtype_bytes(tensor->dtype));
    expect(seer_safetensors_find(file, tensor->name) == tensor);
    end = tensor->end;
    seer_shape_text(text, sizeof text, tensor->size, tensor->rank);
    SeerStatus status = seer_safetensors_read_floats(file, tensor, 0, count < 64 ? count : 64, values);
    expect(status == SEER_OK || status == SEER_INPUT);
  }
  seer_safetensors_metadata(file, "format");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  uint8_t *bytes = malloc(size + 8);
  int file = memfd_create("tensors", MFD_CLOEXEC);
  expect(bytes != NULL && file >= 0);
  memcpy(bytes, data, size);
  if (size % 8 != 0 && size > 8) {  // the header ends with the last '}'
    uint64_t length = 0;
    for (size_t i = 8; i < size; i++) length = bytes[i] == '}' ? i + 1 - 8 : length;
    memcpy(bytes, &length, sizeof length);
  }
  expect(write(file, bytes, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  SeerSafetensors *tensors = NULL;
  seer_error_clear();
  SeerStatus status = seer_safetensors_open(path, &tensors);
  expect(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
  if (status == SEER_OK) tensors_read(tensors);
  seer_safetensors_close(tensors);
  close(file);
  free(bytes);
  return 0;
}
