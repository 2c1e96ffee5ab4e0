// Arenas: chained blocks of growing size. Under AddressSanitizer every allocation is a block of its own,
// so an overrun inside an arena is seen.
#include "compiler/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_BYTES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_BYTES 0
#endif
#endif
#ifndef BLOCK_BYTES
#define BLOCK_BYTES ((size_t)64 * 1024)
#endif

typedef struct Block {
  struct Block *previous;
  size_t used, size;
  alignas(16) unsigned char data[];
} Block;

typedef struct Cleanup {
  struct Cleanup *previous;
  void (*release)(void *object);
  void *object;
} Cleanup;

struct Arena {
  const char *lifetime;
  Block *last;
  Cleanup *last_cleanup;
};

static void *allocate_or_stop(size_t size) {
  void *memory = calloc(1, size);
  if (!memory) {
    fprintf(stderr, "seerc: error: out of memory asking for %zu bytes\n", size);
    _Exit(3);
  }
  return memory;
}

Arena *arena_make(const char *lifetime) {
  Arena *arena = allocate_or_stop(sizeof *arena);
  arena->lifetime = lifetime;
  return arena;
}

void arena_release(Arena *arena) {
  if (!arena) return;
  for (Cleanup *cleanup = arena->last_cleanup; cleanup; cleanup = cleanup->previous) cleanup->release(cleanup->object);
  for (Block *block = arena->last; block;) {
    Block *previous = block->previous;
    free(block);
    block = previous;
  }
  free(arena);
}

void *arena_alloc(Arena *arena, size_t size_bytes) {
  if (size_bytes > SIZE_MAX / 2) BUG("arena '%s' asked for %zu bytes", arena->lifetime, size_bytes);
  size_t size = (size_bytes + 15) & ~(size_t)15;
  Block *block = arena->last;
  if (!block || block->size - block->used < size) {
    size_t block_size = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    block = allocate_or_stop(sizeof *block + block_size);
    block->size = block_size;
    block->previous = arena->last;
    arena->last = block;
  }
  void *memory = block->data + block->used;
  block->used += size;
  return memory;
}

void arena_at_release(Arena *arena, void (*release)(void *object), void *object) {
  Cleanup *cleanup = arena_new(arena, Cleanup);
  *cleanup = (Cleanup){arena->last_cleanup, release, object};
  arena->last_cleanup = cleanup;
}

void *arena_grow(Arena *arena, const void *old, size_t count, size_t new_count, size_t element_bytes) {
  void *moved = arena_alloc(arena, new_count * element_bytes);
  if (count) memcpy(moved, old, count * element_bytes);
  return moved;
}

char *arena_string(Arena *arena, const char *text, size_t length) {
  char *copy = arena_alloc(arena, length + 1);
  if (length) memcpy(copy, text, length);
  return copy;
}

char *arena_vprintf(Arena *arena, const char *format, va_list arguments) {
  va_list measure;
  va_copy(measure, arguments);
  int length = vsnprintf(NULL, 0, format, measure);
  va_end(measure);
  if (length < 0) BUG("format '%s' failed", format);
  char *text = arena_alloc(arena, (size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, arguments);
  return text;
}

char *arena_printf(Arena *arena, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = arena_vprintf(arena, format, arguments);
  va_end(arguments);
  return text;
}
