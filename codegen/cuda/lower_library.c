// Lowers layers to calls of libraries, where a tuning chose them by shape (layer.h). A library multiplies plain
// matrices of 16 bits: weights are rounded into one with the pads of both sides (pack.cu), which are zero, and so are
// those of what comes out. It knows nothing of BatchNorm, whose statistics then take a pass of their own, and reads
// tensors as they lie: views were not made of them (normalize_on_read.c).
#include "codegen/cuda/lower_cuda.h"
#include "codegen/lowerings.h"
#include "compiler/base/bug.h"
#include "runtime/program.h"

// Where it begins a multiple of these is needed, which the plan does not know: the runtime rounds up.
enum { WORKSPACE_ALIGNMENT = 256 };

static KernelOperand library_workspace(Lower *lower) {
  return workspace(lower, (CUDA_LIBRARY_BYTES + WORKSPACE_ALIGNMENT - PLAN_ALIGNMENT) / 4);
}

static SeerFormat image_format(const Lower *lower) {
  return lower->graph->image_type == DATA_F16 ? SEER_FP16 : SEER_BF16;
}

// y [rows][columns] = a [rows][depth] * b [depth][columns], + addend; turned, a is [depth][rows] and b [columns][depth].
typedef struct Product {
  int64_t rows, columns, depth;
  bool a_turned, b_turned;
  SeerFormat operands, result;
  KernelOperand a, b, addend, bias, y;
} Product;

static void multiply(Lower *lower, const Product *p) {
  CUDA_LAUNCH(
      lower, cublaslt_matmul, blocks(1, 1),
      (INT(p->rows), INT(p->columns), INT(p->depth), INT(p->a_turned), INT(p->b_turned), INT(p->operands),
       INT(p->result), INT(p->addend.kind != OPERAND_NONE), INT(p->bias.kind != OPERAND_NONE), INT(CUDA_LIBRARY_BYTES)),
      (p->a, p->b, p->addend, p->bias, p->y, library_workspace(lower)));
}

// ---- convolutions ----

static void refuse_views(const Lower *lower, int operands) {
  if (lower->op->operand_count > operands) BUG("'%s', which a library makes, reads a view", lower->op->name);
}

static KernelOperand rounded_weights(Lower *lower, Convolution v) {
  int64_t count = v.y.channels.all * v.k * v.k * inputs_of(v);
  KernelOperand rounded = workspace(lower, count / 2);
  CUDA_LAUNCH(lower, conv2d_round, blocks_of(count / 8, 256), (PACKED(v)), (operand(lower, 1), rounded));
  return rounded;
}

// As conv2d_forward.cu leaves them, of tiles of so many pixels (kernels/cuda/batch_norm_statistics.cu).
static void statistics(Lower *lower, Images y) {
  enum { STATISTICS_PIXELS = 256, CHANNELS_OF_BLOCK = 64 };
  int64_t tiles = divide_up(pixels_of(y), STATISTICS_PIXELS);
  KernelOperand made = workspace(lower, tiles * y.channels.all * 2);
  CUDA_LAUNCH(lower, batch_norm_statistics, blocks(divide_up(y.channels.all, CHANNELS_OF_BLOCK), tiles),
              (INT(y.channels.all), INT(pixels_of(y))), (result(lower, 0), made));
  cuda_fold_statistics(lower, y, STATISTICS_PIXELS, made);
}

static void forward(Lower *lower) {
  const Op *op = lower->op;
  refuse_views(lower, 2);
  Convolution v = cuda_convolution(lower, op->operands[0], op->operands[1], op->results[0]);
  multiply(lower, &(Product){.rows = pixels_of(v.y),
                             .columns = outputs_of(v),
                             .depth = inputs_of(v),
                             .b_turned = true,
                             .operands = image_format(lower),
                             .result = image_format(lower),
                             .b = rounded_weights(lower, v),
                             .a = operand(lower, 0),
                             .y = result(lower, 0)});
  // Once more, it is a plain convolution: the statistics of the first run stand.
  if (op->kind == OP_conv2d_statistics && lower->variant != RUN_AGAIN) statistics(lower, v.y);
}

