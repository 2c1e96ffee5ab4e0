// The exact solver: branch and bound over the states of the class, on exact bytes. For every state it remembers the
// ranges of bytes whose answer it knows: an optimum found with b bytes whose peak is p holds for all of p..b, and a
// bound proven for b bytes holds for fewer. The limit on the cost rises from the root's bound until a schedule is
// found.
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/chain_solve.h"

enum { TOLERANCE_UNIT = 4096, BLUNTEST = 512 };

// What is known of a state for bytes low..high: the optimum (`exact`), or a bound for all bytes up to high.
typedef struct Known {
  int64_t low, high, cost;
  bool exact;
  OptionKind kind;  // exact: how the optimum begins
  int16_t at;
  int8_t mode, residency;
  bool offload;
} Known;

typedef struct StateMemo {
  ChainState state;
  Known *known;  // by rising `high`; costs fall
  int count, capacity;
  bool least_is_known;
  int64_t least_need;  // not known: no schedule of the state needs less
  ChainOp least_op;    // known: the operation that sets it
} StateMemo;

struct ChainSolver {
  Arena *arena;
  const Chain *chain;
  ChainIndex *index;
  ChainBounds *bounds;
  StateMemo *memos;
  size_t memo_count, memo_capacity;
  uint32_t *table;  // open addressing: memo number + 1
  size_t table_size;
  ChainOption *stack;  // options of the states on the way down
  size_t stack_count, stack_capacity;
  uint64_t options, option_end;
  bool gave_up;
  ChainSolver *plain;  // of the class without holes and offload; NULL: not needed yet
  int tolerance;       // bounds count this many 4096ths more: 0 is exact
};

static void *grow(void *memory, size_t count, size_t size) {
  void *grown = realloc(memory, count * size);
  if (!grown) BUG("out of memory in the planner");
  return grown;
}

static uint64_t hash_of(const ChainState *s) {
  uint64_t hash = (uint64_t)(uint16_t)s->first | (uint64_t)(uint16_t)s->last << 11 |
                  (uint64_t)(uint16_t)s->gather << 22 | (uint64_t)(uint8_t)(s->top_mode + 1) << 34 |
                  (uint64_t)(uint8_t)s->top_residency << 40 | (uint64_t)(uint8_t)s->copy_mode << 42 |
                  (uint64_t)(uint8_t)s->copy << 48 | (uint64_t)s->after_backward << 50;
  // The high bits down, then the low bits up and down again: slots are taken from the low ones.
  hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9u;
  return hash ^ hash >> 32;
}

static bool same_state(const ChainState *a, const ChainState *b) {
  return a->first == b->first && a->last == b->last && a->gather == b->gather && a->top_mode == b->top_mode &&
         a->top_residency == b->top_residency && a->copy_mode == b->copy_mode && a->copy == b->copy &&
         a->after_backward == b->after_backward;
}

static void rehash(ChainSolver *solver) {
  solver->table_size = solver->table_size ? 2 * solver->table_size : 4096;
  free(solver->table);
  solver->table = calloc(solver->table_size, sizeof *solver->table);
  if (!solver->table) BUG("out of memory in the planner");
  for (size_t i = 0; i < solver->memo_count; i++) {
    size_t slot = hash_of(&solver->memos[i].state) & (solver->table_size - 1);
    while (solver->table[slot]) slot = (slot + 1) & (solver->table_size - 1);
    solver->table[slot] = (uint32_t)i + 1;
  }
}

// Number of a state's memo; memos move when there are more.
static size_t memo_of(ChainSolver *solver, const ChainState *state) {
  if (2 * solver->memo_count >= solver->table_size) rehash(solver);
  size_t slot = hash_of(state) & (solver->table_size - 1);
  for (; solver->table[slot]; slot = (slot + 1) & (solver->table_size - 1)) {
    if (same_state(&solver->memos[solver->table[slot] - 1].state, state)) return solver->table[slot] - 1;
  }
  if (solver->memo_count == solver->memo_capacity) {
    solver->memo_capacity = solver->memo_capacity ? 2 * solver->memo_capacity : 1024;
    solver->memos = grow(solver->memos, solver->memo_capacity, sizeof *solver->memos);
  }
  solver->memos[solver->memo_count] = (StateMemo){.state = *state};
  solver->table[slot] = (uint32_t)solver->memo_count + 1;
  return solver->memo_count++;
}

