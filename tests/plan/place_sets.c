// Sets of buffers for the tests of placement.
#include "tests/plan/place_sets.h"

#include <stdbool.h>
#include <stdlib.h>

static uint64_t random_state = 1;

uint32_t random_below(uint32_t limit) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((random_state >> 33) % limit);
}

void place_set_release(PlaceSet *set) { free(set->buffers); }

static uint32_t add(PlaceSet *set, uint64_t bytes, uint32_t begin, uint32_t end) {
  if (set->count == set->capacity) {
    set->capacity = set->capacity ? 2 * set->capacity : 64;
    set->buffers = realloc(set->buffers, set->capacity * sizeof *set->buffers);
    if (!set->buffers) abort();
  }
  set->buffers[set->count] = (PlaceBuffer){.bytes = bytes, .begin = begin, .end = end};
  return set->count++;
}

void place_set_nest(PlaceSet *set, uint32_t begin, uint32_t steps, int depth) {
  uint32_t layers = 1 + random_below(3);
  for (uint32_t i = 0; i < layers; i++) add(set, 1 + random_below(5000), begin, begin + steps - 1);
  if (!depth) return;
  for (uint32_t end = begin + steps; begin < end;) {
    uint32_t part = 1 + random_below(end - begin);
    if (random_below(4)) place_set_nest(set, begin, part, depth - 1);
    begin += part;
  }
}

typedef struct Rectangle {
  uint32_t left, bottom, right, top;
} Rectangle;

// Two different numbers between low and high, both excluded, the smaller first.
static void draw_two(uint32_t low, uint32_t high, uint32_t *a, uint32_t *b) {
  *a = low + 1 + random_below(high - low - 1);
  do *b = low + 1 + random_below(high - low - 1);
  while (*b == *a);
  if (*a < *b) return;
  uint32_t larger = *a;
  *a = *b;
  *b = larger;
}

// Cuts a rectangle into two or five; returns how many parts there are.
static int cut_rectangle(Rectangle whole, Rectangle parts[5]) {
  uint32_t left = whole.left, right = whole.right, bottom = whole.bottom, top = whole.top;
  if (right - left >= 3 && top - bottom >= 3 && random_below(10)) {
    uint32_t x1, x2, y1, y2;
    draw_two(left, right, &x1, &x2);
    draw_two(bottom, top, &y1, &y2);
    bool turned = random_below(2);
    parts[0] = turned ? (Rectangle){left, bottom, x2, y1} : (Rectangle){left, bottom, x1, y2};
    parts[1] = turned ? (Rectangle){x2, bottom, right, y2} : (Rectangle){x1, bottom, right, y1};
    parts[2] = turned ? (Rectangle){x1, y2, right, top} : (Rectangle){x2, y1, right, top};
    parts[3] = turned ? (Rectangle){left, y1, x1, top} : (Rectangle){left, y2, x2, top};
    parts[4] = (Rectangle){x1, y1, x2, y2};
    return 5;
  }
  bool by_time = right - left >= 2 && (top - bottom < 2 || random_below(2));
  if (!by_time && top - bottom < 2) return 0;
  uint32_t x = by_time ? left + 1 + random_below(right - left - 1) : right;
  uint32_t y = by_time ? top : bottom + 1 + random_below(top - bottom - 1);
  parts[0] = (Rectangle){left, bottom, x, y};
  parts[1] = by_time ? (Rectangle){x, bottom, right, top} : (Rectangle){left, y, right, top};
  return 2;
}

void place_set_cut(PlaceSet *set, uint32_t count, uint32_t steps, uint32_t bytes) {
  Rectangle *pieces = malloc((count + 8) * sizeof *pieces);
  if (!pieces) abort();
  uint32_t made = 1;
  pieces[0] = (Rectangle){0, 0, steps, bytes};
  while (made < count) {
    // The largest of three, so that sizes spread, but not too far.
    uint32_t at = 0;
    uint64_t largest = 0;
    for (int i = 0; i < 3; i++) {
      uint32_t other = random_below(made);
      uint64_t area = (uint64_t)(pieces[other].right - pieces[other].left) * (pieces[other].top - pieces[other].bottom);
      if (area < largest) continue;
      largest = area;
      at = other;
    }
    Rectangle parts[5];
    int part_count = cut_rectangle(pieces[at], parts);
    if (!part_count) continue;
    pieces[at] = parts[0];
    for (int i = 1; i < part_count; i++) pieces[made++] = parts[i];
  }
  for (uint32_t i = 0; i < made; i++) add(set, pieces[i].top - pieces[i].bottom, pieces[i].left, pieces[i].right - 1);
  free(pieces);
}

enum { MAX_BLOCKS = 24, MAX_VALUES = 12, NONE = -1 };

