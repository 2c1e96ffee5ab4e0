// Lower bounds of subproblems: the class's own recurrences on a coarse grid of bytes, every size and every number of
// bytes left rounded down, so that a table can only be too low. Relaxed besides: part of what a subproblem's first
// operation carries; and of a hole, whose saved block waits above: what is below is bounded by having all bytes from
// the start, and by having unlimited bytes from that block's backward on, whichever is higher.
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/chain_solve.h"

// What B(first) prefetches: nothing, or block first-1 from the node or from everywhere.
enum { EXIT_NOTHING, EXIT_SHARE, EXIT_GATHER, EXIT_COUNT };

typedef struct Grid {
  int64_t unit;
  int slots;
} Grid;

// Subproblems that reach the end of the chain sum up the most sizes, and there are few of them: they get a finer grid.
struct ChainBounds {
  const ChainIndex *index;
  ChainIndex without_holes;
  int64_t covered_bytes;
  Grid inner, outer;
  int exits;
  int64_t *whole[2];      // inner [s][t][exit][slot], outer [s][exit][slot]: V(s,t)
  int64_t *over_hole[2];  // the same for a hole at s: E(s), V(s+1,t) and B(s), where a(s-1) need not stay; the exit is
                          // that of V(s+1,t)
  // inner: s..t below a saved top, by the bytes that their saved sets may take when the top goes backward
  int64_t *under[2], *under_hole[2];
  int64_t *least_need;  // [s][t]
};

static void *allocate(size_t count) {
  void *memory = calloc(count ? count : 1, sizeof(int64_t));
  if (!memory) BUG("out of memory for the planner's bounds");
  return memory;
}

static bool is_outer(const ChainBounds *bounds, int last) { return last + 1 == bounds->index->chain->block_count; }

static const Grid *grid_of(const ChainBounds *bounds, int last) {
  return is_outer(bounds, last) ? &bounds->outer : &bounds->inner;
}

// Pairs first <= last, numbered by last.
static size_t pair_of(int first, int last) { return (size_t)last * ((size_t)last + 1) / 2 + (size_t)first; }

static int64_t *row_in(const ChainBounds *bounds, int64_t *const tables[2], int first, int last, int exit) {
  size_t row = is_outer(bounds, last) ? (size_t)first : pair_of(first, last);
  return tables[is_outer(bounds, last)] +
         (row * (size_t)bounds->exits + (size_t)exit) * (size_t)grid_of(bounds, last)->slots;
}

static int64_t *whole_row(const ChainBounds *bounds, int first, int last, int exit) {
  return row_in(bounds, bounds->whole, first, last, exit);
}

static int16_t gather_of_exit(const ChainIndex *index, int first, int exit) {
  if (first == 0 || exit == EXIT_NOTHING) return 0;
  int16_t share = index->gather_of[first - 1][RESIDENCY_NODE_SHARE];
  return exit == EXIT_SHARE ? share : index->gather_of[first - 1][RESIDENCY_GATHER];
}

// The dearest tabled exit of a subproblem from `first` on that is no dearer than a gather.
static int exit_of_gather(const ChainBounds *bounds, int first, int16_t gather) {
  const GatherClass *own = &bounds->index->gathers[gather];
  for (int exit = bounds->exits - 1; exit > 0; exit--) {
    const GatherClass *tabled = &bounds->index->gathers[gather_of_exit(bounds->index, first, exit)];
    if (tabled->time_ns <= own->time_ns && tabled->bytes <= own->bytes) return exit;
  }
  return EXIT_NOTHING;
}

static int64_t longest_forward(const ChainIndex *index, int block) {
  const ChainBlock *b = &index->chain->blocks[block];
  int64_t longest = b->forward_only_ns;
  for (int k = 0; k < b->mode_count; k++) longest = chain_larger(longest, b->modes[k].forward_ns);
  return longest;
}

