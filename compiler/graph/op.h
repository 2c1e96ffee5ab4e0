// What an op is to the graph: its row of the table, and the calls its four rules take.
// Used inside compiler/graph, by the differentiation pass and by the op tests.
#ifndef SEER_GRAPH_OP_H
#define SEER_GRAPH_OP_H

#include "compiler/graph/graph.h"

// A shape rule reads op, operands and fills results. Returns NULL, or what is wrong.
typedef struct OpShapeCall {
  Arena *arena;
  const Op *op;
  Shape operands[MAX_OPERANDS];
  Shape results[MAX_RESULTS];
} OpShapeCall;
typedef const char *OpShapeRule(OpShapeCall *call);

// A gradient rule appends backward ops and fills operand_gradients where wanted; VALUE_NONE means "no gradient".
// result_gradients[i] is VALUE_NONE for results that the loss does not depend on. Loss ops take dloss = 1.
typedef struct OpGradientCall {
  Graph *graph;
  Op op;
  ValueId result_gradients[MAX_RESULTS];
  bool wanted[MAX_OPERANDS];
  ValueId operand_gradients[MAX_OPERANDS];
} OpGradientCall;
typedef void OpGradientRule(OpGradientCall *call);

typedef struct OpEvaluateCall {
  Arena *scratch;  // released after the call
  const Op *op;
  const double *operands[MAX_OPERANDS];
  double *results[MAX_RESULTS];
  Shape shapes[MAX_OPERANDS], result_shapes[MAX_RESULTS];
} OpEvaluateCall;
typedef void OpEvaluateRule(const OpEvaluateCall *call);

typedef int64_t OpMacsRule(const OpShapeCall *call);

typedef struct OpInfo {
  const char *name;
  int operands, optional, results;
  const char *summary;
  OpShapeRule *shape;
  OpEvaluateRule *evaluate;
  OpGradientRule *gradient;  // NULL: values flow through, gradients do not
  OpMacsRule *macs;          // NULL: none
} OpInfo;

const OpInfo *op_info(OpKind kind);
// Counts, types and the shape rule; fills `call->results`. NULL or what is wrong. Operand ids must be in range.
const char *op_infer(const Graph *graph, const Op *op, OpShapeCall *call);
// Of a result of this shape.
DataType op_result_type(const Graph *graph, const Op *op, Shape shape);

// Ops with a gradient rule, and ops with a cost.
#define DIFFERENTIABLE_OPS(X)                                                                                       \
  X(conv2d) X(linear) X(batch_norm) X(l2_normalize) X(relu) X(sigmoid) X(add) X(scale) X(scale_channels)            \
  X(pool_average) X(concat_rows) X(slice_rows) X(swapped_prediction) X(softmax_cross_entropy)
#define OPS_WITH_MACS(X)                                                                                            \
  X(conv2d) X(conv2d_backward_input) X(conv2d_backward_weight) X(linear) X(linear_backward_input)                   \
  X(linear_backward_weight) X(conv2d_statistics)

#define OP(name, ...) OpShapeRule op_##name##_shape; OpEvaluateRule op_##name##_evaluate;
#include "compiler/graph/ops.def"
#undef OP
#define DECLARE_GRADIENT(name) OpGradientRule op_##name##_gradient;
#define DECLARE_MACS(name) OpMacsRule op_##name##_macs;
DIFFERENTIABLE_OPS(DECLARE_GRADIENT)
OPS_WITH_MACS(DECLARE_MACS)
#undef DECLARE_GRADIENT
#undef DECLARE_MACS

// Attributes by type, for the printer and the reader.
#define OP_INTEGER_ATTRIBUTES(X) X(stride) X(padding) X(groups) X(begin) X(end) X(crops) X(assign_crops) X(iterations)
#define OP_FLAG_ATTRIBUTES(X) X(hard) X(relu) X(gradient) X(adds) X(nesterov) X(clip)
#define OP_REAL_ATTRIBUTES(X) \
  X(epsilon) X(temperature) X(label_smoothing) X(momentum) X(weight_decay) X(trust) X(scale)
#define OP_TRIPLE_ATTRIBUTES(X) X(mean) X(std)

// Helpers of the rules.
const char *op_fail(OpShapeCall *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *shape_text(Arena *arena, Shape shape);
const char *op_expect_rank(OpShapeCall *call, int operand, int rank);
const char *op_expect_same(OpShapeCall *call, int operand, int other);
const char *op_expect_vector(OpShapeCall *call, int operand, int64_t size);
// Views (op_view.c): shapes of factors and scales, and what is seen of operand `x` (scale: -1 for none) or `dz`.
const char *op_expect_factors(OpShapeCall *call, int operand, int64_t rows, int64_t channels);
const char *op_expect_scale(OpShapeCall *call, int operand, int images);
const double *op_seen_normalized(const OpEvaluateCall *call, int x, int factors, int scale);
// What ReLU lets through of operand 0, where `y`, operands[y] as it lies or factors of x, is positive; of a gradient
// that is scaled, and added to that of a pool, where operands `scale` and the next are there.
const char *op_expect_masked(OpShapeCall *call, int y, int x, int scale);
void op_gradient_masked(const OpEvaluateCall *call, int y, int x, int scale, double *dz);
const double *op_seen_gradient(const OpEvaluateCall *call, int dz, int raw, int factors);
// A backward op at the place of the forward op it belongs to.
Op op_backward_of(const Op *forward, OpKind kind);
int64_t multiply_checked(int64_t a, int64_t b);
static inline int64_t shape_last(Shape shape) { return shape.size[shape.rank - 1]; }
static inline int64_t shape_rows(Shape shape) { return shape_elements(shape) / shape_last(shape); }

#define OP_TRY(expression)                        \
  do {                                            \
    const char *op_try_error = (expression);      \
    if (op_try_error) return op_try_error;        \
  } while (0)

#endif
