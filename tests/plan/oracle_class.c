// The class of schedules by exhaustion, composed: for each subproblem V(s,t) and each neighbourhood (the operation
// before it, the one behind it, a last block that is saved already) the front of all (peak, cost) pairs.
// Exact because a part acts on its neighbours through those operations alone, what is held around it adds to its
// peak, and costs add up: of two parts in the same neighbourhood one that is no larger and no dearer is as good.
// Every point found is written out as a schedule and replayed by oracle_replay.c, which knows no parts.
#include <stdlib.h>
#include <string.h>

#include "tests/plan/oracle.h"

// What a part sees of an operation beside it; FORWARD stands for N and for E.
typedef enum NearKind { NEAR_NONE, NEAR_FORWARD, NEAR_SAVED, NEAR_BACKWARD } NearKind;
typedef struct Near {
  NearKind kind;
  int block, mode;
  ChainResidency residency;
  bool offload;
} Near;

// V(s,t) in its neighbourhood; `last` is NEAR_SAVED when the last block has been saved already: V+(s,t).
typedef struct Part {
  int s, t;
  Near before, after, last;
} Part;

typedef enum Form { FORM_BASE, FORM_SAVE, FORM_LEAF, FORM_HOLE } Form;

typedef struct Front Front;
// One way to begin; `save` is the E of Base, Save and Hole.
typedef struct Option {
  Form form;
  int j;
  Near save;
  const Front *left, *right;
  int64_t left_bytes, right_bytes;  // held around them
  int64_t peak_bytes, cost_ns;      // of the option's own operations
} Option;

typedef struct Entry {
  int64_t peak_bytes, cost_ns;
  const Option *option;
  int left, right;  // which entries of the fronts below
} Entry;
typedef struct Entries {
  Entry *items;
  size_t count, capacity;
} Entries;

struct Front {
  uint64_t key;
  Part part;
  const Entry *items;
  int count;
};

typedef struct Composer {
  Arena *arena;
  const Chain *chain;
  const ChainClass *class;
  Front **table;
  size_t table_count, table_capacity;
} Composer;

static const Near near_none = {NEAR_NONE, 0, 0, RESIDENCY_GATHER, false};

static const ChainBlock *block_at(const Composer *composer, int i) { return &composer->chain->blocks[i]; }

static const ChainMode *mode_near(const Composer *composer, const Near *near) {
  return &composer->chain->blocks[near->block].modes[near->mode];
}

static int64_t gradient_bytes(const Composer *composer, int i) {
  return i < 0 ? 0 : block_at(composer, i)->output_gradient_bytes;
}

// Held for a block's parameters between its save and its backward.
static int64_t residency_bytes(const Composer *composer, const Near *save) {
  if (save->residency == RESIDENCY_KEEP) return block_at(composer, save->block)->parameter_bytes;
  return save->residency == RESIDENCY_NODE_SHARE ? block_at(composer, save->block)->node_share_bytes : 0;
}

static uint64_t near_key(const Near *near) {
  return (uint64_t)near->kind | (uint64_t)near->block << 2 | (uint64_t)near->mode << 6 |
         (uint64_t)near->residency << 11 | (uint64_t)near->offload << 13;
}

// Keeps of a neighbour only what the part can feel, so that neighbours that feel alike share a front.
static Near before_seen(const Composer *composer, Near near) {
  const ChainBlock *block = block_at(composer, near.block);
  if (near.kind == NEAR_SAVED && near.offload) return (Near){NEAR_SAVED, near.block, near.mode, 0, true};
  if (near.kind == NEAR_BACKWARD && (block->reduce_ns > 0 || block->gradient_bytes > 0))
    return (Near){NEAR_BACKWARD, near.block, 0, 0, false};
  return near_none;
}

static Near after_seen(const Composer *composer, Near near) {
  const ChainBlock *block = block_at(composer, near.block);
  bool silent = block->parameter_bytes == 0 && block->gather_ns == 0;
  if (near.kind == NEAR_BACKWARD && !near.offload) near.mode = 0;
  if (near.kind == NEAR_BACKWARD && (near.offload || !silent)) return near;
  if (near.kind == NEAR_FORWARD && !silent) return (Near){NEAR_FORWARD, near.block, 0, 0, false};
  return near_none;
}

