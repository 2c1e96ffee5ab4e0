// Chains for the tests of the planner: see chain_instances.h. Two families: sizes and times drawn one by one, and
// RegNet-like ones, where outputs shrink with depth, blocks repeat, and modes go from 'everything' to 'output only'.
#include "tests/plan/chain_instances.h"

#include <inttypes.h>

int64_t test_random_below(TestRandom *random, int64_t limit) {
  random->state = random->state * 6364136223846793005u + 1442695040888963407u;
  uint64_t high = random->state >> 33;
  random->state = random->state * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)((high << 31 | random->state >> 33) % (uint64_t)limit);
}

// Both ends included.
static int64_t between(TestRandom *random, int64_t low, int64_t high) {
  return low + test_random_below(random, high - low + 1);
}

static bool one_in(TestRandom *random, int64_t count) { return test_random_below(random, count) == 0; }

static void add_parameters(TestRandom *random, const ChainRecipe *recipe, ChainBlock *block, int64_t scale) {
  block->node_gather_ns = -1;
  if (!recipe->parameters || one_in(random, 8)) return;
  block->parameter_bytes = between(random, 1, scale);
  block->gradient_bytes = one_in(random, 3) ? block->parameter_bytes : between(random, 0, scale);
  block->gather_ns = between(random, 0, recipe->scale);
  block->reduce_ns = between(random, 0, recipe->scale);
  if (!recipe->node_share || one_in(random, 6)) return;
  block->node_share_bytes = between(random, 0, block->parameter_bytes);
  block->node_gather_ns = between(random, 0, block->gather_ns);
}

static void add_extras(TestRandom *random, const ChainRecipe *recipe, ChainBlock *block) {
  block->forward_only_loose_transient_bytes = block->forward_only_transient_bytes;
  for (int k = 0; k < block->mode_count; k++)
    block->modes[k].loose_transient_bytes = block->modes[k].forward_transient_bytes;
  if (!recipe->extras) return;
  // An operation in place can do with less than its rule counts, never with less than its output or its input.
  int64_t less = between(random, 0, block->output_bytes / 2);
  block->forward_only_loose_transient_bytes -= less;
  for (int k = 0; k < block->mode_count; k++) {
    block->modes[k].loose_transient_bytes -= one_in(random, 2) ? less : 0;
    if (one_in(random, 3)) block->modes[k].backward_transient_bytes -= block->output_gradient_bytes / 2;
  }
  if (one_in(random, 2)) block->statistics_bytes = between(random, 0, recipe->scale / 4);
  if (one_in(random, 2)) block->kept_gradient_bytes = between(random, 0, recipe->scale / 2);
}

static void fill_random_block(Arena *arena, TestRandom *random, const ChainRecipe *recipe, ChainBlock *block) {
  int64_t scale = recipe->scale;
  block->output_bytes = between(random, one_in(random, 6) ? 0 : 1, scale);
  block->output_gradient_bytes = one_in(random, 2) ? block->output_bytes : between(random, 0, scale);
  block->forward_only_ns = between(random, 0, scale);
  block->forward_only_transient_bytes = one_in(random, 2) ? 0 : between(random, 0, scale / 2);
  block->mode_count = (int)between(random, 1, recipe->mode_count);
  block->modes = arena_array(arena, ChainMode, block->mode_count);
  for (int k = 0; k < block->mode_count; k++) {
    ChainMode *mode = &block->modes[k];
    mode->name = arena_printf(arena, "m%d", k);
    mode->saved_bytes = block->output_bytes + between(random, 0, 2 * scale);
    mode->forward_ns = recipe->dear_forward ? between(random, 0, scale) : block->forward_only_ns;
    if (one_in(random, 2)) mode->forward_ns += between(random, 0, scale / 4);
    mode->backward_ns = between(random, 0, 2 * scale);
    mode->forward_transient_bytes = one_in(random, 2) ? 0 : between(random, 0, scale / 2);
    mode->backward_transient_bytes = one_in(random, 2) ? 0 : between(random, 0, scale);
    mode->offload_ns = recipe->offload && !one_in(random, 3) ? between(random, 0, scale) : -1;
    int64_t most = mode->saved_bytes + mode->forward_transient_bytes - block->output_bytes;
    if (!recipe->dear_forward && block->forward_only_transient_bytes > most) block->forward_only_transient_bytes = most;
  }
  add_parameters(random, recipe, block, 2 * scale);
  add_extras(random, recipe, block);
}

// The first mode saves everything; each later one saves less and runs longer; the last one saves the output alone.
static void fill_regnet_modes(Arena *arena, TestRandom *random, const ChainRecipe *recipe, ChainBlock *block,
                              int64_t width_bytes) {
  int count = recipe->mode_count;
  block->mode_count = count;
  block->modes = arena_array(arena, ChainMode, count);
  int64_t inside = width_bytes * between(random, 4, 6), backward = 2 * block->forward_only_ns;
  for (int k = 0; k < count; k++) {
    ChainMode *mode = &block->modes[k];
    bool output_only = count > 1 && k == count - 1;
    mode->name = output_only ? "output" : arena_printf(arena, "m%d", k);
    mode->saved_bytes = block->output_bytes + (output_only ? 0 : inside);
    mode->forward_ns = block->forward_only_ns;
    mode->backward_ns = backward;
    mode->forward_transient_bytes = block->forward_only_transient_bytes - (k == 0 ? width_bytes / 2 : 0);
    mode->backward_transient_bytes = width_bytes * (2 + k) / 2;
    if (mode->forward_transient_bytes < 0) mode->forward_transient_bytes = 0;
    mode->offload_ns = recipe->offload && !output_only ? between(random, 1, 1 + inside) : -1;
    inside -= between(random, inside / 4, inside / 2);
    backward += k == count - 2 ? block->forward_only_ns : between(random, 0, block->forward_only_ns / 2);
  }
}

