// Placement: greedy, longest lives first, then largest first; each item at the lowest free offset among items live with
// it, and a deterministic hill climb that moves the items which stick out to the front of the order, until the largest
// live sum is reached.
// Requires: lifetimes and sizes. Keeps: everything but offsets.
#include "compiler/plan/place.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROUNDS = 60, MAX_TRADING_WORK = 400000000 };

typedef struct Placement {
  PlanItem *items;
  uint32_t count;
  uint32_t *order;   // item indices, the next to place first
  uint32_t *placed;  // item indices by rising offset
} Placement;

typedef struct Best {
  uint64_t top;
  uint64_t *offsets;
  uint32_t *order, *scratch;
} Best;

static const PlanItem *sort_items;

static int by_index(const PlanItem *x, const PlanItem *y) { return x < y ? -1 : x > y; }

static int by_size(const void *a, const void *b) {
  const PlanItem *x = &sort_items[*(const uint32_t *)a], *y = &sort_items[*(const uint32_t *)b];
  if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return by_index(x, y);
}

// Longest lives first: nested lifetimes (a chain's forward and backward) then pile up as a stack without gaps.
static int by_lifetime(const void *a, const void *b) {
  const PlanItem *x = &sort_items[*(const uint32_t *)a], *y = &sort_items[*(const uint32_t *)b];
  uint32_t x_length = x->end - x->begin, y_length = y->end - y->begin;
  if (x_length != y_length) return x_length > y_length ? -1 : 1;
  return by_size(a, b);
}

static bool live_together(const PlanItem *a, const PlanItem *b) { return a->begin <= b->end && b->begin <= a->end; }

// The lowest offset at which `item` fits between the placed items live with it; `placed` is sorted by offset.
static uint64_t lowest_gap(const Placement *placement, uint32_t placed_count, const PlanItem *item) {
  uint64_t offset = 0;
  for (uint32_t i = 0; i < placed_count; i++) {
    const PlanItem *other = &placement->items[placement->placed[i]];
    if (!live_together(other, item)) continue;
    if (other->offset >= offset + item->bytes) break;
    if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
  }
  return offset;
}

static uint64_t place_in_order(Placement *placement) {
  uint64_t top = 0;
  for (uint32_t i = 0; i < placement->count; i++) {
    uint32_t index = placement->order[i];
    PlanItem *item = &placement->items[index];
    item->offset = lowest_gap(placement, i, item);
    if (item->offset + item->bytes > top) top = item->offset + item->bytes;
    uint32_t at = i;
    for (; at > 0 && placement->items[placement->placed[at - 1]].offset > item->offset; at--) {
      placement->placed[at] = placement->placed[at - 1];
    }
    placement->placed[at] = index;
  }
  return top;
}

// Items of the fullest step by birth, then the others by size: at the fullest step they fill the arena without a gap,
// and in a chain's forward and backward the ones still alive are always the lower part of that pile.
static uint32_t sort_full_step;

static int by_full_step(const void *a, const void *b) {
  const PlanItem *x = &sort_items[*(const uint32_t *)a], *y = &sort_items[*(const uint32_t *)b];
  bool x_full = x->begin <= sort_full_step && sort_full_step <= x->end,
       y_full = y->begin <= sort_full_step && sort_full_step <= y->end;
  if (x_full != y_full) return x_full ? -1 : 1;
  if (!x_full) return by_size(a, b);
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return by_lifetime(a, b);
}

// Moves the items that end above `limit` to the front of the order, the rest keeping theirs.
static void promote_items_above(Placement *placement, uint64_t limit, uint32_t *scratch) {
  uint32_t front = 0, back = 0;
  for (uint32_t i = 0; i < placement->count; i++) {
    uint32_t index = placement->order[i];
    const PlanItem *item = &placement->items[index];
    if (item->offset + item->bytes > limit) {
      placement->order[front++] = index;
    } else {
      scratch[back++] = index;
    }
  }
  memcpy(placement->order + front, scratch, back * sizeof *scratch);
}

