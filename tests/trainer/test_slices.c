// Unit tests of slices: turns, gathers, gradients and pairwise sums of one rank, against what they must be.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/engine.h"
#include "runtime/pairwise.h"

enum { SLICES = 4, ROUNDS = 50, FLOATS = 3, COUNT = 40000, BATCH = 8, CROPS = 3, SIDE = 2 };

// The arena of a slice: what it brings to a gather, what it gets, and its gradient.
typedef struct Arena {
  float mine[FLOATS], all[SLICES][FLOATS], sum;
  float gradient[COUNT], average[COUNT];
} Arena;

// Counted by all slices: a test may only fail on the thread that it began on.
static int running, most_running, wrong, order[SLICES], entered;

static uint8_t images[CROPS * BATCH * SIDE * SIDE * 3];
static int32_t labels[BATCH];

static Arena *arena_of(SeerContext *context) { return (Arena *)(void *)context->arena; }

static void launch_task(const void *arguments, int task, int worker) {
  (void)worker;
  float *sum = *(float *const *)arguments;
  if (task == 0) *sum += 1;
}

// Every round, each slice brings numbers of its own, and adds up everybody's.
static void step(SeerContext *context) {
  Arena *arena = arena_of(context);
  int number = (int)context->labels[0];
  order[entered++] = number;
  wrong += context->images[0] != images + number * (int)sizeof images / SLICES;
  for (int round = 0; round < ROUNDS; round++) {
    most_running = ++running > most_running ? running : most_running;
    for (int i = 0; i < FLOATS; i++) arena->mine[i] = (float)(100 * number + 10 * round + i);
    running--;
    seer_gather_ranks(context, FLOATS, arena->mine, arena->all[0]);
    for (int s = 0; s < SLICES; s++)
      for (int i = 0; i < FLOATS; i++) wrong += arena->all[s][i] != (float)(100 * s + 10 * round + i);
    float *sum = &arena->sum;
    seer_launch(context, 0, launch_task, &sum, 2);
    seer_launch(context, 1, launch_task, &sum, 2);
  }
  for (int i = 0; i < COUNT; i++) arena->gradient[i] = 1 / (float)(1 + i + 7 * number);
}

static const SeerLaunch launches[] = {{.kernel = "in the arena", .offset = offsetof(Arena, sum), .count = 1},
                                      {.kernel = "in the state", .in_state = true, .count = 1}};

