// The text form: what is printed reads back to the same graph, broken text gives an error with its line, and the
// verifier rejects each kind of broken graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/pipeline.h"
#include "tests/graph/graph_tools.h"

static Graph *training(Arena *arena, bool swav) {
  ModelOptions options = swav ? small_swav_model() : small_supervised_model();
  options.spans.blocks = (SourceSpan){1, 20, 31};
  PassOptions passes = small_optimizer(OPTIMIZER_LARC, 2);
  passes.target.images = swav ? DATA_BF16 : DATA_F32;
  return pipeline_run(arena, model_build(arena, &options, MODEL_TRAIN), MODEL_TRAIN, &passes, (PassWatch){0});
}

static void test_round_trip(void **state) {
  (void)state;
  for (int swav = 0; swav < 2; swav++) {
    Arena *arena = arena_make("text test");
    Graph *graph = training(arena, swav);
    graph_add_output(graph, "quote \" backslash \\ tab \t line \n", 0);
    Writer first = {0}, second = {0};
    graph_print(graph, &first);
    const char *error;
    Graph *back = graph_read(arena, first.text, &error);
    if (!back) fail_msg("%s", error);
    graph_print(back, &second);
    assert_string_equal(first.text, second.text);
    assert_int_equal(back->values.count, graph->values.count);
    for (size_t i = 0; i < graph->values.count; i++) {
      const Value *a = &graph->values.items[i], *b = &back->values.items[i];
      assert_true(a->kind == b->kind && a->type == b->type && shape_equal(a->shape, b->shape) &&
                  a->producer == b->producer);
      assert_true(a->bound == b->bound && a->init == b->init && a->init_a == b->init_a);
      assert_true(a->normalize_rows_at_start == b->normalize_rows_at_start);
    }
    for (size_t i = 0; i < graph->ops.count; i++) {
      const Op *a = &graph->ops.items[i], *b = &back->ops.items[i];
      assert_int_equal(a->kind, b->kind);
      assert_memory_equal(&a->span, &b->span, sizeof a->span);
      assert_true(a->attributes.epsilon == b->attributes.epsilon && a->attributes.scale == b->attributes.scale);
      assert_memory_equal(a->attributes.std, b->attributes.std, sizeof a->attributes.std);
    }
    graph->outputs.count--, back->outputs.count--;
    assert_true(worst_difference(graph, back, arena) == 0);
    writer_release(&first);
    writer_release(&second);
    arena_release(arena);
  }
}

static void expect_error(const char *text, const char *part) {
  Arena *arena = arena_make("text test");
  const char *error = NULL;
  assert_null(graph_read(arena, text, &error));
  assert_non_null(error);
  if (!strstr(error, part)) fail_msg("'%s' does not say '%s'", error, part);
  arena_release(arena);
}

static void test_syntax_errors(void **state) {
  (void)state;
  expect_error("", "line 1: 'graph' expected");
  expect_error("graph \"g\n", "a string without its end");
  expect_error("graph \"\\q\"\n", "an escape that is not known");
  expect_error("graph \"g\" images f64\n", "a word that is not known");
  expect_error("graph \"g\" images u8\n", "images are neither f32, bf16 nor f16");
  expect_error("graph \"g\"\nsomething\n", "line 2: '%' expected");
  expect_error("graph \"g\"\ninput %0 \"x\" f64 [1]\n", "a word that is not known");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [0]\n", "a number in range expected");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1,1,1,1,1]\n", "too many dimensions");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [4294967296,4294967296]\n", "too large");
  expect_error("graph \"g\"\ninput %4000000 \"x\" f32 [1]\n", "number is too large");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\ninput %0 \"y\" f32 [1]\n", "line 3: a value is defined twice");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\n%1 = fly(%0) -> [1] forward\n", "an op that is not known");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\n%1 = relu(%0) {wings 2} -> [1] forward\n",
               "an attribute that is not known");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\n%1 = relu(%0) -> [1] sideways\n", "a word that is not known");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\n%1 = relu(%0) -> [1] forward extra\n", "expected");
  expect_error("graph \"g\"\ninput %1 \"x\" f32 [1]\n", "shape");
  expect_error("graph \"g\"\ninput %0 \"x\" f32 [1]\n%1 = relu(%7) -> [1] forward\n", "operand 0 does not exist");
  expect_error("graph \"g\"\nblock 1 \"b\"\n", "a number in range expected");
}

