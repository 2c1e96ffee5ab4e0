// The method. Operations: every thread multiplies and adds CHAINS independent vectors in registers, as wide as this
// file is compiled for (the trainer's Makefile compiles it for the same processor as the kernels); enough of them that
// no product waits for the one before. Bandwidth: the triad a = b + s c over three arrays which together are four times
// the last cache, 12 bytes an element, as STREAM counts it (J. McCalpin, 1995): each operand and result once, as ops
// are counted, too. Of either the fastest of several rounds, since others only ever slow it down.
#include "runtime/peak.h"

#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/engine.h"

#if defined(__AVX512F__)
enum { FLOATS = 16, CHAINS = 12 };
#elif defined(__AVX__)
enum { FLOATS = 8, CHAINS = 12 };
#else
enum { FLOATS = 4, CHAINS = 12 };
#endif

enum { ROUNDS = 12, TURNS = 4096, PIECES_PER_THREAD = 4 };
static const double round_seconds = 0.02;

typedef float Wide __attribute__((vector_size(4 * FLOATS)));

// The compiler must take the sum as it is in its register: it can neither fold the loop nor drop it.
#if defined(__AVX512F__)
#define PIN(vector) __asm__ volatile("" : "+v"(vector))
#elif defined(__x86_64__)
#define PIN(vector) __asm__ volatile("" : "+x"(vector))
#elif defined(__aarch64__)
#define PIN(vector) __asm__ volatile("" : "+w"(vector))
#else
#define PIN(vector) __asm__ volatile("" : "+m"(vector))
#endif

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

// Sums tend to 1: neither infinite nor too small to be normal.
static void multiply_add(const void *arguments, int task, int worker) {
  (void)worker;
  int turns = *(const int *)arguments;
  Wide sums[CHAINS], factor = (Wide){0} + 0.9375f, term = (Wide){0} + 0.0625f;
  UNROLL
  for (int i = 0; i < CHAINS; i++) sums[i] = (Wide){0} + (float)(task + i);
  PIN(factor);
  PIN(term);
  for (int turn = 0; turn < turns; turn++) {
    UNROLL
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
    UNROLL
    for (int i = 0; i < CHAINS; i++) PIN(sums[i]);
  }
}

static double timed_run(SeerPool *pool, void (*function)(const void *, int, int), const void *arguments, int tasks) {
  double began = seer_seconds_now();
  seer_pool_run(pool, function, arguments, tasks);
  return seer_seconds_now() - began;
}

static double operations_measure(SeerPool *pool) {
  int threads = seer_pool_threads(pool), turns = TURNS;
  while (timed_run(pool, multiply_add, &turns, threads) < round_seconds && turns < 1 << 28) turns *= 2;
  double best = 0;
  for (int i = 0; i < ROUNDS; i++) {
    double seconds = timed_run(pool, multiply_add, &turns, threads);
    double rate = 2.0 * FLOATS * CHAINS * turns * threads / seconds;
    if (rate > best) best = rate;
  }
  return best;
}

typedef struct Triad {
  float *a;
  const float *b, *c;
  int64_t piece;  // floats of one task: a multiple of FLOATS
} Triad;

static void triad(const void *arguments, int task, int worker) {
  (void)worker;
  const Triad *t = arguments;
  int64_t begin = task * t->piece;
  Wide factor = (Wide){0} + 0.5f;
  Wide *a = (Wide *)(void *)(t->a + begin);
  const Wide *b = (const Wide *)(const void *)(t->b + begin), *c = (const Wide *)(const void *)(t->c + begin);
  for (int64_t i = 0; i < t->piece / FLOATS; i++) a[i] = b[i] + factor * c[i];
}

static uint64_t last_cache_bytes(void) {
  long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? (uint64_t)bytes : 32u << 20;
}

static uint64_t triad_bytes(void) {
  uint64_t bytes = 4 * last_cache_bytes(), most = seer_memory_available() / 4;
  if (bytes < 96u << 20) bytes = 96u << 20;
  if (bytes > 1u << 30) bytes = 1u << 30;
  return bytes < most ? bytes : most;
}

static SeerStatus bandwidth_measure(SeerPool *pool, SeerPeak *peak) {
  int tasks = seer_pool_threads(pool) * PIECES_PER_THREAD;
  int64_t piece = (int64_t)(triad_bytes() / 3 / sizeof(float)) / tasks / 16 * 16;
  uint64_t array = (uint64_t)(piece * tasks) * sizeof(float);
  peak->triad_bytes = 3 * array;
  unsigned char *memory = NULL;
  SeerStatus status = seer_memory_map(peak->triad_bytes, "the measurement of bandwidth", &memory);
  if (status) return status;
  float *floats = (float *)(void *)memory;
  Triad arrays[] = {{floats, floats + piece * tasks, floats + 2 * piece * tasks, piece}};
  // Each array is written once, so that all of its pages are there.
  Triad first[] = {{floats + piece * tasks, floats, floats, piece},
                   {floats + 2 * piece * tasks, floats, floats, piece}};
  for (int i = 0; i < 2; i++) seer_pool_run(pool, triad, &first[i], tasks);
  for (int i = 0; i < ROUNDS; i++) {
    double seconds = timed_run(pool, triad, arrays, tasks), rate = (double)peak->triad_bytes / seconds;
    if (i && rate > peak->bytes_per_second) peak->bytes_per_second = rate;
  }
  seer_memory_unmap(memory, peak->triad_bytes);
  return SEER_OK;
}

SeerStatus seer_peak_measure(SeerPool *pool, SeerPeak *peak) {
  *peak = (SeerPeak){.vector_floats = FLOATS, .flops_per_second = operations_measure(pool)};
  return bandwidth_measure(pool, peak);
}
