// Placement, from buffers to offsets: sizes become units of the alignment, time becomes sections, sets of buffers that
// no buffer connects become tasks of their own; each task is placed greedily, and by search where greed misses the
// goal, the largest live sum of all. Limits count work, never time: the same buffers always end at the same offsets.
#include "compiler/plan/place.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/place_task.h"

#define MAX_TOTAL_BYTES ((uint64_t)1 << 60)
// For all tasks together, about a nanosecond each.
static const uint64_t max_work[] = {[PLACE_USUAL] = 800000000, [PLACE_THOROUGH] = 4000000000};

// A buffer begins or ends; ends come first within a step.
typedef struct Event {
  uint64_t time;  // twice the step, plus 1 for a begin; an end counts in the step after the last
  uint32_t buffer;
} Event;

static int by_time(const void *a, const void *b) {
  const Event *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static uint64_t units_of(const PlaceBuffer *buffer, uint64_t alignment) {
  return buffer->bytes / alignment + (buffer->bytes % alignment != 0);
}

// Begins and ends of all buffers but empty ones, in the order of time.
static Event *list_events(Arena *arena, const PlaceBuffer *buffers, uint32_t count, uint64_t alignment,
                          uint32_t *event_count) {
  Event *events = arena_array(arena, Event, 2 * (size_t)count);
  uint64_t total = 0;
  *event_count = 0;
  if (!alignment || alignment > MAX_TOTAL_BYTES)
    BUG("placement with an alignment of %llu", (unsigned long long)alignment);
  for (uint32_t i = 0; i < count; i++) {
    const PlaceBuffer *buffer = &buffers[i];
    if (!buffer->bytes) continue;
    if (buffer->begin > buffer->end) BUG("buffer %u ends at %u, before its begin %u", i, buffer->end, buffer->begin);
    if (buffer->bytes > MAX_TOTAL_BYTES) BUG("buffer %u is too large to place", i);
    total += units_of(buffer, alignment) * alignment;
    if (total > MAX_TOTAL_BYTES) BUG("the buffers together are too large to place");
    events[(*event_count)++] = (Event){2 * (uint64_t)buffer->begin + 1, i};
    events[(*event_count)++] = (Event){2 * ((uint64_t)buffer->end + 1), i};
  }
  qsort(events, *event_count, sizeof *events, by_time);
  return events;
}

uint64_t place_live_peak(Arena *arena, const PlaceBuffer *buffers, uint32_t count, uint64_t alignment, uint32_t *step) {
  uint32_t event_count = 0;
  const Event *events = list_events(arena, buffers, count, alignment, &event_count);
  uint64_t live = 0, peak = 0;
  if (step) *step = 0;
  for (uint32_t i = 0; i < event_count; i++) {
    uint64_t units = units_of(&buffers[events[i].buffer], alignment);
    if (events[i].time % 2 == 0) {
      live -= units;
      continue;
    }
    live += units;
    if (live <= peak) continue;
    peak = live;
    if (step) *step = (uint32_t)(events[i].time / 2);
  }
  return peak * alignment;
}

// A buffer to place; sorted by first section, long lives first, equal ones side by side.
typedef struct Item {
  uint32_t first, last, index;
  uint64_t size;
} Item;

static int by_section(const void *a, const void *b) {
  const Item *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  if (x->last != y->last) return x->last > y->last ? -1 : 1;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

typedef struct Sections {
  Item *items;  // by first section
  uint32_t item_count, count;
} Sections;

// A new section begins with the first begin after an end: until then the live set only grows or only shrinks.
static Sections cut_time(Arena *arena, const PlaceBuffer *buffers, uint32_t count, uint64_t alignment) {
  uint32_t event_count = 0, section = 0;
  const Event *events = list_events(arena, buffers, count, alignment, &event_count);
  Item *by_index = arena_array(arena, Item, count);
  bool ended = false;
  for (uint32_t i = 0; i < event_count; i++) {
    Item *item = &by_index[events[i].buffer];
    bool begins = events[i].time % 2;
    if (!begins) {
      item->last = section;
    } else {
      if (ended) section++;
      *item = (Item){.first = section, .index = events[i].buffer};
      item->size = units_of(&buffers[item->index], alignment);
    }
    ended = !begins;
  }
  Sections sections = {by_index, 0, event_count ? section + 1 : 0};
  for (uint32_t i = 0; i < count; i++) {
    if (by_index[i].size) sections.items[sections.item_count++] = by_index[i];
  }
  qsort(sections.items, sections.item_count, sizeof *sections.items, by_section);
  return sections;
}

static uint64_t largest_load(Arena *arena, const Sections *sections) {
  uint64_t *change = arena_array(arena, uint64_t, sections->count + 1), load = 0, largest = 0;
  for (uint32_t i = 0; i < sections->item_count; i++) {
    const Item *item = &sections->items[i];
    change[item->first] += item->size;
    change[item->last + 1] -= item->size;
  }
  for (uint32_t s = 0; s < sections->count; s++) {
    load += change[s];
    if (load > largest) largest = load;
  }
  return largest;
}

static PlaceTask make_task(Arena *arena, const PlaceBuffer *buffers, const Item *items, uint32_t count, uint64_t goal) {
  uint64_t *size = arena_array(arena, uint64_t, count);
  uint32_t *first = arena_array(arena, uint32_t, count), *last = arena_array(arena, uint32_t, count);
  uint32_t *begin = arena_array(arena, uint32_t, count), *end = arena_array(arena, uint32_t, count);
  uint32_t section_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    size[i] = items[i].size;
    first[i] = items[i].first - items[0].first;
    last[i] = items[i].last - items[0].first;
    begin[i] = buffers[items[i].index].begin;
    end[i] = buffers[items[i].index].end;
    if (last[i] >= section_count) section_count = last[i] + 1;
  }
  PlaceTask task = {.arena = arena,
                    .count = count,
                    .section_count = section_count,
                    .size = size,
                    .first = first,
                    .last = last,
                    .begin = begin,
                    .end = end,
                    .load = arena_array(arena, uint64_t, section_count),
                    .fullest = arena_array(arena, uint64_t, count),
                    .goal = goal,
                    .top = UINT64_MAX,
                    .offset = arena_array(arena, uint64_t, count)};
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t s = first[i]; s <= last[i]; s++) task.load[s] += size[i];
  }
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t s = first[i]; s <= last[i]; s++) {
      if (task.load[s] > task.fullest[i]) task.fullest[i] = task.load[s];
    }
  }
  return task;
}

uint64_t place_buffers(Arena *arena, PlaceBuffer *buffers, uint32_t count, uint64_t alignment, PlaceEffort effort) {
  for (uint32_t i = 0; i < count; i++) buffers[i].offset = 0;
  Sections sections = cut_time(arena, buffers, count, alignment);
  uint64_t goal = largest_load(arena, &sections), top = 0, work = 0, limit = max_work[effort];
  for (uint32_t begin = 0, end; begin < sections.item_count; begin = end) {
    uint32_t last = 0;
    for (end = begin; end < sections.item_count && (end == begin || sections.items[end].first <= last); end++) {
      if (sections.items[end].last > last) last = sections.items[end].last;
    }
    const Item *items = sections.items + begin;
    PlaceTask task = make_task(arena, buffers, items, end - begin, top > goal ? top : goal);
    place_greedily(&task, &work, limit / 10 * 2);
    place_search(&task, &work, limit / 10 * 8);
    place_climb(&task, &work, limit);
    for (uint32_t i = 0; i < task.count; i++) buffers[items[i].index].offset = task.offset[i] * alignment;
    if (task.top > top) top = task.top;
  }
  return top * alignment;
}
