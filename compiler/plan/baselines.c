// Flat placements: a forward over all segments, then each segment backward, the recomputed ones forward again first.
#include "compiler/plan/baselines.h"

#include <stdlib.h>

#include "compiler/base/bug.h"

static void add(Arena *arena, ChainOps *ops, ChainOpKind kind, int block) {
  ChainOp op = {.kind = kind, .block = block};
  arena_push(arena, ops, ChainOp, op);
}

static int segment_end(const Chain *chain, const Segments *segments, int index) {
  return index + 1 < segments->count ? segments->begins[index + 1] : chain->block_count;
}

ChainOps baseline_segments(Arena *arena, const Chain *chain, const Segments *segments) {
  ChainOps ops = {0};
  for (int i = 0; i < segments->count; i++) {
    for (int b = segments->begins[i]; b < segment_end(chain, segments, i); b++)
      add(arena, &ops, segments->recomputed[i] ? CHAIN_FORWARD : CHAIN_SAVE, b);
  }
  for (int i = segments->count - 1; i >= 0; i--) {
    int begin = segments->begins[i], end = segment_end(chain, segments, i);
    for (int b = begin; segments->recomputed[i] && b < end; b++) add(arena, &ops, CHAIN_SAVE, b);
    for (int b = end - 1; b >= begin; b--) add(arena, &ops, CHAIN_BACKWARD, b);
  }
  return ops;
}

static Segments segments_make(Arena *arena, int room) {
  return (Segments){.begins = arena_array(arena, int, room + 1), .recomputed = arena_array(arena, bool, room + 1)};
}

static void open_segment(Segments *segments, int begin, bool recomputed) {
  segments->begins[segments->count] = begin;
  segments->recomputed[segments->count++] = recomputed;
}

ChainOps baseline_none(Arena *arena, const Chain *chain) {
  Segments segments = segments_make(arena, 1);
  open_segment(&segments, 0, false);
  return baseline_segments(arena, chain, &segments);
}

ChainOps baseline_every(Arena *arena, const Chain *chain) {
  Segments segments = segments_make(arena, chain->block_count);
  for (int b = 0; b < chain->block_count; b++) open_segment(&segments, b, b + 1 < chain->block_count);
  return baseline_segments(arena, chain, &segments);
}

ChainOps baseline_square_root(Arena *arena, const Chain *chain) {
  int count = 1;
  while (count * count < chain->block_count) count++;
  Segments segments = segments_make(arena, count);
  for (int i = 0; i < count; i++) {
    int begin = i * chain->block_count / count;
    if (segments.count && begin == segments.begins[segments.count - 1]) continue;
    open_segment(&segments, begin, i + 1 < count);
  }
  return baseline_segments(arena, chain, &segments);
}

ChainOps baseline_fairscale(Arena *arena, const Chain *chain, int cuts) {
  int64_t *sizes = arena_array(arena, int64_t, chain->block_count);
  int *points = arena_array(arena, int, cuts + 1), point_count = 0;
  for (int b = 0; b < chain->block_count; b++) sizes[b] = chain->blocks[b].modes[0].saved_bytes;
  segments_fairscale(sizes, chain->block_count, cuts, points, &point_count);
  Segments segments = segments_make(arena, point_count + 1);
  open_segment(&segments, 0, point_count > 0);
  for (int i = 0; i < point_count; i++) {
    if (points[i] < chain->block_count) open_segment(&segments, points[i], i + 1 < point_count);
  }
  return baseline_segments(arena, chain, &segments);
}

// least[position][left]: the least largest sum of sizes[position..] with `left` cuts, and its first cut.
int64_t segments_fairscale(const int64_t *sizes, int count, int cuts, int *points, int *point_count) {
  size_t cells = (size_t)(count + 1) * (size_t)(cuts + 1);
  int64_t *least = calloc(cells, sizeof *least);
  int *first = calloc(cells, sizeof *first);
  if (!least || !first) BUG("out of memory for %d cuts", cuts);
#define CELL(position, left) ((size_t)(position) * (size_t)(cuts + 1) + (size_t)(left))
  for (int position = count - 1; position >= 0; position--) {
    for (int left = 0; left <= cuts; left++) {
      int64_t sum = 0, best = INT64_MAX;
      int best_cut = count;
      for (int end = position; end < count; end++) {
        sum += sizes[end];
        int64_t rest = left ? least[CELL(end + 1, left - 1)] : 0, largest = sum > rest ? sum : rest;
        if ((left || end + 1 == count) && largest < best) {
          best = largest;
          best_cut = end + 1;
        }
      }
      least[CELL(position, left)] = best;
      first[CELL(position, left)] = best_cut;
    }
  }
  *point_count = 0;
  for (int position = 0, left = cuts; left > 0 && position < count; left--) {
    position = first[CELL(position, left)];
    points[(*point_count)++] = position;
  }
  int64_t result = count ? least[CELL(0, cuts)] : 0;
#undef CELL
  free(least);
  free(first);
  return result;
}