// What the two copies of an offloaded block add at least to the operations on the block behind it that carry them.
static int64_t copy_excess(const ChainIndex *index, int block, int64_t copy_ns, bool out) {
  const Chain *chain = index->chain;
  const ChainBlock *carrier = &chain->blocks[block + 1];
  int64_t forward = longest_forward(index, block + 1), backward = 0;
  for (int k = 0; k < carrier->mode_count; k++) backward = chain_larger(backward, carrier->modes[k].backward_ns);
  if (block + 2 < chain->block_count) {
    const ChainBlock *next = &chain->blocks[block + 2];
    forward = chain_larger(forward, chain_larger(next->gather_ns, next->node_gather_ns) + next->reduce_ns);
    backward = chain_larger(backward, chain->blocks[block].gather_ns + next->reduce_ns);
  }
  backward = chain_larger(backward, chain_larger(chain->blocks[block].gather_ns, chain->blocks[block].node_gather_ns));
  return (out ? chain_larger(0, copy_ns - forward) : 0) + chain_larger(0, copy_ns - backward);
}

static int exit_of_state(const ChainBounds *bounds, const ChainState *state) {
  return exit_of_gather(bounds, state->first, state->gather);
}

// What the reduction in flight behind B(last+1) adds at least to the first operation, a forward on `first` that
// prefetches for `gather_ns` or more.
static int64_t reduction_excess(const ChainIndex *index, int first, int last, int64_t gather_ns) {
  int64_t without = chain_larger(longest_forward(index, first), gather_ns);
  return chain_larger(0, gather_ns + index->chain->blocks[last + 1].reduce_ns - without);
}

static int64_t whole_gather_ns(const ChainIndex *index, int block) {
  return index->gathers[index->gather_of[block][RESIDENCY_GATHER]].time_ns;
}

typedef struct RowFill {
  const ChainBounds *bounds;
  const ChainState *state;
  int64_t *row;
} RowFill;

static int64_t slot_of(const Grid *grid, int64_t bytes) { return bytes > 0 ? bytes / grid->unit : 0; }

// Lowers a row from `begin` on. `above` is on the row's own grid, `below` on another.
static void lower_row(int64_t *row, const Grid *grid, int64_t begin, int64_t cost, const int64_t *above,
                      int64_t shift) {
  for (int64_t q = begin; q < grid->slots; q++) {
    int64_t sum = cost + (above ? above[q - shift] : 0);
    row[q] = sum < row[q] ? sum : row[q];
  }
}

static void lower_row_twice(int64_t *row, const Grid *grid, int64_t begin, int64_t cost, const int64_t *above,
                            int64_t shift, const int64_t *below, const Grid *below_grid) {
  if (grid->unit == below_grid->unit && grid->slots == below_grid->slots) {
    for (int64_t q = begin; q < grid->slots; q++) {
      int64_t sum = cost + above[q - shift] + below[q];
      row[q] = sum < row[q] ? sum : row[q];
    }
    return;
  }
  int64_t slot = 0, bytes = begin * grid->unit + grid->unit - 1;  // the most that round down to `begin`
  for (int64_t q = begin; q < grid->slots; q++, bytes += grid->unit) {
    while (slot + 1 < below_grid->slots && (slot + 1) * below_grid->unit <= bytes) slot++;
    int64_t sum = cost + above[q - shift] + below[slot];
    row[q] = sum < row[q] ? sum : row[q];
  }
}

static void take_option(void *data, const ChainOption *option) {
  const RowFill *fill = data;
  const ChainBounds *bounds = fill->bounds;
  const Grid *grid = grid_of(bounds, fill->state->last);
  int64_t shift = slot_of(grid, option->shift), begin = chain_larger(slot_of(grid, option->need), shift);
  int64_t cost = option->cost;
  const ChainState *above = &option->children[0], *below = &option->children[1];
  if (option->offload) {
    const ChainMode *mode = &bounds->index->chain->blocks[fill->state->first].modes[option->mode];
    cost += copy_excess(bounds->index, fill->state->first, mode->offload_ns, true);
  }
  const int64_t *above_row =
      option->first_child ? whole_row(bounds, above->first, above->last, exit_of_state(bounds, above)) : NULL;
  if (!option->second_child) {
    lower_row(fill->row, grid, begin, cost, above_row, shift);
    return;
  }
  cost += reduction_excess(bounds->index, below->first, below->last,
                           below->first < below->last ? whole_gather_ns(bounds->index, below->first + 1) : 0);
  lower_row_twice(fill->row, grid, begin, cost, above_row, shift,
                  whole_row(bounds, below->first, below->last, exit_of_state(bounds, below)),
                  grid_of(bounds, below->last));
}

