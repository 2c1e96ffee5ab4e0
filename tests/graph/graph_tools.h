// What the graph, op and pass tests share: tensors filled by name, so that two graphs of one model get the same
// numbers, comparison of what two graphs compute, and two small models.
#ifndef SEER_TESTS_GRAPH_TOOLS_H
#define SEER_TESTS_GRAPH_TOOLS_H

#include "compiler/passes/model.h"
#include "compiler/passes/passes.h"

// Uniform in -1..1, a function of (seed, index) alone.
double noise(uint64_t seed, uint64_t index);
uint64_t name_seed(const char *name);
// Inputs, parameters, states and scalars by their names and kinds: images are bytes, variances positive, labels small.
double **filled_tensors(const Graph *graph, Arena *arena);
// |a - b| relative to |b|, over `count` numbers.
double relative_error(const double *a, const double *b, int64_t count);
// Evaluates both graphs on the same numbers and returns the worst relative error over all outputs and bindings of
// `before`, which must all be in `after`. Fails the test when one is missing.
double worst_difference(const Graph *before, const Graph *after, Arena *arena);
int count_ops(const Graph *graph, OpKind kind);

// RegNetY, SwAV with two size groups, head with BatchNorm, queue.
ModelOptions small_swav_model(void);
// RegNetX, cross-entropy with label smoothing, two crops.
ModelOptions small_supervised_model(void);
PassOptions small_optimizer(OptimizerKind kind, int accumulate);

#endif
