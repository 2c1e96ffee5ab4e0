// The public instances of MiniMalloc, A to K: each must be placed within the capacity that it is published for. They
// are not part of this tree: the environment variable SEER_MINIMALLOC names their folder (google/minimalloc,
// benchmarks/challenging).
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "compiler/plan/place.h"

enum { MAX_BUFFERS = 4096, CAPACITY = 1048576 };

// Reads `id,lower,upper,size` rows, `upper` excluded, after a heading; returns how many, or 0 when it cannot.
static uint32_t read_instance(const char *path, PlaceBuffer *buffers) {
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  char heading[256], id[64];
  uint32_t count = 0, lower, upper;
  uint64_t size;
  if (!fgets(heading, sizeof heading, file)) heading[0] = 0;
  while (count < MAX_BUFFERS &&
         fscanf(file, "%63[^,],%" SCNu32 ",%" SCNu32 ",%" SCNu64 " ", id, &lower, &upper, &size) == 4) {
    if (upper <= lower) continue;
    buffers[count++] = (PlaceBuffer){.bytes = size, .begin = lower, .end = upper - 1};
  }
  bool whole = feof(file);
  fclose(file);
  return whole ? count : 0;
}

static bool is_sound(const PlaceBuffer *buffers, uint32_t count, uint64_t top) {
  for (uint32_t i = 0; i < count; i++) {
    const PlaceBuffer *x = &buffers[i];
    if (x->offset + x->bytes > top) return false;
    for (uint32_t j = 0; j < i; j++) {
      const PlaceBuffer *y = &buffers[j];
      if (x->begin > y->end || y->begin > x->end) continue;
      if (x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes) return false;
    }
  }
  return true;
}

int main(void) {
  const char *folder = getenv("SEER_MINIMALLOC");
  if (!folder || !*folder) {
    fprintf(stderr, "SEER_MINIMALLOC names no folder with the instances A to K\n");
    return 1;
  }
  static PlaceBuffer buffers[MAX_BUFFERS];
  int failures = 0;
  for (char letter = 'A'; letter <= 'K'; letter++) {
    Arena *arena = arena_make("test");
    uint32_t count = read_instance(arena_printf(arena, "%s/%c.%d.csv", folder, letter, CAPACITY), buffers);
    clock_t start = clock();
    uint64_t top = place_buffers(arena, buffers, count, 1, PLACE_USUAL);
    uint64_t peak = place_live_peak(arena, buffers, count, 1, NULL);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    bool passed = count && top <= CAPACITY && is_sound(buffers, count, top);
    printf("%c: %3" PRIu32 " buffers, live sum %7" PRIu64 ", needs %7" PRIu64 ", %.3f s%s\n", letter, count, peak, top,
           seconds,
           !count   ? ": cannot be read"
           : passed ? ""
                    : ": FAILED");
    failures += !passed;
    arena_release(arena);
  }
  return failures > 0;
}
