// Runs the training graph of a spec with the double-precision interpreter on the inputs of step_driver.c and writes the
// same outputs, so that building and differentiating a model can be judged apart from kernels (interpret_test.py).
//
//   interpret_tool --describe SPEC LIBRARY
//   interpret_tool SPEC LIBRARY INPUT OUTPUT [PASS]    the graph after PASS, "optimize" or later (default: the last)
//
// One evaluation is one micro-step: states bound in the forward and backward phases move after each, those bound in the
// update phase after the last one of a step.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/graph.h"
#include "compiler/passes/pipeline.h"
#include "lang/spec.h"
#include "tests/train/raw_file.h"

typedef struct Interpreter {
  const Graph *graph;
  double **values;  // by ValueId: what lives across evaluations
  int accumulate;
} Interpreter;

static bool is_kept(const Value *value) { return value->kind == VALUE_PARAMETER || value->kind == VALUE_STATE; }

static bool is_accumulator(const Value *value) { return strstr(value->name, ".accumulator") != NULL; }

static double *doubles_make(int64_t count) {
  double *data = calloc((size_t)count, sizeof *data);
  if (!data) BUG("no memory for %lld doubles", (long long)count);
  return data;
}

typedef struct Compilation {
  Arena *arena;
  DiagList *diags;
  const Spec *spec;
  const char *wanted_pass;  // NULL: the last
  const Graph *wanted;
} Compilation;

static _Noreturn void report_errors(const Compilation *c) {
  Writer out = {0};
  diag_print(c->diags, &out, false);
  fputs(out.text ? out.text : "error: no graph and no reason\n", stderr);
  exit(1);
}

static const GraphTarget plain_target = {.images = DATA_F32};

static Compilation load_spec(const char *path, const char *library, const char *wanted_pass) {
  Compilation c = {.arena = arena_make("compilation"), .wanted_pass = wanted_pass};
  SourceMap *sources = source_map_make(c.arena);
  c.diags = diag_list_make(c.arena, sources);
  c.spec = spec_load(c.arena, sources, c.diags, path, library, NULL, 0);
  if (!c.spec) report_errors(&c);
  return c;
}

static void keep_wanted(void *data, const char *pass, const Graph *graph) {
  Compilation *c = data;
  if (c->wanted_pass && strcmp(c->wanted_pass, pass) == 0) c->wanted = graph;
}

static const Graph *make_training_graph(Compilation *c) {
  PassWatch watch = {.hook = keep_wanted, .data = c};
  const Graph *graph = training_graph(c->arena, c->spec, 0, plain_target, c->diags, watch);
  if (!graph || (c->wanted_pass && !c->wanted)) report_errors(c);
  return c->wanted_pass ? c->wanted : graph;
}

static void describe(const Graph *graph) {
  static const char *const init_names[] = {"zero", "one", "normal", "uniform"};
  printf("graph %s\n", graph->name);
  for (size_t i = 0; i < graph->values.count; i++) {
    const Value *value = &graph->values.items[i];
    if (!is_kept(value)) continue;
    const char *kind = value->kind == VALUE_PARAMETER ? "parameter" : is_accumulator(value) ? "accumulator" : "state";
    printf("%s %s %s %.17g %d %d", kind, value->name, init_names[value->init], value->init_a,
           value->normalize_rows_at_start, value->shape.rank);
    for (int d = 0; d < value->shape.rank; d++) printf(" %lld", (long long)value->shape.size[d]);
    printf("\n");
  }
}

static Interpreter interpreter_make(const Compilation *c, const Graph *graph, const RawFile *input) {
  Interpreter self = {.graph = graph, .accumulate = (int)spec_integer(c->spec, KEY_train_accumulate)};
  self.values = arena_array(c->arena, double *, graph->values.count);
  for (size_t i = 0; i < graph->values.count; i++) {
    const Value *value = &graph->values.items[i];
    if (value->kind == VALUE_RESULT) continue;
    int64_t count = shape_elements(value->shape);
    self.values[i] = doubles_make(count);
    if (!is_kept(value) || is_accumulator(value)) continue;
    const float *data = raw_get(input, RAW_F32, (uint64_t)count, "state/%s", value->name);
    for (int64_t k = 0; k < count; k++) self.values[i][k] = (double)data[k];
  }
  return self;
}

static void interpreter_release(Interpreter *self) {
  for (size_t i = 0; i < self->graph->values.count; i++) free(self->values[i]);
}

// Results by value; the values that live across evaluations among them.
static double **evaluate(const Interpreter *self, Arena *arena) {
  double **results = arena_array(arena, double *, self->graph->values.count);
  memcpy(results, self->values, sizeof *results * self->graph->values.count);
  graph_evaluate(self->graph, arena, results);
  return results;
}

static void set_scalar(Interpreter *self, const char *name, double number) {
  ValueId scalar = graph_find_value(self->graph, name);
  if (scalar != VALUE_NONE) self->values[scalar][0] = number;
}

// Inputs in the order of the graph: images by size group, then labels.
static void set_inputs(Interpreter *self, const RawFile *input, int step, int micro) {
  int group = 0;
  for (size_t i = 0; i < self->graph->values.count; i++) {
    const Value *value = &self->graph->values.items[i];
    if (value->kind != VALUE_INPUT) continue;
    int64_t count = shape_elements(value->shape);
    if (value->type == DATA_U8) {
      const uint8_t *images = raw_get(input, RAW_U8, (uint64_t)count, "step/%d/micro/%d/images/%d", step, micro, group);
      group++;
      for (int64_t k = 0; k < count; k++) self->values[i][k] = images[k];
    } else {
      const int32_t *labels = raw_get(input, RAW_I32, (uint64_t)count, "step/%d/micro/%d/labels", step, micro);
      for (int64_t k = 0; k < count; k++) self->values[i][k] = labels[k];
    }
  }
}

