// Requires  a checked spec: every world divides the micro-step's pictures, and is listed once.
#include "compiler/driver/worlds.h"

#include <stdlib.h>

#include "compiler/driver/rehearsal.h"
#include "compiler/passes/build_model.h"

static int64_t largest_divisor(int64_t number, int64_t limit) {
  int64_t divisor = limit < number ? limit : number;
  while (number % divisor) divisor--;
  return divisor;
}

static void set_number(Spec *spec, SpecKey key, int64_t number) { spec->values[key].number = (double)number; }

// One node stays one node; of several, each takes as many ranks as it was declared for, or the next smaller number that
// divides.
static const Spec *spec_with_ranks(Arena *arena, const Spec *spec, int64_t ranks) {
  if (ranks == rank_count_from_spec(spec)) return spec;
  Spec *copy = arena_new(arena, Spec);
  *copy = *spec;
  int64_t per_node = spec_integer(spec, KEY_cluster_nodes) == 1
                         ? ranks
                         : largest_divisor(ranks, spec_integer(spec, KEY_cluster_ranks_per_node));
  set_number(copy, KEY_cluster_nodes, ranks / per_node);
  set_number(copy, KEY_cluster_ranks_per_node, per_node);
  return copy;
}

static int compare_ranks(const void *a, const void *b) {
  const World *x = a, *y = b;
  return x->ranks < y->ranks ? -1 : x->ranks > y->ranks;
}

static void add(World *worlds, int *count, int64_t ranks, WorldUse use) {
  for (int i = 0; i < *count; i++) {
    if (worlds[i].ranks == ranks) return;
  }
  worlds[(*count)++] = (World){.ranks = ranks, .use = use};
}

Worlds worlds_from_spec(Arena *arena, const Spec *spec, bool only_asked) {
  const SpecValue *asked = spec_value(spec, KEY_cluster_worlds);
  World *worlds = arena_array(arena, World, asked->item_count + 2);
  int count = 0;
  add(worlds, &count, rank_count_from_spec(spec), WORLD_ASKED);
  for (int i = 0; i < asked->item_count; i++) add(worlds, &count, (int64_t)asked->items[i].number, WORLD_ASKED);
  if (!only_asked) add(worlds, &count, 1, asked->item_count || spec_rehearses(spec) ? WORLD_EVALUATES : WORLD_OFFERED);
  qsort(worlds + 1, (size_t)count - 1, sizeof *worlds, compare_ranks);
  for (int i = 0; i < count; i++) {
    worlds[i].spec = spec_with_ranks(arena, spec, worlds[i].ranks);
    worlds[i].step = spec_flag(spec, KEY_train_reproducible)
                         ? spec_with_ranks(arena, spec, spec_integer(spec, KEY_train_slices))
                         : worlds[i].spec;
  }
  return (Worlds){worlds, count};
}

const World *worlds_largest(const Worlds *worlds) {
  const World *declared = &worlds->items[0], *last = &worlds->items[worlds->count - 1];
  return last->ranks > declared->ranks ? last : declared;
}
