// From the spec to the model's numbers and graph. What only the model can see to be wrong is reported here.
#ifndef SEER_PASSES_BUILD_MODEL_H
#define SEER_PASSES_BUILD_MODEL_H

#include "compiler/base/diag.h"
#include "compiler/passes/model.h"
#include "compiler/passes/passes.h"

typedef struct Spec Spec;

// False when an error was reported. `classes` stands in for `supervised.classes = auto` (0: not known).
bool model_options_from_spec(Arena *arena, const Spec *spec, int64_t classes, ModelUse use, DiagList *diags,
                             ModelOptions *options);
// Ranks whose pictures BatchNorm takes together: train.batch_norm_ranks, or all where there are fewer.
int64_t norm_ranks_from_spec(const Spec *spec);
// That train together: cluster.nodes times cluster.ranks_per_node.
int64_t rank_count_from_spec(const Spec *spec);
OptimizerOptions optimizer_options_from_spec(const Spec *spec);
// The model's graph before any pass, or NULL when an error was reported.
Graph *build_model(Arena *arena, const Spec *spec, int64_t classes, ModelUse use, DiagList *diags);

#endif
