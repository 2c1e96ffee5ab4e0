// Arenas: memory named by its lifetime, released all at once.
// Every allocation is zeroed and aligned; running out of memory ends the program with exit code 3.
#ifndef SEER_BASE_ARENA_H
#define SEER_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_make(const char *lifetime);
void arena_release(Arena *arena);
// Calls `release(object)` when the arena is released, the newest first: for what an arena cannot hold itself.
void arena_at_release(Arena *arena, void (*release)(void *object), void *object);

void *arena_alloc(Arena *arena, size_t size_bytes);
// Moves an array of `count` elements to a block of `new_count`; the new tail is zeroed.
void *arena_grow(Arena *arena, const void *old, size_t count, size_t new_count, size_t element_bytes);
char *arena_string(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *arena, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

#define arena_new(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define arena_array(arena, Type, count) ((Type *)arena_alloc((arena), sizeof(Type) * (size_t)(count)))

// Appends to a growable array held as `items, count, capacity` fields of a structure.
#define arena_push(arena, list, Type, ...)                                                                          \
  do {                                                                                                              \
    if ((list)->count == (list)->capacity) {                                                                        \
      size_t arena_push_capacity = (list)->capacity ? 2 * (size_t)(list)->capacity : 16;                            \
      (list)->items = (Type *)arena_grow((arena), (list)->items, (list)->count, arena_push_capacity, sizeof(Type)); \
      (list)->capacity = arena_push_capacity;                                                                       \
    }                                                                                                               \
    (list)->items[(list)->count++] = __VA_ARGS__;                                                                   \
  } while (0)

#endif
