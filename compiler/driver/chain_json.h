// A bare chain of blocks as JSON, for judging the planner against any other; the format is in docs/planner.md.
#ifndef SEER_DRIVER_CHAIN_JSON_H
#define SEER_DRIVER_CHAIN_JSON_H

#include "compiler/plan/chain.h"
#include "compiler/base/writer.h"

// NULL when the text is a chain, else what is wrong and where.
const char *chain_read_json(Arena *arena, const char *text, size_t size, Chain *chain);
void chain_print_solution_json(const Chain *chain, const ChainSolution *solution, int64_t minimum_budget_bytes,
                               const ChainOp *set_by, Arena *arena, Writer *out);

#endif
