// Reads a chain with jansson, number by number, so that a mistake is named by its place; prints the solution.
#include "compiler/driver/chain_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
  Arena *arena;
  const char *error;  // the first one
} Reader;

static void fail(Reader *reader, const char *where, const char *key, const char *what) {
  if (!reader->error) reader->error = arena_printf(reader->arena, "%s: '%s' %s", where, key, what);
}

// Names of numbers end with their unit.
static int64_t largest_of(const char *key) {
  const char *unit = strrchr(key, '_');
  return unit && strcmp(unit, "_ns") == 0 ? CHAIN_MAX_NS : CHAIN_MAX_BYTES;
}

static int64_t read_whole(Reader *reader, const json_t *object, const char *where, const char *key, bool required,
                          int64_t otherwise) {
  const json_t *value = json_object_get(object, key);
  if (!value) {
    if (required) fail(reader, where, key, "is missing");
    return otherwise;
  }
  double number = json_is_number(value) ? json_number_value(value) : -1;
  int64_t largest = largest_of(key);
  if (number >= 0 && number <= (double)largest && (double)(int64_t)number == number) return (int64_t)number;
  fail(reader, where, key, arena_printf(reader->arena, "must be a whole number from 0 to %" PRId64, largest));
  return otherwise;
}

// Keys that nobody reads are mistakes, most likely misspelt.
static void expect_keys(Reader *reader, json_t *object, const char *where, const char *const *keys) {
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    bool known = false;
    for (int i = 0; keys[i]; i++) known = known || strcmp(keys[i], key) == 0;
    if (!known) fail(reader, where, key, "is no key of this object");
  }
}

static const char *read_name(Reader *reader, const json_t *object, const char *where, const char *otherwise) {
  const json_t *value = json_object_get(object, "name");
  if (!value) return otherwise;
  const char *name = json_string_value(value);
  if (name) return arena_string(reader->arena, name, strlen(name));
  fail(reader, where, "name", "must be a string");
  return otherwise;
}

static ChainMode read_mode(Reader *reader, json_t *object, const char *where, int index) {
  static const char *const keys[] = {
      "name",       "saved_bytes", "forward_ns", "backward_ns", "forward_transient_bytes", "backward_transient_bytes",
      "offload_ns", NULL};
  where = arena_printf(reader->arena, "%s, mode %d", where, index + 1);
  ChainMode mode = {.name = read_name(reader, object, where, arena_printf(reader->arena, "mode%d", index + 1))};
  if (!json_is_object(object)) {
    fail(reader, where, "modes", "must be objects");
    return mode;
  }
  expect_keys(reader, object, where, keys);
  mode.saved_bytes = read_whole(reader, object, where, "saved_bytes", true, 0);
  mode.forward_ns = read_whole(reader, object, where, "forward_ns", true, 0);
  mode.backward_ns = read_whole(reader, object, where, "backward_ns", true, 0);
  mode.forward_transient_bytes = read_whole(reader, object, where, "forward_transient_bytes", false, 0);
  mode.backward_transient_bytes = read_whole(reader, object, where, "backward_transient_bytes", false, 0);
  mode.loose_transient_bytes = mode.forward_transient_bytes;
  mode.offload_ns = read_whole(reader, object, where, "offload_ns", false, -1);
  return mode;
}

static void read_parameters(Reader *reader, json_t *object, const char *where, ChainBlock *block) {
  static const char *const keys[] = {
      "bytes", "gradient_bytes", "gather_ns", "reduce_ns", "node_share_bytes", "node_gather_ns", NULL};
  block->node_gather_ns = -1;
  if (!object) return;
  where = arena_printf(reader->arena, "%s, parameters", where);
  if (!json_is_object(object)) {
    fail(reader, where, "parameters", "must be an object");
    return;
  }
  expect_keys(reader, object, where, keys);
  block->parameter_bytes = read_whole(reader, object, where, "bytes", true, 0);
  block->gradient_bytes = read_whole(reader, object, where, "gradient_bytes", true, 0);
  block->gather_ns = read_whole(reader, object, where, "gather_ns", true, 0);
  block->reduce_ns = read_whole(reader, object, where, "reduce_ns", true, 0);
  block->node_share_bytes = read_whole(reader, object, where, "node_share_bytes", false, 0);
  block->node_gather_ns = read_whole(reader, object, where, "node_gather_ns", false, -1);
  const char *const share[] = {"node_share_bytes", "node_gather_ns"};
  for (int i = 0; i < 2; i++) {
    if (json_object_get(object, share[i]) && !json_object_get(object, share[1 - i]))
      fail(reader, where, share[1 - i], arena_printf(reader->arena, "is missing: '%s' needs it", share[i]));
  }
}

