// Each check computes an op's results by a second formula, written from the definition, and compares every element.
#include "tests/ops/op_checks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const double *in(const OpCheck *check, int operand) { return check->tensors[check->op->operands[operand]]; }

static int64_t count_of(const OpCheck *check, int result) { return shape_elements(check->c->results[result]); }

static void expect(const OpCheck *check, int result, int64_t index, double expected) {
  double got = check->tensors[check->op->results[result]][index];
  if (!(fabs(got - expected) <= 1e-10 * (1 + fabs(expected))))
    fail_msg("%s: result %d at %lld is %.15g, expected %.15g", op_kind_name(check->c->kind), result, (long long)index,
             got, expected);
}

// Runs ops one after the other on the check's operands; operand ids >= 100 name results: 100 * (1 + step) + result.
typedef struct Step { OpKind kind; int operand_count; int operands[6]; } Step;

static const double *run_steps(const OpCheck *check, const Step *steps, int count, int step, int result) {
  Graph *graph = graph_make(check->arena, "steps");
  ValueId inputs[MAX_OPERANDS];
  for (int i = 0; i < check->op->operand_count; i++)
    inputs[i] = graph_add_input(graph, "input", DATA_F32, check->c->operands[i]);
  for (int s = 0; s < count; s++) {
    Op op = {.kind = steps[s].kind, .operand_count = steps[s].operand_count, .attributes = check->c->attributes,
             .name = "step", .block = -1, .size_group = -1};
    for (int i = 0; i < op.operand_count; i++) {
      int from = steps[s].operands[i];
      op.operands[i] = from < 100 ? inputs[from] : graph_op(graph, (OpId)(from / 100 - 1))->results[from % 100];
    }
    graph_add_op(graph, op);
  }
  double **tensors = graph_make_tensors(graph, check->arena);
  for (int i = 0; i < check->op->operand_count; i++) tensors[inputs[i]] = check->tensors[check->op->operands[i]];
  graph_evaluate(graph, check->arena, tensors);
  return tensors[graph_op(graph, (OpId)step)->results[result]];
}

static void expect_all(const OpCheck *check, int result, const double *expected) {
  for (int64_t i = 0; i < count_of(check, result); i++) expect(check, result, i, expected[i]);
}

void check_normalize_images(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++)
    expect(k, 0, i, (in(k, 0)[i] - 255 * k->c->attributes.mean[i % 3]) / (255 * k->c->attributes.std[i % 3]));
}

// The definition, output by output, in the order of PyTorch's weights.
void check_conv2d(const OpCheck *k) {
  Shape x = k->c->operands[0], w = k->c->operands[1], y = k->c->results[0];
  const OpAttributes *a = &k->c->attributes;
  int64_t per_group = w.size[0] / a->groups;
  for (int64_t i = 0; i < count_of(k, 0); i++) {
    int64_t o = i % y.size[3], ox = i / y.size[3] % y.size[2], oy = i / y.size[3] / y.size[2] % y.size[1];
    int64_t n = i / (y.size[1] * y.size[2] * y.size[3]);
    double sum = 0;
    for (int64_t c = 0; c < w.size[1]; c++)
      for (int64_t ky = 0; ky < w.size[2]; ky++)
        for (int64_t kx = 0; kx < w.size[3]; kx++) {
          int64_t iy = oy * a->stride + ky - a->padding, ix = ox * a->stride + kx - a->padding;
          if (iy < 0 || iy >= x.size[1] || ix < 0 || ix >= x.size[2]) continue;
          sum += in(k, 0)[((n * x.size[1] + iy) * x.size[2] + ix) * x.size[3] + o / per_group * w.size[1] + c] *
                 in(k, 1)[((o * w.size[1] + c) * w.size[2] + ky) * w.size[3] + kx];
        }
    expect(k, 0, i, sum);
  }
}

void check_linear(const OpCheck *k) {
  int64_t inputs = k->c->operands[0].size[1], outputs = k->c->results[0].size[1];
  for (int64_t i = 0; i < count_of(k, 0); i++) {
    double sum = 0;
    for (int64_t c = 0; c < inputs; c++) sum += in(k, 0)[i / outputs * inputs + c] * in(k, 1)[i % outputs * inputs + c];
    expect(k, 0, i, sum + (k->op->operand_count > 2 ? in(k, 2)[i % outputs] : 0));
  }
}

