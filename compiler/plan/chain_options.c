// The ways a subproblem can begin (Save, Leaf, Hole), with the bytes and time of their own operations; and the states
// that are equal but for names. The rules are those of docs/planner.md.
#include <string.h>

#include "compiler/plan/chain_solve.h"

const ChainClass chain_full_class = {.holes = true, .offload = true, .residency = true, .option_limit = 25000000};

bool chain_residency_allowed(const ChainIndex *index, int block, ChainResidency residency) {
  const ChainBlock *b = &index->chain->blocks[block];
  if (residency == RESIDENCY_GATHER) return true;
  if (!index->class.residency || !chain_block_is_gathered(b)) return false;
  return residency == RESIDENCY_KEEP || b->node_gather_ns >= 0;
}

int64_t chain_resident_bytes(const ChainBlock *block, ChainResidency residency) {
  return residency == RESIDENCY_KEEP         ? block->parameter_bytes
         : residency == RESIDENCY_NODE_SHARE ? block->node_share_bytes
                                             : 0;
}

bool chain_mode_allowed(const ChainIndex *index, int block, int mode) {
  (void)block;
  return !index->class.only_modes || (index->class.only_modes >> mode & 1);
}

static int16_t gather_class(ChainIndex *index, int64_t bytes, int64_t time_ns) {
  for (int i = 0; i < index->gather_count; i++) {
    if (index->gathers[i].bytes == bytes && index->gathers[i].time_ns == time_ns) return (int16_t)i;
  }
  index->gathers[index->gather_count] = (GatherClass){bytes, time_ns};
  return (int16_t)index->gather_count++;
}

static bool same_mode(const ChainMode *a, const ChainMode *b) {
  return a->saved_bytes == b->saved_bytes && a->forward_ns == b->forward_ns && a->backward_ns == b->backward_ns &&
         a->forward_transient_bytes == b->forward_transient_bytes &&
         a->backward_transient_bytes == b->backward_transient_bytes &&
         a->loose_transient_bytes == b->loose_transient_bytes && a->offload_ns == b->offload_ns;
}

static bool same_block(const ChainBlock *a, const ChainBlock *b) {
  if (a->output_bytes != b->output_bytes || a->output_gradient_bytes != b->output_gradient_bytes ||
      a->forward_only_ns != b->forward_only_ns || a->forward_only_transient_bytes != b->forward_only_transient_bytes ||
      a->forward_only_loose_transient_bytes != b->forward_only_loose_transient_bytes ||
      a->parameter_bytes != b->parameter_bytes || a->gradient_bytes != b->gradient_bytes ||
      a->gather_ns != b->gather_ns || a->reduce_ns != b->reduce_ns || a->node_share_bytes != b->node_share_bytes ||
      a->node_gather_ns != b->node_gather_ns || a->statistics_bytes != b->statistics_bytes ||
      a->kept_gradient_bytes != 0 || b->kept_gradient_bytes != 0 || a->mode_count != b->mode_count)
    return false;
  for (int k = 0; k < a->mode_count; k++) {
    if (!same_mode(&a->modes[k], &b->modes[k])) return false;
  }
  return true;
}

// Runs are compared with the blocks beside them, which the state's own operations look at. common[a][b] is the length
// of the equal runs that begin at a and b.
static void find_equal_runs(ChainIndex *index) {
  const Chain *chain = index->chain;
  int count = chain->block_count, row = count + 1;
  index->same_as = arena_array(index->arena, int16_t, (size_t)count * (size_t)row);
  int16_t *common = arena_array(index->arena, int16_t, (size_t)row * (size_t)row);
  for (int a = count - 1; a >= 0; a--) {
    for (int b = a - 1; b >= 0; b--) {
      bool same = same_block(&chain->blocks[a], &chain->blocks[b]);
      common[a * row + b] = same ? (int16_t)(common[(a + 1) * row + b + 1] + 1) : 0;
    }
  }
  for (int first = 0; first < count; first++) {
    for (int length = 1; first + length <= count; length++) {
      int16_t found = (int16_t)first;
      for (int earlier = 1; earlier < first && found == first && first + length < count; earlier++) {
        bool equal = common[(first - 1) * row + earlier - 1] >= length + 2 &&
                     index->gradients_above[first + length - 1] == index->gradients_above[earlier + length - 1];
        if (equal) found = (int16_t)earlier;
      }
      index->same_as[first * row + length] = found;
    }
  }
}

