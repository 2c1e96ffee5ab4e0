// Greedy placements of a task.
//
// Piling up: always places what can lie lowest, by the order among equals; nothing is put under what lies already.
// First and best fit: in the order, at the lowest gap or at the tightest one under the goal.
#include <stdlib.h>
#include <string.h>

#include "compiler/plan/place_task.h"

typedef struct SortKey {
  uint64_t keys[3];  // the largest first
  uint32_t buffer;
} SortKey;

static int by_keys(const void *a, const void *b) {
  const SortKey *x = a, *y = b;
  for (int i = 0; i < 3; i++) {
    if (x->keys[i] != y->keys[i]) return x->keys[i] > y->keys[i] ? -1 : 1;
  }
  return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static uint32_t fullest_section(const PlaceTask *task) {
  uint32_t fullest = 0;
  for (uint32_t s = 1; s < task->section_count; s++) {
    if (task->load[s] > task->load[fullest]) fullest = s;
  }
  return fullest;
}

// Orders by PEAK: buffers of the fullest section first, by birth, death or life, so that they fill it without a gap;
// then the others by life or size. Orders by LOAD: by the fullest section that a buffer lives in.
static SortKey sort_key(const PlaceTask *task, PlaceOrder by, uint32_t peak, uint32_t buffer) {
  uint64_t size = task->size[buffer], life = (uint64_t)task->end[buffer] - task->begin[buffer] + 1;
  uint64_t area = life > UINT64_MAX / size ? UINT64_MAX : size * life;
  uint64_t early = UINT32_MAX - task->begin[buffer], late = task->end[buffer];
  bool full = task->first[buffer] <= peak && peak <= task->last[buffer];
  switch (by) {
    case ORDER_LOAD_BIRTH: return (SortKey){{task->fullest[buffer], early, life}, buffer};
    case ORDER_LOAD_AREA: return (SortKey){{task->fullest[buffer], area, life}, buffer};
    case ORDER_LOAD_LIFE: return (SortKey){{task->fullest[buffer], life, size}, buffer};
    case ORDER_LOAD_SIZE: return (SortKey){{task->fullest[buffer], size, life}, buffer};
    case ORDER_PEAK_BIRTH_LIFE: return (SortKey){{full, full ? early : life, full ? life : size}, buffer};
    case ORDER_PEAK_BIRTH_SIZE: return (SortKey){{full, full ? early : size, life}, buffer};
    case ORDER_PEAK_LIFE_SIZE: return (SortKey){{full, full ? life : size, full ? size : life}, buffer};
    case ORDER_PEAK_DEATH_SIZE: return (SortKey){{full, full ? late : size, life}, buffer};
    case ORDER_LIFE_SIZE: return (SortKey){{task->last[buffer] - task->first[buffer], size, 0}, buffer};
    case ORDER_AREA:
    case ORDER_COUNT: break;
  }
  return (SortKey){{area, life, 0}, buffer};
}

void place_sort(const PlaceTask *task, PlaceOrder by, uint32_t *order) {
  SortKey *keys = arena_array(task->arena, SortKey, task->count);
  uint32_t peak = fullest_section(task);
  for (uint32_t i = 0; i < task->count; i++) keys[i] = sort_key(task, by, peak, i);
  qsort(keys, task->count, sizeof *keys, by_keys);
  for (uint32_t i = 0; i < task->count; i++) order[i] = keys[i].buffer;
}

void place_keep(PlaceTask *task, const uint64_t *offset, uint64_t top) {
  if (top >= task->top) return;
  task->top = top;
  memcpy(task->offset, offset, task->count * sizeof *offset);
}

// What is being placed; arrays run in the order of placing.
typedef struct Greedy {
  PlaceTask *task;
  uint32_t *order;
  uint32_t *first, *last, *buffer;  // piling up: of buffers not placed yet; fitting: of placed ones by rising offset
  uint64_t *low, *high;             // piling up: lowest offset possible; fitting: bottom and top
  uint64_t *offset;                 // by buffer
  uint64_t work;
} Greedy;

static uint32_t drop_placed(Greedy *greedy, uint32_t count) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (greedy->low[i] == UINT64_MAX) continue;
    greedy->first[kept] = greedy->first[i];
    greedy->last[kept] = greedy->last[i];
    greedy->low[kept] = greedy->low[i];
    greedy->buffer[kept++] = greedy->buffer[i];
  }
  return kept;
}