void check_batch_norm(const OpCheck *k) {
  int64_t channels = count_of(k, 1), rows = count_of(k, 0) / channels;
  for (int64_t c = 0; c < channels; c++) {
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < rows; r++) sum += in(k, 0)[r * channels + c];
    for (int64_t r = 0; r < rows; r++) squares += pow(in(k, 0)[r * channels + c], 2);
    double mean = sum / (double)rows, variance = squares / (double)rows - mean * mean;
    expect(k, 1, c, mean);
    expect(k, 2, c, variance);
    for (int64_t r = 0; r < rows; r++)
      expect(k, 0, r * channels + c, in(k, 1)[c] * (in(k, 0)[r * channels + c] - mean) /
                                         sqrt(variance + k->c->attributes.epsilon) + in(k, 2)[c]);
  }
}

void check_batch_normalize(const OpCheck *k) {
  int64_t channels = k->c->operands[1].size[0];
  for (int64_t i = 0; i < count_of(k, 0); i++) {
    int64_t c = i % channels;
    double inverse = pow(in(k, 4)[c] + k->c->attributes.epsilon, -0.5);
    double y = in(k, 1)[c] * inverse * in(k, 0)[i] + (in(k, 2)[c] - in(k, 1)[c] * inverse * in(k, 3)[c]);
    if (k->op->operand_count > 5) y += in(k, 5)[i];
    expect(k, 0, i, k->c->attributes.relu ? fmax(y, 0) : y);
  }
}

void check_running_update(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++) expect(k, 0, i, 0.9 * in(k, 0)[i] + 0.1 * 1.25 * in(k, 1)[i]);
}

void check_l2_normalize(const OpCheck *k) {
  for (int64_t r = 0; r < 3; r++) {
    const double *x = in(k, 0) + 4 * r;
    double norm = hypot(hypot(x[0], x[1]), hypot(x[2], x[3]));
    expect(k, 1, r, norm);
    for (int i = 0; i < 4; i++) expect(k, 0, 4 * r + i, x[i] / fmax(norm, k->c->attributes.epsilon));
  }
}

void check_relu(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++) expect(k, 0, i, fmax(in(k, 0)[i], 0));
}

void check_sigmoid(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++) expect(k, 0, i, 0.5 + 0.5 * tanh(in(k, 0)[i] / 2));
}

void check_add(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++) expect(k, 0, i, in(k, 0)[i] + in(k, 1)[i]);
}

void check_scale(const OpCheck *k) {
  for (int64_t i = 0; i < count_of(k, 0); i++) expect(k, 0, i, -2.5 * in(k, 0)[i]);
}

void check_scale_channels(const OpCheck *k) {
  for (int64_t n = 0; n < 2; n++)
    for (int64_t p = 0; p < 20; p++)
      for (int64_t c = 0; c < 6; c++)
        expect(k, 0, (n * 20 + p) * 6 + c, in(k, 0)[(n * 20 + p) * 6 + c] * in(k, 1)[n * 6 + c]);
}

void check_pool_average(const OpCheck *k) {
  for (int64_t n = 0; n < 2; n++)
    for (int64_t c = 0; c < 6; c++) {
      double sum = 0;
      for (int64_t p = 0; p < 20; p++) sum += in(k, 0)[(n * 20 + p) * 6 + c];
      expect(k, 0, n * 6 + c, sum / 20);
    }
}

void check_concat_rows(const OpCheck *k) {
  int64_t at = 0;
  for (int j = 0; j < k->op->operand_count; j++)
    for (int64_t i = 0; i < shape_elements(k->c->operands[j]); i++) expect(k, 0, at++, in(k, j)[i]);
  assert_int_equal(at, count_of(k, 0));
}

void check_slice_rows(const OpCheck *k) {
  for (int64_t i = 0; i < 6; i++) expect(k, 0, i, in(k, 0)[i + 3]);
}

// The published form, in the numbers themselves.
void check_sinkhorn(const OpCheck *k) {
  const OpAttributes *a = &k->c->attributes;
  int rows = k->op->operand_count == 3 ? 9 : 5, prototypes = 3;
  double q[27], total = 0;
  for (int i = 0; i < rows * prototypes; i++) {
    q[i] = exp((i < 15 ? in(k, 0)[i] : in(k, 1)[i - 15]) / a->epsilon);
    total += q[i];
  }
  for (int i = 0; i < rows * prototypes; i++) q[i] /= total;
  for (int t = 0; t < a->iterations; t++) {
    for (int p = 0; p < prototypes; p++) {
      double sum = 0;
      for (int b = 0; b < rows; b++) sum += q[b * prototypes + p];
      for (int b = 0; b < rows; b++) q[b * prototypes + p] /= sum * prototypes;
    }
    for (int b = 0; b < rows; b++) {
      double sum = q[b * 3] + q[b * 3 + 1] + q[b * 3 + 2];
      for (int p = 0; p < prototypes; p++) q[b * prototypes + p] /= sum * rows;
    }
  }
  for (int b = 0; b < 5; b++) {
    double sum = q[b * 3] + q[b * 3 + 1] + q[b * 3 + 2], largest = fmax(q[b * 3], fmax(q[b * 3 + 1], q[b * 3 + 2]));
    for (int p = 0; p < 3; p++)
      expect(k, 0, b * 3 + p, a->hard ? (q[b * 3 + p] >= largest ? 1 : 0) : q[b * 3 + p] / sum);
  }
}