// The gather of a block that waits behind a hole hides behind the forward of the block below it.
static int64_t late_gather_excess(const ChainIndex *index, int block, ChainResidency residency) {
  int64_t gather = index->gathers[index->gather_of[block][residency]].time_ns;
  return block > 0 ? chain_larger(0, gather - longest_forward(index, block - 1)) : 0;
}

// One of the two families of tables that know holes.
typedef struct Family {
  int64_t *const *whole, *const *hole;
  bool under;
} Family;

// What B(block) takes at least, beyond the saved sets of others.
static int64_t backward_need(const ChainIndex *index, int block_index, const ChainMode *mode) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t below = block_index > 0 ? index->chain->blocks[block_index - 1].output_gradient_bytes : 0;
  return mode->saved_bytes + mode->backward_transient_bytes + below + block->output_gradient_bytes +
         block->parameter_bytes + block->gradient_bytes + block->kept_gradient_bytes +
         index->gradients_above[block_index] + block->statistics_bytes;
}

static int64_t forward_need(const ChainIndex *index, int block_index, const ChainMode *mode) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t input = block_index > 0 ? index->chain->blocks[block_index - 1].output_bytes : 0;
  return input + mode->saved_bytes + mode->loose_transient_bytes + block->parameter_bytes;
}

static void fill_hole_row(const ChainBounds *bounds, Family family, int first, int last, int exit) {
  const ChainIndex *index = bounds->index;
  const ChainBlock *block = &index->chain->blocks[first];
  int64_t *row = row_in(bounds, family.hole, first, last, exit);
  const Grid *grid = grid_of(bounds, last);
  for (int q = 0; q < grid->slots; q++) row[q] = CHAIN_NEVER;
  int64_t gather = first < last ? whole_gather_ns(index, first + 1) : 0;
  const int64_t *above = first < last ? row_in(bounds, family.whole, first + 1, last, exit) : NULL;
  for (int k = 0; k < block->mode_count; k++) {
    if (!chain_mode_allowed(index, first, k)) continue;
    const ChainMode *mode = &block->modes[k];
    int64_t need = chain_larger(forward_need(index, first, mode), backward_need(index, first, mode));
    for (int l = 0; l < RESIDENCY_COUNT; l++) {
      ChainResidency residency = (ChainResidency)l;
      if (!chain_residency_allowed(index, first, residency)) continue;
      int64_t shift =
          slot_of(grid, mode->saved_bytes + block->statistics_bytes + chain_resident_bytes(block, residency));
      int64_t cost =
          chain_larger(mode->forward_ns, gather) + mode->backward_ns + late_gather_excess(index, first, residency);
      lower_row(row, grid, family.under ? shift : chain_larger(shift, slot_of(grid, need)), cost, above, shift);
    }
  }
}

// The operation behind a backward is on a lower block of its subproblem: that one's parameters are there already, or
// being gathered.
static int64_t least_parameters(const ChainIndex *index, int first, int last) {
  int64_t least = CHAIN_NEVER;
  for (int i = first; i <= last; i++) least = chain_smaller(least, index->chain->blocks[i].parameter_bytes);
  return first <= last ? least : 0;
}

// ---- below a saved top ----

static int64_t unlimited(const ChainBounds *bounds, int first, int last, int exit) {
  return whole_row(bounds, first, last, exit)[grid_of(bounds, last)->slots - 1];
}

