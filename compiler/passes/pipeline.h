// THE list of passes, and the graphs that the planner and the code generator start from.
#ifndef SEER_PASSES_PIPELINE_H
#define SEER_PASSES_PIPELINE_H

#include "compiler/base/diag.h"
#include "compiler/passes/build_model.h"
#include "compiler/passes/model.h"
#include "compiler/passes/passes.h"

typedef struct Pass {
  const char *name, *summary;
  PassRun *run;
  bool training, features;  // the graphs it belongs to
} Pass;

extern const Pass pass_list[];
extern const int pass_count;

// Called with the graph after the builder ("model") and after each pass.
typedef void PassHook(void *data, const char *pass, const Graph *graph);
typedef struct PassWatch {
  PassHook *hook;  // NULL: nobody watches
  void *data;
} PassWatch;

// Runs the list on a model's graph. graph_verify runs after each pass in debug builds, and always with SEER_VERIFY set.
Graph *pipeline_run(Arena *arena, const Graph *model, ModelUse use, const PassOptions *options, PassWatch watch);

// From the spec to the finished graph; NULL when an error was reported. `classes`: see build_model.
Graph *training_graph(Arena *arena, const Spec *spec, int64_t classes, GraphTarget target, DiagList *diags,
                      PassWatch watch);
Graph *features_graph(Arena *arena, const Spec *spec, int64_t classes, GraphTarget target, DiagList *diags,
                      PassWatch watch);

#endif