static void keep_offsets(const Placement *placement, uint64_t *offsets) {
  for (uint32_t i = 0; i < placement->count; i++) offsets[i] = placement->items[i].offset;
}

// Hill climb from one order; keeps the best offsets and their order.
static void climb(Placement *placement, uint64_t live_peak_bytes, Best *best) {
  for (int round = 0; round < MAX_ROUNDS && best->top > live_peak_bytes; round++) {
    uint64_t top = place_in_order(placement);
    if (top < best->top) {
      best->top = top;
      keep_offsets(placement, best->offsets);
      memcpy(best->order, placement->order, placement->count * sizeof *best->order);
    }
    promote_items_above(placement, live_peak_bytes, best->scratch);
  }
}

static uint32_t highest_item(const Placement *placement) {
  uint32_t highest = 0;
  for (uint32_t i = 1; i < placement->count; i++) {
    const PlanItem *item = &placement->items[placement->order[i]], *top = &placement->items[placement->order[highest]];
    if (item->offset + item->bytes > top->offset + top->bytes) highest = i;
  }
  return highest;
}

// Position of a random item placed before `position` and live with the item there; `position` itself if none is found.
static uint32_t random_rival(const Placement *placement, uint32_t position, uint64_t *random) {
  const PlanItem *item = &placement->items[placement->order[position]];
  for (int attempt = 0; attempt < 50 && position; attempt++) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    uint32_t other = (uint32_t)((*random >> 33) % position);
    if (live_together(item, &placement->items[placement->order[other]])) return other;
  }
  return position;
}

static void swap_positions(Placement *placement, uint32_t a, uint32_t b) {
  uint32_t index = placement->order[a];
  placement->order[a] = placement->order[b];
  placement->order[b] = index;
}

// From the best order on: lets the highest item trade places with a random rival, and keeps what is no worse. The
// random numbers are fixed, so the same items always end at the same offsets.
static void trade_places(Placement *placement, uint64_t live_peak_bytes, Best *best) {
  uint64_t random = 1, current = best->top, cost = (uint64_t)placement->count * placement->count;
  memcpy(placement->order, best->order, placement->count * sizeof *best->order);
  place_in_order(placement);
  for (uint64_t work = 0; work < MAX_TRADING_WORK && best->top > live_peak_bytes; work += cost) {
    uint32_t highest = highest_item(placement), rival = random_rival(placement, highest, &random);
    if (rival == highest) return;
    swap_positions(placement, highest, rival);
    uint64_t top = place_in_order(placement);
    if (top > current) {
      swap_positions(placement, highest, rival);
      place_in_order(placement);
      continue;
    }
    current = top;
    if (top >= best->top) continue;
    best->top = top;
    keep_offsets(placement, best->offsets);
  }
}

uint64_t place_items(Arena *arena, PlanItem *items, uint32_t count, uint64_t live_peak_bytes, uint32_t full_step) {
  if (!count) return 0;
  Placement placement = {items, count, arena_array(arena, uint32_t, count), arena_array(arena, uint32_t, count)};
  Best best = {.top = UINT64_MAX,
               .offsets = arena_array(arena, uint64_t, count),
               .order = arena_array(arena, uint32_t, count),
               .scratch = arena_array(arena, uint32_t, count)};
  int (*const orders[])(const void *, const void *) = {by_full_step, by_lifetime, by_size};
  sort_items = items;
  sort_full_step = full_step;
  for (size_t order = 0; order < sizeof orders / sizeof *orders && best.top > live_peak_bytes; order++) {
    for (uint32_t i = 0; i < count; i++) placement.order[i] = i;
    qsort(placement.order, count, sizeof *placement.order, orders[order]);
    climb(&placement, live_peak_bytes, &best);
  }
  trade_places(&placement, live_peak_bytes, &best);
  for (uint32_t i = 0; i < count; i++) items[i].offset = best.offsets[i];
  return best.top;
}
