// FairScale's rule against the vectors that its own tests publish (test_layer_memory_tracker.py), and the flat
// placements as schedules: each one replays, with the peak and the recomputation that the rule means.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "compiler/plan/baselines.h"

static const int64_t sizes[] = {10, 8, 8, 9, 7, 7, 5, 4, 4};
enum { COUNT = 9 };

typedef struct Vector {
  int cuts;
  int64_t largest;
  int point_count, points[COUNT];
} Vector;

static void published_vectors_hold(void **state) {
  static const Vector vectors[] = {{0, 62, 0, {0}},
                                   {1, 35, 1, {4}},
                                   {2, 24, 2, {2, 5}},
                                   {3, 18, 3, {2, 4, 6}},
                                   {9, 10, 9, {1, 2, 3, 4, 5, 6, 7, 8, 9}}};
  (void)state;
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    int points[16], count = 0;
    assert_int_equal(segments_fairscale(sizes, COUNT, vectors[i].cuts, points, &count), vectors[i].largest);
    assert_int_equal(count, vectors[i].point_count);
    for (int p = 0; p < count; p++) assert_int_equal(points[p], vectors[i].points[p]);
  }
}

// The least largest sum by trying every set of cuts.
static int64_t largest_by_trying(const int64_t *numbers, int count, int cuts) {
  int64_t best = INT64_MAX;
  for (unsigned set = 0; set < 1u << (count - 1); set++) {
    int used = 0;
    int64_t sum = numbers[0], largest = 0;
    for (int i = 1; i < count; i++) {
      bool cut = set >> (i - 1) & 1;
      used += cut;
      if (cut && sum > largest) largest = sum;
      sum = cut ? numbers[i] : sum + numbers[i];
    }
    if (sum > largest) largest = sum;
    if (used <= cuts && largest < best) best = largest;
  }
  return best;
}

static void sums_are_the_least(void **state) {
  uint64_t random = 7;
  (void)state;
  for (int trial = 0; trial < 300; trial++) {
    int64_t numbers[10];
    random = random * 6364136223846793005u + 1442695040888963407u;
    int count = 2 + (int)((random >> 33) % 8), cuts = (int)((random >> 45) % 5), points[16], point_count;
    for (int i = 0; i < count; i++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      numbers[i] = (int64_t)((random >> 33) % 50);
    }
    assert_int_equal(segments_fairscale(numbers, count, cuts, points, &point_count),
                     largest_by_trying(numbers, count, cuts));
  }
}

// Six blocks of 10 bytes with outputs of 2; forward 3 ns, backward 5 ns.
static Chain small_chain(Arena *arena) {
  Chain chain = {.blocks = arena_array(arena, ChainBlock, 6), .block_count = 6};
  for (int i = 0; i < 6; i++) {
    ChainMode *mode = arena_new(arena, ChainMode);
    *mode = (ChainMode){.name = "all", .saved_bytes = 10, .forward_ns = 3, .backward_ns = 5, .offload_ns = -1};
    chain.blocks[i] = (ChainBlock){.name = arena_printf(arena, "b%d", i),
                                   .output_bytes = 2,
                                   .output_gradient_bytes = i < 5 ? 2 : 0,
                                   .forward_only_ns = 3,
                                   .modes = mode,
                                   .mode_count = 1,
                                   .node_gather_ns = -1};
  }
  return chain;
}

static void flat_placements_replay(void **state) {
  (void)state;
  Arena *arena = arena_make("test");
  Chain chain = small_chain(arena);
  const struct {
    ChainOps ops;
    int64_t cost_ns, peak_bytes;
  } cases[] = {
      // all saved, and the two gradients of the last backward
      {baseline_none(arena, &chain), 48, 62},
      // five outputs kept, of which the last is block 5's input; its backward also has a gradient
      {baseline_every(arena, &chain), 48 + 15, 22},
      // segments 0-1, 2-3, 4-5: the last pair saved on top of two kept outputs
      {baseline_square_root(arena, &chain), 48 + 12, 26},
      {baseline_fairscale(arena, &chain, 2), 48 + 12, 26},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ChainReplay replay;
    const char *error = chain_replay(&chain, cases[i].ops.items, cases[i].ops.count, arena, &replay);
    if (error) fail_msg("%s", error);
    assert_int_equal(replay.cost_ns, cases[i].cost_ns);
    assert_int_equal(replay.peak_bytes, cases[i].peak_bytes);
  }
  arena_release(arena);
}

// Schedules that break a rule are told, each by its fault.
static void broken_schedules_are_told(void **state) {
  (void)state;
  Arena *arena = arena_make("test");
  Chain chain = small_chain(arena);
  ChainOps good = baseline_none(arena, &chain);
  ChainReplay replay;
  for (size_t missing = 0; missing < good.count; missing++) {
    ChainOps broken = {0};
    for (size_t i = 0; i < good.count; i++) {
      if (i != missing) arena_push(arena, &broken, ChainOp, good.items[i]);
    }
    assert_non_null(chain_replay(&chain, broken.items, broken.count, arena, &replay));
  }
  arena_release(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_vectors_hold),
      cmocka_unit_test(sums_are_the_least),
      cmocka_unit_test(flat_placements_replay),
      cmocka_unit_test(broken_schedules_are_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
