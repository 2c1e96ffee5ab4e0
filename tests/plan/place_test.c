// Placement: buffers that live together never overlap, the same buffers always end at the same offsets, nothing is
// worse than simple greed, small sets are optimal (against exhaustion), and the memory is the largest live sum where
// that can be reached: nested lifetimes, recomputation, rectangles of time and memory cut into pieces.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/plan/place.h"
#include "tests/plan/place_sets.h"

enum { ALIGNMENT = 64 };

static void assert_placed(const PlaceBuffer *buffers, uint32_t count, uint64_t alignment, uint64_t top) {
  for (uint32_t i = 0; i < count; i++) {
    const PlaceBuffer *x = &buffers[i];
    assert_int_equal(x->offset % alignment, 0);
    assert_true(x->offset + x->bytes <= top);
    if (!x->bytes) assert_int_equal(x->offset, 0);
    for (uint32_t j = 0; j < i; j++) {
      const PlaceBuffer *y = &buffers[j];
      bool together = x->begin <= y->end && y->begin <= x->end && x->bytes && y->bytes;
      if (together && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
        fail_msg("buffers %u and %u overlap", j, i);
    }
  }
}

// The largest live sum, step by step.
static uint64_t live_peak(const PlaceBuffer *buffers, uint32_t count, uint64_t alignment) {
  uint64_t peak = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t live = 0;
    for (uint32_t j = 0; j < count; j++) {
      bool together = buffers[j].begin <= buffers[i].begin && buffers[i].begin <= buffers[j].end;
      if (together) live += (buffers[j].bytes + alignment - 1) / alignment * alignment;
    }
    if (live > peak) peak = live;
  }
  return peak;
}

// Places, checks, places a copy again and compares. Returns what is needed beyond the largest live sum.
static uint64_t place_and_check(PlaceBuffer *buffers, uint32_t count, uint64_t alignment) {
  Arena *arena = arena_make("test");
  PlaceBuffer *again = arena_array(arena, PlaceBuffer, count + 1);
  memcpy(again, buffers, count * sizeof *buffers);
  uint64_t peak = place_live_peak(arena, buffers, count, alignment, NULL);
  uint64_t top = place_buffers(arena, buffers, count, alignment, PLACE_USUAL);
  assert_int_equal(peak, live_peak(buffers, count, alignment));
  assert_true(top >= peak);
  assert_placed(buffers, count, alignment, top);
  assert_int_equal(place_buffers(arena, again, count, alignment, PLACE_USUAL), top);
  for (uint32_t i = 0; i < count; i++) assert_int_equal(again[i].offset, buffers[i].offset);
  arena_release(arena);
  return top - peak;
}

// First fit of one more buffer above those before it; returns its top.
static uint64_t fit_next(PlaceBuffer *buffers, uint32_t placed) {
  PlaceBuffer *x = &buffers[placed];
  x->offset = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t j = 0; j < placed; j++) {
      const PlaceBuffer *y = &buffers[j];
      if (x->begin > y->end || y->begin > x->end) continue;
      if (x->offset >= y->offset + y->bytes || y->offset >= x->offset + x->bytes) continue;
      x->offset = y->offset + y->bytes;
      moved = true;
    }
  }
  return x->offset + x->bytes;
}

static uint64_t first_fit(PlaceBuffer *buffers, uint32_t count) {
  uint64_t top = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t height = fit_next(buffers, i);
    if (height > top) top = height;
  }
  return top;
}

static int by_size(const void *a, const void *b) {
  const PlaceBuffer *x = a, *y = b;
  return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

static int by_life(const void *a, const void *b) {
  const PlaceBuffer *x = a, *y = b;
  uint32_t x_life = x->end - x->begin, y_life = y->end - y->begin;
  return x_life > y_life ? -1 : x_life < y_life ? 1 : by_size(a, b);
}

static void random_buffers_are_placed(void **state) {
  (void)state;
  for (int trial = 0; trial < 300; trial++) {
    PlaceBuffer buffers[64], greedy[64];
    uint32_t count = 1 + random_below(60), steps = 30;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t begin = random_below(steps);
      buffers[i] = (PlaceBuffer){
          .bytes = ALIGNMENT * (uint64_t)random_below(50), .begin = begin, .end = begin + random_below(steps - begin)};
    }
    memcpy(greedy, buffers, sizeof greedy);
    uint64_t top = live_peak(buffers, count, ALIGNMENT) + place_and_check(buffers, count, ALIGNMENT);
    qsort(greedy, count, sizeof *greedy, by_size);
    assert_true(top <= first_fit(greedy, count));
    qsort(greedy, count, sizeof *greedy, by_life);
    assert_true(top <= first_fit(greedy, count));
  }
}