// A block's values, one after another: bytes of each, of the scratch that makes it and of a parameter's gradient.
typedef struct Block {
  int count;
  uint32_t value_bytes[MAX_VALUES], scratch_bytes[MAX_VALUES], parameter_bytes[MAX_VALUES];
} Block;

typedef struct Training {
  PlaceSet *set;
  uint32_t step;
  Block blocks[MAX_BLOCKS];
  uint32_t *kept_gradients, kept_count;  // live to the end
} Training;

// What is kept of a block's inside, by value; NONE: nothing, made again in the backward.
typedef struct Saved {
  int items[MAX_VALUES];
} Saved;

static int make(Training *training, uint32_t bytes) {
  return (int)add(training->set, 64 * (uint64_t)bytes, training->step, training->step);
}

static void use(Training *training, int item) {
  if (item != NONE) training->set->buffers[item].end = training->step;
}

// Runs a block on `input`; returns its output. With `saved`, keeps what chance decides, and the output.
static int forward(Training *training, const Block *block, int input, Saved *saved) {
  int current = input;
  for (int i = 0; i < block->count; i++) {
    int value = make(training, block->value_bytes[i]);
    if (block->scratch_bytes[i]) make(training, block->scratch_bytes[i]);
    use(training, current);
    if (i == block->count - 1) use(training, input);
    if (saved) saved->items[i] = i == block->count - 1 || random_below(3) ? value : NONE;
    current = value;
    training->step++;
  }
  return current;
}

// Returns the gradient of the input.
static int backward(Training *training, const Block *block, int input, const Saved *saved, int gradient) {
  int current = gradient;
  for (int i = block->count - 1; i >= 0; i--) {
    int operand = i ? saved->items[i - 1] : input;
    if (i && operand == NONE) {
      operand = make(training, block->value_bytes[i - 1]);
      training->step++;
    }
    if (block->parameter_bytes[i])
      training->kept_gradients[training->kept_count++] = (uint32_t)make(training, block->parameter_bytes[i]);
    int next = make(training, block->value_bytes[i ? i - 1 : 0]);
    if (block->scratch_bytes[i]) make(training, block->scratch_bytes[i]);
    use(training, operand);
    use(training, saved->items[i]);
    use(training, current);
    if (!i) use(training, gradient);
    current = next;
    training->step++;
  }
  return current;
}

// Runs the backwards of the blocks last..first, given the input of `first`; `saved` tells what is kept of `last`, if it
// ran already. Returns the gradient of the input.
static int run(Training *training, int first, int last, int input, const Saved *saved, int gradient) {
  const Block *blocks = training->blocks;
  Saved own;
  bool again = first < last && random_below(2), hole = again && last - first >= 2 && random_below(2);
  if (!again) {
    int output = NONE;
    if (first < last || !saved) output = forward(training, &blocks[first], input, &own);
    if (first < last) gradient = run(training, first + 1, last, output, saved, gradient);
    return backward(training, &blocks[first], input, first == last && saved ? saved : &own, gradient);
  }
  int middle = first + 1 + (int)random_below((uint32_t)(last - first - hole)), output = input;
  for (int i = first; i < middle; i++) output = forward(training, &blocks[i], output, NULL);
  if (!hole) {
    gradient = run(training, middle, last, output, saved, gradient);
    return run(training, first, middle - 1, input, NULL, gradient);
  }
  output = forward(training, &blocks[middle], output, &own);
  gradient = run(training, middle + 1, last, output, saved, gradient);
  return run(training, first, middle, input, &own, gradient);
}

void place_set_recompute(PlaceSet *set, uint32_t blocks) {
  static const uint32_t shares[] = {8, 8, 8, 8, 2, 4, 16, 1};
  Training training = {.set = set};
  for (uint32_t b = 0; b < blocks; b++) {
    Block *block = &training.blocks[b];
    uint32_t unit = 1 + random_below(60), stage = 3 * b / blocks;
    if (b && random_below(4)) {
      *block = block[-1];
      continue;
    }
    block->count = 4 + (int)random_below(MAX_VALUES - 4);
    for (int i = 0; i < block->count; i++) {
      block->value_bytes[i] = 1 + (unit * shares[random_below(8)] >> stage);
      block->scratch_bytes[i] = random_below(2) ? random_below(unit * 16) >> stage : 0;
      block->parameter_bytes[i] = random_below(2) ? random_below(10) << 2 * stage : 0;
    }
  }
  training.kept_gradients = malloc(MAX_BLOCKS * MAX_VALUES * sizeof *training.kept_gradients);
  if (!training.kept_gradients) abort();
  run(&training, 0, (int)blocks - 1, NONE, NULL, NONE);
  for (uint32_t i = 0; i < training.kept_count; i++) set->buffers[training.kept_gradients[i]].end = training.step + i;
  free(training.kept_gradients);
}
