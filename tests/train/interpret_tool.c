// Runs the training graph of a spec with the double-precision interpreter on the inputs of step_driver.c and writes the
// same outputs, so that building and differentiating a model can be judged apart from kernels (interpret_test.py).
//
//   interpret_tool --describe SPEC LIBRARY
//   interpret_tool SPEC LIBRARY INPUT OUTPUT
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

static const Spec *load_spec(Arena *arena, const char *path, const char *library) {
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  const Spec *spec = spec_load(arena, sources, diags, path, library, NULL, 0);
  if (spec) return spec;
  Writer out = {0};
  diag_print(diags, &out, false);
  fputs(out.text, stderr);
  exit(1);
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

static void load_state(Interpreter *self, const RawFile *input) {
  for (size_t i = 0; i < self->graph->values.count; i++) {
    const Value *value = &self->graph->values.items[i];
    if (value->kind == VALUE_RESULT) continue;
    int64_t count = shape_elements(value->shape);
    self->values[i] = doubles_make(count);
    if (!is_kept(value) || is_accumulator(value)) continue;
    const float *data = raw_get(input, RAW_F32, (uint64_t)count, "state/%s", value->name);
    for (int64_t k = 0; k < count; k++) self->values[i][k] = (double)data[k];
  }
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
      const uint8_t *images = raw_get(input, RAW_U8, (uint64_t)count, "step/%d/micro/%d/images/%d", step, micro, group++);
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
  double **results = arena_array(arena, double *, self->graph->values.count);
  memcpy(results, self->values, sizeof *results * self->graph->values.count);
  graph_evaluate(self->graph, arena, results);
  dump_output(self, out, results, "loss", step, micro);
  dump_output(self, out, results, "usage", step, micro);
  if (last) dump_gradients(self, out, results, step);
  move_states(self, results, last);
  if (last) dump_states(self, out, step);
  arena_release(arena);
}

static void run(Interpreter *self, const char *input_path, const char *output_path) {
  RawFile input = raw_load(input_path);
  load_state(self, &input);
  FILE *out = raw_create(output_path);
  int steps = *(const int32_t *)raw_get(&input, RAW_I32, 1, "steps");
  for (int step = 0; step < steps; step++)
    for (int micro = 0; micro < self->accumulate; micro++) run_micro_step(self, &input, out, step, micro);
  raw_close(out);
  raw_release(&input);
  for (size_t i = 0; i < self->graph->values.count; i++) free(self->values[i]);
}

int main(int argc, char **argv) {
  bool describing = argc == 4 && strcmp(argv[1], "--describe") == 0;
  if (!describing && argc != 5) {
    fprintf(stderr, "usage: %s --describe SPEC LIBRARY | SPEC LIBRARY INPUT OUTPUT\n", argv[0]);
    return 2;
  }
  Arena *arena = arena_make("compilation");
  const Spec *spec = load_spec(arena, argv[describing ? 2 : 1], argv[describing ? 3 : 2]);
  Interpreter self = {.accumulate = (int)spec_integer(spec, KEY_train_accumulate)};
  self.graph = training_graph(arena, spec);
  self.values = arena_array(arena, double *, self.graph->values.count);
  if (describing) describe(self.graph);
  else run(&self, argv[3], argv[4]);
  arena_release(arena);
  return 0;
}
