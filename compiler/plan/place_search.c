// Complete search for a placement under a capacity, after MiniMalloc (Moffitt, ASPLOS 2023): placements are built
// bottom up, so that what is placed later never lies under what was placed earlier, and a section whose lowest free
// offset plus what it still has to take passes the capacity refutes the branch.
//
// Branches: the lowest unplaced buffer of one section, a valley, either lies as low as it can, or no buffer of the
// section lies that low. Every placement in which nothing can be lowered is in exactly one branch. Parts that no
// unplaced buffer connects are searched apart; what was refuted once is remembered by a hash of 64 bits. Rounds that
// slowly grow longer take turns: luck with a rule for valleys and an order, shuffled a little, beats stubbornness.
#include <stdlib.h>
#include <string.h>

#include "compiler/plan/place_task.h"

#define PLACED UINT64_MAX
#define NONE UINT32_MAX
// Bounds on memory: about a hundred megabytes.
enum {
  MEMO_SLOTS = 1 << 19,
  MAX_FAILURES = 1 << 20,
  MAX_TRAIL = 4000000,
  MAX_MEMBERS = 16000000,
  MIN_ROUND_WORK = 1000000,
  SCORE_BITS = 40
};

typedef enum ValleyRule { LOWEST_VALLEY, LOWEST_TROUBLED_VALLEY, TIGHTEST_VALLEY, FEWEST_CANDIDATES } ValleyRule;
typedef enum PlaceOutcome { PLACE_FOUND, PLACE_IMPOSSIBLE, PLACE_GAVE_UP } PlaceOutcome;
static const PlaceOrder orders[] = {ORDER_LIFE_SIZE, ORDER_AREA, ORDER_LOAD_SIZE, ORDER_LOAD_BIRTH};
enum { RULES = FEWEST_CANDIDATES + 1, ORDERS = sizeof orders / sizeof *orders };

// One change to take back. Buffers come before sections in `id`; placing is told by `was` = PLACED.
typedef struct Change {
  uint64_t was;
  uint32_t id;
} Change;

// A part of the sections that is still to be searched, once the branch of `parent` stands.
typedef struct Part {
  uint32_t first, last, parent, next;
} Part;

typedef struct Frame {
  uint32_t first, last;     // the part
  uint32_t parent, rest;    // the frame that made it, the parts behind it
  uint32_t section, tried;  // the valley; candidates of rank below `tried` are done
  bool exhausted;
  uint64_t level, key;
  size_t change_count, part_count;  // before its branch
} Frame;

// For sorting by rank and chance.
typedef struct Draw {
  uint64_t key;
  uint32_t buffer;
} Draw;

typedef struct Search {
  PlaceTask *task;
  Arena *arena;
  uint64_t capacity;
  ValleyRule rule;
  uint32_t *member_begin, *members;  // by section: its buffers, the shortest lives first
  uint32_t *born;                    // by section: its first buffer by `first`
  uint32_t *rank, *twin;             // by buffer: place in the order; the equal buffer before it, or NONE
  uint32_t *orders[ORDERS];          // the buffers, sorted
  Draw *draws;                       // scratch of rank_buffers
  uint64_t *low, *hash, *offset;     // by buffer: lowest offset possible, or PLACED; hash of it, or 0; where placed
  uint64_t *level, *left;            // by section: lowest offset possible of its unplaced buffers; their sum
  uint32_t *unplaced, *crossing;     // by section: unplaced buffers; those of them that live in the next one, too
  uint32_t *witness, *failures;      // by section: a buffer at its level, if up to date; branches that it refuted
  uint32_t *reach;                   // by section: scratch of raise_levels, NONE outside
  uint64_t *memo;
  struct {
    Change *items;
    size_t count, capacity;
  } trail;
  struct {
    Part *items;
    size_t count, capacity;
  } parts;
  struct {
    Frame *items;
    size_t count, capacity;
  } frames;
  uint64_t random;
  uint64_t work, places;  // done; a round ends when it passes both of its limits
  uint64_t work_limit, round_work_limit, round_place_limit;
} Search;

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9u;
  return x ^ x >> 32;
}

static uint64_t hash_low(uint32_t buffer, uint64_t low) { return mix(low * 0x9E3779B97F4A7C15u + mix(buffer + 1u)); }

static void record(Search *search, uint32_t id, uint64_t was) {
  arena_push(search->arena, &search->trail, Change, (Change){was, id});
}

