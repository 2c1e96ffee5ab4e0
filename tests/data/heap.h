// What a program holds on the heap, now and at most, libraries' memory included: limits are held against it. To be
// included by one file of a program. Under AddressSanitizer its hooks tell, else the C library's functions are wrapped.
#ifndef SEER_TESTS_DATA_HEAP_H
#define SEER_TESTS_DATA_HEAP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static _Atomic int64_t heap_held, heap_most;

static void heap_count(int64_t bytes) {
  int64_t held = atomic_fetch_add(&heap_held, bytes) + bytes, most = atomic_load(&heap_most);
  while (held > most && !atomic_compare_exchange_weak(&heap_most, &most, held)) {}
}

// Bytes held now; the most is counted anew.
static inline int64_t heap_begin(void) {
  int64_t held = atomic_load(&heap_held);
  atomic_store(&heap_most, held);
  return held;
}

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_HOOKS 1
#endif
#endif

#ifdef HEAP_HOOKS
#include <sanitizer/allocator_interface.h>

static void heap_got(const volatile void *memory, size_t size) {
  (void)memory;
  heap_count((int64_t)size);
}

static void heap_freed(const volatile void *memory) {
  if (memory != NULL) { heap_count(-(int64_t)__sanitizer_get_allocated_size((const void *)(uintptr_t)memory)); }
}

__attribute__((constructor)) static void heap_hook(void) {
  __sanitizer_install_malloc_and_free_hooks(heap_got, heap_freed);
}
#else
#include <malloc.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static void *heap_got(void *memory) {
  if (memory != NULL) { heap_count((int64_t)malloc_usable_size(memory)); }
  return memory;
}

void *malloc(size_t size) { return heap_got(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) { return heap_got(__libc_calloc(count, size)); }

void *realloc(void *memory, size_t size) {
  int64_t before = memory != NULL ? (int64_t)malloc_usable_size(memory) : 0;
  void *moved = __libc_realloc(memory, size);
  if (moved != NULL || size == 0) { heap_count(-before); }
  return heap_got(moved);
}

void *aligned_alloc(size_t alignment, size_t size) { return heap_got(__libc_memalign(alignment, size)); }

void *memalign(size_t alignment, size_t size) { return heap_got(__libc_memalign(alignment, size)); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  *memory = heap_got(__libc_memalign(alignment, size));
  return *memory != NULL ? 0 : 12;  // ENOMEM
}

void free(void *memory) {
  if (memory != NULL) { heap_count(-(int64_t)malloc_usable_size(memory)); }
  __libc_free(memory);
}
#endif

#endif