static void save_under(const ChainBounds *bounds, int first, int last, int exit, int64_t *row) {
  const ChainIndex *index = bounds->index;
  const ChainBlock *block = &index->chain->blocks[first];
  int64_t leave = index->gathers[gather_of_exit(index, first, exit)].time_ns;
  int64_t gather = first < last ? whole_gather_ns(index, first + 1) : 0;
  int64_t reduce = index->chain->blocks[first + 1].reduce_ns;
  for (int k = 0; k < block->mode_count; k++) {
    if (!chain_mode_allowed(index, first, k)) continue;
    const ChainMode *mode = &block->modes[k];
    int64_t cost = chain_larger(mode->forward_ns, gather) + chain_larger(mode->backward_ns, leave + reduce);
    for (int l = 0; l < RESIDENCY_COUNT; l++) {
      ChainResidency residency = (ChainResidency)l;
      if (!chain_residency_allowed(index, first, residency)) continue;
      int above_exit = first < last ? exit_of_gather(bounds, first + 1, index->gather_of[first][residency]) : 0;
      const int64_t *above = first < last ? row_in(bounds, bounds->under, first + 1, last, above_exit) : NULL;
      int64_t resident = chain_resident_bytes(block, residency) + block->statistics_bytes;
      int64_t shift = slot_of(&bounds->inner, mode->saved_bytes + resident);
      lower_row(row, &bounds->inner, shift, cost, above, shift);
      if (!index->class.offload || mode->offload_ns < 0 || first == last) continue;
      shift = slot_of(&bounds->inner, block->output_bytes + resident);
      lower_row(row, &bounds->inner, shift, cost + copy_excess(index, first, mode->offload_ns, true), above, shift);
    }
  }
}

static void fill_under_row(const ChainBounds *bounds, int first, int last, int exit) {
  const ChainIndex *index = bounds->index;
  int64_t *row = row_in(bounds, bounds->under, first, last, exit);
  int64_t sweep = 0;
  int16_t back = index->gather_of[first][RESIDENCY_GATHER];
  for (int q = 0; q < bounds->inner.slots; q++) row[q] = CHAIN_NEVER;
  save_under(bounds, first, last, exit, row);
  for (int at = first + 1; at <= last + 1; at++) {
    int64_t gather = at <= last ? whole_gather_ns(index, at) : 0;
    sweep += chain_larger(index->chain->blocks[at - 1].forward_only_ns, gather);
    int64_t below = unlimited(bounds, first, at - 1, exit);
    if (below >= CHAIN_NEVER) continue;
    // B(at), or the top's, is still being reduced when what is below begins again.
    below += reduction_excess(index, first, at - 1, at - 1 > first ? whole_gather_ns(index, first + 1) : 0);
    int64_t shift = slot_of(&bounds->inner, index->chain->blocks[at - 1].output_bytes);
    if (at > last) {
      lower_row(row, &bounds->inner, shift, sweep + below, NULL, 0);
      continue;
    }
    const int64_t *above = row_in(bounds, bounds->under, at, last, exit_of_gather(bounds, at, back));
    lower_row(row, &bounds->inner, shift, sweep + below, above, shift);
    int hole_exit = at < last ? exit_of_gather(bounds, at + 1, back) : EXIT_NOTHING;
    lower_row(row, &bounds->inner, 0, sweep + unlimited(bounds, first, at - 1, exit),
              row_in(bounds, bounds->under_hole, at, last, hole_exit), 0);
  }
}

// What first..last cost below a top whose backward leaves `left` bytes to their saved sets.
static int64_t under_cost(const ChainBounds *bounds, int first, int last, int exit, int64_t left) {
  if (left < 0) return CHAIN_NEVER;
  int64_t slot = chain_smaller(left / bounds->inner.unit, bounds->inner.slots - 1);
  return row_in(bounds, bounds->under, first, last, exit)[slot];
}

// A table of V(first,last) counts d(last) and the gradients kept above it in every forward; below a saved top the
// forwards hold the top's own instead. What the first may be more than the second must be forgiven.
static int64_t forgiven_bytes(const ChainIndex *index, int top, int64_t top_saved_bytes) {
  const ChainBlock *block = &index->chain->blocks[top], *below = &index->chain->blocks[top - 1];
  return chain_larger(
      0, below->output_gradient_bytes + block->kept_gradient_bytes - block->output_gradient_bytes - top_saved_bytes);
}