// Statistics and gradients that stay whatever is chosen: for an operation on block i while d(t) is pending.
static int64_t standing_bytes(const Composer *composer, const Part *part, int i, bool backward) {
  bool first_sweep = part->t == composer->chain->block_count - 1;
  int ran = backward || first_sweep ? i : part->t, done = backward ? i - 1 : part->t;
  int64_t bytes = 0;
  for (int b = 0; b < composer->chain->block_count; b++) {
    if (b <= ran) bytes += block_at(composer, b)->statistics_bytes;
    if (b > done) bytes += block_at(composer, b)->kept_gradient_bytes;
  }
  return bytes;
}

// An operation's bytes and time under its two neighbours, without what lies around the part.
typedef struct Weight {
  int64_t bytes, cost_ns;
} Weight;

static Weight weigh(const Composer *composer, int i, int64_t own_bytes, int64_t time_ns, const Near *before,
                    const Near *after) {
  Weight weight = {own_bytes + block_at(composer, i)->parameter_bytes, time_ns};
  int64_t traffic_ns = 0;
  if (after->kind != NEAR_NONE && after->block != i && after->residency != RESIDENCY_KEEP) {
    const ChainBlock *next = block_at(composer, after->block);
    weight.bytes += next->parameter_bytes;
    traffic_ns += after->residency == RESIDENCY_NODE_SHARE ? next->node_gather_ns : next->gather_ns;
  }
  if (before->kind == NEAR_BACKWARD) {
    weight.bytes += block_at(composer, before->block)->gradient_bytes;
    traffic_ns += block_at(composer, before->block)->reduce_ns;
  }
  if (traffic_ns > weight.cost_ns) weight.cost_ns = traffic_ns;
  // A copy to the host or back: what holds a(i) for the part around it holds the rest here.
  const Near *copies[2] = {before->kind == NEAR_SAVED ? before : NULL, after->kind == NEAR_BACKWARD ? after : NULL};
  for (int c = 0; c < 2; c++) {
    if (!copies[c] || !copies[c]->offload) continue;
    const ChainMode *mode = mode_near(composer, copies[c]);
    weight.bytes += mode->saved_bytes - block_at(composer, copies[c]->block)->output_bytes;
    if (mode->offload_ns > weight.cost_ns) weight.cost_ns = mode->offload_ns;
  }
  return weight;
}

// Held during a part's entry: the pending gradient, and the set of a last block saved before.
static int64_t entry_bytes(const Composer *composer, const Part *part) {
  int64_t bytes = gradient_bytes(composer, part->t);
  if (part->last.kind != NEAR_NONE)
    bytes += mode_near(composer, &part->last)->saved_bytes + residency_bytes(composer, &part->last);
  return bytes;
}

static Weight weigh_forward(const Composer *composer, const Part *part, int i, const Near *before, const Near *after) {
  const ChainBlock *block = block_at(composer, i);
  int64_t bytes = entry_bytes(composer, part) + block->output_bytes + standing_bytes(composer, part, i, false);
  if (i > part->s)
    bytes += block_at(composer, i - 1)->output_bytes + block->forward_only_loose_transient_bytes;
  else
    bytes += block->forward_only_transient_bytes;
  return weigh(composer, i, bytes, block->forward_only_ns, before, after);
}

static Weight weigh_save(const Composer *composer, const Part *part, const Near *save, const Near *before,
                         const Near *after) {
  const ChainMode *mode = mode_near(composer, save);
  int64_t bytes = entry_bytes(composer, part) + mode->saved_bytes + standing_bytes(composer, part, save->block, false);
  if (save->block > part->s)
    bytes += block_at(composer, save->block - 1)->output_bytes + mode->loose_transient_bytes;
  else
    bytes += mode->forward_transient_bytes;
  return weigh(composer, save->block, bytes, mode->forward_ns, before, after);
}

static Weight weigh_backward(const Composer *composer, const Part *part, const Near *save, const Near *before,
                             const Near *after) {
  const ChainMode *mode = mode_near(composer, save);
  int i = save->block;
  int64_t bytes = gradient_bytes(composer, i) + mode->saved_bytes + gradient_bytes(composer, i - 1) +
                  mode->backward_transient_bytes + block_at(composer, i)->gradient_bytes +
                  standing_bytes(composer, part, i, true);
  return weigh(composer, i, bytes, mode->backward_ns, before, after);
}

