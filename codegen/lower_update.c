// Lowers state and optimizer ops. Their results may lie on the operands that they update.
#include "codegen/lower.h"
#include "runtime/program.h"

void lower_running_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  LAUNCH(lower, running_update, pointwise_tasks(count), (INT(count), REAL(a->momentum), REAL(a->scale)),
         (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void lower_accumulate(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  LAUNCH(lower, accumulate, pointwise_tasks(count), (INT(count), REAL(lower->op->attributes.scale)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

// The gradient, its mean over all ranks.
static KernelOperand gradient(Lower *lower, int index, int64_t count) {
  if (lower->ranks == 1) return operand(lower, index);
  KernelOperand scratch = workspace(lower, lower->ranks * seer_average_share(count, lower->ranks));
  KernelOperand average = workspace(lower, count);
  LAUNCH(lower, average_ranks, 1, (INT(count)), (operand(lower, index), scratch, average));
  return average;
}

void lower_sgd_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand mean = gradient(lower, 1, count);
  LAUNCH(lower, sgd_update, pointwise_tasks(count),
         (INT(count), REAL(a->momentum), REAL(a->weight_decay), INT(a->nesterov)),
         (operand(lower, 0), mean, operand(lower, 2), operand(lower, 3), operand(lower, 4), result(lower, 0),
          result(lower, 1)));
}

void lower_larc_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand norms = workspace(lower, larc_workspace_floats(count));
  KernelOperand mean = gradient(lower, 1, count);
  LAUNCH(lower, larc_norms, pointwise_tasks(count), (INT(count)), (operand(lower, 0), mean, norms));
  LAUNCH(lower, larc_update, pointwise_tasks(count),
         (INT(count), REAL(a->momentum), REAL(a->weight_decay), REAL(a->trust), REAL(a->epsilon), INT(a->clip),
          INT(a->nesterov)),
         (operand(lower, 0), mean, operand(lower, 2), operand(lower, 3), operand(lower, 4), norms, result(lower, 0),
          result(lower, 1)));
}

void lower_normalize_rows(Lower *lower) {
  Extent w = extent_of(lower, lower->op->operands[0]);
  LAUNCH(lower, normalize_rows, row_tasks(w.n, w.c), (INT(w.n), INT(w.c)), (operand(lower, 0), result(lower, 0)));
}

// The kernel must not write onto the queue it reads, so the new queue is made in scratch and copied.
void lower_queue_push(Lower *lower) {
  Extent queue = extent_of(lower, lower->op->operands[0]), rows = extent_of(lower, lower->op->operands[1]);
  int64_t count = queue.n * queue.c;
  KernelOperand scratch = workspace(lower, count);
  LAUNCH(lower, queue_push, row_tasks(queue.n, queue.c), (INT(queue.n), INT(rows.n), INT(queue.c)),
         (operand(lower, 0), operand(lower, 1), scratch));
  LAUNCH(lower, scale, pointwise_tasks(count), (INT(count), REAL(1)), (scratch, result(lower, 0)));
}