static void read_block(Reader *reader, json_t *object, int index, ChainBlock *block) {
  static const char *const keys[] = {
      "name", "output_bytes", "output_gradient_bytes", "forward_only", "modes", "parameters", NULL};
  static const char *const forward_keys[] = {"time_ns", "transient_bytes", NULL};
  const char *where = arena_printf(reader->arena, "block %d", index + 1);
  *block = (ChainBlock){.name = read_name(reader, object, where, arena_printf(reader->arena, "b%d", index + 1))};
  if (!json_is_object(object)) {
    fail(reader, where, "blocks", "must be objects");
    return;
  }
  expect_keys(reader, object, where, keys);
  block->output_bytes = read_whole(reader, object, where, "output_bytes", true, 0);
  block->output_gradient_bytes = read_whole(reader, object, where, "output_gradient_bytes", true, 0);
  json_t *forward = json_object_get(object, "forward_only"), *modes = json_object_get(object, "modes");
  if (!json_is_object(forward)) {
    fail(reader, where, "forward_only", "is missing, or no object");
  } else {
    expect_keys(reader, forward, where, forward_keys);
    block->forward_only_ns = read_whole(reader, forward, where, "time_ns", true, 0);
    block->forward_only_transient_bytes = read_whole(reader, forward, where, "transient_bytes", false, 0);
    block->forward_only_loose_transient_bytes = block->forward_only_transient_bytes;
  }
  read_parameters(reader, json_object_get(object, "parameters"), where, block);
  size_t count = json_array_size(modes);
  if (!json_is_array(modes) || count < 1 || count > CHAIN_MAX_MODES) {
    fail(reader, where, "modes", arena_printf(reader->arena, "must be a list of 1 to %d modes", CHAIN_MAX_MODES));
    return;
  }
  block->modes = arena_array(reader->arena, ChainMode, count);
  block->mode_count = (int)count;
  for (int k = 0; k < block->mode_count; k++)
    block->modes[k] = read_mode(reader, json_array_get(modes, (size_t)k), where, k);
}

static void read_chain(Reader *reader, json_t *root, Chain *chain) {
  static const char *const keys[] = {"budget_bytes", "input_bytes", "blocks", NULL};
  if (!json_is_object(root)) {
    reader->error = "the chain must be an object";
    return;
  }
  expect_keys(reader, root, "chain", keys);
  chain->budget_bytes = read_whole(reader, root, "chain", "budget_bytes", true, 0);
  chain->input_bytes = read_whole(reader, root, "chain", "input_bytes", false, 0);
  json_t *blocks = json_object_get(root, "blocks");
  size_t count = json_array_size(blocks);
  if (!json_is_array(blocks) || count < 1 || count > CHAIN_MAX_BLOCKS) {
    fail(reader, "chain", "blocks", arena_printf(reader->arena, "must be a list of 1 to %d blocks", CHAIN_MAX_BLOCKS));
    return;
  }
  chain->blocks = arena_array(reader->arena, ChainBlock, count);
  chain->block_count = (int)count;
  for (int i = 0; i < chain->block_count; i++)
    read_block(reader, json_array_get(blocks, (size_t)i), i, &chain->blocks[i]);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

// The schedule names blocks and modes.
static void expect_names_differ(Reader *reader, const char **names, int count, const char *where) {
  qsort(names, (size_t)count, sizeof *names, by_text);
  for (int i = 1; i < count; i++) {
    if (strcmp(names[i - 1], names[i]) == 0)
      fail(reader, where, "name", arena_printf(reader->arena, "'%s' is there twice", names[i]));
  }
}

static void check_names(Reader *reader, const Chain *chain) {
  const char **names = arena_array(reader->arena, const char *, CHAIN_MAX_BLOCKS + CHAIN_MAX_MODES);
  for (int b = 0; b < chain->block_count && !reader->error; b++) {
    const ChainBlock *block = &chain->blocks[b];
    for (int k = 0; k < block->mode_count; k++) names[k] = block->modes[k].name;
    expect_names_differ(reader, names, block->mode_count, arena_printf(reader->arena, "the modes of block %d", b + 1));
  }
  for (int b = 0; b < chain->block_count && !reader->error; b++) names[b] = chain->blocks[b].name;
  if (!reader->error) expect_names_differ(reader, names, chain->block_count, "blocks");
}

const char *chain_read_json(Arena *arena, const char *text, size_t size, Chain *chain) {
  json_error_t problem;
  // Reals hold every whole number in range exactly, and those beyond it well enough to be refused by name.
  json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &problem);
  if (!root) return arena_printf(arena, "line %d, column %d: %s", problem.line, problem.column, problem.text);
  Reader reader = {.arena = arena};
  *chain = (Chain){0};
  read_chain(&reader, root, chain);
  json_decref(root);
  if (!reader.error) check_names(&reader, chain);
  return reader.error ? reader.error : chain_check(chain, arena);
}