// Every prefix of a good text, and single damaged bytes: an error or a sound graph, never a crash.
static void test_damaged_text(void **state) {
  (void)state;
  Arena *arena = arena_make("text test");
  ModelOptions options = small_swav_model();
  options.shape.stage_count = 1;
  Writer out = {0};
  graph_print(model_build(arena, &options, MODEL_TRAIN), &out);
  for (size_t i = 0; i < 300; i++) {
    Arena *scratch = arena_make("damage");
    char *text = arena_string(scratch, out.text, out.size);
    size_t at = (size_t)((noise(1, i) + 1) / 2 * (double)(out.size - 1));
    if (i % 3 == 0) text[at] = '\0';
    else text[at] = (char)(33 + (int)(46 * (noise(2, i) + 1)));
    const char *error = NULL;
    Graph *graph = graph_read(scratch, text, &error);
    assert_true((graph == NULL) == (error != NULL));
    arena_release(scratch);
  }
  writer_release(&out);
  arena_release(arena);
}

typedef void Damage(Graph *graph);
static Op *op_of(Graph *graph, OpKind kind) {
  for (size_t i = 0; i < graph->ops.count; i++) {
    if (graph->ops.items[i].kind == kind) return &graph->ops.items[i];
  }
  fail_msg("no op '%s'", op_kind_name(kind));
  return NULL;
}
static Value *value_of(Graph *graph, const char *name) { return &graph->values.items[graph_find_value(graph, name)]; }
static Value *result_of(Graph *graph, OpKind kind) { return &graph->values.items[op_of(graph, kind)->results[0]]; }
static size_t last(Graph *graph) { return graph->ops.count - 1; }

static void value_kind(Graph *g) { value_of(g, "images0")->kind = (ValueKind)9; }
static void value_type(Graph *g) { value_of(g, "images0")->type = (DataType)9; }
static void value_init(Graph *g) { value_of(g, "stem.0.weight")->init = (InitKind)9; }
static void value_rank(Graph *g) { value_of(g, "stem.0.weight")->shape.rank = 5; }
static void value_size(Graph *g) { value_of(g, "stem.0.weight")->shape.size[0] = 0; }
static void value_huge(Graph *g) { value_of(g, "stem.0.weight")->shape.size[0] = INT64_MAX / 2; }
static void value_unnamed(Graph *g) { value_of(g, "stem.0.weight")->name = NULL; }
static void value_twice(Graph *g) { value_of(g, "stem.1.bias")->name = "stem.1.weight"; }
static void value_producer(Graph *g) { value_of(g, "images0")->producer = 0; }
static void scalar_shape(Graph *g) { value_of(g, "learning_rate")->shape.size[0] = 2; }
static void parameter_type(Graph *g) {
  value_of(g, "stem.0.weight")->type = DATA_I32;
  value_of(g, "stem.0.weight")->bound = VALUE_NONE;
}
static void bound_input(Graph *g) { value_of(g, "images0")->bound = op_of(g, OP_relu)->results[0]; }
static void bound_missing(Graph *g) { value_of(g, "stem.0.weight")->bound = 1000000; }
static void bound_to_input(Graph *g) { value_of(g, "stem.0.weight")->bound = graph_find_value(g, "images0"); }
static void bound_shape(Graph *g) { value_of(g, "stem.0.weight")->bound = value_of(g, "stem.1.weight")->bound; }
static void result_orphan(Graph *g) { result_of(g, OP_relu)->producer = 1000000; }
static void result_stolen(Graph *g) { result_of(g, OP_relu)->producer = 0; }
static void result_index(Graph *g) { result_of(g, OP_relu)->result_index = 3; }
static void result_shape(Graph *g) { result_of(g, OP_relu)->shape.size[1]++; }
static void result_missing(Graph *g) { g->ops.items[last(g)].results[0] = 1000000; }
static void op_kind(Graph *g) { g->ops.items[3].kind = (OpKind)1000; }
static void op_operands(Graph *g) { op_of(g, OP_add)->operand_count = 1; }
static void op_too_many_operands(Graph *g) { op_of(g, OP_concat_rows)->operand_count = MAX_OPERANDS + 1; }
static void op_results(Graph *g) { op_of(g, OP_conv2d_statistics)->result_count = 2; }
static void op_phase(Graph *g) { g->ops.items[last(g)].phase = (OpPhase)7; }
static void op_phase_order(Graph *g) { g->ops.items[last(g)].phase = PHASE_FORWARD; }
static void op_block(Graph *g) { g->ops.items[0].block = g->block_count; }
static void op_size_group(Graph *g) { g->ops.items[0].size_group = -2; }
static void operand_missing(Graph *g) { g->ops.items[5].operands[0] = 1000000; }
static void operand_early(Graph *g) { op_of(g, OP_relu)->operands[0] = g->ops.items[last(g)].results[0]; }
static void operand_type(Graph *g) { value_of(g, "images0")->type = DATA_F32; }
static void operand_shape(Graph *g) {
  op_of(g, OP_conv2d_statistics)->operands[1] = op_of(g, OP_conv2d_statistics)->operands[0];
}
static void attribute(Graph *g) { op_of(g, OP_conv2d_statistics)->attributes.stride = 0; }
static void output_missing(Graph *g) { g->outputs.items[0].value = 1000000; }
static void output_twice(Graph *g) { g->outputs.items[1].name = g->outputs.items[0].name; }
static void block_unnamed(Graph *g) { g->block_names[1] = NULL; }