// The first operation of V(s,t), as the operation before it sees it.
static Near first_of(int s, int t, const Near *last) {
  if (s == t && last->kind != NEAR_NONE) {
    Near near = *last;
    near.kind = NEAR_BACKWARD;
    return near;
  }
  return (Near){NEAR_FORWARD, s, 0, RESIDENCY_GATHER, false};
}

static Near as_backward(Near save) {
  save.kind = NEAR_BACKWARD;
  return save;
}

static const Front *front_of(Composer *composer, Part part);

static void add_weight(Option *option, Weight weight) {
  if (weight.bytes > option->peak_bytes) option->peak_bytes = weight.bytes;
  option->cost_ns += weight.cost_ns;
}

// Within a budget p an option costs its own operations, the best of the left within p, and the best of the right.
static void add_option(Composer *composer, Entries *entries, const Option *made) {
  Option *option = arena_new(composer->arena, Option);
  *option = *made;
  static const Entry nothing = {INT64_MIN / 2, 0, NULL, 0, 0};
  const Entry *left = option->left ? option->left->items : &nothing;
  const Entry *right = option->right ? option->right->items : &nothing;
  int left_count = option->left ? option->left->count : 1, right_count = option->right ? option->right->count : 1;
  if (left_count == 0 || right_count == 0) return;
  int64_t peak = option->peak_bytes;
  if (left[0].peak_bytes + option->left_bytes > peak) peak = left[0].peak_bytes + option->left_bytes;
  if (right[0].peak_bytes + option->right_bytes > peak) peak = right[0].peak_bytes + option->right_bytes;
  for (int l = 0, r = 0;;) {
    while (l + 1 < left_count && left[l + 1].peak_bytes + option->left_bytes <= peak) l++;
    while (r + 1 < right_count && right[r + 1].peak_bytes + option->right_bytes <= peak) r++;
    Entry entry = {peak, option->cost_ns + left[l].cost_ns + right[r].cost_ns, option, l, r};
    arena_push(composer->arena, entries, Entry, entry);
    int64_t next = INT64_MAX;
    if (l + 1 < left_count) next = left[l + 1].peak_bytes + option->left_bytes;
    if (r + 1 < right_count && right[r + 1].peak_bytes + option->right_bytes < next)
      next = right[r + 1].peak_bytes + option->right_bytes;
    if (next == INT64_MAX) return;
    peak = next;
  }
}

static void add_base(Composer *composer, const Part *part, Entries *entries, Near save) {
  Option option = {.form = FORM_BASE, .save = save, .peak_bytes = INT64_MIN / 2};
  if (part->last.kind == NEAR_NONE) {
    Near next = as_backward(save), self = save;
    add_weight(&option, weigh_save(composer, part, &save, &part->before, &next));
    add_weight(&option, weigh_backward(composer, part, &save, &self, &part->after));
  } else {
    add_weight(&option, weigh_backward(composer, part, &part->last, &part->before, &part->after));
  }
  add_option(composer, entries, &option);
}

static void add_save(Composer *composer, const Part *part, Entries *entries, Near save) {
  Option option = {.form = FORM_SAVE, .save = save, .peak_bytes = INT64_MIN / 2};
  Near next = first_of(part->s + 1, part->t, &part->last), behind = {NEAR_BACKWARD, part->s + 1, 0, 0, false};
  Part child = {part->s + 1, part->t, save, as_backward(save), part->last};
  option.left = front_of(composer, child);
  option.left_bytes =
      save.offload ? block_at(composer, part->s)->output_bytes : mode_near(composer, &save)->saved_bytes;
  option.left_bytes += residency_bytes(composer, &save);
  add_weight(&option, weigh_save(composer, part, &save, &part->before, &next));
  add_weight(&option, weigh_backward(composer, part, &save, &behind, &part->after));
  add_option(composer, entries, &option);
}

// N(s)..N(j-1), each seeing the next; `next` is the operation behind the last of them.
static void add_sweep(Composer *composer, const Part *part, Option *option, int j, const Near *next) {
  for (int i = part->s; i < j; i++) {
    Near after = i + 1 < j ? (Near){NEAR_FORWARD, i + 1, 0, RESIDENCY_GATHER, false} : *next;
    add_weight(option, weigh_forward(composer, part, i, i == part->s ? &part->before : &near_none, &after));
  }
}