static void set_low(Search *search, uint32_t buffer, uint64_t low) {
  record(search, buffer, search->low[buffer]);
  search->low[buffer] = low;
  search->hash[buffer] = hash_low(buffer, low);
}

static void count_in_sections(Search *search, uint32_t buffer, bool in) {
  const PlaceTask *task = search->task;
  uint32_t first = task->first[buffer], last = task->last[buffer];
  uint64_t size = in ? task->size[buffer] : 0 - task->size[buffer];
  uint32_t one = in ? 1 : UINT32_MAX;
  for (uint32_t s = first; s <= last; s++) {
    search->left[s] += size;
    search->unplaced[s] += one;
  }
  for (uint32_t s = first; s < last; s++) search->crossing[s] += one;
  search->work += last - first + 1;
}

static void take_back(Search *search, size_t change_count) {
  const PlaceTask *task = search->task;
  while (search->trail.count > change_count) {
    Change change = search->trail.items[--search->trail.count];
    if (change.id >= task->count) {
      search->level[change.id - task->count] = change.was;
    } else if (change.was == PLACED) {
      search->low[change.id] = search->offset[change.id];
      search->hash[change.id] = hash_low(change.id, search->low[change.id]);
      count_in_sections(search, change.id, true);
    } else {
      search->low[change.id] = change.was;
      search->hash[change.id] = hash_low(change.id, change.was);
    }
  }
}

// The lowest offset possible in a section, found out anew; stops at `least`, below which there is none.
static uint64_t find_level(Search *search, uint32_t section, uint64_t least) {
  uint64_t level = UINT64_MAX;
  uint32_t at = search->member_begin[section], end = search->member_begin[section + 1], begin = at;
  for (; at < end; at++) {
    uint32_t buffer = search->members[at];
    if (search->low[buffer] >= level) continue;
    level = search->low[buffer];
    search->witness[section] = buffer;
    if (level <= least) break;
  }
  search->work += at - begin + 4;
  return level;
}

static void set_level(Search *search, uint32_t section, uint64_t level) {
  if (search->level[section] == level) return;
  record(search, search->task->count + section, search->level[section]);
  search->level[section] = level;
}

static bool takes_what_is_left(Search *search, uint32_t section) {
  if (search->level[section] + search->left[section] <= search->capacity) return true;
  if (search->failures[section] < MAX_FAILURES) search->failures[section]++;
  return false;
}

// Brings levels up to date where the buffer that had the lowest offset was lifted; false if that refutes the branch.
static bool refresh_levels(Search *search, uint32_t from, uint32_t to) {
  search->work += (to - from) / 2;
  for (uint32_t s = from; s < to; s++) {
    if (!search->unplaced[s] || search->low[search->witness[s]] == search->level[s]) continue;
    set_level(search, s, find_level(search, s, search->level[s]));
    if (!takes_what_is_left(search, s)) return false;
  }
  return true;
}

// The same in the sections of a buffer just placed, all of whose neighbours have at least `height`; of those who have
// exactly that, `reach` tells for each section the one that is born there and lives longest.
static bool raise_levels(Search *search, uint32_t first, uint32_t last, uint64_t height) {
  const PlaceTask *task = search->task;
  uint32_t longest = NONE;
  bool stands = true;
  for (uint32_t s = first; s <= last; s++) {
    uint32_t born = search->reach[s];
    search->reach[s] = NONE;
    if (born != NONE && (longest == NONE || task->last[born] > task->last[longest])) longest = born;
    if (!stands || !search->unplaced[s]) continue;
    if (longest != NONE && task->last[longest] >= s) {
      search->witness[s] = longest;
      set_level(search, s, height);
    } else {
      set_level(search, s, find_level(search, s, height));
    }
    stands = takes_what_is_left(search, s);
  }
  return stands;
}

// Lifts a neighbour of a placed buffer, which begins at `first`, to `height`.
static inline void lift(Search *search, uint32_t buffer, uint32_t first, uint64_t height) {
  const uint32_t *last = search->task->last;
  if (search->low[buffer] < height) set_low(search, buffer, height);
  uint32_t *reach = &search->reach[first];
  if (*reach == NONE || last[*reach] < last[buffer]) *reach = buffer;
}

