// Runs the list of passes on a model's graph, verifying after each, and blames the pass that broke a rule by name.
#include "compiler/passes/pipeline.h"

#include <stdlib.h>

#include "compiler/base/bug.h"

const Pass pass_list[] = {
    {"differentiate", "append the gradients of the loss", differentiate_run, true, false},
    {"optimize", "append gradient accumulation and the optimizer", optimize_run, true, false},
    {"fuse_normalization", "fuse BatchNorm with convolutions, residuals and ReLU", fuse_normalization_run, true, true},
    {"normalize_on_read", "let convolutions normalise what they read", normalize_on_read_run, true, false},
    {"fuse_additions", "let convolutions add what their gradient is a sum with", fuse_additions_run, true, false},
    {"dead_code", "drop ops that nothing depends on", dead_code_run, true, true},
    {"store_images", "give images the type that the target keeps them in", store_images_run, true, true},
};
const int pass_count = (int)(sizeof pass_list / sizeof pass_list[0]);

static bool verifying(void) {
#ifndef NDEBUG
  return true;
#else
  return getenv("SEER_VERIFY") != NULL;
#endif
}

static void check(Arena *arena, const Graph *graph, const char *pass, PassWatch watch) {
  if (verifying()) {
    const char *error = graph_verify(graph, arena);
    if (error) BUG("the graph after '%s' is broken: %s", pass, error);
  }
  if (watch.hook) watch.hook(watch.data, pass, graph);
}

Graph *pipeline_run(Arena *arena, const Graph *model, ModelUse use, const PassOptions *options, PassWatch watch) {
  bug_set_stage("model");
  check(arena, model, "model", watch);
  const Graph *graph = model;
  Graph *made = NULL;
  for (int i = 0; i < pass_count; i++) {
    const Pass *pass = &pass_list[i];
    if (!(use == MODEL_TRAIN ? pass->training : pass->features)) continue;
    bug_set_stage(pass->name);
    graph = made = pass->run(arena, graph, options);
    check(arena, graph, pass->name, watch);
  }
  bug_set_stage(NULL);
  return made;
}

static Graph *finished_graph(Arena *arena, const Spec *spec, int64_t classes, ModelUse use, GraphTarget target,
                             DiagList *diags, PassWatch watch) {
  bug_set_stage("build_model");
  Graph *model = build_model(arena, spec, classes, use, diags);
  bug_set_stage(NULL);
  if (!model) return NULL;
  PassOptions options = {.optimizer = optimizer_options_from_spec(spec), .target = target};
  return pipeline_run(arena, model, use, &options, watch);
}

Graph *training_graph(Arena *arena, const Spec *spec, int64_t classes, GraphTarget target, DiagList *diags,
                      PassWatch watch) {
  return finished_graph(arena, spec, classes, MODEL_TRAIN, target, diags, watch);
}

Graph *features_graph(Arena *arena, const Spec *spec, int64_t classes, GraphTarget target, DiagList *diags,
                      PassWatch watch) {
  return finished_graph(arena, spec, classes, MODEL_FEATURES, target, diags, watch);
}