static void fill_regnet_block(Arena *arena, TestRandom *random, const ChainRecipe *recipe, ChainBlock *block,
                              int64_t output_bytes, int64_t depth) {
  block->output_bytes = output_bytes;
  block->output_gradient_bytes = output_bytes;
  block->forward_only_ns = between(random, 1 + recipe->scale / 4, 1 + recipe->scale / 2);
  block->forward_only_transient_bytes = between(random, output_bytes, 2 * output_bytes);
  fill_regnet_modes(arena, random, recipe, block, output_bytes);
  add_parameters(random, recipe, block, 1 + recipe->scale / 16 * (1 + depth * depth));
  add_extras(random, recipe, block);
}

static void fill_regnet(Arena *arena, TestRandom *random, const ChainRecipe *recipe, Chain *chain) {
  int64_t output_bytes = between(random, 1 + recipe->scale / 2, 1 + recipe->scale), depth = 0;
  for (int i = 0; i < chain->block_count; depth++) {
    // A stage: its first block differs, the others are alike.
    int64_t run = depth == 0 ? 1 : between(random, 1, 1 + chain->block_count / 2);
    for (int64_t r = 0; r < run && i < chain->block_count; r++, i++) {
      if (r < 2)
        fill_regnet_block(arena, random, recipe, &chain->blocks[i], output_bytes, depth);
      else
        chain->blocks[i] = chain->blocks[i - 1];
    }
    output_bytes = 1 + output_bytes * between(random, 4, 7) / 8;
  }
}

Chain *chain_instance(Arena *arena, const ChainRecipe *recipe) {
  TestRandom random = {recipe->seed * 0x9e3779b97f4a7c15u + 12345};
  for (int i = 0; i < 4; i++) test_random_below(&random, 2);
  Chain *chain = arena_new(arena, Chain);
  chain->block_count = recipe->block_count;
  chain->blocks = arena_array(arena, ChainBlock, recipe->block_count);
  chain->input_bytes = between(&random, 0, recipe->scale);
  if (recipe->family == CHAINS_REGNET) {
    fill_regnet(arena, &random, recipe, chain);
  } else {
    for (int i = 0; i < chain->block_count; i++) fill_random_block(arena, &random, recipe, &chain->blocks[i]);
  }
  for (int i = 0; i < chain->block_count; i++) chain->blocks[i].name = arena_printf(arena, "b%d", i + 1);
  if (!recipe->last_gradient) chain->blocks[chain->block_count - 1].output_gradient_bytes = 0;
  return chain;
}

static void print_mode(const ChainMode *mode, FILE *file) {
  fprintf(file,
          "{\"name\": \"%s\", \"saved_bytes\": %" PRId64 ", \"forward_ns\": %" PRId64 ", \"backward_ns\": %" PRId64,
          mode->name, mode->saved_bytes, mode->forward_ns, mode->backward_ns);
  fprintf(file, ", \"forward_transient_bytes\": %" PRId64 ", \"backward_transient_bytes\": %" PRId64,
          mode->forward_transient_bytes, mode->backward_transient_bytes);
  if (mode->offload_ns >= 0) fprintf(file, ", \"offload_ns\": %" PRId64, mode->offload_ns);
  fprintf(file, "}");
}

static void print_block(const ChainBlock *block, FILE *file) {
  fprintf(file, "{\"name\": \"%s\", \"output_bytes\": %" PRId64 ", \"output_gradient_bytes\": %" PRId64, block->name,
          block->output_bytes, block->output_gradient_bytes);
  fprintf(file, ", \"forward_only\": {\"time_ns\": %" PRId64 ", \"transient_bytes\": %" PRId64 "}, \"modes\": [",
          block->forward_only_ns, block->forward_only_transient_bytes);
  for (int k = 0; k < block->mode_count; k++) {
    if (k > 0) fprintf(file, ", ");
    print_mode(&block->modes[k], file);
  }
  fprintf(file, "]");
  if (block->parameter_bytes > 0) {
    fprintf(file, ", \"parameters\": {\"bytes\": %" PRId64 ", \"gradient_bytes\": %" PRId64 ", \"gather_ns\": %" PRId64,
            block->parameter_bytes, block->gradient_bytes, block->gather_ns);
    fprintf(file, ", \"reduce_ns\": %" PRId64, block->reduce_ns);
    if (block->node_gather_ns >= 0)
      fprintf(file, ", \"node_share_bytes\": %" PRId64 ", \"node_gather_ns\": %" PRId64, block->node_share_bytes,
              block->node_gather_ns);
    fprintf(file, "}");
  }
  fprintf(file, "}");
}

void chain_print_json(const Chain *chain, int64_t budget_bytes, FILE *file) {
  fprintf(file, "{\"budget_bytes\": %" PRId64 ", \"input_bytes\": %" PRId64 ", \"blocks\": [", budget_bytes,
          chain->input_bytes);
  for (int i = 0; i < chain->block_count; i++) {
    if (i > 0) fprintf(file, ",\n  ");
    print_block(&chain->blocks[i], file);
  }
  fprintf(file, "]}\n");
}