// Places a buffer as low as it can lie and lifts what lives with it; false if that refutes the branch.
static bool place(Search *search, uint32_t buffer) {
  const PlaceTask *task = search->task;
  uint32_t first = task->first[buffer], last = task->last[buffer], from = first, to = last;
  uint64_t height = search->low[buffer] + task->size[buffer];
  search->places++;
  search->offset[buffer] = search->low[buffer];
  record(search, buffer, PLACED);
  search->low[buffer] = PLACED;
  search->hash[buffer] = 0;
  count_in_sections(search, buffer, false);
  for (uint32_t i = search->member_begin[first]; i < search->member_begin[first + 1]; i++) {
    uint32_t other = search->members[i];
    if (search->low[other] > height) continue;
    lift(search, other, first, height);
    if (task->first[other] < from) from = task->first[other];
    if (task->last[other] > to) to = task->last[other];
  }
  for (uint32_t other = search->born[first + 1]; other < search->born[last + 1]; other++) {
    if (search->low[other] > height) continue;
    lift(search, other, task->first[other], height);
    if (task->last[other] > to) to = task->last[other];
  }
  search->work += search->member_begin[first + 1] - search->member_begin[first];
  search->work += search->born[last + 1] - search->born[first + 1];
  return raise_levels(search, first, last, height) && refresh_levels(search, from, first) &&
         refresh_levels(search, last + 1, to + 1);
}

// The lowest top that an unplaced buffer living with `buffer` could have: `buffer` lies there or higher if not at its
// lowest.
static uint64_t lowest_neighbor_top(Search *search, uint32_t buffer) {
  const PlaceTask *task = search->task;
  uint32_t first = task->first[buffer], last = task->last[buffer];
  uint64_t lowest = UINT64_MAX;
  for (uint32_t i = search->member_begin[first]; i < search->member_begin[first + 1]; i++) {
    uint32_t other = search->members[i];
    if (other == buffer || search->low[other] == PLACED) continue;
    if (search->low[other] + task->size[other] < lowest) lowest = search->low[other] + task->size[other];
  }
  for (uint32_t other = search->born[first + 1]; other < search->born[last + 1]; other++) {
    if (search->low[other] == PLACED) continue;
    if (search->low[other] + task->size[other] < lowest) lowest = search->low[other] + task->size[other];
  }
  search->work += search->member_begin[first + 1] - search->member_begin[first];
  search->work += search->born[last + 1] - search->born[first + 1];
  return lowest;
}

// The last branch of a frame: no buffer of the valley lies at its level; false if that is refuted.
static bool skip_level(Search *search, const Frame *frame) {
  const PlaceTask *task = search->task;
  uint32_t section = frame->section, from = section, to = section;
  if (frame->level + search->left[section] >= search->capacity) return false;
  for (uint32_t i = search->member_begin[section]; i < search->member_begin[section + 1]; i++) {
    uint32_t buffer = search->members[i];
    if (search->low[buffer] != frame->level) continue;
    uint64_t low = lowest_neighbor_top(search, buffer);
    if (low > search->capacity - task->size[buffer]) return false;
    set_low(search, buffer, low);
    if (task->first[buffer] < from) from = task->first[buffer];
    if (task->last[buffer] > to) to = task->last[buffer];
  }
  return refresh_levels(search, from, to + 1);
}

typedef struct Score {
  uint64_t first, above, below;  // compared by first, then by above / below
} Score;

static bool is_better(const Score *a, const Score *b) {
  if (a->first != b->first) return a->first < b->first;
  return a->above * b->below < b->above * a->below;
}

// Branches at the left edge of a valley, where only what is born there can be a candidate; large elsewhere.
static uint64_t count_branches(const Search *search, uint32_t section, bool may_skip) {
  uint64_t level = search->level[section], count = may_skip;
  if (section && search->unplaced[section - 1] && search->level[section - 1] <= level) return UINT32_MAX;
  for (uint32_t buffer = search->born[section]; buffer < search->born[section + 1]; buffer++) {
    count += search->low[buffer] == level;
  }
  return count;
}

static Score score_section(const Search *search, uint32_t section, int shift) {
  uint64_t level = search->level[section], slack = search->capacity - level - search->left[section];
  uint64_t failures = 1 + (uint64_t)search->failures[section];
  switch (search->rule) {
    case LOWEST_TROUBLED_VALLEY: return (Score){0, level >> shift, failures};
    case TIGHTEST_VALLEY: return (Score){0, (slack >> shift) + 1, failures};
    case FEWEST_CANDIDATES: return (Score){count_branches(search, section, slack > 0), (level >> shift) + 1, 1};
    case LOWEST_VALLEY: break;
  }
  return (Score){level, (slack >> shift) + 1, failures};
}