static int64_t least_saved_bytes(const ChainIndex *index, int block_index) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t least = CHAIN_NEVER;
  for (int k = 0; k < block->mode_count; k++) {
    if (chain_mode_allowed(index, block_index, k)) least = chain_smaller(least, block->modes[k].saved_bytes);
  }
  return least;
}

// Hole at j: the sweep, what is above with j saved and a(j-1) gone, and what is below.
static void add_holes(const ChainBounds *bounds, const ChainState *state, int exit, int64_t *row, int64_t *below) {
  const ChainIndex *index = bounds->index;
  const Grid *grid = grid_of(bounds, state->last);
  int16_t back = index->gather_of[state->first][RESIDENCY_GATHER];
  int64_t sweep = 0;
  for (int at = state->first + 1; at <= state->last; at++) {
    int64_t gather = whole_gather_ns(index, at);
    sweep += chain_larger(index->chain->blocks[at - 1].forward_only_ns, gather);
    int above_exit = at < state->last ? exit_of_gather(bounds, at + 1, back) : EXIT_NOTHING;
    int64_t need =
        bounds->least_need[at * index->chain->block_count + at] + least_parameters(index, state->first, at - 1);
    int64_t unit = bounds->inner.unit;
    const int64_t *whole = whole_row(bounds, state->first, at - 1, exit);
    int64_t forgiven = (forgiven_bytes(index, at, least_saved_bytes(index, at)) + unit - 1) / unit;
    for (int q = 0; q < bounds->inner.slots; q++)
      below[q] = chain_larger(whole[chain_smaller(q + forgiven, bounds->inner.slots - 1)],
                              under_cost(bounds, state->first, at - 1, exit, q * unit + unit - 1 - need));
    int64_t cost = sweep;
    if (at < state->last) {
      bool beside = state->first + 1 == at;
      cost += reduction_excess(index, state->first, at, beside ? 0 : whole_gather_ns(index, state->first + 1));
    }
    lower_row_twice(row, grid, slot_of(grid, need), cost,
                    row_in(bounds, bounds->over_hole, at, state->last, above_exit), 0, below, &bounds->inner);
  }
}

static void fill_pair(ChainBounds *bounds, int first, int last, int64_t *scratch) {
  for (int exit = 0; exit < bounds->exits; exit++) {
    ChainState state = {.first = (int16_t)first,
                        .last = (int16_t)last,
                        .top_mode = -1,
                        .gather = gather_of_exit(bounds->index, first, exit)};
    RowFill fill = {bounds, &state, whole_row(bounds, first, last, exit)};
    for (int q = 0; q < grid_of(bounds, last)->slots; q++) fill.row[q] = CHAIN_NEVER;
    chain_options(&bounds->without_holes, &state, take_option, &fill);
    if (bounds->index->class.holes) add_holes(bounds, &state, exit, fill.row, scratch);
  }
  if (!bounds->index->class.holes) return;
  for (int exit = 0; exit < bounds->exits; exit++)
    fill_hole_row(bounds, (Family){bounds->whole, bounds->over_hole, false}, first, last, exit);
  if (is_outer(bounds, last)) return;
  for (int exit = 0; exit < bounds->exits; exit++) fill_under_row(bounds, first, last, exit);
  for (int exit = 0; exit < bounds->exits; exit++)
    fill_hole_row(bounds, (Family){bounds->under, bounds->under_hole, true}, first, last, exit);
}

static void fill_tables(ChainBounds *bounds) {
  int count = bounds->index->chain->block_count;
  int64_t *scratch = allocate((size_t)bounds->inner.slots);
  for (int last = 0; last < count; last++) {
    for (int first = last; first >= 0; first--) fill_pair(bounds, first, last, scratch);
  }
  free(scratch);
}

// What B(block) takes at least.
static int64_t least_backward_bytes(const ChainIndex *index, int block_index) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t least = CHAIN_NEVER;
  for (int k = 0; k < block->mode_count; k++) {
    if (chain_mode_allowed(index, block_index, k))
      least = chain_smaller(least, backward_need(index, block_index, &block->modes[k]));
  }
  return least;
}

