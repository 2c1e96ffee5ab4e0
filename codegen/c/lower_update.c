// Lowers state and optimizer ops. Their results may lie on the operands that they update.
#include "codegen/c/lower_c.h"

void c_lower_running_update(Lower *lower) {
  int64_t count = count_of(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand batch = operand(lower, 1);
  // One state for all: that of the mean of all groups.
  if (lower->norm_ranks < lower->ranks) batch = average_over_ranks(lower, batch, count, SEER_FP32);
  LAUNCH(lower, running_update, pointwise_tasks(count, lower->tuning), (INT(count), REAL(a->momentum), REAL(a->scale)),
         (operand(lower, 0), batch, result(lower, 0)));
}

void c_lower_accumulate(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  LAUNCH(lower, accumulate, pointwise_tasks(count, lower->tuning), (INT(count), REAL(lower->op->attributes.scale)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void c_lower_sgd_update(Lower *lower) {
  int64_t count = own_count(lower, lower->op->results[0]);
  const OpAttributes *a = &lower->op->attributes;
  KernelOperand mean = reduced_gradient(lower, 1, count);
  LAUNCH(lower, sgd_update, pointwise_tasks(count, lower->tuning),
         (INT(count), REAL(a->momentum), REAL(a->weight_decay), INT(a->nesterov)),
         (operand(lower, 0), mean, operand(lower, 2), operand(lower, 3), operand(lower, 4), result(lower, 0),
          result(lower, 1)));
}

static Norms larc_sum(Lower *lower, KernelOperand gradient, int64_t count, int64_t share) {
  KernelOperand sums = workspace(lower, larc_workspace_floats(count, share, lower->tuning));
  int64_t tasks = larc_norms_tasks(count, share, lower->tuning);
  LAUNCH(lower, larc_norms, tasks, (INT(count), INT(share)), (operand(lower, 0), gradient, sums));
  return (Norms){tasks, 2, sums};
}

static void larc_fold(Lower *lower, Norms sums, int64_t count, int64_t share, KernelOperand to) {
  LAUNCH(lower, larc_fold, larc_parts(count, share), (INT(share)), (sums.sums, to));
}

static void larc_update(Lower *lower, KernelOperand mean, int64_t count, Norms norms) {
  const OpAttributes *a = &lower->op->attributes;
  LAUNCH(lower, larc_update, pointwise_tasks(count, lower->tuning),
         (INT(count), INT(norms.pairs), INT(norms.stride), REAL(a->momentum), REAL(a->weight_decay), REAL(a->trust),
          REAL(a->epsilon), INT(a->clip), INT(a->nesterov)),
         (operand(lower, 0), mean, operand(lower, 2), operand(lower, 3), operand(lower, 4), norms.sums,
          result(lower, 0), result(lower, 1)));
}

void c_lower_larc_update(Lower *lower) {
  static const LarcLaunches launches = {INT64_MAX, larc_sum, larc_fold, larc_update};
  lower_larc(lower, &launches);
}

void c_lower_normalize_rows(Lower *lower) {
  Extent w = extent_of(lower, lower->op->operands[0]);
  int64_t rows = own_count(lower, lower->op->operands[0]) / w.c;
  LAUNCH(lower, normalize_rows, row_tasks(rows, w.c, lower->tuning), (INT(rows), INT(w.c)),
         (operand(lower, 0), result(lower, 0)));
}

// The kernel must not write onto the queue it reads, so the new queue is made in scratch and copied.
void c_lower_queue_push(Lower *lower) {
  Extent queue = extent_of(lower, lower->op->operands[0]), rows = extent_of(lower, lower->op->operands[1]);
  int64_t count = queue.n * queue.c;
  KernelOperand scratch = workspace(lower, count);
  LAUNCH(lower, queue_push, row_tasks(queue.n, queue.c, lower->tuning), (INT(queue.n), INT(rows.n), INT(queue.c)),
         (operand(lower, 0), operand(lower, 1), scratch));
  LAUNCH(lower, scale, pointwise_tasks(count, lower->tuning), (INT(count), REAL(1)), (scratch, result(lower, 0)));
}

ProgramLaunch c_average_parts(const GradientParts *p, const KernelTuning *tuning) {
  ProgramLaunch launch = {.kernel = KERNEL_average_parts,
                          .constants = {INT(p->parts), INT(p->part)},
                          .tasks = pointwise_tasks(p->part, tuning)};
  if (p->format == SEER_FP32) return launch;
  launch.kernel = KERNEL_average_narrow_parts;
  launch.constants[2].integer = p->format;
  launch.constants[3].integer = p->in_place;
  if (p->in_place) launch.tasks = 1;
  return launch;
}

ProgramLaunch c_narrow_parts(const GradientParts *p, const KernelTuning *tuning) {
  (void)tuning;
  return (ProgramLaunch){.kernel = KERNEL_narrow_parts,
                         .constants = {INT(p->count), INT(p->part), INT(p->format)},
                         .tasks = p->parts};
}