// Lifts what lives in the sections first..last to `height` and returns the position of the lowest buffer; the earliest
// in the order among equals.
static uint32_t lift_and_find_lowest(Greedy *greedy, uint32_t count, uint32_t first, uint32_t last, uint64_t height) {
  const uint32_t *firsts = greedy->first, *lasts = greedy->last;
  uint64_t *low = greedy->low, lowest = UINT64_MAX;
  uint32_t at = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (firsts[i] <= last && first <= lasts[i] && low[i] < height) low[i] = height;
    if (low[i] >= lowest) continue;
    lowest = low[i];
    at = i;
  }
  return at;
}

static void pile_up(Greedy *greedy) {
  PlaceTask *task = greedy->task;
  for (uint32_t i = 0; i < task->count; i++) {
    uint32_t buffer = greedy->buffer[i] = greedy->order[i];
    greedy->first[i] = task->first[buffer];
    greedy->last[i] = task->last[buffer];
    greedy->low[i] = 0;
  }
  uint64_t top = 0, height = 0;
  uint32_t first = 0, last = 0, listed = task->count;
  for (uint32_t left = task->count; left; left--) {
    if (left < listed - listed / 8) listed = drop_placed(greedy, listed);
    uint32_t at = lift_and_find_lowest(greedy, listed, first, last, height), buffer = greedy->buffer[at];
    greedy->offset[buffer] = greedy->low[at];
    height = greedy->low[at] + task->size[buffer];
    first = greedy->first[at];
    last = greedy->last[at];
    greedy->low[at] = UINT64_MAX;
    if (height > top) top = height;
  }
  place_keep(task, greedy->offset, top);
  greedy->work += (uint64_t)task->count * task->count / 2;
}

// The offset for a buffer among the `placed` ones: the lowest gap, or with `tight` the smallest that is large enough.
static uint64_t find_gap(const Greedy *greedy, uint32_t placed, uint32_t buffer, bool tight) {
  const PlaceTask *task = greedy->task;
  uint32_t first = task->first[buffer], last = task->last[buffer];
  uint64_t size = task->size[buffer], offset = 0, best = UINT64_MAX, best_waste = UINT64_MAX;
  for (uint32_t i = 0; i < placed; i++) {
    if (greedy->first[i] > last || greedy->last[i] < first) continue;
    if (greedy->low[i] >= offset + size) {
      if (!tight) return offset;
      uint64_t waste = greedy->low[i] - offset - size;
      if (waste < best_waste) {
        best_waste = waste;
        best = offset;
      }
    }
    if (greedy->high[i] > offset) offset = greedy->high[i];
  }
  if (best == UINT64_MAX) return offset;
  return offset + size <= task->goal && task->goal - offset - size < best_waste ? offset : best;
}

static void insert_placed(Greedy *greedy, uint32_t placed, uint32_t buffer, uint64_t offset) {
  uint32_t at = placed;
  while (at && greedy->low[at - 1] > offset) at--;
  size_t moved = placed - at;
  memmove(greedy->first + at + 1, greedy->first + at, moved * sizeof *greedy->first);
  memmove(greedy->last + at + 1, greedy->last + at, moved * sizeof *greedy->last);
  memmove(greedy->low + at + 1, greedy->low + at, moved * sizeof *greedy->low);
  memmove(greedy->high + at + 1, greedy->high + at, moved * sizeof *greedy->high);
  greedy->first[at] = greedy->task->first[buffer];
  greedy->last[at] = greedy->task->last[buffer];
  greedy->low[at] = offset;
  greedy->high[at] = offset + greedy->task->size[buffer];
}