// States take what is bound to them; in the update phase's turn only after the last micro-step.
static void move_states(Interpreter *self, double **results, bool last) {
  size_t count = self->graph->values.count;
  for (size_t i = 0; i < count; i++) {
    const Value *value = &self->graph->values.items[i];
    if (value->kind == VALUE_RESULT || value->bound == VALUE_NONE) continue;
    const Value *bound = graph_value(self->graph, value->bound);
    bool late = bound->kind == VALUE_RESULT && graph_op(self->graph, bound->producer)->phase == PHASE_UPDATE;
    if (late && !last) continue;
    memcpy(self->values[i], results[value->bound], sizeof(double) * (size_t)shape_elements(value->shape));
  }
}

static void dump(FILE *out, const Value *value, const double *data, const char *prefix, const char *name) {
  raw_write(out, RAW_F64, value->shape.rank, value->shape.size, data, "%s%s", prefix, name);
}

static void dump_output(const Interpreter *self, FILE *out, double **results, const char *output, int step, int micro) {
  ValueId value = graph_find_output(self->graph, output);
  if (value == VALUE_NONE) return;
  char prefix[64];
  snprintf(prefix, sizeof prefix, "step/%d/micro/%d/", step, micro);
  dump(out, graph_value(self->graph, value), results[value], prefix, output);
}

static void dump_gradients(const Interpreter *self, FILE *out, double **results, int step) {
  char prefix[64];
  snprintf(prefix, sizeof prefix, "step/%d/gradient/", step);
  for (size_t i = 0; i < self->graph->ops.count; i++) {
    const Op *op = &self->graph->ops.items[i];
    if (op->kind != OP_sgd_update && op->kind != OP_larc_update) continue;
    const Value *parameter = graph_value(self->graph, op->operands[0]);
    dump(out, parameter, results[op->operands[1]], prefix, parameter->name);
  }
}

static void dump_states(const Interpreter *self, FILE *out, int step) {
  char prefix[64];
  snprintf(prefix, sizeof prefix, "step/%d/state/", step);
  for (size_t i = 0; i < self->graph->values.count; i++) {
    const Value *value = &self->graph->values.items[i];
    if (is_kept(value) && !is_accumulator(value)) dump(out, value, self->values[i], prefix, value->name);
  }
}

static void run_micro_step(Interpreter *self, const RawFile *input, FILE *out, int step, int micro) {
  const float *scalars = raw_get(input, RAW_F32, 3, "step/%d/scalars", step);
  bool last = micro == self->accumulate - 1;
  set_inputs(self, input, step, micro);
  set_scalar(self, "learning_rate", (double)scalars[0]);
  set_scalar(self, "prototypes_active", (double)scalars[1]);
  set_scalar(self, "queue_active", (double)scalars[2]);
  set_scalar(self, "accumulate_restart", micro == 0);
  Arena *arena = arena_make("evaluation");
  double **results = evaluate(self, arena);
  dump_output(self, out, results, "loss", step, micro);
  dump_output(self, out, results, "usage", step, micro);
  if (last) dump_gradients(self, out, results, step);
  move_states(self, results, last);
  if (last) dump_states(self, out, step);
  arena_release(arena);
}

static void run_steps(Compilation *c, const RawFile *input, FILE *out) {
  Interpreter self = interpreter_make(c, make_training_graph(c), input);
  int steps = *(const int32_t *)raw_get(input, RAW_I32, 1, "steps");
  for (int step = 0; step < steps; step++)
    for (int micro = 0; micro < self.accumulate; micro++) run_micro_step(&self, input, out, step, micro);
  interpreter_release(&self);
}

static void run_features(Compilation *c, const RawFile *input, FILE *out) {
  const Graph *graph = features_graph(c->arena, c->spec, 0, plain_target, c->diags, (PassWatch){0});
  if (!graph) report_errors(c);
  Interpreter self = interpreter_make(c, graph, input);
  ValueId images = graph_find_value(graph, "images0"), features = graph_find_output(graph, "features");
  if (images == VALUE_NONE || features == VALUE_NONE) BUG("the feature graph lacks images0 or features");
  int64_t count = shape_elements(graph_value(graph, images)->shape);
  const uint8_t *pixels = raw_get(input, RAW_U8, (uint64_t)count, "features/images");
  for (int64_t k = 0; k < count; k++) self.values[images][k] = pixels[k];
  double **results = evaluate(&self, c->arena);
  dump(out, graph_value(graph, features), results[features], "", "features");
  interpreter_release(&self);
}

int main(int argc, char **argv) {
  bool describing = argc == 4 && strcmp(argv[1], "--describe") == 0;
  if (!describing && argc != 5 && argc != 6) {
    fprintf(stderr, "usage: %s --describe SPEC LIBRARY | SPEC LIBRARY INPUT OUTPUT [PASS]\n", argv[0]);
    return 2;
  }
  if (describing) {
    Compilation c = load_spec(argv[2], argv[3], NULL);
    describe(make_training_graph(&c));
    arena_release(c.arena);
    return 0;
  }
  Compilation c = load_spec(argv[1], argv[2], argc == 6 ? argv[5] : NULL);
  RawFile input = raw_load(argv[3]);
  FILE *out = raw_create(argv[4]);
  run_features(&c, &input, out);
  run_steps(&c, &input, out);
  raw_close(out);
  raw_release(&input);
  arena_release(c.arena);
  return 0;
}