// The tightest of the sections that lie deeper than `section` and share one of its candidates, or NONE: where there is
// none, nothing can come under a candidate that lies as low as it can.
static uint32_t deeper_section(Search *search, uint32_t section) {
  const PlaceTask *task = search->task;
  uint64_t level = search->level[section], least_slack = UINT64_MAX;
  uint32_t from = section, to = section, deeper = NONE;
  for (uint32_t i = search->member_begin[section]; i < search->member_begin[section + 1]; i++) {
    uint32_t buffer = search->members[i];
    if (search->low[buffer] != level) continue;
    if (task->first[buffer] < from) from = task->first[buffer];
    if (task->last[buffer] > to) to = task->last[buffer];
  }
  for (uint32_t s = from; s <= to; s++) {
    if (!search->unplaced[s] || search->level[s] >= level) continue;
    uint64_t slack = search->capacity - search->level[s] - search->left[s];
    if (slack >= least_slack) continue;
    least_slack = slack;
    deeper = s;
  }
  search->work += search->member_begin[section + 1] - search->member_begin[section] + to - from;
  return deeper;
}

static uint32_t choose_valley(Search *search, uint32_t first, uint32_t last) {
  int shift = 0;
  while (search->capacity >> shift >> SCORE_BITS) shift++;
  uint32_t best = NONE;
  Score best_score = {0};
  for (uint32_t s = first; s <= last; s++) {
    if (!search->unplaced[s]) continue;
    Score score = score_section(search, s, shift);
    if (best != NONE && !is_better(&score, &best_score)) continue;
    best = s;
    best_score = score;
  }
  search->work += 2 * (last - first);
  if (search->rule == LOWEST_VALLEY) return best;
  for (uint32_t deeper; (deeper = deeper_section(search, best)) != NONE;) best = deeper;
  return best;
}

// All that decides whether a part can be placed: its unplaced buffers and how low they can lie.
static uint64_t part_key(Search *search, uint32_t first, uint32_t last) {
  uint64_t key = mix(search->capacity + mix((uint64_t)first << 32 | last));
  uint32_t begin = search->born[first], end = search->born[last + 1];
  for (uint32_t buffer = begin; buffer < end; buffer++) key ^= search->hash[buffer];
  search->work += (end - begin) / 4;
  return key;
}

// Opens a frame on a part; false if the part was refuted before.
static bool open_frame(Search *search, uint32_t part_index) {
  Part part = search->parts.items[part_index];
  Frame frame = {.first = part.first,
                 .last = part.last,
                 .parent = part.parent,
                 .rest = part.next,
                 .key = part_key(search, part.first, part.last),
                 .change_count = search->trail.count,
                 .part_count = search->parts.count};
  if (search->memo[frame.key % MEMO_SLOTS] == frame.key) return false;
  frame.section = choose_valley(search, frame.first, frame.last);
  frame.level = search->level[frame.section];
  arena_push(search->arena, &search->frames, Frame, frame);
  return true;
}

static uint32_t next_candidate(Search *search, const Frame *frame) {
  uint32_t best = NONE, begin = search->member_begin[frame->section], end = search->member_begin[frame->section + 1];
  for (uint32_t i = begin; i < end; i++) {
    uint32_t buffer = search->members[i];
    if (search->low[buffer] != frame->level || search->rank[buffer] < frame->tried) continue;
    if (best != NONE && search->rank[buffer] > search->rank[best]) continue;
    // Of equal buffers one is as good as the other.
    if (search->twin[buffer] != NONE && search->low[search->twin[buffer]] == frame->level) continue;
    best = buffer;
  }
  search->work += end - begin;
  return best;
}

static bool lives_alone(const Search *search, uint32_t buffer) {
  for (uint32_t s = search->task->first[buffer]; s <= search->task->last[buffer]; s++) {
    if (search->unplaced[s]) return false;
  }
  return true;
}

// Takes the next branch of a frame that is not refuted at once; false if there is none.
static bool take_branch(Search *search, Frame *frame) {
  while (!frame->exhausted) {
    take_back(search, frame->change_count);
    search->parts.count = frame->part_count;
    uint32_t buffer = next_candidate(search, frame);
    if (buffer == NONE) {
      frame->exhausted = true;
      return skip_level(search, frame);
    }
    frame->tried = search->rank[buffer] + 1;
    bool stands = place(search, buffer);
    // What lives with nothing unplaced changes nothing for the others: no need to try it anywhere else.
    if (lives_alone(search, buffer)) frame->exhausted = true;
    if (stands) return true;
  }
  return false;
}