ChainIndex *chain_index_make(Arena *arena, const Chain *chain, const ChainClass *class) {
  ChainIndex *index = arena_new(arena, ChainIndex);
  size_t count = (size_t)chain->block_count;
  *index = (ChainIndex){.chain = chain, .class = *class, .arena = arena};
  index->gathers = arena_array(arena, GatherClass, 2 * count + 1);
  index->gather_count = 1;
  index->gather_of = arena_alloc(arena, count * sizeof *index->gather_of);
  index->statistics_before = arena_array(arena, int64_t, count + 1);
  index->gradients_above = arena_array(arena, int64_t, count + 1);
  for (int i = 0; i < chain->block_count; i++) {
    const ChainBlock *block = &chain->blocks[i];
    index->statistics_before[i + 1] = index->statistics_before[i] + block->statistics_bytes;
    index->gather_of[i][RESIDENCY_GATHER] = gather_class(index, block->parameter_bytes, block->gather_ns);
    index->gather_of[i][RESIDENCY_KEEP] = 0;
    if (chain_residency_allowed(index, i, RESIDENCY_NODE_SHARE))
      index->gather_of[i][RESIDENCY_NODE_SHARE] = gather_class(index, block->parameter_bytes, block->node_gather_ns);
  }
  for (int i = chain->block_count - 1; i > 0; i--)
    index->gradients_above[i - 1] = index->gradients_above[i] + chain->blocks[i].kept_gradient_bytes;
  find_equal_runs(index);
  return index;
}

ChainState chain_state_canonical(const ChainIndex *index, ChainState state) {
  int length = state.last - state.first + 1;
  state.first = index->same_as[state.first * (index->chain->block_count + 1) + length];
  state.last = (int16_t)(state.first + length - 1);
  return state;
}

// ---- options ----

typedef struct OptionMaker {
  const ChainIndex *index;
  const ChainState *state;
  const ChainBlock *blocks;
  int first, last;
  int64_t held;  // by every forward of the state: d(last), a saved top, gradients kept above
  int64_t first_bytes, first_network_ns, first_copy_ns;  // carried by the first operation
  int64_t last_bytes, last_network_ns, last_copy_ns;     // carried by the last one, B(first)
  ChainOption option;
  TakeOption *take;
  void *data;
} OptionMaker;

static void emit(OptionMaker *maker) { maker->take(maker->data, &maker->option); }

static void add_need(OptionMaker *maker, int64_t bytes, ChainOp op) {
  if (bytes <= maker->option.need) return;
  maker->option.need = bytes;
  maker->option.need_op = op;
}

static int64_t statistics_of(const OptionMaker *maker, int first, int last) {
  return maker->index->statistics_before[last + 1] - maker->index->statistics_before[first];
}

// Statistics in memory during a forward on `block`. Subproblems that reach the end of the chain are the first descent,
// where those of the blocks behind are not made yet; all others go over blocks that have run before.
static int64_t statistics_at(const OptionMaker *maker, int block) {
  bool descent = maker->last + 1 == maker->index->chain->block_count;
  return statistics_of(maker, maker->first, descent ? block : maker->last);
}

// The gather that a forward on `block` prefetches for the block behind it.
static GatherClass gather_behind(const OptionMaker *maker, int block) {
  int next = block + 1;
  ChainResidency residency = RESIDENCY_GATHER;
  if (next == maker->last && maker->state->top_mode >= 0) residency = (ChainResidency)maker->state->top_residency;
  return maker->index->gathers[maker->index->gather_of[next][residency]];
}

static void set_up(OptionMaker *maker) {
  const ChainState *state = maker->state;
  const ChainIndex *index = maker->index;
  maker->blocks = index->chain->blocks;
  maker->first = state->first;
  maker->last = state->last;
  const ChainBlock *last = &maker->blocks[state->last];
  maker->held = last->output_gradient_bytes + index->gradients_above[state->last];
  if (state->top_mode >= 0) {
    maker->held +=
        last->modes[state->top_mode].saved_bytes + chain_resident_bytes(last, (ChainResidency)state->top_residency);
  }
  if (state->after_backward) {
    maker->first_bytes = maker->blocks[state->last + 1].gradient_bytes;
    maker->first_network_ns = maker->blocks[state->last + 1].reduce_ns;
  }
  maker->last_bytes = index->gathers[state->gather].bytes;
  maker->last_network_ns = index->gathers[state->gather].time_ns;
  if (state->copy == COPY_NONE) return;
  const ChainBlock *below = &maker->blocks[state->first - 1];
  const ChainMode *mode = &below->modes[state->copy_mode];
  maker->last_bytes += mode->saved_bytes - below->output_bytes;
  maker->last_copy_ns = mode->offload_ns;
  if (state->copy != COPY_OUT_AND_BACK) return;
  maker->first_bytes += mode->saved_bytes - below->output_bytes;
  maker->first_copy_ns = mode->offload_ns;
}

