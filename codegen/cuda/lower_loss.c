// Lowers Sinkhorn, swapped prediction and cross-entropy: a block takes a row, or some columns.
#include "codegen/cuda/lower_cuda.h"

void cuda_lower_sinkhorn(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  int64_t b = scores.n, k = scores.c;
  int64_t q = lower->op->operand_count > 1 ? extent_of(lower, lower->op->operands[1]).n : 0;
  KernelOperand potentials = workspace(lower, k + b + q);
  KernelOperand all = workspace(lower, lower->ranks > 1 ? lower->ranks * k : 0);
  for (int i = 0; i < a->iterations; i++) {
    CUDA_LAUNCH(lower, sinkhorn_prototypes, by_column(k), (INT(b), INT(q), INT(k), INT(i == 0), REAL(a->epsilon)),
                (operand(lower, 0), operand(lower, 1), operand(lower, 2), potentials));
    if (lower->ranks > 1) {
      LAUNCH(lower, gather_ranks, 1, (INT(k)), (potentials, all));
      CUDA_LAUNCH(lower, sinkhorn_fold_ranks, blocks_of(k, 256), (INT(lower->ranks), INT(k)), (all, potentials));
    }
    if (i + 1 == a->iterations) break;
    CUDA_LAUNCH(lower, sinkhorn_samples, blocks(b + q, 1), (INT(b), INT(q), INT(k), REAL(a->epsilon)),
                (operand(lower, 0), operand(lower, 1), operand(lower, 2), potentials));
  }
  CUDA_LAUNCH(lower, sinkhorn_codes, blocks(b, 1), (INT(b), INT(k), INT(a->iterations), INT(a->hard), REAL(a->epsilon)),
              (operand(lower, 0), potentials, result(lower, 0)));
}

static void fold_loss(Lower *lower, KernelOperand rows, int64_t count) {
  CUDA_LAUNCH(lower, loss_fold, blocks(1, 1), (INT(count)), (rows, result(lower, 0)));
}

void cuda_lower_swapped_prediction(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand rows = workspace(lower, 2 * scores.n);  // doubles
  CUDA_LAUNCH(lower, swapped_prediction_rows, blocks(scores.n, 1),
              (INT(scores.n / a->crops), INT(scores.c), INT(a->crops), INT(a->assign_crops), REAL(a->temperature)),
              (operand(lower, 0), operand(lower, 1), rows));
  fold_loss(lower, rows, scores.n);
}

void cuda_lower_swapped_prediction_backward(Lower *lower) {
  Extent scores = extent_of(lower, lower->op->operands[0]);
  const OpAttributes *a = &lower->op->attributes;
  CUDA_LAUNCH(lower, swapped_prediction_backward, blocks(scores.n, 1),
              (INT(scores.n / a->crops), INT(scores.c), INT(a->crops), INT(a->assign_crops), REAL(a->temperature)),
              (operand(lower, 0), operand(lower, 1), loss_scale_operand(lower), result(lower, 0)));
}

void cuda_lower_softmax_cross_entropy(Lower *lower) {
  Extent logits = extent_of(lower, lower->op->operands[0]);
  int64_t labels = count_of(lower, lower->op->operands[1]);
  KernelOperand rows = workspace(lower, 2 * logits.n);  // doubles
  CUDA_LAUNCH(lower, softmax_cross_entropy_rows, blocks(logits.n, 1),
              (INT(logits.n), INT(labels), INT(logits.c), REAL(lower->op->attributes.label_smoothing)),
              (operand(lower, 0), operand(lower, 1), rows));
  fold_loss(lower, rows, logits.n);
}

void cuda_lower_softmax_cross_entropy_backward(Lower *lower) {
  Extent logits = extent_of(lower, lower->op->operands[0]);
  int64_t labels = count_of(lower, lower->op->operands[1]);
  CUDA_LAUNCH(lower, softmax_cross_entropy_backward, blocks(logits.n, 1),
              (INT(logits.n), INT(labels), INT(logits.c), REAL(lower->op->attributes.label_smoothing)),
              (operand(lower, 0), operand(lower, 1), loss_scale_operand(lower), result(lower, 0)));
}
