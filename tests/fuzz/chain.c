// libFuzzer target: any bytes as the JSON of a bare chain. What reads as a chain is solved, and a solution must keep to
// its budget and to the bounds it prints; the solver replays its own schedule. The first byte draws the budget between
// nothing and plenty, so that tight ones are met. Larger chains than these are the planner tests' business.
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/chain_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BLOCKS = 6, MOST_MODES = 4, MOST_OPTIONS = 20000 };

static void expect(bool holds) {
  if (!holds) abort();
}

static bool is_small(const Chain *chain) {
  if (chain->block_count > MOST_BLOCKS) return false;
  for (int i = 0; i < chain->block_count; i++) {
    if (chain->blocks[i].mode_count > MOST_MODES) return false;
  }
  return true;
}

static void check_solution(const ChainSolution *solution, int64_t budget_bytes) {
  expect(solution->feasible && solution->peak_bytes <= budget_bytes);
  expect(solution->lower_bound_ns <= solution->class_bound_ns && solution->class_bound_ns <= solution->cost_ns);
  expect(!solution->optimal_in_class || solution->class_bound_ns == solution->cost_ns);
}

static void check_printed(const Chain *chain, const ChainSolution *solution, int64_t minimum, const ChainOp *set_by,
                          Arena *arena) {
  Writer out = {0};
  chain_print_solution_json(chain, solution, minimum, set_by, arena, &out);
  json_t *printed = json_loadb(out.text, out.size, 0, NULL);
  expect(printed && json_is_true(json_object_get(printed, "feasible")) == solution->feasible);
  json_decref(printed);
  writer_release(&out);
}

static void solve(Arena *arena, Chain *chain, uint8_t drawn) {
  ChainClass class = chain_full_class;
  class.option_limit = MOST_OPTIONS;
  ChainSolver *solver = chain_solver_make(chain, &class);
  ChainOp set_by;
  int64_t minimum = chain_minimum_budget(solver, &set_by);
  expect(minimum >= 0 && set_by.block < chain->block_count);
  chain->budget_bytes = minimum / 128 * drawn + minimum % 128;
  ChainSolution solution = chain_solve(solver, arena, chain->budget_bytes);
  expect(solution.feasible == (chain->budget_bytes >= minimum));
  if (solution.feasible) check_solution(&solution, chain->budget_bytes);
  check_printed(chain, &solution, minimum, &set_by, arena);
  chain_solver_release(solver);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > 65536) return 0;
  Arena *arena = arena_make("fuzz");
  const char *text = arena_string(arena, (const char *)data + 1, size - 1);
  Chain chain;
  const char *error = chain_read_json(arena, text, size - 1, &chain);
  expect(!error || *error);
  if (!error) expect(!chain_check(&chain, arena));
  if (!error && is_small(&chain)) solve(arena, &chain, data[0]);
  arena_release(arena);
  return 0;
}