// B(first), the last operation of the state, behind B(first+1) or behind its own forward.
static void add_backward(OptionMaker *maker, int mode_index, bool behind_backward) {
  const ChainBlock *block = &maker->blocks[maker->first];
  const ChainMode *mode = &block->modes[mode_index];
  int64_t below = maker->first > 0 ? maker->blocks[maker->first - 1].output_gradient_bytes : 0;
  int64_t bytes = block->output_gradient_bytes + mode->saved_bytes + below + mode->backward_transient_bytes +
                  block->statistics_bytes + block->parameter_bytes + block->gradient_bytes +
                  block->kept_gradient_bytes + maker->index->gradients_above[maker->first] + maker->last_bytes;
  int64_t network_ns = maker->last_network_ns;
  if (behind_backward) {
    bytes += maker->blocks[maker->first + 1].gradient_bytes;
    network_ns += maker->blocks[maker->first + 1].reduce_ns;
  }
  add_need(maker, bytes, (ChainOp){.kind = CHAIN_BACKWARD, .block = maker->first, .mode = mode_index});
  maker->option.cost += chain_larger(mode->backward_ns, chain_larger(network_ns, maker->last_copy_ns));
}

static ChainState child_state(const OptionMaker *maker, int first, int last) {
  return (ChainState){.first = (int16_t)first,
                      .last = (int16_t)last,
                      .top_mode = -1,
                      .gather = maker->index->gather_of[maker->first][RESIDENCY_GATHER]};
}

static void keep_top(const OptionMaker *maker, ChainState *child) {
  child->top_mode = maker->state->top_mode;
  child->top_residency = maker->state->top_residency;
}

static void emit_save(OptionMaker *maker, int mode_index, ChainResidency residency, bool offload) {
  const ChainBlock *block = &maker->blocks[maker->first];
  const ChainMode *mode = &block->modes[mode_index];
  bool single = maker->first == maker->last;
  maker->option = (ChainOption){
      .kind = OPTION_SAVE, .mode = (int8_t)mode_index, .residency = (int8_t)residency, .offload = offload};
  GatherClass next = single ? maker->index->gathers[0] : gather_behind(maker, maker->first);
  add_need(maker,
           maker->held + statistics_at(maker, maker->first) + mode->saved_bytes + mode->forward_transient_bytes +
               block->parameter_bytes + next.bytes + maker->first_bytes,
           (ChainOp){.kind = CHAIN_SAVE, .block = maker->first, .mode = mode_index});
  maker->option.cost =
      chain_larger(mode->forward_ns, chain_larger(next.time_ns + maker->first_network_ns, maker->first_copy_ns));
  if (!single) {
    ChainState child = child_state(maker, maker->first + 1, maker->last);
    child.gather = maker->index->gather_of[maker->first][residency];
    child.copy = offload ? COPY_OUT_AND_BACK : COPY_NONE;
    child.copy_mode = offload ? (int8_t)mode_index : 0;
    keep_top(maker, &child);
    maker->option.first_child = true;
    maker->option.children[0] = child;
    maker->option.shift = block->statistics_bytes + (offload ? block->output_bytes : mode->saved_bytes) +
                          chain_resident_bytes(block, residency);
  }
  add_backward(maker, mode_index, !single);
  emit(maker);
}

static void emit_saves(OptionMaker *maker) {
  const ChainBlock *block = &maker->blocks[maker->first];
  bool single = maker->first == maker->last;
  // A copy out and a copy back need two operations between.
  bool may_offload =
      maker->index->class.offload && !single && !(maker->state->top_mode >= 0 && maker->first + 1 == maker->last);
  for (int k = 0; k < block->mode_count; k++) {
    if (!chain_mode_allowed(maker->index, maker->first, k)) continue;
    for (int l = 0; l < (single ? 1 : RESIDENCY_COUNT); l++) {
      if (!chain_residency_allowed(maker->index, maker->first, (ChainResidency)l)) continue;
      emit_save(maker, k, (ChainResidency)l, false);
      if (may_offload && block->modes[k].offload_ns >= 0) emit_save(maker, k, (ChainResidency)l, true);
    }
  }
}

// Second child of leaf and hole: what lies below j, behind B(j) or B(j+1).
static ChainState below_state(const OptionMaker *maker, int last) {
  ChainState child = child_state(maker, maker->first, last);
  child.after_backward = true;
  child.gather = maker->state->gather;
  if (maker->state->copy != COPY_NONE) {
    child.copy = COPY_BACK;
    child.copy_mode = maker->state->copy_mode;
  }
  return child;
}

