// Convolution and dense layers: normalize_images, conv2d and its gradients, linear and its gradients, sum_rows, and
// conv2d_statistics. Images are [N,H,W,C]; weights keep PyTorch's layout [O, C/groups, k, k].
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"

typedef struct Conv {
  int64_t images, height, width, channels;  // of x
  int64_t out_height, out_width, outputs;   // of y
  int64_t kernel, stride, padding, groups, group_channels, group_outputs;
} Conv;

// From the shapes of x, w and y.
static Conv conv_of(const OpAttributes *attributes, Shape x, Shape w, Shape y) {
  Conv conv = {.images = x.size[0], .height = x.size[1], .width = x.size[2], .channels = x.size[3],
               .out_height = y.size[1], .out_width = y.size[2], .outputs = w.size[0], .kernel = w.size[2],
               .stride = attributes->stride, .padding = attributes->padding, .groups = attributes->groups,
               .group_channels = w.size[1], .group_outputs = w.size[0] / attributes->groups};
  return conv;
}

static int64_t conv_macs(Shape w, Shape y) {
  return multiply_checked(shape_elements(y), multiply_checked(w.size[1], w.size[2] * w.size[3]));
}

// The shape of conv2d's result from the shapes of operands `x` and `w`.
static const char *conv_result(OpShapeCall *call, int x_operand, int w_operand, Shape *result) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, x_operand, 4));
  OP_TRY(op_expect_rank(call, w_operand, 4));
  Shape x = call->operands[x_operand], w = call->operands[w_operand];
  if (a->stride < 1 || a->padding < 0 || a->groups < 1) return op_fail(call, "stride, padding or groups are unset");
  if (w.size[2] != w.size[3])
    return op_fail(call, "kernel %lldx%lld is not square", (long long)w.size[2], (long long)w.size[3]);
  if (x.size[3] % a->groups || w.size[0] % a->groups || w.size[1] != x.size[3] / a->groups)
    return op_fail(call, "weight %s does not fit image %s in %d groups", shape_text(call->arena, w),
                   shape_text(call->arena, x), a->groups);
  int64_t height = x.size[1] + 2 * a->padding - w.size[2], width = x.size[2] + 2 * a->padding - w.size[2];
  if (height < 0 || width < 0) return op_fail(call, "kernel is larger than the padded image");
  *result = shape_make(4, x.size[0], height / a->stride + 1, width / a->stride + 1, w.size[0]);
  return NULL;
}

const char *op_normalize_images_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 4));
  if (call->operands[0].size[3] != 3) return op_fail(call, "images have three channels");
  for (int i = 0; i < 3; i++) {
    if (!(call->op->attributes.std[i] > 0)) return op_fail(call, "std %d is not positive", i);
  }
  call->results[0] = call->operands[0];
  return NULL;
}

void op_normalize_images_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  int64_t count = shape_elements(call->shapes[0]);
  for (int64_t i = 0; i < count; i++)
    call->results[0][i] = (call->operands[0][i] / 255 - a->mean[i % 3]) / a->std[i % 3];
}

// Calls `tap` for every output pixel and kernel position that falls inside the image.
typedef void ConvTap(const Conv *conv, int64_t x_offset, int64_t y_offset, int64_t position, const double *in,
                     double *out, double *packed);

static void conv_walk(const Conv *c, ConvTap *tap, const double *in, double *out, double *packed) {
  for (int64_t pixel = 0; pixel < c->images * c->out_height * c->out_width; pixel++) {
    int64_t n = pixel / (c->out_height * c->out_width), rest = pixel % (c->out_height * c->out_width);
    int64_t top = rest / c->out_width * c->stride - c->padding, left = rest % c->out_width * c->stride - c->padding;
    for (int64_t position = 0; position < c->kernel * c->kernel; position++) {
      int64_t y = top + position / c->kernel, x = left + position % c->kernel;
      if (y < 0 || y >= c->height || x < 0 || x >= c->width) continue;
      tap(c, ((n * c->height + y) * c->width + x) * c->channels, pixel * c->outputs, position, in, out, packed);
    }
  }
}

