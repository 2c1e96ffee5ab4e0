// From spec text to graphs: what options the keys become, what is refused and how, spans on ops, and every shipped
// model under a shipped recipe.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/passes/pipeline.h"
#include "compiler/passes/regnet_count.h"
#include "lang/spec.h"
#include "tests/graph/graph_tools.h"

static const char *library;  // the folder of shipped specs

static const GraphTarget for_c = {
    .normalize_on_read = NORMALIZE_ALWAYS, .gradients_on_read = true, .additions = true, .images = DATA_F32};

typedef struct Loaded {
  Arena *arena;
  SourceMap *sources;
  DiagList *diags;
  const Spec *spec;
} Loaded;

static Loaded load_text(const char *text) {
  Loaded loaded = {.arena = arena_make("build test")};
  char path[] = "build_model_XXXXXX.seer";
  int file = mkstemps(path, 5);
  assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && close(file) == 0);
  loaded.sources = source_map_make(loaded.arena);
  loaded.diags = diag_list_make(loaded.arena, loaded.sources);
  loaded.spec = spec_load(loaded.arena, loaded.sources, loaded.diags, path, library, NULL, 0);
  unlink(path);
  if (!loaded.spec) fail_msg("%s: %s", text, loaded.diags->items[0].text);
  return loaded;
}

#define STAGES "model { depths = [1, 1]  widths = [16, 24]  group_widths = [8]  strides = [2, 2]  se_ratio = 0.25 }\n"
#define CROPS "views { crops = [crop(count = 2, size = 32px), crop(count = 3, size = 16px)] }\n"
#define REST "data { pictures = \"p/\" } train { batch = 12  steps = 10  accumulate = 2 }\n"

static void test_options(void **state) {
  (void)state;
  Loaded l = load_text(STAGES CROPS REST
                       "swav { prototypes = 30  head = [20, 10]  queue = 24  assign_crops = 2 }\n"
                       "model { init = timm }  cluster { ranks_per_node = 3 }\n"
                       "optimizer { name = sgd  momentum = 0.8  nesterov = yes  weight_decay = 0.01 }");
  ModelOptions o;
  assert_true(model_options_from_spec(l.arena, l.spec, 0, MODEL_TRAIN, l.diags, &o));
  assert_int_equal(o.batch, 2);
  assert_int_equal(o.queue, 8);
  assert_int_equal(o.size_group_count, 2);
  assert_int_equal(o.size_groups[1].crops, 3);
  assert_int_equal(o.size_groups[1].size, 16);
  assert_int_equal(o.shape.stage_count, 2);
  assert_int_equal(o.shape.stages[1].group_width, 8);
  assert_true(o.shape.se_ratio == 0.25 && o.mean[2] == 0.406 && o.std[0] == 0.229);
  assert_true(o.init.fan_out_by_group && o.init.zero_conv_bias && o.init.zero_init_final_gamma);
  OptimizerOptions optimizer = optimizer_options_from_spec(l.spec);
  assert_true(optimizer.kind == OPTIMIZER_SGD && optimizer.nesterov && optimizer.momentum == 0.8);
  assert_int_equal(optimizer.accumulate, 2);
  Graph *graph = training_graph(l.arena, l.spec, 0, for_c, l.diags, (PassWatch){0});
  assert_non_null(graph);
  for (OpId i = 0; i < graph->ops.count; i++) {
    const Op *op = graph_op(graph, i);
    SourcePlace place = source_place(l.sources, op->span);
    if (strstr(op->name, "block2-0.f.b") && !strncmp(place.line_text, "model", 5)) assert_int_equal(place.line, 1);
  }
  arena_release(l.arena);
}

// A group as wide as the stage, or wider, is one group.
static void test_wide_groups(void **state) {
  (void)state;
  Loaded l = load_text("model { depths = [1, 1]  widths = [8, 24]  group_widths = [12]  strides = [2, 2] }\n"
                       "supervised { classes = 3 }" CROPS REST);
  ModelOptions o;
  assert_true(model_options_from_spec(l.arena, l.spec, 0, MODEL_TRAIN, l.diags, &o));
  assert_int_equal(o.shape.stages[0].group_width, 8);
  assert_int_equal(o.shape.stages[1].group_width, 12);
  arena_release(l.arena);
}

static void test_features(void **state) {
  (void)state;
  Loaded l = load_text(STAGES CROPS REST "evaluate { size = 40px  resize = 48px  batch = 5 }");
  Graph *graph = features_graph(l.arena, l.spec, 0, for_c, l.diags, (PassWatch){0});
  assert_non_null(graph);
  const Value *images = graph_value(graph, graph_find_value(graph, "images0"));
  assert_true(shape_equal(images->shape, shape_make(4, 5, 40, 40, 3)));
  assert_true(shape_equal(graph_value(graph, graph_find_output(graph, "features"))->shape, shape_make(2, 5, 24, 0, 0)));
  arena_release(l.arena);
}

static void test_auto_classes(void **state) {
  (void)state;
  Loaded l = load_text(STAGES CROPS REST "supervised { classes = auto }");
  assert_null(build_model(l.arena, l.spec, 0, MODEL_TRAIN, l.diags));
  assert_string_equal(l.diags->items[0].check, "classes");
  Graph *graph = build_model(l.arena, l.spec, 9, MODEL_TRAIN, l.diags);
  assert_true(graph_value(graph, graph_find_value(graph, "fc.weight"))->shape.size[0] == 9);
  arena_release(l.arena);
}