static const struct {
  Damage *damage;
  const char *says;
} damages[] = {
    {value_kind, "of no known kind"},
    {value_type, "of no known type"},
    {value_init, "no known initialisation"},
    {value_rank, "broken shape"},
    {value_size, "broken shape"},
    {value_huge, "broken shape"},
    {value_unnamed, "has no name"},
    {value_twice, "two values are named"},
    {value_producer, "not a result but has a producer"},
    {scalar_shape, "is not f32 [1]"},
    {parameter_type, "is not f32"},
    {bound_input, "neither state nor parameter"},
    {bound_missing, "bound to a value that does not exist"},
    {bound_to_input, "what is not a result"},
    {bound_shape, "another shape or type"},
    {result_orphan, "has no producer"},
    {result_stolen, "not among its producer's"},
    {result_index, "not among its producer's"},
    {result_shape, "should be f32"},
    {result_missing, "not among its producer's"},
    {op_kind, "is of no known kind"},
    {op_operands, "has 1 operands"},
    {op_too_many_operands, "has 9 operands"},
    {op_results, "not among its producer's"},
    {op_phase, "of no known phase"},
    {op_phase_order, "before that of the op before it"},
    {op_block, "does not exist"},
    {op_size_group, "size group -2"},
    {operand_missing, "operand 0 does not exist"},
    {operand_early, "used before it is made"},
    {operand_type, "of the wrong type"},
    {operand_shape, "not square"},
    {attribute, "stride, padding or groups are unset"},
    {output_missing, "does not exist"},
    {output_twice, "two outputs are named"},
    {block_unnamed, "has no name"},
};

static void test_verifier(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
    Arena *arena = arena_make("verify test");
    Graph *graph = training(arena, true);
    assert_null(graph_verify(graph, arena));
    damages[i].damage(graph);
    const char *error = graph_verify(graph, arena);
    if (!error) fail_msg("damage %zu ('%s') is not seen", i, damages[i].says);
    if (!strstr(error, damages[i].says)) fail_msg("damage %zu: '%s' does not say '%s'", i, error, damages[i].says);
    arena_release(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_syntax_errors),
                                     cmocka_unit_test(test_damaged_text), cmocka_unit_test(test_verifier)};
  return cmocka_run_group_tests_name("graph text", tests, NULL, NULL);
}