// Weights packed [position][group][channel][output], so that inner loops run over neighbours.
static int64_t packed_index(const Conv *c, int64_t position, int64_t group, int64_t channel, int64_t output) {
  return ((position * c->groups + group) * c->group_channels + channel) * c->group_outputs + output;
}

static void conv_pack(const Conv *c, double *packed, double *weight, bool unpack) {
  for (int64_t output = 0; output < c->outputs; output++) {
    for (int64_t channel = 0; channel < c->group_channels; channel++) {
      for (int64_t position = 0; position < c->kernel * c->kernel; position++) {
        double *plain = &weight[(output * c->group_channels + channel) * c->kernel * c->kernel + position];
        double *other =
            &packed[packed_index(c, position, output / c->group_outputs, channel, output % c->group_outputs)];
        if (unpack) *plain = *other;
        else *other = *plain;
      }
    }
  }
}

static double *conv_packed(const OpEvaluateCall *call, const Conv *c, const double *weight) {
  int64_t count = c->outputs * c->group_channels * c->kernel * c->kernel;
  double *packed = arena_array(call->scratch, double, count);
  if (!weight) return packed;
  double *copy = arena_array(call->scratch, double, count);
  memcpy(copy, weight, sizeof(double) * (size_t)count);
  conv_pack(c, packed, copy, false);
  return packed;
}

static void forward_tap(const Conv *c, int64_t x_offset, int64_t y_offset, int64_t position, const double *in,
                        double *out, double *packed) {
  for (int64_t group = 0; group < c->groups; group++) {
    double *y = out + y_offset + group * c->group_outputs;
    for (int64_t channel = 0; channel < c->group_channels; channel++) {
      double x = in[x_offset + group * c->group_channels + channel];
      const double *w = packed + packed_index(c, position, group, channel, 0);
      for (int64_t output = 0; output < c->group_outputs; output++) y[output] += x * w[output];
    }
  }
}

static void input_tap(const Conv *c, int64_t x_offset, int64_t y_offset, int64_t position, const double *dy,
                      double *dx, double *packed) {
  for (int64_t group = 0; group < c->groups; group++) {
    const double *g = dy + y_offset + group * c->group_outputs;
    for (int64_t channel = 0; channel < c->group_channels; channel++) {
      const double *w = packed + packed_index(c, position, group, channel, 0);
      double sum = 0;
      for (int64_t output = 0; output < c->group_outputs; output++) sum += g[output] * w[output];
      dx[x_offset + group * c->group_channels + channel] += sum;
    }
  }
}

// `in` is x, `out` is dy, only read.
static void weight_tap(const Conv *c, int64_t x_offset, int64_t y_offset, int64_t position, const double *in,
                       double *out, double *packed) {
  for (int64_t group = 0; group < c->groups; group++) {
    const double *g = out + y_offset + group * c->group_outputs;
    for (int64_t channel = 0; channel < c->group_channels; channel++) {
      double x = in[x_offset + group * c->group_channels + channel];
      double *dw = packed + packed_index(c, position, group, channel, 0);
      for (int64_t output = 0; output < c->group_outputs; output++) dw[output] += x * g[output];
    }
  }
}

const char *op_conv2d_shape(OpShapeCall *call) { return conv_result(call, 0, 1, &call->results[0]); }

static void conv_forward(const OpEvaluateCall *call, const double *x) {
  Conv conv = conv_of(&call->op->attributes, call->shapes[0], call->shapes[1], call->result_shapes[0]);
  conv_walk(&conv, forward_tap, x, call->results[0], conv_packed(call, &conv, call->operands[1]));
}

void op_conv2d_evaluate(const OpEvaluateCall *call) { conv_forward(call, call->operands[0]); }

int64_t op_conv2d_macs(const OpShapeCall *call) { return conv_macs(call->operands[1], call->results[0]); }

