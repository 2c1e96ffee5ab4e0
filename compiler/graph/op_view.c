// Views: what convolutions and pools see of a tensor that BatchNorm, ReLU and squeeze-and-excitation would have to
// write otherwise, forward and backward. An op with a view takes what lies in memory and the factors of the map:
//   normalized  [3,C]: y = max((x - f0) * f1 + f2, 0), then, scaled, times s [N,C]
//   gradient    [4,C]: dy = ((raw - f0) * f1 + f2 + dz) * f3
#include <math.h>

#include "compiler/graph/op.h"

const char *op_expect_factors(OpShapeCall *call, int operand, int64_t rows, int64_t channels) {
  Shape shape = call->operands[operand];
  if (shape.rank == 2 && shape.size[0] == rows && shape.size[1] == channels) return NULL;
  return op_fail(call, "operand %d of shape %s should be [%lld,%lld]", operand, shape_text(call->arena, shape),
                 (long long)rows, (long long)channels);
}

const char *op_expect_scale(OpShapeCall *call, int operand, int images) {
  Shape shape = call->operands[operand], x = call->operands[images];
  if (shape.rank == 2 && shape.size[0] == x.size[0] && shape.size[1] == shape_last(x)) return NULL;
  return op_fail(call, "operand %d of shape %s should be [N,C] of %s", operand, shape_text(call->arena, shape),
                 shape_text(call->arena, x));
}

const double *op_seen_normalized(const OpEvaluateCall *call, int x, int factors, int scale) {
  int64_t channels = shape_last(call->shapes[x]), count = shape_elements(call->shapes[x]);
  int64_t image = count / call->shapes[x].size[0];
  const double *f = call->operands[factors];
  double *seen = arena_array(call->scratch, double, count);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = i % channels;
    seen[i] = fmax((call->operands[x][i] - f[c]) * f[channels + c] + f[2 * channels + c], 0);
    if (scale >= 0) seen[i] *= call->operands[scale][i / image * channels + c];
  }
  return seen;
}

const double *op_seen_gradient(const OpEvaluateCall *call, int dz, int raw, int factors) {
  int64_t channels = shape_last(call->shapes[dz]), count = shape_elements(call->shapes[dz]);
  const double *f = call->operands[factors];
  double *seen = arena_array(call->scratch, double, count);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = i % channels;
    seen[i] = ((call->operands[raw][i] - f[c]) * f[channels + c] + f[2 * channels + c] + call->operands[dz][i]) *
              f[3 * channels + c];
  }
  return seen;
}

const char *op_expect_masked(OpShapeCall *call, int y, int x, int scale) {
  bool lies = call->operands[x].rank != 4 || call->operands[y].rank == 4;
  if (lies) OP_TRY(op_expect_same(call, y, x));
  if (!lies) OP_TRY(op_expect_factors(call, y, 3, shape_last(call->operands[x])));
  int more = call->op->operand_count - scale;
  if (more == 1) return op_fail(call, "takes a scale and a pooled gradient, or neither");
  if (more == 2 && lies) return op_fail(call, "takes no scale with y");
  for (int i = scale; i < scale + more; i++) OP_TRY(op_expect_scale(call, i, x));
  return NULL;
}

void op_gradient_masked(const OpEvaluateCall *call, int y, int x, int scale, double *dz) {
  Shape shape = call->shapes[x];
  bool lies = shape.rank != 4 || call->shapes[y].rank == 4, scaled = call->op->operand_count > scale;
  const double *seen = lies ? call->operands[y] : op_seen_normalized(call, x, y, -1);
  int64_t channels = shape_last(shape), pixels = scaled ? shape.size[1] * shape.size[2] : 1;
  for (int64_t i = 0; i < shape_elements(shape); i++) {
    int64_t at = i / (pixels * channels) * channels + i % channels;
    double d = call->operands[0][i];
    if (scaled) d = d * call->operands[scale][at] + call->operands[scale + 1][at] / (double)pixels;
    dz[i] = seen[i] > 0 ? d : 0;
  }
}

const char *op_normalization_factors_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 0, 1));
  for (int i = 1; i < 4; i++) OP_TRY(op_expect_same(call, i, 0));
  call->results[0] = shape_make(2, 3, call->operands[0].size[0], 0, 0);
  return NULL;
}

void op_normalization_factors_evaluate(const OpEvaluateCall *call) {
  int64_t channels = call->shapes[0].size[0];
  for (int64_t c = 0; c < channels; c++) {
    call->results[0][c] = call->operands[2][c];
    call->results[0][channels + c] = call->operands[0][c] / sqrt(call->operands[3][c] + call->op->attributes.epsilon);
    call->results[0][2 * channels + c] = call->operands[1][c];
  }
}

static const char *sums_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 1, 4));
  OP_TRY(op_expect_same(call, 0, 1));
  int64_t channels = shape_last(call->operands[1]);
  for (int i = 2; i < 5; i++) OP_TRY(op_expect_vector(call, i, channels));
  call->results[0] = call->results[1] = call->operands[2];
  call->results[2] = shape_make(2, 4, channels, 0, 0);
  return NULL;
}

const char *op_batch_norm_sums_shape(OpShapeCall *call) { return sums_shape(call); }

// Operands x, gamma, mean, variance at 1..4.
static void sums(const OpEvaluateCall *call, const double *dz) {
  int64_t channels = shape_last(call->shapes[1]), rows = shape_rows(call->shapes[1]);
  const double *x = call->operands[1], *gamma = call->operands[2], *mean = call->operands[3];
  double *factors = call->results[2];
  for (int64_t c = 0; c < channels; c++) {
    double inverse = 1 / sqrt(call->operands[4][c] + call->op->attributes.epsilon), sum = 0, dot = 0;
    for (int64_t i = c; i < rows * channels; i += channels) {
      sum += dz[i];
      dot += dz[i] * (x[i] - mean[c]) * inverse;
    }
    call->results[0][c] = dot;
    call->results[1][c] = sum;
    factors[c] = mean[c];
    factors[channels + c] = -dot * inverse / (double)rows;
    factors[2 * channels + c] = -sum / (double)rows;
    factors[3 * channels + c] = gamma[c] * inverse;
  }
}

void op_batch_norm_sums_evaluate(const OpEvaluateCall *call) { sums(call, call->operands[0]); }

const char *op_batch_norm_relu_sums_shape(OpShapeCall *call) {
  OP_TRY(sums_shape(call));
  OP_TRY(op_expect_masked(call, 5, 1, 6));
  call->results[3] = call->operands[1];
  return NULL;
}

void op_batch_norm_relu_sums_evaluate(const OpEvaluateCall *call) {
  op_gradient_masked(call, 5, 1, 6, call->results[3]);
  sums(call, call->results[3]);
}

const char *op_scale_gradient_shape(OpShapeCall *call) {
  OP_TRY(op_expect_rank(call, 1, 4));
  OP_TRY(op_expect_same(call, 0, 1));
  OP_TRY(op_expect_factors(call, 2, 3, shape_last(call->operands[1])));
  call->results[0] = shape_make(2, call->operands[1].size[0], shape_last(call->operands[1]), 0, 0);
  return NULL;
}

void op_scale_gradient_evaluate(const OpEvaluateCall *call) {
  int64_t channels = shape_last(call->shapes[1]), count = shape_elements(call->shapes[1]);
  int64_t image = count / call->shapes[1].size[0];
  const double *seen = op_seen_normalized(call, 1, 2, -1);
  for (int64_t i = 0; i < count; i++)
    call->results[0][i / image * channels + i % channels] += call->operands[0][i] * seen[i];
}
