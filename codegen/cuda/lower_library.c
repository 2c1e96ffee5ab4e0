// Lowers layers to calls of libraries, where a tuning chose them by shape (layer.h). cuBLASLt multiplies plain
// matrices, cuDNN convolves images as they lie: weights are rounded to 16 bits, with the pads of both sides (pack.cu),
// which are zero, and so are those of what comes out. Gradients of weights come out of cuDNN rounded to 16 bits. A
// library knows nothing of BatchNorm, whose statistics then take a pass of their own, and reads tensors as they lie:
// views were not made of them (normalize_on_read.c).
#include "codegen/cuda/lower_cuda.h"
#include "codegen/lowerings.h"
#include "compiler/base/bug.h"
#include "runtime/program.h"

// Where it begins a multiple of these is needed, which the plan does not know: the runtime rounds up.
enum { WORKSPACE_ALIGNMENT = 256 };

// As SeerConvolutionWay of runtime/device/libraries.h.
typedef enum ConvolutionWay { WAY_FORWARD, WAY_BACKWARD_INPUT, WAY_BACKWARD_WEIGHT } ConvolutionWay;

static KernelOperand library_workspace(Lower *lower) {
  return workspace(lower, (CUDA_LIBRARY_BYTES + WORKSPACE_ALIGNMENT - PLAN_ALIGNMENT) / 4);
}

static SeerFormat image_format(const Lower *lower) {
  return lower->graph->image_type == DATA_F16 ? SEER_FP16 : SEER_BF16;
}

// y [rows][columns] = a [rows][depth] * b [depth][columns], + addend; turned, a is [depth][rows] and b
// [columns][depth].
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

// ---- convolutions of cuDNN ----

static void convolve(Lower *lower, ConvolutionWay way, Convolution v, bool adds, KernelOperand a, KernelOperand b,
                     KernelOperand y) {
  CUDA_LAUNCH(lower, cudnn_convolution, blocks(1, 1),
              (INT(way), INT(v.x.n), INT(v.x.h), INT(v.x.w), INT(v.x.channels.all), INT(v.y.channels.all), INT(v.k),
               INT(v.stride), INT(v.pad), INT(v.groups), INT(image_format(lower)), INT(adds), INT(CUDA_LIBRARY_BYTES)),
              (a, b, y, library_workspace(lower)));
}

static void dnn_forward(Lower *lower) {
  const Op *op = lower->op;
  refuse_views(lower, 2);
  Convolution v = cuda_convolution(lower, op->operands[0], op->operands[1], op->results[0]);
  convolve(lower, WAY_FORWARD, v, false, operand(lower, 0), rounded_weights(lower, v), result(lower, 0));
  if (op->kind == OP_conv2d_statistics && lower->variant != RUN_AGAIN) statistics(lower, v.y);
}

// What it adds to lies where the result goes.
static void dnn_backward_input(Lower *lower) {
  const Op *op = lower->op;
  Convolution v = cuda_convolution(lower, op->results[0], op->operands[1], op->operands[0]);
  bool adds = op->attributes.adds;
  int64_t floats = pixels_of(v.x) * v.x.channels.all / 2;
  if (adds)
    CUDA_LAUNCH(lower, copy_floats, blocks_of(floats, 256), (INT(floats)), (operand(lower, 2), result(lower, 0)));
  convolve(lower, WAY_BACKWARD_INPUT, v, adds, operand(lower, 0), rounded_weights(lower, v), result(lower, 0));
}

static void dnn_backward_weight(Lower *lower) {
  const Op *op = lower->op;
  refuse_views(lower, 3);
  Convolution v = cuda_convolution(lower, op->operands[0], op->operands[2], op->operands[1]);
  KernelOperand rounded = workspace(lower, v.y.channels.all * v.k * v.k * inputs_of(v) / 2);
  convolve(lower, WAY_BACKWARD_WEIGHT, v, false, operand(lower, 0), operand(lower, 1), rounded);
  int64_t weights = shape_elements(graph_value(lower->graph, op->results[0])->shape);
  CUDA_LAUNCH(lower, conv2d_widen_weight, blocks_of(weights, 256), (PACKED(v)), (rounded, result(lower, 0)));
}

static void by_cudnn(Lower *lower, OpKind kind) {
  switch (kind) {
    case OP_conv2d: dnn_forward(lower); return;
    case OP_conv2d_backward_input: dnn_backward_input(lower); return;
    case OP_conv2d_backward_weight: dnn_backward_weight(lower); return;
    default: BUG("cuDNN makes no '%s'", op_kind_name(kind));
  }
}

bool cuda_lower_by_library(Lower *lower) {
  LayerShape shape;
  if (!layer_shape_of(lower->graph, lower->op, &shape)) return false;
  LayerMaker maker = layer_choices_find(&lower->cuda->layers, &shape);
  if (maker == LAYER_BY_SEER) return false;
  if (!layer_maker_takes(maker, &shape)) BUG("'%s' is no layer for %s", lower->op->name, layer_maker_titles[maker]);
  if (maker == LAYER_BY_CUDNN)
    by_cudnn(lower, shape.kind);
  else
    by_cublaslt(lower, shape.kind);
  return true;
}