void op_conv2d_gradient(OpGradientCall *call) {
  ValueId dy = call->result_gradients[0], x = call->op.operands[0], w = call->op.operands[1];
  if (call->wanted[1]) {
    Op op = op_backward_of(&call->op, OP_conv2d_backward_weight);
    op.operand_count = 3;
    op.operands[0] = x, op.operands[1] = dy, op.operands[2] = w;
    call->operand_gradients[1] = graph_add_op1(call->graph, op);
  }
  if (call->wanted[0]) {
    Op op = op_backward_of(&call->op, OP_conv2d_backward_input);
    // With stride 1 the shape of x follows from that of dy.
    op.operand_count = op.attributes.stride > 1 ? 3 : 2;
    op.operands[0] = dy, op.operands[1] = w, op.operands[2] = x;
    call->operand_gradients[0] = graph_add_op1(call->graph, op);
  }
}

// dz, and what BatchNorm read with the factors of its gradient.
static const char *expect_gradient_view(OpShapeCall *call, int dz, int raw) {
  OP_TRY(op_expect_same(call, raw, dz));
  return op_expect_factors(call, raw + 1, 4, shape_last(call->operands[dz]));
}

// The operand that has the shape of dx, -1 if there is none.
static int backward_input_shaped(const Op *op) {
  int at = op->attributes.gradient ? 4 : 2;
  return op->operand_count > at ? at : -1;
}

const char *op_conv2d_backward_input_shape(OpShapeCall *call) {
  const OpAttributes *a = &call->op->attributes;
  OP_TRY(op_expect_rank(call, 0, 4));
  OP_TRY(op_expect_rank(call, 1, 4));
  Shape dy = call->operands[0], w = call->operands[1], back, dx;
  if (call->op->operand_count < (a->gradient ? 4 : 2) + a->adds) return op_fail(call, "lacks operands");
  if (a->gradient) OP_TRY(expect_gradient_view(call, 0, 2));
  int shaped = backward_input_shaped(call->op);
  if (shaped < 0) {
    if (a->stride != 1) return op_fail(call, "a stride above 1 needs x for its shape");
    dx = shape_make(4, dy.size[0], dy.size[1] - 1 - 2 * a->padding + w.size[2],
                    dy.size[2] - 1 - 2 * a->padding + w.size[3], w.size[1] * a->groups);
    if (!shape_valid(dx)) return op_fail(call, "dy is too small");
  } else {
    dx = call->operands[shaped];
  }
  call->operands[MAX_OPERANDS - 1] = dx;
  OP_TRY(conv_result(call, MAX_OPERANDS - 1, 1, &back));
  if (!shape_equal(back, dy))
    return op_fail(call, "dy should be %s, not %s", shape_text(call->arena, back), shape_text(call->arena, dy));
  call->results[0] = dx;
  return NULL;
}

void op_conv2d_backward_input_evaluate(const OpEvaluateCall *call) {
  const OpAttributes *a = &call->op->attributes;
  Conv conv = conv_of(a, call->result_shapes[0], call->shapes[1], call->shapes[0]);
  const double *dy = a->gradient ? op_seen_gradient(call, 0, 2, 3) : call->operands[0];
  conv_walk(&conv, input_tap, dy, call->results[0], conv_packed(call, &conv, call->operands[1]));
  int64_t count = a->adds ? shape_elements(call->result_shapes[0]) : 0;
  for (int64_t i = 0; i < count; i++) call->results[0][i] += call->operands[backward_input_shaped(call->op)][i];
}

int64_t op_conv2d_backward_input_macs(const OpShapeCall *call) {
  return conv_macs(call->operands[1], call->operands[0]);
}

// Operands of x's view, from operand 3 on: none, factors, or factors and a scale.
static int weight_view_operands(const Op *op) { return op->operand_count - 3 - (op->attributes.gradient ? 2 : 0); }

const char *op_conv2d_backward_weight_shape(OpShapeCall *call) {
  Shape back;
  OP_TRY(conv_result(call, 0, 2, &back));
  if (!shape_equal(back, call->operands[1]))
    return op_fail(call, "dy should be %s, not %s", shape_text(call->arena, back),
                   shape_text(call->arena, call->operands[1]));
  int view = weight_view_operands(call->op);
  if (view < 0 || view > 2) return op_fail(call, "lacks operands");
  if (view > 0) OP_TRY(op_expect_factors(call, 3, 3, shape_last(call->operands[0])));
  if (view > 1) OP_TRY(op_expect_scale(call, 4, 0));
  if (call->op->attributes.gradient) OP_TRY(expect_gradient_view(call, 1, 3 + view));
  call->results[0] = call->operands[2];
  return NULL;
}

