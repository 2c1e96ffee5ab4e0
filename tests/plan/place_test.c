// Placement: buffers that live together never overlap, the same buffers always end at the same offsets, and the memory
// is the largest live sum where that can be reached by construction: nested lifetimes, recomputation, and rectangles of
// time and memory cut into pieces. The public MiniMalloc instances are tried where SEER_MINIMALLOC names their folder
// (google/minimalloc, benchmarks/challenging: id,lower,upper,size with upper excluded; capacity 1048576).
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/plan/place.h"

enum { ALIGNMENT = 64, MAX_PIECES = 4096 };

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((random_state >> 33) % limit);
}

static void assert_placed(const PlaceBuffer *buffers, uint32_t count, uint64_t alignment, uint64_t top) {
  for (uint32_t i = 0; i < count; i++) {
    const PlaceBuffer *x = &buffers[i];
    assert_int_equal(x->offset % alignment, 0);
    assert_true(x->offset + x->bytes <= top);
    for (uint32_t j = 0; j < i; j++) {
      const PlaceBuffer *y = &buffers[j];
      bool together = x->begin <= y->end && y->begin <= x->end && x->bytes && y->bytes;
      assert_false(together && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes);
    }
  }
}

// Places, checks, places a copy again and compares. Returns what is needed beyond the largest live sum.
static uint64_t place_and_check(PlaceBuffer *buffers, uint32_t count, uint64_t alignment) {
  Arena *arena = arena_make("test");
  PlaceBuffer *again = arena_array(arena, PlaceBuffer, count + 1);
  memcpy(again, buffers, count * sizeof *buffers);
  uint64_t peak = place_live_peak(arena, buffers, count, alignment, NULL);
  uint64_t top = place_buffers(arena, buffers, count, alignment);
  assert_true(top >= peak);
  assert_placed(buffers, count, alignment, top);
  assert_int_equal(place_buffers(arena, again, count, alignment), top);
  for (uint32_t i = 0; i < count; i++) assert_int_equal(again[i].offset, buffers[i].offset);
  arena_release(arena);
  return top - peak;
}

static void random_buffers_never_overlap(void **state) {
  (void)state;
  for (int trial = 0; trial < 300; trial++) {
    PlaceBuffer buffers[64];
    uint32_t count = 1 + random_below(60), steps = 30;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t begin = random_below(steps);
      buffers[i] =
          (PlaceBuffer){.bytes = random_below(3000), .begin = begin, .end = begin + random_below(steps - begin)};
    }
    place_and_check(buffers, count, ALIGNMENT);
  }
}

// Item i lives from step i to step 2n-1-i, with a scratch at each step: a chain's forward and backward.
static void nested_lifetimes_reach_the_largest_live_sum(void **state) {
  (void)state;
  for (int trial = 0; trial < 200; trial++) {
    PlaceBuffer buffers[128];
    uint32_t blocks = 2 + random_below(30), count = 0, steps = 2 * blocks;
    for (uint32_t i = 0; i < blocks; i++)
      buffers[count++] = (PlaceBuffer){.bytes = 1 + random_below(9000), .begin = i, .end = steps - 1 - i};
    for (uint32_t i = 0; i < steps; i++)
      buffers[count++] = (PlaceBuffer){.bytes = 1 + random_below(9000), .begin = i, .end = i};
    assert_int_equal(place_and_check(buffers, count, ALIGNMENT), 0);
  }
}

typedef struct Pieces {
  PlaceBuffer items[MAX_PIECES];
  uint32_t count;
} Pieces;

// Cuts steps begin..end times `bytes` into pieces, by halves in turn of time and of memory.
static void cut(Pieces *pieces, uint32_t begin, uint32_t end, uint64_t bytes, int depth) {
  bool by_time = random_below(2) && end > begin, by_memory = bytes > 1;
  if (depth == 0 || pieces->count + 2 > MAX_PIECES || (!by_time && !by_memory)) {
    pieces->items[pieces->count++] = (PlaceBuffer){.bytes = bytes, .begin = begin, .end = end};
  } else if (by_time) {
    uint32_t middle = begin + random_below(end - begin);
    cut(pieces, begin, middle, bytes, depth - 1);
    cut(pieces, middle + 1, end, bytes, depth - 1);
  } else {
    uint64_t part = 1 + random_below((uint32_t)bytes - 1);
    cut(pieces, begin, end, part, depth - 1);
    cut(pieces, begin, end, bytes - part, depth - 1);
  }
}

// Full rectangles leave no room at all: small ones must come back whole, larger ones nearly.
static void cut_rectangles_come_back(void **state) {
  (void)state;
  static Pieces pieces;
  for (int trial = 0; trial < 60; trial++) {
    pieces.count = 0;
    cut(&pieces, 0, 39, 1000, trial < 40 ? 4 : 7);
    uint64_t gap = place_and_check(pieces.items, pieces.count, 1);
    assert_true(trial < 40 ? gap == 0 : gap <= 200);
  }
}

static void edges_are_placed(void **state) {
  (void)state;
  Arena *arena = arena_make("test");
  assert_int_equal(place_buffers(arena, NULL, 0, ALIGNMENT), 0);
  PlaceBuffer edges[] = {{.bytes = 0, .begin = 0, .end = 9},
                         {.bytes = (uint64_t)1 << 50, .begin = 0, .end = 5},
                         {.bytes = ((uint64_t)1 << 50) - 1, .begin = 5, .end = UINT32_MAX},
                         {.bytes = 1, .begin = UINT32_MAX, .end = UINT32_MAX}};
  assert_int_equal(place_and_check(edges, 4, ALIGNMENT), 0);
  arena_release(arena);
}

static bool place_instance(const char *folder, char letter) {
  char path[4096], line[256];
  snprintf(path, sizeof path, "%s/%c.1048576.csv", folder, letter);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  static Pieces pieces;
  pieces.count = 0;
  while (fgets(line, sizeof line, file) && pieces.count < MAX_PIECES) {
    char *at = strchr(line, ',');
    unsigned long numbers[3] = {0};
    int read = 0;
    for (; at && read < 3; read++) {
      char *end;
      numbers[read] = strtoul(at + 1, &end, 10);
      if (end == at + 1) break;
      at = *end == ',' ? end : NULL;
    }
    if (read == 3)
      pieces.items[pieces.count++] =
          (PlaceBuffer){.bytes = numbers[2], .begin = (uint32_t)numbers[0], .end = (uint32_t)numbers[1] - 1};
  }
  fclose(file);
  Arena *arena = arena_make("test");
  uint64_t top = place_buffers(arena, pieces.items, pieces.count, 1);
  arena_release(arena);
  assert_placed(pieces.items, pieces.count, 1, top);
  printf("  %c: %u buffers, %llu of 1048576 bytes\n", letter, pieces.count, (unsigned long long)top);
  return true;
}

static void public_instances_are_placed(void **state) {
  (void)state;
  const char *folder = getenv("SEER_MINIMALLOC");
  if (!folder) {
    printf("  SEER_MINIMALLOC names no folder: the public instances are left out\n");
    skip();
  }
  for (char letter = 'A'; letter <= 'K'; letter++) assert_true(place_instance(folder, letter));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_buffers_never_overlap), cmocka_unit_test(nested_lifetimes_reach_the_largest_live_sum),
      cmocka_unit_test(cut_rectangles_come_back),     cmocka_unit_test(edges_are_placed),
      cmocka_unit_test(public_instances_are_placed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