static void add_leaf(Composer *composer, const Part *part, Entries *entries, int j) {
  Option option = {.form = FORM_LEAF, .j = j, .peak_bytes = INT64_MIN / 2};
  Near next = first_of(j, part->t, &part->last);
  Part left = {j, part->t, near_none, first_of(part->s, j - 1, &near_none), part->last};
  Part right = {part->s, j - 1, {NEAR_BACKWARD, j, 0, 0, false}, part->after, near_none};
  option.left = front_of(composer, left);
  option.left_bytes = block_at(composer, j - 1)->output_bytes;
  option.right = front_of(composer, right);
  add_sweep(composer, part, &option, j, &next);
  add_option(composer, entries, &option);
}

static void add_hole(Composer *composer, const Part *part, Entries *entries, Near save) {
  int j = save.block;
  Option option = {.form = FORM_HOLE, .j = j, .save = save, .peak_bytes = INT64_MIN / 2};
  Near self = {NEAR_FORWARD, j, 0, RESIDENCY_GATHER, false}, next = first_of(j + 1, part->t, &part->last);
  Part left = {j + 1, part->t, near_none, first_of(part->s, j, &save), part->last};
  Part right = {part->s, j, {NEAR_BACKWARD, j + 1, 0, 0, false}, part->after, save};
  option.left = front_of(composer, left);
  option.left_bytes = mode_near(composer, &save)->saved_bytes + residency_bytes(composer, &save);
  option.right = front_of(composer, right);
  add_sweep(composer, part, &option, j, &self);
  add_weight(&option, weigh_save(composer, part, &save, &near_none, &next));
  add_option(composer, entries, &option);
}

static bool next_choice(const Composer *composer, Near *save) {
  const ChainBlock *block = block_at(composer, save->block);
  save->offload = false;
  if (!composer->class->residency || (block->parameter_bytes == 0 && block->gather_ns == 0)) return false;
  save->residency++;
  if (save->residency == RESIDENCY_NODE_SHARE && block->node_gather_ns < 0) save->residency++;
  return save->residency < RESIDENCY_COUNT;
}

// Save (j = s) or Hole (j > s) of block j in one mode, with every residency, perhaps offloaded.
static void add_saves(Composer *composer, const Part *part, Entries *entries, int j, int mode) {
  Near save = {NEAR_SAVED, j, mode, RESIDENCY_GATHER, false};
  bool single = part->s + 1 == part->t && part->last.kind != NEAR_NONE;
  bool offload = composer->class->offload && block_at(composer, j)->modes[mode].offload_ns >= 0 && !single;
  do {
    if (j > part->s) {
      add_hole(composer, part, entries, save);
      continue;
    }
    add_save(composer, part, entries, save);
    save.offload = true;
    if (offload) add_save(composer, part, entries, save);
  } while (next_choice(composer, &save));
}

static void collect(Composer *composer, const Part *part, Entries *entries) {
  const ChainClass *class = composer->class;
  if (part->s == part->t && part->last.kind != NEAR_NONE) {
    add_base(composer, part, entries, near_none);
    return;
  }
  for (int j = part->s; j <= part->t; j++) {
    if (j > part->s) add_leaf(composer, part, entries, j);
    for (int k = 0; k < block_at(composer, j)->mode_count; k++) {
      if (class->only_modes != 0 && !(class->only_modes >> k & 1)) continue;
      if (part->s == part->t)
        add_base(composer, part, entries, (Near){NEAR_SAVED, j, k, RESIDENCY_GATHER, false});
      else if (j == part->s || (class->holes && j < part->t))
        add_saves(composer, part, entries, j, k);
    }
  }
}

static int entry_order(const void *a, const void *b) {
  const Entry *x = a, *y = b;
  if (x->peak_bytes != y->peak_bytes) return x->peak_bytes < y->peak_bytes ? -1 : 1;
  return (x->cost_ns > y->cost_ns) - (x->cost_ns < y->cost_ns);
}