static int64_t output_bytes(const ChainIndex *index, int block) {
  return block >= 0 ? index->chain->blocks[block].output_bytes : 0;
}

// What the first forward of a block takes at least within first..last, where it is not the last: that may be saved.
static int64_t least_forward_bytes(const ChainIndex *index, int first, int last, int block_index) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t least = block->output_bytes + block->forward_only_loose_transient_bytes;
  for (int k = 0; k < block->mode_count; k++) {
    if (chain_mode_allowed(index, block_index, k))
      least = chain_smaller(least, block->modes[k].saved_bytes + block->modes[k].loose_transient_bytes);
  }
  if (block_index > first) least += output_bytes(index, block_index - 1);
  // The forward behind it is prefetched for, but for a last block whose parameters may be there.
  if (block_index + 1 < last) least += index->chain->blocks[block_index + 1].parameter_bytes;
  return least + block->parameter_bytes;
}

// The operation behind a backward is on a lower block: its parameters are in memory then, and its input.
static void fill_needs(ChainBounds *bounds) {
  const ChainIndex *index = bounds->index;
  const ChainBlock *blocks = index->chain->blocks;
  int count = index->chain->block_count;
  for (int first = 0; first < count; first++) {
    int64_t backward = 0, behind = CHAIN_NEVER;
    for (int last = first; last < count; last++) {
      int64_t need = least_backward_bytes(index, last);
      if (last > first) {
        int64_t input = last - 1 > first ? output_bytes(index, last - 2) : 0;
        behind = chain_smaller(behind, blocks[last - 1].parameter_bytes + input);
        need += output_bytes(index, last - 1) + behind;
      }
      backward = chain_larger(backward, need);
      int64_t forward = 0;
      for (int i = first; i < last; i++) forward = chain_larger(forward, least_forward_bytes(index, first, last, i));
      forward += blocks[last].output_gradient_bytes + index->gradients_above[last];
      bounds->least_need[first * count + last] = chain_larger(backward, last > first ? forward : 0);
    }
  }
}

// Bytes beyond which more memory changes nothing.
static int64_t useful_bytes(const ChainIndex *index) {
  int64_t bytes = 0, most_besides = 0;
  for (int i = 0; i < index->chain->block_count; i++) {
    const ChainBlock *block = &index->chain->blocks[i];
    int64_t saved = 0, transient = block->forward_only_transient_bytes;
    for (int k = 0; k < block->mode_count; k++) {
      saved = chain_larger(saved, block->modes[k].saved_bytes);
      transient = chain_larger(
          transient, chain_larger(block->modes[k].forward_transient_bytes, block->modes[k].backward_transient_bytes));
    }
    bytes += saved + block->parameter_bytes + block->statistics_bytes + block->kept_gradient_bytes;
    most_besides =
        chain_larger(most_besides, chain_larger(transient, 0) + 3 * block->parameter_bytes + 3 * block->gradient_bytes +
                                       3 * block->output_gradient_bytes + 2 * saved);
  }
  return bytes + most_besides * 2;
}

static Grid grid_make(int64_t covered_bytes, int slots) { return (Grid){covered_bytes / (slots - 1) + 1, slots}; }

ChainBounds *chain_bounds_make_needs(const ChainIndex *index) {
  ChainBounds *bounds = calloc(1, sizeof *bounds);
  if (!bounds) BUG("out of memory for the planner's bounds");
  int count = index->chain->block_count;
  bounds->index = index;
  bounds->least_need = allocate((size_t)count * (size_t)count);
  fill_needs(bounds);
  return bounds;
}