static const char *op_name(ChainOpKind kind) {
  return kind == CHAIN_FORWARD ? "forward" : kind == CHAIN_SAVE ? "save" : "backward";
}

static void print_op(const Chain *chain, const ChainOp *op, int64_t cost_ns, int64_t bytes, Writer *out) {
  static const char *const residencies[] = {"gather", "node_share", "keep"};
  const ChainBlock *block = &chain->blocks[op->block];
  writer_printf(out, "{\"op\":\"%s\",\"block\":", op_name(op->kind));
  writer_json_string(out, block->name);
  if (op->kind != CHAIN_FORWARD) {
    writer_text(out, ",\"mode\":");
    writer_json_string(out, block->modes[op->mode].name);
  }
  if (op->kind == CHAIN_SAVE && chain_block_is_gathered(block))
    writer_printf(out, ",\"residency\":\"%s\"", residencies[op->residency]);
  if (op->offload) writer_text(out, ",\"offload\":true");
  writer_printf(out, ",\"cost_ns\":%" PRId64 ",\"memory_bytes\":%" PRId64 "}", cost_ns, bytes);
}

void chain_print_solution_json(const Chain *chain, const ChainSolution *solution, int64_t minimum_budget_bytes,
                               const ChainOp *set_by, Arena *arena, Writer *out) {
  writer_printf(out,
                "{\"feasible\":%s,\"budget_bytes\":%" PRId64 ",\"minimum_budget_bytes\":%" PRId64
                ",\"minimum_set_by\":{\"op\":\"%s\",\"block\":",
                solution->feasible ? "true" : "false", chain->budget_bytes, minimum_budget_bytes,
                op_name(set_by->kind));
  writer_json_string(out, chain->blocks[set_by->block].name);
  writer_text(out, "}");
  if (!solution->feasible) {
    writer_text(out, "}\n");
    return;
  }
  ChainReplay replay;
  chain_replay(chain, solution->schedule.items, solution->schedule.count, arena, &replay);
  double gap = solution->lower_bound_ns ? (double)solution->cost_ns / (double)solution->lower_bound_ns - 1 : 0;
  writer_printf(out,
                ",\n\"cost_ns\":%" PRId64 ",\"peak_bytes\":%" PRId64 ",\"boundary_ns\":%" PRId64
                ",\"class_bound_ns\":%" PRId64 ",\"lower_bound_ns\":%" PRId64 ",\"optimal_in_class\":%s,\"gap\":",
                solution->cost_ns, solution->peak_bytes, solution->boundary_ns, solution->class_bound_ns,
                solution->lower_bound_ns, solution->optimal_in_class ? "true" : "false");
  writer_json_number(out, gap);
  writer_printf(out, ",\"states\":%" PRIu64 ",\"options\":%" PRIu64 ",\n\"schedule\":[", solution->states,
                solution->options);
  for (size_t i = 0; i < solution->schedule.count; i++) {
    writer_text(out, i ? ",\n" : "\n");
    print_op(chain, &solution->schedule.items[i], replay.op_cost_ns[i], replay.op_bytes[i], out);
  }
  writer_text(out, "]}\n");
}