typedef struct Sweep {
  int64_t need, cost;
  ChainOp need_op;
} Sweep;

// Adds N(block) to a sweep that began at the state's first block.
static void sweep_over(const OptionMaker *maker, int block, Sweep *sweep) {
  const ChainBlock *b = &maker->blocks[block];
  bool begins = block == maker->first;
  GatherClass next = gather_behind(maker, block);
  int64_t bytes = maker->held + statistics_at(maker, block) + b->output_bytes + b->parameter_bytes + next.bytes;
  bytes += begins ? b->forward_only_transient_bytes + maker->first_bytes
                  : maker->blocks[block - 1].output_bytes + b->forward_only_loose_transient_bytes;
  if (bytes > sweep->need) {
    sweep->need = bytes;
    sweep->need_op = (ChainOp){.kind = CHAIN_FORWARD, .block = block};
  }
  int64_t network_ns = next.time_ns + (begins ? maker->first_network_ns : 0);
  sweep->cost += chain_larger(b->forward_only_ns, chain_larger(network_ns, begins ? maker->first_copy_ns : 0));
}

static void emit_leaf(OptionMaker *maker, int at, const Sweep *sweep) {
  ChainState above = child_state(maker, at, maker->last);
  keep_top(maker, &above);
  maker->option =
      (ChainOption){.kind = OPTION_LEAF,
                    .at = (int16_t)at,
                    .first_child = true,
                    .second_child = true,
                    .children = {above, below_state(maker, at - 1)},
                    .shift = statistics_of(maker, maker->first, at - 1) + maker->blocks[at - 1].output_bytes,
                    .need = sweep->need,
                    .need_op = sweep->need_op,
                    .cost = sweep->cost};
  emit(maker);
}

static void emit_hole(OptionMaker *maker, int at, const Sweep *sweep, int mode_index, ChainResidency residency) {
  const ChainBlock *block = &maker->blocks[at];
  const ChainMode *mode = &block->modes[mode_index];
  ChainState above = child_state(maker, at + 1, maker->last), below = below_state(maker, at);
  keep_top(maker, &above);
  below.top_mode = (int8_t)mode_index;
  below.top_residency = (int8_t)residency;
  GatherClass next = gather_behind(maker, at);
  maker->option = (ChainOption){
      .kind = OPTION_HOLE,
      .at = (int16_t)at,
      .mode = (int8_t)mode_index,
      .residency = (int8_t)residency,
      .first_child = true,
      .second_child = true,
      .children = {above, below},
      .shift = statistics_of(maker, maker->first, at) + mode->saved_bytes + chain_resident_bytes(block, residency),
      .need = sweep->need,
      .need_op = sweep->need_op,
      .cost = sweep->cost + chain_larger(mode->forward_ns, next.time_ns)};
  add_need(maker,
           maker->held + statistics_at(maker, at) + maker->blocks[at - 1].output_bytes + mode->saved_bytes +
               mode->loose_transient_bytes + block->parameter_bytes + next.bytes,
           (ChainOp){.kind = CHAIN_SAVE, .block = at, .mode = mode_index});
  emit(maker);
}

static void emit_holes(OptionMaker *maker, int at, const Sweep *sweep) {
  for (int k = 0; k < maker->blocks[at].mode_count; k++) {
    if (!chain_mode_allowed(maker->index, at, k)) continue;
    for (int l = 0; l < RESIDENCY_COUNT; l++) {
      if (chain_residency_allowed(maker->index, at, (ChainResidency)l))
        emit_hole(maker, at, sweep, k, (ChainResidency)l);
    }
  }
}

// V+(j,j): nothing but the backward of what is saved already.
static void emit_top_backward(OptionMaker *maker) {
  maker->option = (ChainOption){.kind = OPTION_TOP_BACKWARD, .mode = maker->state->top_mode};
  add_backward(maker, maker->state->top_mode, maker->state->after_backward);
  emit(maker);
}

void chain_options(const ChainIndex *index, const ChainState *state, TakeOption *take, void *data) {
  OptionMaker maker = {.index = index, .state = state, .take = take, .data = data};
  set_up(&maker);
  if (maker.first == maker.last && state->top_mode >= 0) {
    emit_top_backward(&maker);
    return;
  }
  emit_saves(&maker);
  Sweep sweep = {0};
  for (int at = maker.first + 1; at <= maker.last; at++) {
    sweep_over(&maker, at - 1, &sweep);
    emit_leaf(&maker, at, &sweep);
    if (index->class.holes && at < maker.last) emit_holes(&maker, at, &sweep);
  }
}
