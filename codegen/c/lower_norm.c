// Lowers batch normalisation, on lane tensors and on row-major matrices.
#include "codegen/c/lower_c.h"

#define EXTENT(x) (x).n, (x).h, (x).w, (x).c
#define EXTENT_CONSTANTS(x) INT((x).n), INT((x).h), INT((x).w), INT((x).c)

static void normalize(Lower *lower, Extent x, KernelOperand mean, KernelOperand variance, KernelOperand residual) {
  const OpAttributes *a = &lower->op->attributes;
  if (is_in_lanes(lower, lower->op->operands[0])) {
    LAUNCH(lower, batch_normalize, lane_tasks(EXTENT(x), lower->tuning),
           (EXTENT_CONSTANTS(x), REAL(a->epsilon), INT(a->relu)),
           (operand(lower, 0), operand(lower, 1), operand(lower, 2), mean, variance, residual, result(lower, 0)));
  } else {
    LAUNCH(lower, batch_normalize_rows, column_tasks(x.c), (INT(x.n), INT(x.c), REAL(a->epsilon), INT(a->relu)),
           (operand(lower, 0), operand(lower, 1), operand(lower, 2), mean, variance, residual, result(lower, 0)));
  }
}

void c_lower_batch_normalize(Lower *lower) {
  normalize(lower, extent_of(lower, lower->op->operands[0]), operand(lower, 3), operand(lower, 4), operand(lower, 5));
}

void lower_statistics(Lower *lower, int64_t parts, int64_t c, KernelOperand statistics) {
  int64_t floats = statistics_workspace_floats(1, c);
  if (lower->norm_ranks > 1) {
    KernelOperand mine = statistics;
    if (parts > 1) {
      mine = workspace(lower, floats);
      LAUNCH(lower, statistics_join, statistics_fold_tasks(c), (INT(parts), INT(c)), (statistics, mine));
    }
    statistics = gather_norms(lower, mine, floats);
    parts = lower->norm_ranks;
  }
  LAUNCH(lower, statistics_fold, statistics_fold_tasks(c), (INT(parts), INT(c)),
         (statistics, result(lower, 1), result(lower, 2)));
}

void c_lower_batch_norm(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  if (lower->variant == RUN_AGAIN) {
    normalize(lower, x, result(lower, 1), result(lower, 2), no_operand());
    return;
  }
  if (is_in_lanes(lower, lower->op->operands[0])) {
    int64_t parts = batch_statistics_parts(EXTENT(x), lower->tuning);
    KernelOperand statistics = workspace(lower, statistics_workspace_floats(parts, x.c));
    LAUNCH(lower, batch_statistics, lane_tasks(EXTENT(x), lower->tuning), (EXTENT_CONSTANTS(x)),
           (operand(lower, 0), statistics));
    lower_statistics(lower, parts, x.c, statistics);
  } else {
    KernelOperand part = workspace(lower, statistics_workspace_floats(1, x.c));
    LAUNCH(lower, batch_statistics_rows, column_tasks(x.c), (INT(x.n), INT(x.c)), (operand(lower, 0), part));
    lower_statistics(lower, 1, x.c, part);
  }
  normalize(lower, x, result(lower, 1), result(lower, 2), no_operand());
}

// Where a rank's own dgamma and dbeta go.
typedef struct Sums {
  KernelOperand dgamma, dbeta;
} Sums;

// `whole`: the op's results, over all ranks.
static Sums sums_begin(Lower *lower, int64_t c, Sums whole) {
  if (lower->norm_ranks == 1) return whole;
  KernelOperand mine = workspace(lower, 2 * ranks_span(c));
  return (Sums){mine, behind(mine, ranks_span(c))};
}

static void sums_end(Lower *lower, int64_t c, Sums sums, Sums whole) {
  if (lower->norm_ranks == 1) return;
  KernelOperand all = gather_norms(lower, sums.dgamma, 2 * ranks_span(c));
  LAUNCH(lower, sums_fold_ranks, batch_norm_backward_fold_tasks(c), (INT(lower->norm_ranks), INT(c)),
         (all, whole.dgamma, whole.dbeta));
}

// From partial sums to dgamma and dbeta over all ranks.
static void fold_sums(Lower *lower, Extent e, KernelOperand variance, KernelOperand partial, Sums whole) {
  Sums own = sums_begin(lower, e.c, whole);
  LAUNCH(lower, batch_norm_backward_fold, batch_norm_backward_fold_tasks(e.c),
         (EXTENT_CONSTANTS(e), REAL(lower->op->attributes.epsilon)), (variance, partial, own.dgamma, own.dbeta));
  sums_end(lower, e.c, own, whole);
}

