// Inside the placer: one independent set of buffers on a compressed time axis, and the ways to place it. Each adds what
// it did to `work`, whose unit is about a nanosecond, and ends when that passes `work_limit` or the goal is reached.
//
// Time is cut into sections, one for each step whose live set is in no other step's; two buffers live together exactly
// when they share a section. Buffers are sorted by their first section. Sizes and offsets count units of the alignment.
#ifndef SEER_PLAN_PLACE_TASK_H
#define SEER_PLAN_PLACE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/arena.h"

typedef struct PlaceTask {
  Arena *arena;
  uint32_t count, section_count;
  const uint64_t *size;          // by buffer, at least 1
  const uint32_t *first, *last;  // by buffer: its sections, both included
  const uint32_t *begin, *end;   // by buffer: its steps, both included
  uint64_t *load;                // by section: live sum
  uint64_t *fullest;             // by buffer: the largest load of its sections
  uint64_t goal;                 // a top that is low enough: at least the largest load
  uint64_t top;                  // of the best placement so far; UINT64_MAX: none yet
  uint64_t *offset;              // by buffer: the best placement so far
} PlaceTask;

// Orders to place in; what comes first in an order is placed first, or placed first among equals.
typedef enum PlaceOrder {
  ORDER_LOAD_BIRTH,
  ORDER_PEAK_BIRTH_LIFE,
  ORDER_LOAD_AREA,
  ORDER_PEAK_BIRTH_SIZE,
  ORDER_PEAK_LIFE_SIZE,
  ORDER_PEAK_DEATH_SIZE,
  ORDER_LOAD_LIFE,
  ORDER_LOAD_SIZE,
  ORDER_LIFE_SIZE,
  ORDER_AREA,
  ORDER_COUNT
} PlaceOrder;

// Fills `order` with the buffers, the first to place first.
void place_sort(const PlaceTask *task, PlaceOrder by, uint32_t *order);
// Keeps `offset` if its top is the lowest so far.
void place_keep(PlaceTask *task, const uint64_t *offset, uint64_t top);

// Greedy placements, one at least.
void place_greedily(PlaceTask *task, uint64_t *work, uint64_t work_limit);
// Complete search for lower and lower placements; ends too when it has proven that there is none.
void place_search(PlaceTask *task, uint64_t *work, uint64_t work_limit);
// Hill climbing from the greedy orders: what ends above the goal is placed earlier.
void place_climb(PlaceTask *task, uint64_t *work, uint64_t work_limit);

#endif
