// Memory that only grows: each thread of the loader decodes picture after picture into the same few buffers.
#ifndef SEER_RUNTIME_DATA_BUFFER_H
#define SEER_RUNTIME_DATA_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Readable after the bytes asked for, so that a loop may load four bytes where it wants three.
enum { SEER_BUFFER_PADDING = 16 };

typedef struct SeerBuffer {
  uint8_t *bytes;
  size_t capacity;
} SeerBuffer;

// Room for `size` bytes; what was there may be lost. False when there is no memory: the buffer is then as before.
static inline bool seer_buffer_reserve(SeerBuffer *buffer, size_t size) {
  if (buffer->bytes != NULL && size <= buffer->capacity) { return true; }
  if (size > SIZE_MAX / 2) { return false; }
  uint8_t *bytes = calloc(1, size + SEER_BUFFER_PADDING);
  if (bytes == NULL) { return false; }
  free(buffer->bytes);
  buffer->bytes = bytes;
  buffer->capacity = size;
  return true;
}

static inline void seer_buffer_release(SeerBuffer *buffer) {
  free(buffer->bytes);
  buffer->bytes = NULL;
  buffer->capacity = 0;
}

#endif
