// The part of an operation over all floats of a tensor that one task does.
#ifndef SEER_KERNELS_TASK_RANGE_H
#define SEER_KERNELS_TASK_RANGE_H

#include "lanes.h"
#include "sizes.h"
#include "tuned.h"

// The floats of a task: [first, whole) in whole vectors, then `rest` more up to last.
typedef struct TaskRange {
  int64_t first, whole, last;
  int rest;
} TaskRange;

KERNEL TaskRange task_range(int64_t count, int task) {
  TaskRange r = {(int64_t)task * TUNED_task_floats, 0, 0, 0};
  r.last = r.first + TUNED_task_floats < count ? r.first + TUNED_task_floats : count;
  r.whole = r.first + (r.last - r.first) / LANES * LANES;
  r.rest = (int)(r.last - r.whole);
  return r;
}

#endif
