// Lower bounds of subproblems: the class's own recurrences on a coarse grid of bytes, every size and every number of bytes
// left rounded down, so that a table can only be too low. Relaxed besides: what a subproblem's first operation
// carries, and what a hole's saved block takes while the blocks below it run.
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
  int64_t *over_hole[2];  // [s][t][slot], [s][slot]: E(s), V(s+1,t) and B(s), where a(s-1) need not stay
  int64_t *least_need;    // [s][t]
};

static bool is_outer(const ChainBounds *bounds, int last) { return last + 1 == bounds->index->chain->block_count; }

static const Grid *grid_of(const ChainBounds *bounds, int last) {
  return is_outer(bounds, last) ? &bounds->outer : &bounds->inner;
}

// Pairs first <= last, numbered by last.
static size_t pair_of(int first, int last) { return (size_t)last * ((size_t)last + 1) / 2 + (size_t)first; }

static int64_t *whole_row(const ChainBounds *bounds, int first, int last, int exit) {
  size_t row = is_outer(bounds, last) ? (size_t)first : pair_of(first, last);
  return bounds->whole[is_outer(bounds, last)] +
         (row * (size_t)bounds->exits + (size_t)exit) * (size_t)grid_of(bounds, last)->slots;
}

static int64_t *hole_row(const ChainBounds *bounds, int first, int last) {
  size_t row = is_outer(bounds, last) ? (size_t)first : pair_of(first, last);
  return bounds->over_hole[is_outer(bounds, last)] + row * (size_t)grid_of(bounds, last)->slots;
}

static int16_t gather_of_exit(const ChainIndex *index, int first, int exit) {
  if (first == 0 || exit == EXIT_NOTHING) return 0;
  int16_t share = index->gather_of[first - 1][RESIDENCY_NODE_SHARE];
  return exit == EXIT_SHARE ? share : index->gather_of[first - 1][RESIDENCY_GATHER];
}

// The dearest tabled exit that is no dearer than the state's.
static int exit_of_state(const ChainBounds *bounds, const ChainState *state) {
  const GatherClass *own = &bounds->index->gathers[state->gather];
  for (int exit = bounds->exits - 1; exit > 0; exit--) {
    const GatherClass *tabled = &bounds->index->gathers[gather_of_exit(bounds->index, state->first, exit)];
    if (tabled->time_ns <= own->time_ns && tabled->bytes <= own->bytes) return exit;
  }
  return EXIT_NOTHING;
}

// What the two copies of an offloaded block add at least to the operations on the block behind it that carry them.
static int64_t copy_excess(const ChainIndex *index, int block, int64_t copy_ns, bool out) {
  const Chain *chain = index->chain;
  const ChainBlock *carrier = &chain->blocks[block + 1];
  int64_t forward = carrier->forward_only_ns, backward = 0;
  for (int k = 0; k < carrier->mode_count; k++) {
    forward = chain_larger(forward, carrier->modes[k].forward_ns);
    backward = chain_larger(backward, carrier->modes[k].backward_ns);
  }
  if (block + 2 < chain->block_count) {
    const ChainBlock *next = &chain->blocks[block + 2];
    forward = chain_larger(forward, chain_larger(next->gather_ns, next->node_gather_ns) + next->reduce_ns);
    backward = chain_larger(backward, chain->blocks[block].gather_ns + next->reduce_ns);
  }
  backward = chain_larger(backward, chain_larger(chain->blocks[block].gather_ns, chain->blocks[block].node_gather_ns));
  return (out ? chain_larger(0, copy_ns - forward) : 0) + chain_larger(0, copy_ns - backward);
}

typedef struct RowFill {
  const ChainBounds *bounds;
  const ChainState *state;
  int64_t *row;
} RowFill;

static int64_t slot_of(const Grid *grid, int64_t bytes) { return bytes > 0 ? bytes / grid->unit : 0; }