void op_conv2d_backward_weight_evaluate(const OpEvaluateCall *call) {
  Conv conv = conv_of(&call->op->attributes, call->shapes[0], call->shapes[2], call->shapes[1]);
  double *packed = conv_packed(call, &conv, NULL);
  int64_t count = shape_elements(call->shapes[1]);
  int view = weight_view_operands(call->op);
  const double *x = view ? op_seen_normalized(call, 0, 3, view > 1 ? 4 : -1) : call->operands[0];
  bool gradient = call->op->attributes.gradient;
  const double *seen = gradient ? op_seen_gradient(call, 1, 3 + view, 4 + view) : call->operands[1];
  double *dy = arena_array(call->scratch, double, count);
  memcpy(dy, seen, sizeof(double) * (size_t)count);
  conv_walk(&conv, weight_tap, x, dy, packed);
  conv_pack(&conv, packed, call->results[0], true);
}

int64_t op_conv2d_backward_weight_macs(const OpShapeCall *call) {
  return conv_macs(call->operands[2], call->operands[1]);
}

const char *op_conv2d_statistics_shape(OpShapeCall *call) {
  OP_TRY(conv_result(call, 0, 1, &call->results[0]));
  if (call->op->operand_count > 2) OP_TRY(op_expect_factors(call, 2, 3, shape_last(call->operands[0])));
  if (call->op->operand_count > 3) OP_TRY(op_expect_scale(call, 3, 0));
  call->results[1] = call->results[2] = shape_make(1, call->results[0].size[3], 0, 0, 0);
  return NULL;
}

void op_conv2d_statistics_evaluate(const OpEvaluateCall *call) {
  int operands = call->op->operand_count;
  conv_forward(call, operands > 2 ? op_seen_normalized(call, 0, 2, operands > 3 ? 3 : -1) : call->operands[0]);
  int64_t channels = shape_last(call->result_shapes[0]), rows = shape_rows(call->result_shapes[0]);
  const double *y = call->results[0];
  double *mean = call->results[1], *variance = call->results[2];
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) mean[c] += y[r * channels + c] / (double)rows;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < channels; c++) {
      double centred = y[r * channels + c] - mean[c];
      variance[c] += centred * centred / (double)rows;
    }
  }
}

int64_t op_conv2d_statistics_macs(const OpShapeCall *call) { return conv_macs(call->operands[1], call->results[0]); }

// A dense weight is [O,C], or [O,C,1,1] where torchvision has a 1x1 convolution.
static const char *expect_dense(OpShapeCall *call, int operand) {
  Shape w = call->operands[operand];
  if (w.rank == 2 || (w.rank == 4 && w.size[2] == 1 && w.size[3] == 1)) return NULL;
  return op_fail(call, "weight %s should be [O,C] or [O,C,1,1]", shape_text(call->arena, w));
}

const char *op_linear_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(expect_dense(call, 1));
  Shape x = call->operands[0], w = call->operands[1];
  if (x.size[1] != w.size[1])
    return op_fail(call, "weight %s does not fit %s", shape_text(call->arena, w), shape_text(call->arena, x));
  if (call->op->operand_count > 2) OP_TRY(op_expect_vector(call, 2, w.size[0]));
  call->results[0] = shape_make(2, x.size[0], w.size[0], 0, 0);
  return NULL;
}

void op_linear_evaluate(const OpEvaluateCall *call) {
  int64_t inputs = call->shapes[1].size[1], outputs = call->shapes[1].size[0];
  for (int64_t n = 0; n < call->shapes[0].size[0]; n++) {
    const double *x = call->operands[0] + n * inputs;
    for (int64_t o = 0; o < outputs; o++) {
      const double *w = call->operands[1] + o * inputs;
      double sum = call->op->operand_count > 2 ? call->operands[2][o] : 0;
      for (int64_t c = 0; c < inputs; c++) sum += x[c] * w[c];
      call->results[0][n * outputs + o] = sum;
    }
  }
}