// Places all buffers in `greedy->order`.
static void fit(Greedy *greedy, bool tight) {
  PlaceTask *task = greedy->task;
  uint64_t top = 0;
  for (uint32_t placed = 0; placed < task->count; placed++) {
    uint32_t buffer = greedy->order[placed];
    uint64_t offset = find_gap(greedy, placed, buffer, tight), height = offset + task->size[buffer];
    greedy->offset[buffer] = offset;
    insert_placed(greedy, placed, buffer, offset);
    if (height > top) top = height;
  }
  place_keep(task, greedy->offset, top);
  greedy->work += (uint64_t)task->count * task->count / 2;
}

// Moves the buffers that end above the goal to the front of the order, the rest keeping theirs.
static void promote_highest(Greedy *greedy) {
  const PlaceTask *task = greedy->task;
  uint32_t front = 0, back = 0, *rest = greedy->buffer;
  for (uint32_t i = 0; i < task->count; i++) {
    uint32_t buffer = greedy->order[i];
    if (greedy->offset[buffer] + task->size[buffer] > task->goal) {
      greedy->order[front++] = buffer;
    } else {
      rest[back++] = buffer;
    }
  }
  memcpy(greedy->order + front, rest, back * sizeof *rest);
}

typedef struct Try {
  enum { PILE_UP, FIRST_FIT, BEST_FIT } how;
  PlaceOrder by;
} Try;

// By how often they reach the goal on networks' plans, with and without recomputation.
static const Try tries[] = {{PILE_UP, ORDER_LOAD_BIRTH},        {FIRST_FIT, ORDER_PEAK_BIRTH_SIZE},
                            {BEST_FIT, ORDER_LOAD_BIRTH},       {FIRST_FIT, ORDER_PEAK_LIFE_SIZE},
                            {BEST_FIT, ORDER_LOAD_SIZE},        {PILE_UP, ORDER_PEAK_BIRTH_LIFE},
                            {FIRST_FIT, ORDER_PEAK_DEATH_SIZE}, {PILE_UP, ORDER_LOAD_AREA},
                            {BEST_FIT, ORDER_LOAD_LIFE},        {PILE_UP, ORDER_LIFE_SIZE}};
enum { TRIES = sizeof tries / sizeof *tries, CLIMB_ROUNDS = 30 };

static Greedy make_greedy(PlaceTask *task) {
  return (Greedy){.task = task,
                  .order = arena_array(task->arena, uint32_t, task->count),
                  .first = arena_array(task->arena, uint32_t, task->count),
                  .last = arena_array(task->arena, uint32_t, task->count),
                  .buffer = arena_array(task->arena, uint32_t, task->count),
                  .low = arena_array(task->arena, uint64_t, task->count),
                  .high = arena_array(task->arena, uint64_t, task->count),
                  .offset = arena_array(task->arena, uint64_t, task->count)};
}

void place_greedily(PlaceTask *task, uint64_t *work, uint64_t work_limit) {
  Greedy greedy = make_greedy(task);
  greedy.work = *work;
  for (int i = 0; i < TRIES && task->top > task->goal && (!i || greedy.work < work_limit); i++) {
    place_sort(task, tries[i].by, greedy.order);
    if (tries[i].how == PILE_UP) {
      pile_up(&greedy);
    } else {
      fit(&greedy, tries[i].how == BEST_FIT);
    }
  }
  *work = greedy.work;
}

void place_climb(PlaceTask *task, uint64_t *work, uint64_t work_limit) {
  Greedy greedy = make_greedy(task);
  greedy.work = *work;
  for (int i = 0; i < TRIES; i++) {
    if (tries[i].how == PILE_UP) continue;
    place_sort(task, tries[i].by, greedy.order);
    for (int round = 0; round < CLIMB_ROUNDS && task->top > task->goal && greedy.work < work_limit; round++) {
      if (round) promote_highest(&greedy);
      fit(&greedy, tries[i].how == BEST_FIT);
    }
  }
  *work = greedy.work;
}