// Operands of batch_norm_backward: dy, x, gamma, mean, variance; the fused form has y after dy and a fourth result.
static void backward(Lower *lower, bool fused) {
  int x_index = fused ? 2 : 1;
  KernelOperand dy = operand(lower, 0), y = fused ? operand(lower, 1) : no_operand(), x = operand(lower, x_index);
  KernelOperand gamma = operand(lower, x_index + 1), mean = operand(lower, x_index + 2),
                variance = operand(lower, x_index + 3);
  KernelOperand dx = result(lower, 0), dgamma = result(lower, 1), dbeta = result(lower, 2),
                masked = fused ? result(lower, 3) : no_operand();
  Extent e = extent_of(lower, lower->op->operands[x_index]);
  double epsilon = lower->op->attributes.epsilon;
  if (!is_in_lanes(lower, lower->op->operands[x_index])) {
    Sums rows = sums_begin(lower, e.c, (Sums){dgamma, dbeta});
    LAUNCH(lower, batch_norm_backward_sums_rows, column_tasks(e.c), (INT(e.n), INT(e.c), REAL(epsilon)),
           (dy, y, x, mean, variance, rows.dgamma, rows.dbeta, masked));
    sums_end(lower, e.c, rows, (Sums){dgamma, dbeta});
    LAUNCH(lower, batch_norm_backward_input_rows, column_tasks(e.c), (INT(e.n), INT(e.c), REAL(epsilon)),
           (dy, y, x, gamma, mean, variance, dgamma, dbeta, dx));
    return;
  }
  KernelOperand sums = workspace(lower, batch_norm_backward_workspace_floats(EXTENT(e), lower->tuning));
  int64_t tasks = sum_tasks(EXTENT(e), lower->tuning);
  if (lower->variant == RUN_MASKED) {
    LAUNCH(lower, batch_norm_mask_backward_sums, tasks, (EXTENT_CONSTANTS(e)),
           (dy, mask_operand(lower->op->operands[1]), x, mean, masked, sums));
  } else if (fused) {
    LAUNCH(lower, batch_norm_relu_backward_sums, tasks, (EXTENT_CONSTANTS(e)), (dy, y, x, mean, masked, sums));
  } else {
    LAUNCH(lower, batch_norm_backward_sums, tasks, (EXTENT_CONSTANTS(e)), (dy, x, mean, sums));
  }
  fold_sums(lower, e, variance, sums, (Sums){dgamma, dbeta});
  LAUNCH(lower, batch_norm_backward_input, lane_tasks(EXTENT(e), lower->tuning), (EXTENT_CONSTANTS(e), REAL(epsilon)),
         (fused ? masked : dy, no_operand(), x, gamma, mean, variance, dgamma, dbeta, dx));
}

void c_lower_batch_norm_backward(Lower *lower) { backward(lower, false); }
void c_lower_batch_norm_relu_backward(Lower *lower) { backward(lower, true); }

void c_lower_normalization_factors(Lower *lower) {
  int64_t c = extent_of(lower, lower->op->operands[0]).c;
  LAUNCH(lower, normalization_factors, column_tasks(c), (INT(c), REAL(lower->op->attributes.epsilon)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), operand(lower, 3), result(lower, 0)));
}

// Behind the partial sums: dgamma, dbeta, and the factors of the gradient view.
static void end_of_sums(Lower *lower, Extent e, KernelOperand partial) {
  KernelOperand gamma = operand(lower, 2), mean = operand(lower, 3), variance = operand(lower, 4);
  Sums whole = {result(lower, 0), result(lower, 1)};
  fold_sums(lower, e, variance, partial, whole);
  LAUNCH(lower, gradient_factors, column_tasks(e.c), (EXTENT_CONSTANTS(e), REAL(lower->op->attributes.epsilon)),
         (gamma, mean, variance, whole.dgamma, whole.dbeta, result(lower, 2)));
}

void c_lower_batch_norm_sums(Lower *lower) {
  Extent e = extent_of(lower, lower->op->operands[1]);
  KernelOperand partial = workspace(lower, batch_norm_backward_workspace_floats(EXTENT(e), lower->tuning));
  LAUNCH(lower, batch_norm_backward_sums, sum_tasks(EXTENT(e), lower->tuning), (EXTENT_CONSTANTS(e)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 3), partial));
  end_of_sums(lower, e, partial);
}

void c_lower_batch_norm_relu_sums(Lower *lower) {
  Extent e = extent_of(lower, lower->op->operands[1]);
  KernelOperand partial = workspace(lower, batch_norm_backward_workspace_floats(EXTENT(e), lower->tuning));
  KernelOperand dy = operand(lower, 0), x = operand(lower, 1), mean = operand(lower, 3), dz = result(lower, 3);
  int64_t tasks = sum_tasks(EXTENT(e), lower->tuning);
  if (lower->variant == RUN_MASKED) {
    LAUNCH(lower, batch_norm_mask_backward_sums, tasks, (EXTENT_CONSTANTS(e)),
           (dy, mask_operand(lower->op->operands[5]), x, mean, dz, partial));
  } else if (run_sign_operand(lower->graph, lower->op) >= 0) {
    LAUNCH(lower, batch_norm_relu_backward_sums, tasks, (EXTENT_CONSTANTS(e)),
           (dy, operand(lower, 5), x, mean, dz, partial));
  } else {
    LAUNCH(lower, batch_norm_view_backward_sums, tasks, (EXTENT_CONSTANTS(e), INT(lower->op->operand_count > 6)),
           (dy, x, operand(lower, 5), operand(lower, 6), operand(lower, 7), dz, partial));
  }
  end_of_sums(lower, e, partial);
}