static void keep_best(Composer *composer, Front *front, Entries *entries) {
  if (entries->count > 0) qsort(entries->items, entries->count, sizeof(Entry), entry_order);
  size_t kept = 0;
  for (size_t i = 0; i < entries->count; i++) {
    if (kept == 0 || entries->items[i].cost_ns < entries->items[kept - 1].cost_ns)
      entries->items[kept++] = entries->items[i];
  }
  Entry *items = arena_array(composer->arena, Entry, kept + 1);
  if (kept > 0) memcpy(items, entries->items, kept * sizeof(Entry));
  front->items = items;
  front->count = (int)kept;
}

static size_t table_slot(const Composer *composer, uint64_t key) {
  size_t mask = composer->table_capacity - 1, slot = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & mask;
  while (composer->table[slot] && composer->table[slot]->key != key) slot = (slot + 1) & mask;
  return slot;
}

static void table_grow(Composer *composer) {
  Front **old = composer->table;
  size_t old_capacity = composer->table_capacity;
  composer->table_capacity = old_capacity ? 2 * old_capacity : 256;
  composer->table = arena_array(composer->arena, Front *, composer->table_capacity);
  for (size_t i = 0; i < old_capacity; i++) {
    if (old[i]) composer->table[table_slot(composer, old[i]->key)] = old[i];
  }
}

static const Front *front_of(Composer *composer, Part part) {
  part.before = before_seen(composer, part.before);
  part.after = after_seen(composer, part.after);
  uint64_t key = (uint64_t)part.s | (uint64_t)part.t << 4 | near_key(&part.before) << 8 | near_key(&part.after) << 22 |
                 near_key(&part.last) << 36 | (uint64_t)1 << 63;
  if (2 * composer->table_count >= composer->table_capacity) table_grow(composer);
  size_t slot = table_slot(composer, key);
  if (composer->table[slot]) return composer->table[slot];
  Front *front = arena_new(composer->arena, Front);
  front->key = key;
  front->part = part;
  Entries entries = {0};
  collect(composer, &part, &entries);
  keep_best(composer, front, &entries);
  composer->table_count++;
  // The table may have grown below.
  composer->table[table_slot(composer, key)] = front;
  return front;
}

typedef struct Script {
  ChainOp ops[ORACLE_MAX_OPS];
  size_t count;
} Script;

static void write_op(Script *script, ChainOpKind kind, const Near *near) {
  if (script->count == ORACLE_MAX_OPS) abort();
  ChainOp op = {.kind = kind, .block = near->block};
  if (kind != CHAIN_FORWARD) op.mode = near->mode;
  if (kind == CHAIN_SAVE) {
    op.residency = near->residency;
    op.offload = near->offload;
  }
  script->ops[script->count++] = op;
}

static void write_part(Script *script, const Front *front, int index) {
  const Entry *entry = &front->items[index];
  const Option *option = entry->option;
  const Part *part = &front->part;
  for (int i = part->s; i < option->j; i++) write_op(script, CHAIN_FORWARD, &(Near){.block = i});
  if (option->save.kind != NEAR_NONE) write_op(script, CHAIN_SAVE, &option->save);
  if (option->left) write_part(script, option->left, entry->left);
  if (option->right) write_part(script, option->right, entry->right);
  if (option->form == FORM_SAVE) write_op(script, CHAIN_BACKWARD, &option->save);
  if (option->form == FORM_BASE)
    write_op(script, CHAIN_BACKWARD, part->last.kind == NEAR_NONE ? &option->save : &part->last);
}

OracleFront oracle_class_front(Arena *arena, const Chain *chain, const ChainClass *class, const char **fault) {
  Arena *scratch = arena_make("fronts");
  Composer composer = {.arena = scratch, .chain = chain, .class = class};
  const Front *root = front_of(&composer, (Part){0, chain->block_count - 1, near_none, near_none, near_none});
  OracleFront result = {0};
  for (int i = 0; i < root->count; i++) {
    OraclePoint point = {root->items[i].peak_bytes, root->items[i].cost_ns};
    arena_push(arena, &result, OraclePoint, point);
    Script script = {.count = 0};
    write_part(&script, root, i);
    OracleReplay replay;
    const char *wrong = oracle_replay(chain, script.ops, script.count, &replay);
    if (wrong) *fault = wrong;
    if (!wrong && (replay.cost_ns != point.cost_ns || replay.peak_bytes != point.peak_bytes))
      *fault = "a composed front differs from its replay";
  }
  arena_release(scratch);
  return result;
}
