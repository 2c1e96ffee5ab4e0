// Lowers convolutions: weights are packed each step, statistics come out of the forward as partial sums, views of what
// they read become arguments.
#include "codegen/c/lower_c.h"
#include "compiler/base/bug.h"

// Arguments of a convolution kernel and the same as integers for sizes.h.
typedef struct Convolution {
  int64_t n, h, w, c, o, k, stride, pad, groups, winograd;
} Convolution;

static Convolution convolution(const Lower *lower, ValueId x, ValueId w) {
  Extent input = extent_of(lower, x);
  const Shape *weights = &graph_value(lower->graph, w)->shape;
  const OpAttributes *a = &lower->op->attributes;
  if (weights->rank != 4) BUG("'%s': convolution weights of rank %d", lower->op->name, weights->rank);
  Convolution v = {input.n,          input.h,   input.w,    input.c,   weights->size[0],
                   weights->size[2], a->stride, a->padding, a->groups, 0};
  v.winograd = conv2d_is_winograd(v.h, v.w, v.c, v.o, v.k, v.stride, v.pad, v.groups, lower->tuning);
  return v;
}

#define SHAPE(v) (v).n, (v).h, (v).w, (v).c, (v).o, (v).k, (v).stride, (v).pad, (v).groups
#define SHAPE_CONSTANTS(v) \
  INT((v).n), INT((v).h), INT((v).w), INT((v).c), INT((v).o), INT((v).k), INT((v).stride), INT((v).pad), INT((v).groups)

// How a convolution sees an operand, and what it needs to.
typedef struct Sight {
  int view;  // enum ViewKind
  KernelOperand factors, other;
} Sight;

static Sight plain_sight(void) { return (Sight){VIEW_PLAIN, no_operand(), no_operand()}; }

// x's view: `count` operands from `first` on, factors and a scale.
static Sight normalized_sight(const Lower *lower, int first, int count) {
  if (count == 0) return plain_sight();
  return (Sight){count > 1 ? VIEW_SCALED : VIEW_NORMALIZED, operand(lower, first),
                 count > 1 ? operand(lower, first + 1) : no_operand()};
}

// dy's view: what BatchNorm read, then factors.
static Sight gradient_sight(const Lower *lower, int first) {
  if (!lower->op->attributes.gradient) return plain_sight();
  return (Sight){VIEW_GRADIENT, operand(lower, first + 1), operand(lower, first)};
}

static void lower_forward(Lower *lower, bool with_statistics) {
  Convolution v = convolution(lower, lower->op->operands[0], lower->op->operands[1]);
  Sight x = normalized_sight(lower, 2, lower->op->operand_count - 2);
  KernelOperand packed = workspace(lower, conv2d_packed_floats(v.c, v.o, v.k, v.groups, v.winograd, lower->tuning));
  int64_t parts = conv2d_statistics_parts(v.n, v.h, v.w, v.o, v.k, v.stride, v.pad, v.groups, lower->tuning);
  KernelOperand statistics = with_statistics ? workspace(lower, statistics_workspace_floats(parts, v.o)) : no_operand();
  LAUNCH(lower, conv2d_pack, conv2d_pack_tasks(v.c, v.o, v.k, v.groups, v.winograd, lower->tuning),
         (INT(v.c), INT(v.o), INT(v.k), INT(v.groups), INT(v.winograd)), (operand(lower, 1), packed));
  LAUNCH(lower, conv2d_forward, conv2d_forward_tasks(SHAPE(v), lower->tuning), (SHAPE_CONSTANTS(v), INT(x.view)),
         (operand(lower, 0), x.factors, x.other, packed, result(lower, 0), statistics));
  if (!with_statistics) return;
  lower_statistics(lower, parts, v.o, statistics);
}

void c_lower_conv2d(Lower *lower) { lower_forward(lower, false); }
// Once more, it is a plain convolution: the statistics of the first run stand.
void c_lower_conv2d_statistics(Lower *lower) { lower_forward(lower, lower->variant != RUN_AGAIN); }

void c_lower_conv2d_backward_input(Lower *lower) {
  Convolution v = convolution(lower, lower->op->results[0], lower->op->operands[1]);
  Sight dy = gradient_sight(lower, 2);
  KernelOperand add =
      lower->op->attributes.adds ? operand(lower, lower->op->attributes.gradient ? 4 : 2) : no_operand();
  KernelOperand packed =
      workspace(lower, conv2d_packed_backward_floats(v.c, v.o, v.k, v.groups, v.winograd, lower->tuning));
  LAUNCH(lower, conv2d_pack_backward, conv2d_pack_backward_tasks(v.c, v.o, v.k, v.groups, v.winograd, lower->tuning),
         (INT(v.c), INT(v.o), INT(v.k), INT(v.stride), INT(v.groups), INT(v.winograd)), (operand(lower, 1), packed));
  LAUNCH(lower, conv2d_backward_input, conv2d_backward_input_tasks(SHAPE(v), lower->tuning),
         (SHAPE_CONSTANTS(v), INT(dy.view)), (operand(lower, 0), dy.other, dy.factors, packed, add, result(lower, 0)));
}

void c_lower_conv2d_backward_weight(Lower *lower) {
  Convolution v = convolution(lower, lower->op->operands[0], lower->op->operands[2]);
  int views = lower->op->operand_count - 3 - (lower->op->attributes.gradient ? 2 : 0);
  Sight x = normalized_sight(lower, 3, views), dy = gradient_sight(lower, 3 + views);
  KernelOperand splits = workspace(lower, conv2d_backward_weight_workspace_floats(SHAPE(v), lower->tuning));
  LAUNCH(lower, conv2d_backward_weight, conv2d_backward_weight_tasks(SHAPE(v), lower->tuning),
         (SHAPE_CONSTANTS(v), INT(x.view), INT(dy.view)),
         (operand(lower, 0), x.factors, x.other, operand(lower, 1), dy.other, dy.factors, result(lower, 0), splits));
  LAUNCH(lower, conv2d_fold_weight, conv2d_fold_weight_tasks(SHAPE(v), lower->tuning), (SHAPE_CONSTANTS(v)),
         (splits, result(lower, 0)));
}