static void swap(PlaceBuffer *x, PlaceBuffer *y) {
  PlaceBuffer z = *x;
  *x = *y;
  *y = z;
}

// The best that first fit can do in any order, which is the best of all; `best` starts above it.
static void exhaust(PlaceBuffer *buffers, uint32_t count, uint32_t placed, uint64_t top, uint64_t peak,
                    uint64_t *best) {
  if (placed == count) *best = top;
  for (uint32_t i = placed; i<count && * best> peak; i++) {
    swap(&buffers[placed], &buffers[i]);
    uint64_t height = fit_next(buffers, placed);
    if (height < top) height = top;
    if (height < *best) exhaust(buffers, count, placed + 1, height, peak, best);
    swap(&buffers[placed], &buffers[i]);
  }
}

// Returns how much the optimum, which must be reached, is beyond the largest live sum.
static uint64_t assert_optimal(PlaceBuffer *buffers, uint32_t count) {
  uint64_t peak = live_peak(buffers, count, 1), best = UINT64_MAX;
  exhaust(buffers, count, 0, 0, peak, &best);
  assert_int_equal(peak + place_and_check(buffers, count, 1), best);
  return best - peak;
}

static void small_sets_are_optimal(void **state) {
  (void)state;
  for (int trial = 0; trial < 400; trial++) {
    PlaceBuffer buffers[8];
    uint32_t count = 1 + random_below(8), steps = 6;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t begin = random_below(steps), life = random_below(steps - begin);
      buffers[i] = (PlaceBuffer){.bytes = 1 + random_below(9), .begin = begin, .end = begin + life};
    }
    assert_optimal(buffers, count);
  }
}