static double log_softmax(const double *x, int64_t count, int64_t index, double temperature) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += exp((x[i] - x[index]) / temperature);
  return -log(sum);
}

// loss_i = -mean_b sum_k Q_i log_softmax(S_v / temperature), averaged over the other crops v, then over i.
void check_swapped_prediction(const OpCheck *k) {
  double loss = 0;
  for (int i = 0; i < 2; i++) {
    double of_crop = 0;
    for (int v = 0; v < 3; v++)
      for (int b = 0; v != i && b < 4; b++)
        for (int p = 0; p < 5; p++)
          of_crop -= in(k, 1)[(4 * i + b) * 5 + p] * log_softmax(in(k, 0) + (4 * v + b) * 5, 5, p, 0.3) / 4;
    loss += of_crop / 2;
  }
  expect(k, 0, 0, loss / 2);
}

void check_cross_entropy(const OpCheck *k) {
  int64_t labels = k->c->operands[1].size[0];
  double smoothing = k->c->attributes.label_smoothing, loss = 0;
  for (int64_t r = 0; r < 6; r++)
    for (int64_t p = 0; p < 4; p++) {
      double target = smoothing / 4 + (p == (int64_t)in(k, 1)[r % labels] ? 1 - smoothing : 0);
      loss -= target * log_softmax(in(k, 0) + 4 * r, 4, p, 1) / 6;
    }
  expect(k, 0, 0, loss);
}

void check_count_assignments(const OpCheck *k) {
  for (int p = 0; p < 4; p++) {
    double sum = 0;
    for (int r = 0; r < 6; r++) sum += in(k, 0)[4 * r + p];
    expect(k, 0, p, sum);
  }
}

void check_queue_push(const OpCheck *k) {
  for (int64_t i = 0; i < 18; i++) expect(k, 0, i, i < 6 ? in(k, 1)[i] : in(k, 0)[i - 6]);
}

void check_accumulate(const OpCheck *k) {
  bool restart = k->op->operand_count == 3;
  for (int64_t i = 0; i < 6; i++) expect(k, 0, i, 0.25 * in(k, 1)[i] + (restart ? 0 : in(k, 0)[i]));
}

// torch.optim.SGD, behind VISSL's LARC where the op is larc_update.
void check_update(const OpCheck *k) {
  const OpAttributes *a = &k->c->attributes;
  double parameter = 0, gradient = 0, ratio = 1;
  for (int i = 0; i < 6; i++) {
    parameter += in(k, 0)[i] * in(k, 0)[i];
    gradient += in(k, 1)[i] * in(k, 1)[i];
  }
  if (k->c->kind == OP_larc_update) {
    ratio = a->trust * sqrt(parameter) / (sqrt(gradient) + a->weight_decay * sqrt(parameter) + a->epsilon);
    if (a->clip && ratio / 0.3 < 1) ratio = ratio / 0.3;
    else if (a->clip) ratio = 1;
  }
  for (int i = 0; i < 6; i++) {
    double g = (in(k, 1)[i] + a->weight_decay * in(k, 0)[i]) * ratio;
    double v = a->momentum * in(k, 2)[i] + g;
    expect(k, 1, i, v);
    expect(k, 0, i, in(k, 0)[i] - 0.3 * (a->nesterov ? g + a->momentum * v : v));
  }
  if (k->op->operand_count < 5) return;
  double *active = k->tensors[k->op->operands[4]];
  *active = 0;
  graph_evaluate(k->graph, k->arena, k->tensors);
  expect_all(k, 0, in(k, 0));
  expect_all(k, 1, in(k, 2));
}

void check_normalize_rows(const OpCheck *k) {
  for (int64_t r = 0; r < 4; r++) {
    double norm = hypot(hypot(in(k, 0)[3 * r], in(k, 0)[3 * r + 1]), in(k, 0)[3 * r + 2]);
    for (int i = 0; i < 3; i++) expect(k, 0, 3 * r + i, in(k, 0)[3 * r + i] / norm);
  }
}