// The first entry whose `high` reaches `bytes`: it has the best bound known for them.
static int find_known(const StateMemo *memo, int64_t bytes) {
  int low = 0, high = memo->count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (memo->known[middle].high >= bytes) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Does `newer`, an entry for more bytes or as many, say all that `older` says?
static bool says_all_of(const Known *newer, const Known *older) {
  if (older->cost > newer->cost) return false;
  if (!newer->exact) return !older->exact;
  return older->exact ? older->low >= newer->low : older->high >= newer->low;
}

static void remember(StateMemo *memo, Known known) {
  int at = find_known(memo, known.high), begin = at;
  while (begin > 0 && says_all_of(&known, &memo->known[begin - 1])) begin--;
  int end = at < memo->count && memo->known[at].high == known.high ? at + 1 : at;
  int removed = end - begin;
  if (!removed && memo->count == memo->capacity) {
    memo->capacity = memo->capacity ? 2 * memo->capacity : 4;
    memo->known = grow(memo->known, (size_t)memo->capacity, sizeof *memo->known);
  }
  memmove(memo->known + begin + 1, memo->known + end, (size_t)(memo->count - end) * sizeof *memo->known);
  memo->known[begin] = known;
  memo->count += 1 - removed;
}

// ---- the search ----

typedef struct Collect {
  ChainSolver *solver;
  int64_t bytes, limit;
  int64_t left_out;  // the lowest bound among options beyond the limit
} Collect;

static void push_option(ChainSolver *solver, const ChainOption *option) {
  if (solver->stack_count == solver->stack_capacity) {
    solver->stack_capacity = solver->stack_capacity ? 2 * solver->stack_capacity : 4096;
    solver->stack = grow(solver->stack, solver->stack_capacity, sizeof *solver->stack);
  }
  solver->stack[solver->stack_count++] = *option;
}

static int64_t child_bound(const ChainSolver *solver, const ChainState *child, int64_t bytes) {
  int64_t bound = chain_bounds_cost(solver->bounds, child, bytes);
  return bound >= CHAIN_NEVER ? bound : bound + bound / TOLERANCE_UNIT * solver->tolerance;
}

static void collect_option(void *data, const ChainOption *option) {
  Collect *collect = data;
  collect->solver->options++;
  if (option->need > collect->bytes) return;
  ChainOption kept = *option;
  kept.bound = kept.cost;
  if (kept.first_child) kept.bound += child_bound(collect->solver, &kept.children[0], collect->bytes - kept.shift);
  if (kept.bound < CHAIN_NEVER && kept.second_child)
    kept.bound += child_bound(collect->solver, &kept.children[1], collect->bytes);
  if (kept.bound >= CHAIN_NEVER) return;
  if (kept.bound > collect->limit) {
    collect->left_out = chain_smaller(collect->left_out, kept.bound);
    return;
  }
  push_option(collect->solver, &kept);
}

static int by_bound(const void *a, const void *b) {
  const ChainOption *x = a, *y = b;
  if (x->bound != y->bound) return x->bound < y->bound ? -1 : 1;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  if (x->mode != y->mode) return x->mode < y->mode ? -1 : 1;
  if (x->residency != y->residency) return x->residency < y->residency ? -1 : 1;
  return (int)x->offload - (int)y->offload;
}

typedef struct Answer {
  int64_t cost;  // the optimum when not above the limit, else a bound above it
  int64_t need;  // peak of the optimum, within the state
} Answer;

static Answer search(ChainSolver *solver, ChainState state, int64_t bytes, int64_t limit);

// The cheapest that the option can be: exact when within `limit`, else a bound beyond it.
static Answer evaluate_option(ChainSolver *solver, const ChainOption *option, int64_t bytes, int64_t limit) {
  Answer answer = {option->cost, option->need};
  int64_t second_bound = option->second_child ? child_bound(solver, &option->children[1], bytes) : 0;
  if (option->first_child) {
    Answer first = search(solver, option->children[0], bytes - option->shift, limit - answer.cost - second_bound);
    answer.cost += first.cost;
    answer.need = chain_larger(answer.need, first.need + option->shift);
    if (answer.cost + second_bound > limit) return (Answer){answer.cost + second_bound, 0};
  }
  if (option->second_child) {
    Answer second = search(solver, option->children[1], bytes, limit - answer.cost);
    answer.cost += second.cost;
    answer.need = chain_larger(answer.need, second.need);
  }
  return answer;
}

static Known known_of(const ChainOption *option, Answer answer, int64_t bytes) {
  return (Known){.low = answer.need,
                 .high = bytes,
                 .cost = answer.cost,
                 .exact = true,
                 .kind = option->kind,
                 .at = option->at,
                 .mode = option->mode,
                 .residency = option->residency,
                 .offload = option->offload};
}

static bool spent(ChainSolver *solver) {
  if (solver->options > solver->option_end) solver->gave_up = true;
  return solver->gave_up;
}

// Tries the options on the stack from `begin` on; `best` becomes exact when one is within the limit.
static int64_t try_options(ChainSolver *solver, size_t begin, int64_t bytes, int64_t limit, Known *best) {
  size_t count = solver->stack_count - begin;
  int64_t floor = CHAIN_NEVER;
  if (count > 1) qsort(solver->stack + begin, count, sizeof *solver->stack, by_bound);
  for (size_t i = 0; i < count; i++) {
    ChainOption option = solver->stack[begin + i];  // the stack moves while children use it
    if (option.bound > limit || spent(solver)) {
      floor = chain_smaller(floor, option.bound);
      break;
    }
    Answer answer = evaluate_option(solver, &option, bytes, limit);
    if (answer.cost > limit) {
      floor = chain_smaller(floor, answer.cost);
      continue;
    }
    *best = known_of(&option, answer, bytes);
    limit = answer.cost - 1;
  }
  return floor;
}

static Answer search(ChainSolver *solver, ChainState state, int64_t bytes, int64_t limit) {
  state = chain_state_canonical(solver->index, state);
  if (bytes < chain_bounds_need(solver->bounds, &state)) return (Answer){CHAIN_NEVER, 0};
  size_t number = memo_of(solver, &state);
  const StateMemo *memo = &solver->memos[number];
  int at = find_known(memo, bytes);
  if (at < memo->count) {
    const Known *known = &memo->known[at];
    if (known->exact && known->low <= bytes) return (Answer){known->cost, known->low};
    if (known->cost > limit) return (Answer){known->cost, 0};
  }
  if (spent(solver)) return (Answer){limit + 1, 0};
  Collect collect = {solver, bytes, limit, CHAIN_NEVER};
  size_t begin = solver->stack_count;
  chain_options(solver->index, &state, collect_option, &collect);
  Known best = {.cost = CHAIN_NEVER};
  int64_t floor = try_options(solver, begin, bytes, limit, &best);
  solver->stack_count = begin;
  if (best.exact) {
    if (!solver->gave_up) remember(&solver->memos[number], best);
    return (Answer){best.cost, best.low};
  }
  floor = chain_smaller(floor, collect.left_out);
  if (!solver->gave_up) remember(&solver->memos[number], (Known){.high = bytes, .cost = floor});
  return (Answer){floor, 0};
}

// ---- from what is known back to a schedule ----

static void emit_state(ChainSolver *solver, ChainState state, int64_t bytes, Arena *arena, ChainOps *ops);

static void emit_op(Arena *arena, ChainOps *ops, ChainOp op) { arena_push(arena, ops, ChainOp, op); }

static void emit_sweep(Arena *arena, ChainOps *ops, int first, int end) {
  for (int i = first; i < end; i++) emit_op(arena, ops, (ChainOp){.kind = CHAIN_FORWARD, .block = i});
}

// An option's own operations in front of its children, and behind them.
static void emit_beginning(const ChainState *state, const ChainOption *option, Arena *arena, ChainOps *ops) {
  int block = option->kind == OPTION_HOLE ? option->at : state->first;
  if (option->kind == OPTION_LEAF || option->kind == OPTION_HOLE) emit_sweep(arena, ops, state->first, option->at);
  if (option->kind == OPTION_SAVE || option->kind == OPTION_HOLE)
    emit_op(arena, ops,
            (ChainOp){.kind = CHAIN_SAVE,
                      .block = block,
                      .mode = option->mode,
                      .residency = (ChainResidency)option->residency,
                      .offload = option->offload});
}

static void emit_end(const ChainState *state, const ChainOption *option, Arena *arena, ChainOps *ops) {
  if (option->kind == OPTION_SAVE || option->kind == OPTION_TOP_BACKWARD)
    emit_op(arena, ops, (ChainOp){.kind = CHAIN_BACKWARD, .block = state->first, .mode = option->mode});
}

typedef struct Chosen {
  const Known *known;
  ChainOption option;
  bool found;
} Chosen;

static void match_option(void *data, const ChainOption *option) {
  Chosen *chosen = data;
  const Known *known = chosen->known;
  if (option->kind == known->kind && option->at == known->at && option->mode == known->mode &&
      option->residency == known->residency && option->offload == known->offload) {
    chosen->option = *option;
    chosen->found = true;
  }
}

static bool recall(ChainSolver *solver, const ChainState *canonical, int64_t bytes, Known *known) {
  const StateMemo *memo = &solver->memos[memo_of(solver, canonical)];
  int at = find_known(memo, bytes);
  if (at == memo->count || !memo->known[at].exact || memo->known[at].low > bytes) return false;
  *known = memo->known[at];
  return true;
}

static int64_t least_need(ChainSolver *solver, ChainState state, int64_t limit, ChainOp *op);

static bool can_fit(ChainSolver *solver, const ChainOption *option, int64_t bytes) {
  return (!option->first_child ||
          least_need(solver, option->children[0], bytes - option->shift + 1, NULL) <= bytes - option->shift) &&
         (!option->second_child || least_need(solver, option->children[1], bytes + 1, NULL) <= bytes);
}

// How to begin without a search: the option of the lowest bound among those that some schedule fits into.
static Known promising(ChainSolver *solver, const ChainState *state, int64_t bytes) {
  Collect collect = {solver, bytes, CHAIN_NEVER - 1, CHAIN_NEVER};
  size_t begin = solver->stack_count;
  chain_options(solver->index, state, collect_option, &collect);
  size_t end = solver->stack_count, at = begin;
  if (end - begin > 1) qsort(solver->stack + begin, end - begin, sizeof *solver->stack, by_bound);
  while (at < end && !can_fit(solver, &solver->stack[at], bytes)) at++;
  if (at == end) BUG("no way to begin fits, but the budget is not below the least");
  Known known = known_of(&solver->stack[at], (Answer){0}, bytes);
  solver->stack_count = begin;
  return known;
}

// `state` is not canonical: its blocks are the schedule's.
static void emit_state(ChainSolver *solver, ChainState state, int64_t bytes, Arena *arena, ChainOps *ops) {
  ChainState canonical = chain_state_canonical(solver->index, state);
  Known known;
  if (!recall(solver, &canonical, bytes, &known)) {
    // A blunter search may have replaced the answer by another, or found none.
    if (!solver->tolerance) BUG("the planner forgot a state of its own plan");
    known = promising(solver, &canonical, bytes);
  }
  int offset = state.first - canonical.first;
  if (known.kind == OPTION_LEAF || known.kind == OPTION_HOLE) known.at = (int16_t)(known.at + offset);
  Chosen chosen = {.known = &known};
  chain_options(solver->index, &state, match_option, &chosen);
  if (!chosen.found) BUG("the planner's option is gone");
  const ChainOption *option = &chosen.option;
  emit_beginning(&state, option, arena, ops);
  if (option->first_child) emit_state(solver, option->children[0], bytes - option->shift, arena, ops);
  if (option->second_child) emit_state(solver, option->children[1], bytes, arena, ops);
  emit_end(&state, option, arena, ops);
}

static ChainState root_state(const Chain *chain) {
  return (ChainState){.last = (int16_t)(chain->block_count - 1), .top_mode = -1};
}

static void prepare_bounds(ChainSolver *solver, int64_t budget_bytes) {
  if (solver->bounds && chain_bounds_serve(solver->bounds, budget_bytes)) return;
  chain_bounds_release(solver->bounds);
  solver->bounds = chain_bounds_make(solver->index, budget_bytes);
}

// What was learnt with another tolerance proves nothing at this one.
static void forget(ChainSolver *solver) {
  for (size_t i = 0; i < solver->memo_count; i++) solver->memos[i].count = 0;
}

// Searches with a rising limit. The answer is an optimum (with a tolerance, one of cost at most that much above it);
// when the search gives up, `proven` is still a bound of the class.
static Answer search_root(ChainSolver *solver, int64_t budget_bytes, int tolerance, int64_t *proven) {
  ChainState root = root_state(solver->chain);
  if (solver->tolerance != tolerance) forget(solver);
  solver->tolerance = tolerance;
  solver->gave_up = false;
  uint64_t before = solver->options;
  uint64_t patience = solver->index->class.option_limit / (tolerance ? 6 : 1);
  solver->option_end = patience ? before + patience : UINT64_MAX;
  int64_t limit = child_bound(solver, &root, budget_bytes), step = limit / 2000 + 1;
  Answer answer = {limit, 0};
  while (answer.cost < CHAIN_NEVER) {
    answer = search(solver, root, budget_bytes, limit);
    if (answer.cost <= limit || solver->gave_up) break;
    if (!tolerance) *proven = chain_larger(*proven, limit + 1);
    limit = chain_larger(answer.cost, limit + step);
    step *= 2;
  }
  return answer;
}

static void finish_solution(ChainSolver *solver, Arena *arena, int64_t budget_bytes, int64_t cost_ns,
                            ChainSolution *solution) {
  emit_state(solver, root_state(solver->chain), budget_bytes, arena, &solution->schedule);
  ChainReplay replay;
  const char *broken = chain_replay(solver->chain, solution->schedule.items, solution->schedule.count, arena, &replay);
  if (broken) BUG("the planner's schedule does not hold: %s", broken);
  // A blunter search may remember a state's answer that is not the one it summed up.
  if ((solution->optimal_in_class && replay.cost_ns != cost_ns) || replay.peak_bytes > budget_bytes) {
    BUG("the planner's schedule costs %lld ns and %lld bytes, not %lld within %lld", (long long)replay.cost_ns,
        (long long)replay.peak_bytes, (long long)cost_ns, (long long)budget_bytes);
  }
  solution->feasible = true;
  solution->cost_ns = replay.cost_ns;
  solution->peak_bytes = replay.peak_bytes;
}

// The best of a smaller class, which is found where the whole one takes too long: saves and leaves alone.
static void try_plain(ChainSolver *solver, Arena *arena, int64_t budget_bytes, ChainSolution *solution) {
  ChainClass class = solver->index->class;
  if (!class.holes && !class.offload) return;
  class.holes = class.offload = false;
  class.option_limit /= 5;
  if (!solver->plain) solver->plain = chain_solver_make(solver->chain, &class);
  if (chain_minimum_budget(solver->plain, NULL) > budget_bytes) return;
  ChainSolution plain = chain_solve(solver->plain, arena, budget_bytes);
  solution->states += plain.states;
  solution->options += plain.options;
  if (!plain.feasible || (solution->feasible && plain.cost_ns >= solution->cost_ns)) return;
  solution->feasible = true;
  solution->cost_ns = plain.cost_ns;
  solution->peak_bytes = plain.peak_bytes;
  solution->schedule = plain.schedule;
}

int64_t chain_floor_ns(ChainSolver *solver, int64_t budget_bytes) {
  ChainState root = root_state(solver->chain);
  prepare_bounds(solver, budget_bytes);
  return chain_bounds_cost(solver->bounds, &root, budget_bytes);
}

ChainSolution chain_solve(ChainSolver *solver, Arena *arena, int64_t budget_bytes) {
  const Chain *chain = solver->chain;
  ChainSolution solution = {.boundary_ns = chain_boundary_ns(chain)};
  solver->options = 0;
  int64_t proven = chain_floor_ns(solver, budget_bytes);
  Answer answer = search_root(solver, budget_bytes, 0, &proven);
  solution.optimal_in_class = !solver->gave_up;
  // Out of patience: the best that a slightly blunter search finds, with how far off it can be; where even the
  // bluntest finds nothing, what the bounds point to.
  for (int tolerance = 8; solver->gave_up && tolerance <= BLUNTEST; tolerance *= 4)
    answer = search_root(solver, budget_bytes, tolerance, &proven);
  solution.states = solver->memo_count;
  solution.options = solver->options;
  if (answer.cost >= CHAIN_NEVER) return solution;
  finish_solution(solver, arena, budget_bytes, answer.cost, &solution);
  bool loose = solution.cost_ns - solution.cost_ns / 32 > proven;
  if (!solution.optimal_in_class && loose) try_plain(solver, arena, budget_bytes, &solution);
  solution.class_bound_ns = solution.optimal_in_class ? solution.cost_ns : chain_smaller(proven, solution.cost_ns);
  int64_t any = chain_lower_bound(chain, budget_bytes);
  solution.lower_bound_ns = chain_smaller(solution.class_bound_ns, any);
  return solution;
}

// ---- the smallest budget ----

typedef struct Least {
  ChainSolver *solver;
  int first;
  int64_t limit;
} Least;

// Another mode takes no more bytes anywhere.
static bool leaner_mode_exists(const ChainIndex *index, int block, int mode_index) {
  const ChainBlock *b = &index->chain->blocks[block];
  const ChainMode *mode = &b->modes[mode_index];
  for (int k = 0; k < b->mode_count; k++) {
    const ChainMode *other = &b->modes[k];
    if (k == mode_index || !chain_mode_allowed(index, block, k) || other->saved_bytes > mode->saved_bytes ||
        (other->offload_ns < 0 && mode->offload_ns >= 0))
      continue;
    int64_t less = mode->saved_bytes - other->saved_bytes;
    int64_t forward = other->forward_transient_bytes - mode->forward_transient_bytes,
            loose = other->loose_transient_bytes - mode->loose_transient_bytes,
            backward = other->backward_transient_bytes - mode->backward_transient_bytes;
    if (forward > less || loose > less || backward > less) continue;
    if (k < mode_index || less > 0 || forward < 0 || loose < 0 || backward < 0) return true;
  }
  return false;
}

// Keeping parameters never lets a schedule fit that would not fit otherwise: only gathering again is tried.
static void collect_least(void *data, const ChainOption *option) {
  const Least *least = data;
  const ChainBounds *bounds = least->solver->bounds;
  if (option->residency != RESIDENCY_GATHER) return;
  if (option->kind == OPTION_SAVE || option->kind == OPTION_HOLE) {
    int block = option->kind == OPTION_SAVE ? least->first : option->at;
    if (leaner_mode_exists(least->solver->index, block, option->mode)) return;
  }
  ChainOption kept = *option;
  kept.bound = option->need;
  if (option->first_child)
    kept.bound = chain_larger(kept.bound, chain_bounds_need(bounds, &option->children[0]) + option->shift);
  if (option->second_child) kept.bound = chain_larger(kept.bound, chain_bounds_need(bounds, &option->children[1]));
  if (kept.bound < least->limit) push_option(least->solver, &kept);
}

// Leaves at the end first: a backward that all runs forward for again takes the least in most chains.
static int by_need(const void *a, const void *b) {
  const ChainOption *x = a, *y = b;
  if (x->bound != y->bound) return x->bound < y->bound ? -1 : 1;
  if (x->at != y->at) return x->at > y->at ? -1 : 1;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  if (x->mode != y->mode) return x->mode < y->mode ? -1 : 1;
  return (int)x->offload - (int)y->offload;
}

// What an option needs when that is below the limit, else any number not below it.
static int64_t option_need(ChainSolver *solver, const ChainOption *option, int64_t limit, ChainOp *op) {
  int64_t need = option->need;
  *op = option->need_op;
  for (int i = 0; i < 2 && need < limit; i++) {
    if (!(i ? option->second_child : option->first_child)) continue;
    int64_t shift = i ? 0 : option->shift;
    ChainOp child_op;
    int64_t child = least_need(solver, option->children[i], limit - shift, &child_op) + shift;
    if (child <= need) continue;
    need = child;
    *op = child_op;
  }
  return need;
}

// Tries a state's options for less than `limit`, and remembers what it needs, or that it is no less.
static void search_least(ChainSolver *solver, const ChainState *state, size_t number, int64_t limit) {
  Least least = {.solver = solver, .first = state->first, .limit = limit};
  size_t begin = solver->stack_count;
  chain_options(solver->index, state, collect_least, &least);
  size_t end = solver->stack_count;
  if (end - begin > 1) qsort(solver->stack + begin, end - begin, sizeof *solver->stack, by_need);
  int64_t best = limit, floor = chain_bounds_need(solver->bounds, state);
  ChainOp best_op = {0}, op;
  for (size_t i = begin; i < end && best > floor; i++) {
    ChainOption option = solver->stack[i];  // the stack moves while children use it
    if (option.bound >= best) break;
    int64_t need = option_need(solver, &option, best, &op);
    if (need >= best) continue;
    best = need;
    best_op = op;
  }
  solver->stack_count = begin;
  StateMemo *memo = &solver->memos[number];
  memo->least_is_known = best < limit;
  memo->least_need = best;
  memo->least_op = best_op;
}

// The least bytes of a state when that is below the limit, and the operation that sets it; else a bound not below it.
static int64_t least_need(ChainSolver *solver, ChainState state, int64_t limit, ChainOp *op) {
  ChainState canonical = chain_state_canonical(solver->index, state);
  size_t number = memo_of(solver, &canonical);
  StateMemo *memo = &solver->memos[number];
  if (!memo->least_is_known)
    memo->least_need = chain_larger(memo->least_need, chain_bounds_need(solver->bounds, &canonical));
  if (!memo->least_is_known && memo->least_need < limit) search_least(solver, &canonical, number, limit);
  memo = &solver->memos[number];  // memos move when there are more
  if (op && memo->least_is_known) {
    *op = memo->least_op;
    op->block += state.first - canonical.first;
  }
  return memo->least_need;
}

int64_t chain_minimum_budget(ChainSolver *solver, ChainOp *set_by) {
  if (!solver->bounds) solver->bounds = chain_bounds_make_needs(solver->index);
  ChainOp op;
  int64_t least = least_need(solver, root_state(solver->chain), CHAIN_NEVER, &op);
  if (set_by) *set_by = op;
  return least;
}

// ---- a random schedule ----

typedef struct Draw {
  uint64_t random;
  uint64_t seen;
  ChainOption option;
} Draw;

static uint64_t draw_below(Draw *draw, uint64_t limit) {
  draw->random = draw->random * 6364136223846793005u + 1442695040888963407u;
  return (draw->random >> 33) % limit;
}

// Each option with equal chance, saves three times as likely as they are many: else nesting eats up the chain.
static void draw_option(void *data, const ChainOption *option) {
  Draw *draw = data;
  uint64_t weight = option->kind == OPTION_SAVE ? 3 : 1;
  draw->seen += weight;
  if (draw_below(draw, draw->seen) < weight) draw->option = *option;
}

static void emit_random(const ChainIndex *index, ChainState state, Draw *draw, Arena *arena, ChainOps *ops) {
  draw->seen = 0;
  chain_options(index, &state, draw_option, draw);
  ChainOption option = draw->option;
  emit_beginning(&state, &option, arena, ops);
  if (option.first_child) emit_random(index, option.children[0], draw, arena, ops);
  if (option.second_child) emit_random(index, option.children[1], draw, arena, ops);
  emit_end(&state, &option, arena, ops);
}

ChainOps chain_random_schedule(Arena *arena, const Chain *chain, uint64_t seed) {
  ChainClass class = {.holes = true};
  ChainIndex *index = chain_index_make(arena, chain, &class);
  Draw draw = {.random = seed * 0x9E3779B97F4A7C15u + 1};
  ChainOps ops = {0};
  emit_random(index, root_state(chain), &draw, arena, &ops);
  return ops;
}

ChainSolver *chain_solver_make(const Chain *chain, const ChainClass *class) {
  ChainSolver *solver = calloc(1, sizeof *solver);
  if (!solver) BUG("out of memory in the planner");
  solver->arena = arena_make("the chain solver");
  solver->chain = chain;
  solver->index = chain_index_make(solver->arena, chain, class);
  return solver;
}

void chain_solver_release(ChainSolver *solver) {
  if (!solver) return;
  for (size_t i = 0; i < solver->memo_count; i++) free(solver->memos[i].known);
  free(solver->memos);
  free(solver->table);
  free(solver->stack);
  chain_bounds_release(solver->bounds);
  chain_solver_release(solver->plain);
  arena_release(solver->arena);
  free(solver);
}
