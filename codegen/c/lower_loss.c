// Lowers Sinkhorn, swapped prediction and cross-entropy.
#include "codegen/c/lower_c.h"

void c_lower_sinkhorn(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  bool queued = lower->op->operand_count > 1;
  int64_t b = scores.n, k = scores.c, q = queued ? extent_of(lower, lower->op->operands[1]).n : 0;
  KernelOperand potentials = workspace(lower, sinkhorn_workspace_floats(b, q, k));
  KernelOperand all = workspace(lower, lower->ranks > 1 ? lower->ranks * k : 0);
  for (int i = 0; i < a->iterations; i++) {
    LAUNCH(lower, sinkhorn_prototypes, sinkhorn_prototypes_tasks(k),
           (INT(b), INT(q), INT(k), REAL(a->epsilon), INT(i == 0)),
           (operand(lower, 0), operand(lower, 1), operand(lower, 2), potentials));
    if (lower->ranks > 1) {
      LAUNCH(lower, gather_ranks, 1, (INT(k)), (potentials, all));
      LAUNCH(lower, sinkhorn_fold_ranks, sinkhorn_prototypes_tasks(k), (INT(lower->ranks), INT(k)), (all, potentials));
    }
    if (i + 1 == a->iterations) break;
    LAUNCH(lower, sinkhorn_samples, sinkhorn_samples_tasks(b, q), (INT(b), INT(q), INT(k), REAL(a->epsilon)),
           (operand(lower, 0), operand(lower, 1), operand(lower, 2), potentials));
  }
  LAUNCH(lower, sinkhorn_codes, sinkhorn_codes_tasks(b),
         (INT(b), INT(k), REAL(a->epsilon), INT(a->iterations), INT(a->hard)),
         (operand(lower, 0), potentials, result(lower, 0)));
}

void c_lower_swapped_prediction(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand rows = workspace(lower, loss_workspace_floats(scores.n));
  LAUNCH(lower, swapped_prediction_rows, loss_rows_tasks(scores.n),
         (INT(scores.n / a->crops), INT(scores.c), INT(a->crops), INT(a->assign_crops), REAL(a->temperature)),
         (operand(lower, 0), operand(lower, 1), rows));
  LAUNCH(lower, loss_fold, 1, (INT(scores.n)), (rows, result(lower, 0)));
}

void c_lower_swapped_prediction_backward(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  LAUNCH(lower, swapped_prediction_backward, loss_rows_tasks(scores.n),
         (INT(scores.n / a->crops), INT(scores.c), INT(a->crops), INT(a->assign_crops), REAL(a->temperature)),
         (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void c_lower_softmax_cross_entropy(Lower *lower) {
  Extent logits = extent_of(lower, lower->op->operands[0]);
  KernelOperand rows = workspace(lower, loss_workspace_floats(logits.n));
  int64_t labels = count_of(lower, lower->op->operands[1]);
  LAUNCH(lower, softmax_cross_entropy_rows, loss_rows_tasks(logits.n),
         (INT(logits.n), INT(labels), INT(logits.c), REAL(lower->op->attributes.label_smoothing)),
         (operand(lower, 0), operand(lower, 1), rows));
  LAUNCH(lower, loss_fold, 1, (INT(logits.n)), (rows, result(lower, 0)));
}

void c_lower_softmax_cross_entropy_backward(Lower *lower) {
  Extent logits = extent_of(lower, lower->op->operands[0]);
  int64_t labels = count_of(lower, lower->op->operands[1]);
  LAUNCH(lower, softmax_cross_entropy_backward, loss_rows_tasks(logits.n),
         (INT(logits.n), INT(labels), INT(logits.c), REAL(lower->op->attributes.label_smoothing)),
         (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}
