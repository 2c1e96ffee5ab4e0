// Lowers state and optimizer ops. Their results may lie on the operands that they update.
#include "codegen/cuda/lower_cuda.h"

// As kernels/cuda/update.cu has them; and how many parts every block of larc_update adds up on its own.
enum { LARC_ELEMENTS = 65536, LARC_UPDATE_ELEMENTS = 4096, PARTS_MOST = 64 };

static LaunchGrid by_element(int64_t count) { return blocks_of(count, 256); }

void cuda_lower_running_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  CUDA_LAUNCH(lower, running_update, by_element(count), (INT(count), REAL(a->momentum), REAL(a->scale)),
              (operand(lower, 0), operand(lower, 1), result(lower, 0)));
}

void cuda_lower_accumulate(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  CUDA_LAUNCH(lower, accumulate, by_element(count), (INT(count), REAL(lower->op->attributes.scale)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void cuda_lower_sgd_update(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  refuse_ranks(lower, lower->ranks);
  CUDA_LAUNCH(lower, sgd_update, by_element(count),
              (INT(count), INT(a->nesterov), REAL(a->momentum), REAL(a->weight_decay)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), operand(lower, 3), operand(lower, 4),
               unscale_operand(lower), result(lower, 0), result(lower, 1)));
}

void cuda_lower_larc_update(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]), parts = divide_up(count, LARC_ELEMENTS);
  const OpAttributes *a = &lower->op->attributes;
  refuse_ranks(lower, lower->ranks);
  KernelOperand sums = workspace(lower, 4 * parts);  // pairs of doubles
  CUDA_LAUNCH(lower, larc_norms, blocks(parts, 1), (INT(count)),
              (operand(lower, 0), operand(lower, 1), unscale_operand(lower), sums));
  if (parts > PARTS_MOST) {
    KernelOperand folded = workspace(lower, 4);
    CUDA_LAUNCH(lower, larc_fold, blocks(1, 1), (INT(parts)), (sums, folded));
    sums = folded;
    parts = 1;
  }
  CUDA_LAUNCH(lower, larc_update, blocks_of(count, LARC_UPDATE_ELEMENTS),
              (INT(count), INT(parts), INT(a->clip), INT(a->nesterov), REAL(a->momentum), REAL(a->weight_decay),
               REAL(a->trust), REAL(a->epsilon)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), operand(lower, 3), operand(lower, 4),
               unscale_operand(lower), sums, result(lower, 0), result(lower, 1)));
}

void cuda_lower_normalize_rows(Lower *lower) {
  Extent w = extent_of(lower, lower->op->operands[0]);
  int64_t rows = own_count(lower, lower->op->operands[0]) / w.c;
  CUDA_LAUNCH(lower, normalize_rows, blocks(rows, 1), (INT(rows), INT(w.c)), (operand(lower, 0), result(lower, 0)));
}

// The kernel must not write onto the queue it reads, so the new queue is made in scratch and copied.
void cuda_lower_queue_push(Lower *lower) {
  Extent queue = extent_of(lower, lower->op->operands[0]), rows = extent_of(lower, lower->op->operands[1]);
  int64_t count = queue.n * queue.c;
  KernelOperand scratch = workspace(lower, count);
  CUDA_LAUNCH(lower, queue_push, by_element(count), (INT(queue.n), INT(rows.n), INT(queue.c)),
              (operand(lower, 0), operand(lower, 1), scratch));
  CUDA_LAUNCH(lower, copy_floats, by_element(count), (INT(count)), (scratch, result(lower, 0)));
}