int64_t op_linear_macs(const OpShapeCall *call) {
  return multiply_checked(call->operands[0].size[0], shape_elements(call->operands[1]));
}

void op_linear_gradient(OpGradientCall *call) {
  ValueId dy = call->result_gradients[0], x = call->op.operands[0], w = call->op.operands[1];
  if (call->wanted[1]) {
    Op op = op_backward_of(&call->op, OP_linear_backward_weight);
    op.operand_count = graph_value(call->graph, w)->shape.rank == 4 ? 3 : 2;
    op.operands[0] = x, op.operands[1] = dy, op.operands[2] = w;
    call->operand_gradients[1] = graph_add_op1(call->graph, op);
  }
  if (call->op.operand_count > 2 && call->wanted[2]) {
    Op op = op_backward_of(&call->op, OP_sum_rows);
    op.operand_count = 1;
    op.operands[0] = dy;
    call->operand_gradients[2] = graph_add_op1(call->graph, op);
  }
  if (call->wanted[0]) {
    Op op = op_backward_of(&call->op, OP_linear_backward_input);
    op.operand_count = 2;
    op.operands[0] = dy, op.operands[1] = w;
    call->operand_gradients[0] = graph_add_op1(call->graph, op);
  }
}

const char *op_linear_backward_input_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(expect_dense(call, 1));
  if (call->operands[0].size[1] != call->operands[1].size[0]) return op_fail(call, "dy and weight differ in outputs");
  call->results[0] = shape_make(2, call->operands[0].size[0], call->operands[1].size[1], 0, 0);
  return NULL;
}

void op_linear_backward_input_evaluate(const OpEvaluateCall *call) {
  int64_t inputs = call->shapes[1].size[1], outputs = call->shapes[1].size[0];
  for (int64_t n = 0; n < call->shapes[0].size[0]; n++) {
    double *dx = call->results[0] + n * inputs;
    for (int64_t o = 0; o < outputs; o++) {
      double dy = call->operands[0][n * outputs + o];
      const double *w = call->operands[1] + o * inputs;
      for (int64_t c = 0; c < inputs; c++) dx[c] += dy * w[c];
    }
  }
}

int64_t op_linear_backward_input_macs(const OpShapeCall *call) {
  return multiply_checked(call->operands[0].size[0], shape_elements(call->operands[1]));
}

const char *op_linear_backward_weight_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  OP_TRY(op_expect_rank(call, 1, 2));
  Shape x = call->operands[0], dy = call->operands[1];
  if (x.size[0] != dy.size[0]) return op_fail(call, "x and dy differ in rows");
  call->results[0] = shape_make(2, dy.size[1], x.size[1], 0, 0);
  if (call->op->operand_count < 3) return NULL;
  OP_TRY(expect_dense(call, 2));
  if (call->operands[2].size[0] != dy.size[1] || call->operands[2].size[1] != x.size[1])
    return op_fail(call, "weight does not fit x and dy");
  call->results[0] = call->operands[2];
  return NULL;
}

void op_linear_backward_weight_evaluate(const OpEvaluateCall *call) {
  int64_t inputs = call->shapes[0].size[1], outputs = call->shapes[1].size[1];
  for (int64_t n = 0; n < call->shapes[0].size[0]; n++) {
    const double *x = call->operands[0] + n * inputs;
    for (int64_t o = 0; o < outputs; o++) {
      double dy = call->operands[1][n * outputs + o];
      double *dw = call->results[0] + o * inputs;
      for (int64_t c = 0; c < inputs; c++) dw[c] += dy * x[c];
    }
  }
}

int64_t op_linear_backward_weight_macs(const OpShapeCall *call) {
  return multiply_checked(call->operands[0].size[0], shape_elements(call->results[0]));
}

const char *op_sum_rows_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 2));
  call->results[0] = shape_make(1, call->operands[0].size[1], 0, 0, 0);
  return NULL;
}

void op_sum_rows_evaluate(const OpEvaluateCall *call) {
  int64_t channels = call->shapes[0].size[1];
  for (int64_t n = 0; n < call->shapes[0].size[0]; n++)
    for (int64_t c = 0; c < channels; c++) call->results[0][c] += call->operands[0][n * channels + c];
}