// Puts the connected parts of first..last that still have unplaced buffers before `rest`; returns the first part.
static uint32_t push_parts(Search *search, uint32_t first, uint32_t last, uint32_t parent, uint32_t rest) {
  for (uint32_t s = first; s <= last; s++) {
    if (!search->unplaced[s]) continue;
    uint32_t begin = s;
    while (s < last && search->crossing[s]) s++;
    arena_push(search->arena, &search->parts, Part, (Part){begin, s, parent, rest});
    rest = (uint32_t)search->parts.count - 1;
  }
  search->work += (last - first) / 2;
  return rest;
}

// Nothing placed.
static void reset(Search *search) {
  const PlaceTask *task = search->task;
  uint32_t sections = task->section_count;
  search->trail.count = 0;
  memset(search->level, 0, sections * sizeof *search->level);
  memset(search->left, 0, sections * sizeof *search->left);
  memset(search->unplaced, 0, sections * sizeof *search->unplaced);
  memset(search->crossing, 0, sections * sizeof *search->crossing);
  for (uint32_t i = 0; i < task->count; i++) {
    search->low[i] = 0;
    search->hash[i] = hash_low(i, 0);
    count_in_sections(search, i, true);
  }
  for (uint32_t s = 0; s < sections; s++) search->witness[s] = search->members[search->member_begin[s]];
}

// Searches from scratch until a limit. When a part is refuted, so is the branch that made it, whatever its siblings
// have found.
static PlaceOutcome run_round(Search *search) {
  reset(search);
  search->frames.count = search->parts.count = 0;
  uint32_t part = push_parts(search, 0, search->task->section_count - 1, NONE, NONE);
  while (part != NONE) {
    if (search->work > search->work_limit || search->trail.count > MAX_TRAIL) return PLACE_GAVE_UP;
    if (search->work > search->round_work_limit && search->places > search->round_place_limit) return PLACE_GAVE_UP;
    uint32_t at = search->parts.items[part].parent;
    if (open_frame(search, part)) at = (uint32_t)search->frames.count - 1;
    for (;; at = search->frames.items[at].parent) {
      if (at == NONE) return PLACE_IMPOSSIBLE;
      search->frames.count = at + 1;
      Frame *frame = &search->frames.items[at];
      if (take_branch(search, frame)) break;
      take_back(search, frame->change_count);
      search->memo[frame->key % MEMO_SLOTS] = frame->key;
    }
    const Frame *frame = &search->frames.items[at];
    part = push_parts(search, frame->first, frame->last, at, frame->rest);
  }
  return PLACE_FOUND;
}

// Buffers by how many sections they live in, the fewest first.
static uint32_t *sort_by_life(Search *search) {
  const PlaceTask *task = search->task;
  uint32_t *start = arena_array(search->arena, uint32_t, task->section_count + 1);
  uint32_t *sorted = arena_array(search->arena, uint32_t, task->count);
  for (uint32_t i = 0; i < task->count; i++) start[task->last[i] - task->first[i] + 1]++;
  for (uint32_t length = 1; length <= task->section_count; length++) start[length] += start[length - 1];
  for (uint32_t i = 0; i < task->count; i++) sorted[start[task->last[i] - task->first[i]]++] = i;
  return sorted;
}

static void list_members(Search *search) {
  const PlaceTask *task = search->task;
  uint32_t sections = task->section_count;
  search->member_begin = arena_array(search->arena, uint32_t, sections + 1);
  search->born = arena_array(search->arena, uint32_t, sections + 1);
  for (uint32_t i = 0; i < task->count; i++) {
    search->born[task->first[i] + 1]++;
    for (uint32_t s = task->first[i]; s <= task->last[i]; s++) search->member_begin[s + 1]++;
  }
  for (uint32_t s = 0; s < sections; s++) {
    search->born[s + 1] += search->born[s];
    search->member_begin[s + 1] += search->member_begin[s];
  }
  search->members = arena_array(search->arena, uint32_t, search->member_begin[sections]);
  uint32_t *next = arena_array(search->arena, uint32_t, sections), *sorted = sort_by_life(search);
  memcpy(next, search->member_begin, sections * sizeof *next);
  for (uint32_t i = 0; i < task->count; i++) {
    uint32_t buffer = sorted[i];
    for (uint32_t s = task->first[buffer]; s <= task->last[buffer]; s++) search->members[next[s]++] = buffer;
  }
}