// Sets that cannot reach the largest live sum are rare: these need one byte more, and the search must prove it.
static void gaps_are_proven(void **state) {
  (void)state;
  static const uint32_t known[][11][3] = {
      // begin, end, bytes
      {{0, 0, 4}, {0, 1, 4}, {1, 2, 1}, {1, 3, 3}, {2, 2, 2}, {2, 3, 2}, {3, 4, 3}, {4, 4, 4}},
      {{0, 0, 1}, {0, 1, 3}, {0, 0, 4}, {1, 3, 3}, {1, 2, 2}, {2, 3, 2}, {2, 2, 1}, {3, 4, 3}, {4, 4, 4}},
      {{0, 0, 3}, {0, 1, 3}, {1, 3, 2}, {1, 2, 1}, {2, 3, 1}, {2, 2, 1}, {2, 4, 1}, {3, 4, 2}, {4, 5, 3}, {5, 5, 2}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    PlaceBuffer buffers[22];
    uint32_t count = 0;
    for (; count < 11 && known[i][count][2]; count++) {
      const uint32_t *row = known[i][count];
      buffers[count] = (PlaceBuffer){.bytes = row[2], .begin = row[0], .end = row[1]};
    }
    assert_int_equal(assert_optimal(buffers, count), 1);
    // A second set of the kind, later, changes nothing.
    for (uint32_t j = 0; j < count; j++) {
      buffers[count + j] = buffers[j];
      buffers[count + j].begin += 10;
      buffers[count + j].end += 10;
    }
    assert_int_equal(place_and_check(buffers, 2 * count, 1), 1);
  }
}

// Buffer i lives from step i to step 2n-1-i, with a scratch at each step: a chain's forward and backward.
static void chains_reach_the_largest_live_sum(void **state) {
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

static void nested_lifetimes_reach_the_largest_live_sum(void **state) {
  (void)state;
  for (int trial = 0; trial < 100; trial++) {
    PlaceSet set = {0};
    place_set_nest(&set, 0, 1 + random_below(400), trial % 7);
    assert_int_equal(place_and_check(set.buffers, set.count, trial % 2 ? ALIGNMENT : 1), 0);
    place_set_release(&set);
  }
}

static void recomputation_reaches_the_largest_live_sum(void **state) {
  (void)state;
  for (uint32_t blocks = 2; blocks <= 24; blocks++) {
    PlaceSet set = {0};
    place_set_recompute(&set, blocks);
    uint64_t gap = place_and_check(set.buffers, set.count, ALIGNMENT);
    if (gap) fail_msg("%u blocks, %u buffers: %llu bytes too many", blocks, set.count, (unsigned long long)gap);
    place_set_release(&set);
  }
}

// Full rectangles leave no room at all: up to 300 pieces must come back whole, more of them nearly.
static void cut_rectangles_come_back(void **state) {
  (void)state;
  static const uint32_t counts[] = {5, 10, 20, 40, 60, 100, 150, 200, 300};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    for (int trial = 0; trial < 6; trial++) {
      PlaceSet set = {0};
      place_set_cut(&set, counts[i], 2000, 1 << 20);
      assert_int_equal(live_peak(set.buffers, set.count, 1), 1 << 20);
      assert_int_equal(place_and_check(set.buffers, set.count, 1), 0);
      place_set_release(&set);
    }
  }
  PlaceSet large = {0};
  place_set_cut(&large, 1500, 2000, 1 << 20);
  assert_true(place_and_check(large.buffers, large.count, 1) < (1 << 20) / 3);
  place_set_release(&large);
}

// Two sets that no buffer connects need what the larger one needs.
static void parts_of_time_are_placed_apart(void **state) {
  (void)state;
  PlaceSet set = {0};
  place_set_cut(&set, 50, 100, 1000);
  uint32_t first = set.count;
  place_set_cut(&set, 50, 100, 3000);
  for (uint32_t i = first; i < set.count; i++) {
    set.buffers[i].begin += 100;
    set.buffers[i].end += 100;
  }
  assert_int_equal(place_and_check(set.buffers, set.count, 1), 0);
  place_set_release(&set);
}

static void edges_are_placed(void **state) {
  (void)state;
  Arena *arena = arena_make("test");
  uint32_t step = 7;
  assert_int_equal(place_buffers(arena, NULL, 0, ALIGNMENT, PLACE_USUAL), 0);
  assert_int_equal(place_live_peak(arena, NULL, 0, ALIGNMENT, &step), 0);
  PlaceBuffer one = {.bytes = 100, .begin = 3, .end = 3, .offset = 5};
  assert_int_equal(place_live_peak(arena, &one, 1, ALIGNMENT, &step), 128);
  assert_int_equal(step, 3);
  assert_int_equal(place_buffers(arena, &one, 1, 4096, PLACE_USUAL), 4096);
  assert_int_equal(one.offset, 0);
  PlaceBuffer empty[] = {{.bytes = 0, .begin = 0, .end = 9}, {.bytes = 0, .begin = 2, .end = 2}};
  assert_int_equal(place_buffers(arena, empty, 2, ALIGNMENT, PLACE_USUAL), 0);
  PlaceBuffer edges[] = {{.bytes = 0, .begin = 0, .end = 9},
                         {.bytes = (uint64_t)1 << 50, .begin = 0, .end = 5},
                         {.bytes = ((uint64_t)1 << 50) - 1, .begin = 5, .end = UINT32_MAX},
                         {.bytes = 1, .begin = UINT32_MAX, .end = UINT32_MAX}};
  assert_int_equal(place_live_peak(arena, edges, 4, 1, &step), ((uint64_t)1 << 51) - 1);
  assert_int_equal(step, 5);
  assert_int_equal(place_and_check(edges, 4, ALIGNMENT), 0);
  arena_release(arena);
}

// Sizes near 2^50 that cannot all be piled up, so that the search sees them.
static void huge_buffers_do_not_overflow(void **state) {
  (void)state;
  for (int trial = 0; trial < 20; trial++) {
    PlaceSet set = {0};
    place_set_cut(&set, 40, 500, 1 << 20);
    for (uint32_t i = 0; i < set.count; i++) set.buffers[i].bytes <<= 33;
    assert_int_equal(place_and_check(set.buffers, set.count, trial % 2 ? ALIGNMENT : 1), 0);
    place_set_release(&set);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_buffers_are_placed),
      cmocka_unit_test(small_sets_are_optimal),
      cmocka_unit_test(gaps_are_proven),
      cmocka_unit_test(chains_reach_the_largest_live_sum),
      cmocka_unit_test(nested_lifetimes_reach_the_largest_live_sum),
      cmocka_unit_test(recomputation_reaches_the_largest_live_sum),
      cmocka_unit_test(cut_rectangles_come_back),
      cmocka_unit_test(parts_of_time_are_placed_apart),
      cmocka_unit_test(edges_are_placed),
      cmocka_unit_test(huge_buffers_do_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