static SeerProgram program_make(void) {
  SeerProgram program = {.batch = BATCH, .accumulate = 1, .ranks = 1, .slices = SLICES, .launches = launches};
  program.slice_bytes = (sizeof(Arena) + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT;
  for (int i = 0; i < BATCH; i++) labels[i] = i / (BATCH / SLICES);
  program.views.size_group_count = 1;
  program.views.size_groups[0] = (SeerSizeGroup){.crops = CROPS, .size = SIDE};
  return program;
}

static void slices_take_turns(void **state) {
  (void)state;
  SeerProgram program = program_make();
  SeerSlices *slices = NULL;
  assert_int_equal(seer_slices_make(&program, &slices), SEER_OK);
  unsigned char *memory = NULL;
  assert_int_equal(seer_memory_map(SLICES * program.slice_bytes, "a test", &memory), SEER_OK);
  float counted = 0;
  SeerContext context = {.program = &program, .arena = memory, .state = (unsigned char *)&counted,
                         .images = {images}, .labels = labels, .pool = seer_pool_make(3), .first_not_finite = -1};
  for (int run = 0; run < 2; run++) {
    entered = 0;
    seer_slices_run(slices, &context, step);
    for (int s = 0; s < SLICES; s++) assert_int_equal(order[s], s);
  }
  assert_int_equal(most_running, 1);
  assert_int_equal(wrong, 0);
  for (int s = 0; s < SLICES; s++) {
    const Arena *arena = (const Arena *)(const void *)(memory + (uint64_t)s * program.slice_bytes);
    // What lies in the state changes with the first slice alone.
    assert_true(arena->sum == (s ? 2 * ROUNDS : 4 * ROUNDS));
  }
  Arena *first = (Arena *)(void *)memory;
  seer_average_ranks(&context, COUNT, SEER_FP32, first->gradient, NULL, first->average);
  for (int i = 0; i < COUNT; i++) {
    float g[SLICES];
    for (int s = 0; s < SLICES; s++) g[s] = 1 / (float)(1 + i + 7 * s);
    assert_true(first->average[i] == ((g[0] + g[1]) + (g[2] + g[3])) / SLICES);
  }
  assert_int_equal(context.network, SEER_OK);
  seer_slices_release(slices);
  seer_pool_release(context.pool);
  seer_memory_unmap(memory, SLICES * program.slice_bytes);
}

static void bad_step(SeerContext *context) {
  Arena *arena = arena_of(context);
  arena->sum = context->labels[0] == 2 ? INFINITY : 0;
  float unused = 0, *sum = &unused;
  seer_launch(context, 0, launch_task, &sum, 1);
}

static void a_bad_number_of_any_slice_is_seen(void **state) {
  (void)state;
  SeerProgram program = program_make();
  SeerSlices *slices = NULL;
  unsigned char *memory = NULL;
  assert_int_equal(seer_slices_make(&program, &slices), SEER_OK);
  assert_int_equal(seer_memory_map(SLICES * program.slice_bytes, "a test", &memory), SEER_OK);
  SeerContext context = {.program = &program, .arena = memory, .images = {images}, .labels = labels,
                         .pool = seer_pool_make(1), .check_finite = true, .first_not_finite = -1};
  seer_slices_run(slices, &context, bad_step);
  assert_int_equal(context.first_not_finite, 0);
  seer_slices_release(slices);
  seer_pool_release(context.pool);
  seer_memory_unmap(memory, SLICES * program.slice_bytes);
}

static void one_slice_needs_nothing(void **state) {
  (void)state;
  SeerProgram program = program_make();
  SeerSlices *slices = (SeerSlices *)(void *)&program;
  program.ranks = SLICES;
  assert_int_equal(seer_slices_make(&program, &slices), SEER_OK);
  assert_null(slices);
  seer_slices_release(NULL);
}

// Sums of shares, summed, are the sum of all, whatever the shares: that is what worlds rely on.
static void shares_make_the_sum(void **state) {
  (void)state;
  enum { NUMBERS = 16, LENGTH = 1300 };
  static float rows[NUMBERS][LENGTH], whole[LENGTH], parts[NUMBERS][LENGTH], joined[LENGTH];
  double numbers[NUMBERS];
  uint32_t draw = 1;
  bool order_matters = false;
  for (int r = 0; r < NUMBERS; r++) {
    numbers[r] = 1.0 / (3 + r);
    for (int i = 0; i < LENGTH; i++) rows[r][i] = (float)(draw = draw * 1664525u + 1013904223u) * 1e-9f - 2;
  }
  seer_pairwise_rows(rows[0], LENGTH, NUMBERS, 1, LENGTH, whole);
  for (int i = 0; i < LENGTH; i++) {
    float in_order = 0;
    for (int r = 0; r < NUMBERS; r++) in_order += rows[r][i];
    order_matters = order_matters || in_order != whole[i];
  }
  assert_true(order_matters);
  for (int shares = 1; shares <= NUMBERS; shares *= 2) {
    int each = NUMBERS / shares;
    double sums[NUMBERS];
    for (int s = 0; s < shares; s++) {
      seer_pairwise_rows(rows[s * each], LENGTH, each, 1, LENGTH, parts[s]);
      sums[s] = seer_pairwise_sum(numbers + s * each, 1, each);
    }
    seer_pairwise_rows(parts[0], LENGTH, shares, 1, LENGTH, joined);
    assert_memory_equal(joined, whole, sizeof whole);
    assert_true(seer_pairwise_sum(sums, 1, shares) == seer_pairwise_sum(numbers, 1, NUMBERS));
    // In place, as gradients of ranks are summed.
    seer_pairwise_rows(parts[0], LENGTH, shares, 0.5f, LENGTH, parts[0]);
    for (int i = 0; i < LENGTH; i++) assert_true(parts[0][i] == 0.5f * whole[i]);
  }
  assert_true(seer_pairwise_sum(numbers, 1, 0) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slices_take_turns),
      cmocka_unit_test(a_bad_number_of_any_slice_is_seen),
      cmocka_unit_test(one_slice_needs_nothing),
      cmocka_unit_test(shares_make_the_sum),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