static void find_twins(Search *search) {
  const PlaceTask *task = search->task;
  search->twin = arena_array(search->arena, uint32_t, task->count);
  for (uint32_t i = 0; i < task->count; i++) {
    bool equal = i && task->first[i - 1] == task->first[i] && task->last[i - 1] == task->last[i] &&
                 task->size[i - 1] == task->size[i];
    search->twin[i] = equal ? i - 1 : NONE;
  }
}

static int by_draw(const void *a, const void *b) {
  const Draw *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

// The random numbers are fixed: the same buffers always end at the same offsets.
static uint32_t next_random(Search *search) {
  search->random = search->random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(search->random >> 33);
}

// Ranks by an order, shuffled a little: a buffer falls back by less than `window` ranks.
static void rank_buffers(Search *search, uint32_t order, uint32_t window) {
  uint32_t count = search->task->count;
  for (uint32_t i = 0; i < count; i++) {
    search->draws[i] = (Draw){i + next_random(search) % window, search->orders[order][i]};
  }
  qsort(search->draws, count, sizeof *search->draws, by_draw);
  for (uint32_t i = 0; i < count; i++) search->rank[search->draws[i].buffer] = i;
}

static void make_search(Search *search, PlaceTask *task, Arena *arena) {
  uint32_t count = task->count, sections = task->section_count;
  *search = (Search){.task = task,
                     .arena = arena,
                     .random = 1,
                     .rank = arena_array(arena, uint32_t, count),
                     .draws = arena_array(arena, Draw, count),
                     .low = arena_array(arena, uint64_t, count),
                     .hash = arena_array(arena, uint64_t, count),
                     .offset = arena_array(arena, uint64_t, count),
                     .level = arena_array(arena, uint64_t, sections),
                     .left = arena_array(arena, uint64_t, sections),
                     .unplaced = arena_array(arena, uint32_t, sections),
                     .crossing = arena_array(arena, uint32_t, sections),
                     .witness = arena_array(arena, uint32_t, sections),
                     .failures = arena_array(arena, uint32_t, sections),
                     .reach = arena_array(arena, uint32_t, sections),
                     .memo = arena_array(arena, uint64_t, MEMO_SLOTS)};
  memset(search->reach, 0xFF, sections * sizeof *search->reach);
  for (int i = 0; i < ORDERS; i++) {
    search->orders[i] = arena_array(arena, uint32_t, count);
    place_sort(task, orders[i], search->orders[i]);
  }
  list_members(search);
  find_twins(search);
}

static uint64_t top_of(const Search *search) {
  uint64_t top = 0;
  for (uint32_t i = 0; i < search->task->count; i++) {
    uint64_t height = search->offset[i] + search->task->size[i];
    if (height > top) top = height;
  }
  return top;
}

static uint64_t count_members(const PlaceTask *task) {
  uint64_t members = 0;
  for (uint32_t i = 0; i < task->count; i++) members += task->last[i] - task->first[i] + 1;
  return members;
}

void place_search(PlaceTask *task, uint64_t *work, uint64_t work_limit) {
  static const uint32_t windows[] = {0, 256, 64};  // parts of all buffers
  enum { WINDOWS = sizeof windows / sizeof *windows };
  if (task->top <= task->goal || count_members(task) > MAX_MEMBERS) return;
  Arena *arena = arena_make("placement search");
  Search search;
  make_search(&search, task, arena);
  search.work = *work;
  search.work_limit = work_limit;
  uint64_t floor = task->goal, round_places = task->count + task->count / 2, round_work = MIN_ROUND_WORK;
  for (uint32_t round = 0; task->top > floor && search.work < work_limit; round++) {
    uint32_t order = round % ORDERS, rule = round / ORDERS % RULES, cycle = round / (ORDERS * RULES);
    uint32_t part = windows[(cycle / 2 + rule) % WINDOWS];
    search.capacity = floor;
    if (cycle % 2) search.capacity += (task->top - floor) / 16 * (1 + next_random(&search) % 15);
    search.rule = (ValleyRule)rule;
    search.round_place_limit = search.places + round_places;
    search.round_work_limit = search.work + round_work;
    rank_buffers(&search, order, part ? 2 + task->count / part : 1);
    PlaceOutcome outcome = run_round(&search);
    if (outcome == PLACE_FOUND) place_keep(task, search.offset, top_of(&search));
    if (outcome == PLACE_IMPOSSIBLE) floor = search.capacity + 1;
    if (round % (2 * ORDERS * RULES) < 2 * ORDERS * RULES - 1) continue;
    round_places += round_places / 2;
    round_work += round_work / 2;
  }
  *work = search.work;
  arena_release(arena);
}