void check_conv2d_statistics(const OpCheck *k) {
  const Step steps[] = {{OP_conv2d, 2, {0, 1}}};
  const double *y = run_steps(k, steps, 1, 0, 0);
  expect_all(k, 0, y);
  int64_t channels = count_of(k, 1), rows = count_of(k, 0) / channels;
  for (int64_t c = 0; c < channels; c++) {
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < rows; r++) sum += y[r * channels + c];
    for (int64_t r = 0; r < rows; r++) squares += y[r * channels + c] * y[r * channels + c];
    expect(k, 1, c, sum / (double)rows);
    expect(k, 2, c, squares / (double)rows - sum * sum / (double)(rows * rows));
  }
}

// Result 3 is operand 0, scaled and with the pool's gradient if operands `scale` and the next are there, where y is
// positive: operand `y`, or what its factors make of operand x. The same check with that as operand 0.
static OpCheck with_masked(const OpCheck *k, int y, int x, int scale) {
  int64_t count = count_of(k, 3), pixels = 20, channels = 6;
  bool seen = k->c->operands[y].rank == 2, scaled = k->op->operand_count > scale;
  double *dz = arena_array(k->arena, double, count);
  for (int64_t i = 0; i < count; i++) {
    const double *f = in(k, y) + i % channels;
    double value = seen ? (in(k, x)[i] - f[0]) * f[channels] + f[2 * channels] : in(k, y)[i], dy = in(k, 0)[i];
    int64_t at = i / (pixels * channels) * channels + i % channels;
    if (scaled) dy = dy * in(k, scale)[at] + in(k, scale + 1)[at] / (double)pixels;
    dz[i] = value > 0 ? dy : 0;
  }
  expect_all(k, 3, dz);
  OpCheck masked = *k;
  masked.tensors = arena_array(k->arena, double *, k->graph->values.count);
  memcpy(masked.tensors, k->tensors, sizeof(double *) * k->graph->values.count);
  masked.tensors[k->op->operands[0]] = dz;
  return masked;
}

void check_batch_norm_relu_backward(const OpCheck *k) {
  OpCheck masked = with_masked(k, 1, 2, 6);
  const Step steps[] = {{OP_batch_norm_backward, 5, {0, 2, 3, 4, 5}}};
  for (int i = 0; i < 3; i++) expect_all(&masked, i, run_steps(&masked, steps, 1, 0, i));
}

void check_normalization_factors(const OpCheck *k) {
  const double *gamma = in(k, 0), *beta = in(k, 1), *mean = in(k, 2), *variance = in(k, 3);
  for (int c = 0; c < 6; c++) {
    expect(k, 0, c, mean[c]);
    expect(k, 0, 6 + c, gamma[c] / sqrt(variance[c] + k->c->attributes.epsilon));
    expect(k, 0, 12 + c, beta[c]);
  }
}

// What the readers of the gradient view make of it is what batch_norm_backward writes.
static void check_gradient_view(const OpCheck *k, const double *dz, const double *dx) {
  const double *factors = k->tensors[k->op->results[2]], *x = in(k, 1);
  for (int64_t i = 0; i < shape_elements(k->c->operands[1]); i++) {
    const double *f = factors + i % 6;
    double seen = ((x[i] - f[0]) * f[6] + f[12] + dz[i]) * f[18];
    if (!(fabs(seen - dx[i]) <= 1e-10 * (1 + fabs(dx[i])))) fail_msg("dx is %.15g, expected %.15g", seen, dx[i]);
  }
}

void check_batch_norm_sums(const OpCheck *k) {
  const Step steps[] = {{OP_batch_norm_backward, 5, {0, 1, 2, 3, 4}}};
  for (int i = 0; i < 2; i++) expect_all(k, i, run_steps(k, steps, 1, 0, i + 1));
  check_gradient_view(k, in(k, 0), run_steps(k, steps, 1, 0, 0));
}

// dz by its definition, the rest from that.
void check_batch_norm_relu_sums(const OpCheck *k) {
  OpCheck masked = with_masked(k, 5, 1, 6);
  check_batch_norm_sums(&masked);
}

void check_scale_gradient(const OpCheck *k) {
  double sums[12] = {0};
  for (int64_t i = 0; i < shape_elements(k->c->operands[1]); i++) {
    const double *f = in(k, 2) + i % 6;
    double y = (in(k, 1)[i] - f[0]) * f[6] + f[12];
    sums[i / 120 * 6 + i % 6] += y > 0 ? y * in(k, 0)[i] : 0;
  }
  expect_all(k, 0, sums);
}