static void backward_input(Lower *lower) {
  const Op *op = lower->op;
  Convolution v = cuda_convolution(lower, op->results[0], op->operands[1], op->operands[0]);
  multiply(lower, &(Product){.rows = pixels_of(v.x),
                             .columns = inputs_of(v),
                             .depth = outputs_of(v),
                             .operands = image_format(lower),
                             .result = image_format(lower),
                             .b = rounded_weights(lower, v),
                             .a = operand(lower, 0),
                             .addend = op->attributes.adds ? operand(lower, 2) : no_operand(),
                             .y = result(lower, 0)});
}

static void backward_weight(Lower *lower) {
  const Op *op = lower->op;
  refuse_views(lower, 3);
  Convolution v = cuda_convolution(lower, op->operands[0], op->operands[2], op->operands[1]);
  KernelOperand padded = workspace(lower, outputs_of(v) * inputs_of(v));
  multiply(lower, &(Product){.rows = outputs_of(v),
                             .columns = inputs_of(v),
                             .depth = pixels_of(v.y),
                             .a_turned = true,
                             .operands = image_format(lower),
                             .result = SEER_FP32,
                             .a = operand(lower, 1),
                             .b = operand(lower, 0),
                             .y = padded});
  int64_t weights = shape_elements(graph_value(lower->graph, op->results[0])->shape);
  CUDA_LAUNCH(lower, conv2d_fold_weight, blocks_of(weights, 256), (INT(1), PACKED(v)), (padded, result(lower, 0)));
}

// ---- dense layers, in single precision as seer's kernels make them ----

static void linear(Lower *lower) {
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->operands[1]);
  multiply(lower, &(Product){.rows = v.n,
                             .columns = v.o,
                             .depth = v.c,
                             .b_turned = true,
                             .a = operand(lower, 0),
                             .b = operand(lower, 1),
                             .bias = operand(lower, 2),
                             .y = result(lower, 0)});
}

static void linear_backward_input(Lower *lower) {
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->operands[1]);
  multiply(lower, &(Product){.rows = v.n,
                             .columns = v.c,
                             .depth = v.o,
                             .a = operand(lower, 0),
                             .b = operand(lower, 1),
                             .y = result(lower, 0)});
}

static void linear_backward_weight(Lower *lower) {
  Linear v = cuda_linear(lower, lower->op->operands[0], lower->op->results[0]);
  multiply(lower, &(Product){.rows = v.o,
                             .columns = v.c,
                             .depth = v.n,
                             .a_turned = true,
                             .a = operand(lower, 1),
                             .b = operand(lower, 0),
                             .y = result(lower, 0)});
}

static void by_cublaslt(Lower *lower, OpKind kind) {
  switch (kind) {
    case OP_conv2d: forward(lower); return;
    case OP_conv2d_backward_input: backward_input(lower); return;
    case OP_conv2d_backward_weight: backward_weight(lower); return;
    case OP_linear: linear(lower); return;
    case OP_linear_backward_input: linear_backward_input(lower); return;
    case OP_linear_backward_weight: linear_backward_weight(lower); return;
    default: BUG("cuBLASLt makes no '%s'", op_kind_name(kind));
  }
}

bool cuda_lower_by_library(Lower *lower) {
  LayerShape shape;
  if (!layer_shape_of(lower->graph, lower->op, &shape)) return false;
  LayerMaker maker = layer_choices_find(&lower->cuda->layers, &shape);
  if (maker == LAYER_BY_SEER) return false;
  if (!layer_maker_takes(maker, &shape)) BUG("'%s' is no layer for %s", lower->op->name, layer_maker_titles[maker]);
  by_cublaslt(lower, shape.kind);
  return true;
}