// Lowers a row from `begin` on. `above` is on the row's own grid, `below` on another.
static void lower_row(int64_t *row, const Grid *grid, int64_t begin, int64_t cost, const int64_t *above, int64_t shift) {
  for (int64_t q = begin; q < grid->slots; q++) {
    int64_t sum = cost + (above ? above[q - shift] : 0);
    row[q] = sum < row[q] ? sum : row[q];
  }
}

static void lower_row_twice(int64_t *row, const Grid *grid, int64_t begin, int64_t cost, const int64_t *above,
                            int64_t shift, const int64_t *below, const Grid *below_grid) {
  if (grid->unit == below_grid->unit) {
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
  lower_row_twice(fill->row, grid, begin, cost, above_row, shift,
                  whole_row(bounds, below->first, below->last, exit_of_state(bounds, below)),
                  grid_of(bounds, below->last));
}

static void fill_hole_row(const ChainBounds *bounds, int first, int last) {
  const ChainIndex *index = bounds->index;
  const ChainBlock *block = &index->chain->blocks[first];
  int64_t *row = hole_row(bounds, first, last);
  int64_t gather = first < last ? index->gathers[index->gather_of[first + 1][RESIDENCY_GATHER]].time_ns : 0;
  const Grid *grid = grid_of(bounds, last);
  for (int q = 0; q < grid->slots; q++) row[q] = CHAIN_NEVER;
  for (int k = 0; k < block->mode_count; k++) {
    if (!chain_mode_allowed(index, first, k)) continue;
    const ChainMode *mode = &block->modes[k];
    int64_t shift = slot_of(grid, mode->saved_bytes + block->statistics_bytes);
    lower_row(row, grid, shift, chain_larger(mode->forward_ns, gather) + mode->backward_ns,
              first < last ? whole_row(bounds, first + 1, last, EXIT_NOTHING) : NULL, shift);
  }
}

// Hole at j: the sweep, what is above with j saved and a(j-1) gone, and what is below as if j were done.
static void add_holes(const ChainBounds *bounds, const ChainState *state, int exit, int64_t *row) {
  const ChainIndex *index = bounds->index;
  int64_t sweep = 0;
  for (int at = state->first + 1; at <= state->last; at++) {
    int64_t gather = index->gathers[index->gather_of[at][RESIDENCY_GATHER]].time_ns;
    sweep += chain_larger(index->chain->blocks[at - 1].forward_only_ns, gather);
    lower_row_twice(row, grid_of(bounds, state->last), 0, sweep, hole_row(bounds, at, state->last), 0,
                    whole_row(bounds, state->first, at - 1, exit), &bounds->inner);
  }
}

static void fill_tables(ChainBounds *bounds) {
  int count = bounds->index->chain->block_count;
  for (int last = 0; last < count; last++) {
    for (int first = last; first >= 0; first--) {
      for (int exit = 0; exit < bounds->exits; exit++) {
        ChainState state = {.first = (int16_t)first, .last = (int16_t)last, .top_mode = -1,
                            .gather = gather_of_exit(bounds->index, first, exit)};
        RowFill fill = {bounds, &state, whole_row(bounds, first, last, exit)};
        for (int q = 0; q < grid_of(bounds, last)->slots; q++) fill.row[q] = CHAIN_NEVER;
        chain_options(&bounds->without_holes, &state, take_option, &fill);
        if (bounds->index->class.holes) add_holes(bounds, &state, exit, fill.row);
      }
      fill_hole_row(bounds, first, last);
    }
  }
}

// What B(block) takes at least.
static int64_t least_backward_bytes(const ChainIndex *index, int block_index) {
  const ChainBlock *block = &index->chain->blocks[block_index];
  int64_t least = CHAIN_NEVER;
  for (int k = 0; k < block->mode_count; k++) {
    if (!chain_mode_allowed(index, block_index, k)) continue;
    least = chain_smaller(least, block->modes[k].backward_transient_bytes + block->modes[k].saved_bytes);
  }
  if (block_index > 0) least += index->chain->blocks[block_index - 1].output_gradient_bytes;
  return least + block->output_gradient_bytes + block->parameter_bytes + block->gradient_bytes +
         block->kept_gradient_bytes + index->gradients_above[block_index] + block->statistics_bytes;
}

static void fill_needs(ChainBounds *bounds) {
  int count = bounds->index->chain->block_count;
  for (int last = 0; last < count; last++) {
    int64_t need = 0;
    for (int first = last; first >= 0; first--) {
      need = chain_larger(need, least_backward_bytes(bounds->index, first));
      bounds->least_need[first * count + last] = need;
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
      transient = chain_larger(transient, chain_larger(block->modes[k].forward_transient_bytes,
                                                       block->modes[k].backward_transient_bytes));
    }
    bytes += saved + block->parameter_bytes + block->statistics_bytes + block->kept_gradient_bytes;
    most_besides = chain_larger(most_besides, chain_larger(transient, 0) + 3 * block->parameter_bytes +
                                                  3 * block->gradient_bytes + 3 * block->output_gradient_bytes +
                                                  2 * saved);
  }
  return bytes + most_besides * 2;
}

static void *allocate(size_t count) {
  void *memory = calloc(count ? count : 1, sizeof(int64_t));
  if (!memory) BUG("out of memory for the planner's bounds");
  return memory;
}

static Grid grid_make(int64_t covered_bytes, int slots) { return (Grid){covered_bytes / (slots - 1) + 1, slots}; }

ChainBounds *chain_bounds_make(const ChainIndex *index, int64_t budget_bytes) {
  ChainBounds *bounds = calloc(1, sizeof *bounds);
  if (!bounds) BUG("out of memory for the planner's bounds");
  int count = index->chain->block_count;
  bounds->index = index;
  bounds->without_holes = *index;
  bounds->without_holes.class.holes = false;
  bounds->covered_bytes = chain_smaller(budget_bytes, useful_bytes(index)) + 1;
  bounds->inner = grid_make(bounds->covered_bytes, count <= 40 ? 1024 : count <= 160 ? 384 : 32);
  bounds->outer = grid_make(bounds->covered_bytes, count <= 40 ? 8192 : count <= 160 ? 12288 : 512);
  bounds->exits = index->gather_count > 1 ? EXIT_COUNT : 1;
  size_t inner = pair_of(0, count) * (size_t)bounds->inner.slots;
  size_t outer = (size_t)count * (size_t)bounds->outer.slots;
  bounds->whole[0] = allocate(inner * (size_t)bounds->exits);
  bounds->whole[1] = allocate(outer * (size_t)bounds->exits);
  bounds->over_hole[0] = allocate(inner);
  bounds->over_hole[1] = allocate(outer);
  bounds->least_need = allocate((size_t)count * (size_t)count);
  fill_needs(bounds);
  fill_tables(bounds);
  return bounds;
}

void chain_bounds_release(ChainBounds *bounds) {
  if (!bounds) return;
  for (int i = 0; i < 2; i++) {
    free(bounds->whole[i]);
    free(bounds->over_hole[i]);
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

int64_t chain_bounds_cost(const ChainBounds *bounds, const ChainState *state, int64_t bytes) {
  if (bytes < chain_bounds_need(bounds, state)) return CHAIN_NEVER;
  const ChainIndex *index = bounds->index;
  int last = state->last;
  int64_t cost = 0;
  if (state->top_mode >= 0) {
    cost = index->chain->blocks[last].modes[state->top_mode].backward_ns;
    if (state->first == last) return cost;
    last--;
  }
  if (state->copy != COPY_NONE) {
    int64_t copy_ns = index->chain->blocks[state->first - 1].modes[state->copy_mode].offload_ns;
    cost += copy_excess(index, state->first - 1, copy_ns, state->copy == COPY_OUT_AND_BACK);
  }
  const Grid *grid = grid_of(bounds, last);
  int64_t slot = chain_smaller(bytes / grid->unit, grid->slots - 1);
  return chain_smaller(CHAIN_NEVER, cost + whole_row(bounds, state->first, last, exit_of_state(bounds, state))[slot]);
}