ChainBounds *chain_bounds_make(const ChainIndex *index, int64_t budget_bytes) {
  ChainBounds *bounds = chain_bounds_make_needs(index);
  int count = index->chain->block_count;
  bounds->without_holes = *index;
  bounds->without_holes.class.holes = false;
  bounds->covered_bytes = chain_smaller(budget_bytes, useful_bytes(index)) + 1;
  int part = index->class.coarse ? 4 : 1;
  bounds->inner = grid_make(bounds->covered_bytes, (count <= 40 ? 1024 : count <= 160 ? 384 : 128) / part);
  bounds->outer = grid_make(bounds->covered_bytes, (count <= 40 ? 8192 : count <= 160 ? 12288 : 4096) / part);
  bounds->exits = index->gather_count > 1 ? EXIT_COUNT : 1;
  size_t inner = pair_of(0, count) * (size_t)bounds->inner.slots;
  size_t outer = (size_t)count * (size_t)bounds->outer.slots;
  bounds->whole[0] = allocate(inner * (size_t)bounds->exits);
  bounds->whole[1] = allocate(outer * (size_t)bounds->exits);
  bounds->over_hole[0] = allocate(inner * (size_t)bounds->exits);
  bounds->over_hole[1] = allocate(outer * (size_t)bounds->exits);
  bounds->under[0] = allocate(inner * (size_t)bounds->exits);
  bounds->under_hole[0] = allocate(inner * (size_t)bounds->exits);
  fill_tables(bounds);
  return bounds;
}

void chain_bounds_release(ChainBounds *bounds) {
  if (!bounds) return;
  for (int i = 0; i < 2; i++) {
    free(bounds->whole[i]);
    free(bounds->over_hole[i]);
    free(bounds->under[i]);
    free(bounds->under_hole[i]);
  }
  free(bounds->least_need);
  free(bounds);
}

bool chain_bounds_serve(const ChainBounds *bounds, int64_t budget_bytes) {
  int64_t wanted = chain_smaller(budget_bytes, useful_bytes(bounds->index)) + 1;
  return wanted <= bounds->covered_bytes && wanted > bounds->covered_bytes / 2;
}

int64_t chain_bounds_need(const ChainBounds *bounds, const ChainState *state) {
  return bounds->least_need[state->first * bounds->index->chain->block_count + state->last];
}

// What the first operation carries from before costs at least so much more.
static int64_t carried_excess(const ChainBounds *bounds, const ChainState *state) {
  const ChainIndex *index = bounds->index;
  int64_t copies = 0;
  if (state->copy != COPY_NONE) {
    int64_t copy_ns = index->chain->blocks[state->first - 1].modes[state->copy_mode].offload_ns;
    copies = copy_excess(index, state->first - 1, copy_ns, state->copy == COPY_OUT_AND_BACK);
  }
  if (!state->after_backward || (state->first == state->last && state->top_mode >= 0)) return copies;
  int64_t gather = state->first < state->last ? whole_gather_ns(index, state->first + 1) : 0;
  if (state->top_mode >= 0 && state->first + 1 == state->last)
    gather = index->gathers[index->gather_of[state->last][state->top_residency]].time_ns;
  return copies + reduction_excess(index, state->first, state->last, gather);
}

int64_t chain_bounds_cost(const ChainBounds *bounds, const ChainState *state, int64_t bytes) {
  if (bytes < chain_bounds_need(bounds, state)) return CHAIN_NEVER;
  const ChainIndex *index = bounds->index;
  int last = state->last, exit = exit_of_state(bounds, state);
  int64_t cost = carried_excess(bounds, state), under = 0;
  if (state->top_mode >= 0) {
    const ChainMode *mode = &index->chain->blocks[last].modes[state->top_mode];
    int64_t left = bytes - backward_need(index, last, mode) - least_parameters(index, state->first, last - 1);
    cost += mode->backward_ns;
    if (state->first == last) return left < 0 ? CHAIN_NEVER : cost;
    under = under_cost(bounds, state->first, last - 1, exit, left);
    bytes += forgiven_bytes(index, last--, mode->saved_bytes);
  }
  const Grid *grid = grid_of(bounds, last);
  int64_t slot = chain_smaller(bytes / grid->unit, grid->slots - 1);
  int64_t whole = whole_row(bounds, state->first, last, exit)[slot];
  return chain_smaller(CHAIN_NEVER, cost + chain_larger(whole, under));
}
