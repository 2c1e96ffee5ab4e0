// Lowers state and optimizer ops. Their results may lie on the operands that they update.
#include "codegen/cuda/lower_cuda.h"

// As kernels/cuda/update.cu has them; and how many pairs every block of larc_update adds up on its own.
enum { LARC_ELEMENTS = 65536, LARC_UPDATE_ELEMENTS = 4096, PAIRS_MOST = 64 };

static LaunchGrid by_element(int64_t count) { return blocks_of(count, 256); }

void cuda_lower_running_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand batch = operand(lower, 1);
  // One state for all: that of the mean of all groups.
  if (lower->norm_ranks < lower->ranks) batch = average_over_ranks(lower, batch, count, SEER_FP32);
  CUDA_LAUNCH(lower, running_update, by_element(count), (INT(count), REAL(a->momentum), REAL(a->scale)),
              (operand(lower, 0), batch, result(lower, 0)));
}

void cuda_lower_accumulate(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  CUDA_LAUNCH(lower, accumulate, by_element(count), (INT(count), REAL(lower->op->attributes.scale)),
              (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void cuda_lower_sgd_update(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand gradient = reduced_gradient(lower, 1, count);
  CUDA_LAUNCH(lower, sgd_update, by_element(count),
              (INT(count), INT(a->nesterov), REAL(a->momentum), REAL(a->weight_decay)),
              (operand(lower, 0), gradient, operand(lower, 2), operand(lower, 3), operand(lower, 4),
               unscale_operand(lower), result(lower, 0), result(lower, 1)));
}

static Norms larc_sum(Lower *lower, KernelOperand gradient, int64_t count, int64_t share) {
  int64_t pairs = divide_up(count, share) * divide_up(share, LARC_ELEMENTS);
  KernelOperand sums = workspace(lower, 4 * pairs);
  CUDA_LAUNCH(lower, larc_norms, blocks(pairs, 1), (INT(count), INT(share)),
              (operand(lower, 0), gradient, unscale_operand(lower), sums));
  return (Norms){pairs, 2, sums};
}

static void larc_fold(Lower *lower, Norms sums, int64_t count, int64_t share, KernelOperand to) {
  CUDA_LAUNCH(lower, larc_fold, blocks(divide_up(count, share), 1), (INT(divide_up(share, LARC_ELEMENTS))),
              (sums.sums, to));
}

static void larc_update(Lower *lower, KernelOperand gradient, int64_t count, Norms norms) {
  const OpAttributes *a = &lower->op->attributes;
  CUDA_LAUNCH(lower, larc_update, blocks_of(count, LARC_UPDATE_ELEMENTS),
              (INT(count), INT(norms.pairs), INT(norms.stride), INT(a->clip), INT(a->nesterov), REAL(a->momentum),
               REAL(a->weight_decay), REAL(a->trust), REAL(a->epsilon)),
              (operand(lower, 0), gradient, operand(lower, 2), operand(lower, 3), operand(lower, 4),
               unscale_operand(lower), norms.sums, result(lower, 0), result(lower, 1)));
}

void cuda_lower_larc_update(Lower *lower) {
  static const LarcLaunches launches = {PAIRS_MOST, larc_sum, larc_fold, larc_update};
  lower_larc(lower, &launches);
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

ProgramLaunch cuda_average_parts(const GradientParts *p, const KernelTuning *tuning) {
  (void)tuning;
  ProgramLaunch launch = {.kernel = KERNEL_cuda_average_parts, .constants = {INT(p->parts), INT(p->part)}};
  if (p->format == SEER_FP32) return with_grid(launch, by_element(p->part));
  launch.kernel = p->in_place ? KERNEL_cuda_average_narrow_in_place : KERNEL_cuda_average_narrow_parts;
  launch.constants[2].integer = p->format;
  return with_grid(launch, p->in_place ? blocks(1, 1) : by_element(p->part));
}

ProgramLaunch cuda_narrow_parts(const GradientParts *p, const KernelTuning *tuning) {
  (void)tuning;
  ProgramLaunch launch = {.kernel = KERNEL_cuda_narrow_parts,
                          .constants = {INT(p->count), INT(p->part), INT(p->format)}};
  return with_grid(launch, blocks(p->parts, 1));
}
