// Prints a chain made from a seed as JSON, with its class front, for tests in other languages:
//   oracle_tool SEED random|regnet BLOCKS MODES [all]
// gives {"chain": CHAIN, "front": [[peak_bytes, cost_ns, any_ns], ...]}; any_ns is the least of all schedules within
// the same peak, or null where the chain is too long to search. `all` adds parameters, node shares and offload, and
// searches nothing.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/plan/chain_instances.h"
#include "tests/plan/oracle.h"

static void print_point(Arena *arena, const Chain *chain, const OraclePoint *point, bool all) {
  OracleSearch ask = {.chain = chain, .budget_bytes = point->peak_bytes, .below_ns = point->cost_ns};
  ask.state_limit = 500000;
  OracleFound found = {.finished = false};
  if (!all && chain->block_count <= ORACLE_SEARCH_BLOCKS) found = oracle_search(arena, &ask);
  printf("[%" PRId64 ", %" PRId64 ", ", point->peak_bytes, point->cost_ns);
  if (found.finished)
    printf("%" PRId64 "]", found.cost_ns);
  else
    printf("null]");
}

int main(int argc, char **argv) {
  bool all = argc == 6 && strcmp(argv[5], "all") == 0;
  if (argc != 5 && !all) {
    fprintf(stderr, "usage: oracle_tool SEED random|regnet BLOCKS MODES [all]\n");
    return 2;
  }
  ChainRecipe recipe = {.seed = strtoull(argv[1], NULL, 10),
                        .family = strcmp(argv[2], "regnet") == 0 ? CHAINS_REGNET : CHAINS_RANDOM,
                        .block_count = atoi(argv[3]),
                        .mode_count = atoi(argv[4]),
                        .scale = 1000,
                        .parameters = all,
                        .node_share = all,
                        .offload = all,
                        .last_gradient = true};
  if (recipe.block_count < 1 || recipe.block_count > ORACLE_MAX_BLOCKS || recipe.mode_count < 1) return 2;
  Arena *arena = arena_make("tool");
  const Chain *chain = chain_instance(arena, &recipe);
  ChainClass class = {.holes = true, .offload = true, .residency = true};
  const char *fault = NULL;
  OracleFront front = oracle_class_front(arena, chain, &class, &fault);
  if (fault) {
    fprintf(stderr, "oracle_tool: %s\n", fault);
    return 1;
  }
  printf("{\"chain\": ");
  chain_print_json(chain, front.items[front.count - 1].peak_bytes, stdout);
  printf(", \"front\": [");
  for (size_t i = 0; i < front.count; i++) {
    if (i > 0) printf(", ");
    print_point(arena, chain, &front.items[i], all);
  }
  printf("]}\n");
  arena_release(arena);
  return 0;
}