static void expect_refusal(const char *text, const char *check, const char *part) {
  Loaded l = load_text(text);
  size_t before = l.diags->error_count;
  assert_null(training_graph(l.arena, l.spec, 0, for_c, l.diags, (PassWatch){0}));
  assert_true(l.diags->error_count > before);
  const Diag *diag = &l.diags->items[l.diags->count - 1];
  assert_string_equal(diag->check, check);
  if (!strstr(diag->text, part)) fail_msg("'%s' does not say '%s'", diag->text, part);
  assert_true(diag->span.file != 0);
  arena_release(l.arena);
}

static void test_refusals(void **state) {
  (void)state;
  expect_refusal("model { depth = 1000  w0 = 8  wa = 100  wm = 1.01  group_width = 1 }" CROPS REST, "limitation",
                 "more than 64 stages");
  expect_refusal("model { depth = 13  w0 = 24  wa = 36.44  wm = 2.49  group_width = 7  bottleneck = 4 }" CROPS REST,
                 "group-width", "does not divide");
  expect_refusal(STAGES REST "views { crops = [crop(count = 2, size = 90px), crop(size = 80px), crop(size = 70px),"
                 "crop(size = 60px), crop(size = 50px), crop(size = 40px), crop(size = 30px), crop(size = 20px),"
                 "crop(size = 16px)] }", "limitation", "more than 8 crop sizes");
  expect_refusal(STAGES CROPS REST "swav { head = [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8] }", "limitation",
                 "more than 16 layers");
  expect_refusal("use \"models/regnety_10b\" views { crops = [crop(count = 64, size = 4096px)] }"
                 "data { pictures = \"p/\" } train { batch = 10000000  steps = 1 }", "model-size", "more elements");
}

// The closed form counts what the graph has, at sizes that strides do not divide, too.
static void expect_counts(const Loaded *l, const char *model) {
  static const int sizes[] = {224, 160, 75};
  for (int i = 0; i < 3; i++) {
    ModelOptions options;
    int64_t parameters = 0, macs = 0, activations = 0;
    assert_true(model_options_from_spec(l->arena, l->spec, 0, MODEL_FEATURES, l->diags, &options));
    options.size_groups[0].size = sizes[i];
    options.batch = 1;
    const Graph *graph = model_build(l->arena, &options, MODEL_FEATURES);
    for (ValueId v = 0; v < graph->values.count; v++) {
      const Value *value = graph_value(graph, v);
      if (value->kind != VALUE_PARAMETER) continue;
      bool trunk = strncmp(value->name, "stem.", 5) == 0 || strncmp(value->name, "trunk_output.", 13) == 0;
      if (trunk) parameters += shape_elements(value->shape);
    }
    for (OpId id = 0; id < graph->ops.count; id++) {
      const Op *op = graph_op(graph, id);
      if (op->size_group != 0) continue;
      macs += op_macs(graph, op);
      if (op->kind == OP_conv2d) activations += shape_elements(graph_value(graph, op->results[0])->shape);
    }
    if (parameters != regnet_parameters(&options.shape) || macs != regnet_macs(&options.shape, sizes[i]) ||
        activations != regnet_activations(&options.shape, sizes[i]))
      fail_msg("%s at %d px: %lld parameters, %lld multiply-adds, %lld activations in the graph", model, sizes[i],
               (long long)parameters, (long long)macs, (long long)activations);
  }
}

static void build_shipped(const char *model, const char *recipe) {
  char text[512];
  snprintf(text, sizeof text, "use \"models/%s\"\nuse \"recipes/%s\"\ndata { pictures = \"p/\" }\n%s", model, recipe,
           strcmp(recipe, "supervised") == 0 ? "supervised { classes = 1000 }\n" : "");
  Loaded l = load_text(text);
  Graph *train = training_graph(l.arena, l.spec, 0, for_c, l.diags, (PassWatch){0});
  Graph *features = features_graph(l.arena, l.spec, 0, for_c, l.diags, (PassWatch){0});
  if (!train || !features) fail_msg("%s: %s", text, l.diags->items[0].text);
  const char *error = graph_verify(train, l.arena);
  if (!error) error = graph_verify(features, l.arena);
  if (error) fail_msg("%s: %s", text, error);
  int64_t gradients = 0;
  for (OpId i = 0; i < train->ops.count; i++) {
    const Op *op = graph_op(train, i);
    assert_true(op->kind != OP_batch_norm || strstr(op->name, "projection_head"));
    if (op->kind == OP_sgd_update || op->kind == OP_larc_update)
      gradients += shape_elements(graph_value(train, op->operands[1])->shape);
  }
  assert_int_equal(gradients, model_parameters(train));
  expect_counts(&l, model);
  arena_release(l.arena);
}

static void test_shipped(void **state) {
  (void)state;
  const char *recipes[] = {"swav", "seer_v1", "seer_10b", "supervised"};
  char path[512];
  snprintf(path, sizeof path, "%s/models", library);
  DIR *folder = opendir(path);
  assert_non_null(folder);
  int models = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    size_t length = strlen(entry->d_name);
    if (length < 6 || strcmp(entry->d_name + length - 5, ".seer") != 0) continue;
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)(length - 5), entry->d_name);
    build_shipped(name, recipes[models++ % 4]);
    if (strcmp(name, "regnety_10b") == 0) build_shipped(name, "seer_10b");
  }
  closedir(folder);
  assert_true(models >= 29);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s SPECS\n", argv[0]);
    return 2;
  }
  library = argv[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_options),      cmocka_unit_test(test_wide_groups),
                                     cmocka_unit_test(test_features),     cmocka_unit_test(test_auto_classes),
                                     cmocka_unit_test(test_refusals),     cmocka_unit_test(test_shipped)};
  return cmocka_run_group_tests_name("build_model", tests, NULL, NULL);
}
