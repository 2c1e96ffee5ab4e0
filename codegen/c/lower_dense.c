// Lowers dense layers, sums over rows, row normalisation, and moves of rows between lanes and row-major matrices.
#include "codegen/c/lower_c.h"
#include "compiler/base/bug.h"

// linear: x [n,c], w [o][c] (or [o][c][1][1]).
typedef struct Linear {
  int64_t n, c, o;
} Linear;

static Linear linear(const Lower *lower, int64_t n, ValueId w) {
  const Shape *shape = &graph_value(lower->graph, w)->shape;
  return (Linear){n, shape->size[1], shape->size[0]};
}

void c_lower_linear(Lower *lower) {
  Linear v = linear(lower, extent_of(lower, lower->op->operands[0]).n, lower->op->operands[1]);
  bool lanes = is_in_lanes(lower, lower->op->operands[0]);
  launch(lower, lanes ? KERNEL_linear_lanes : KERNEL_linear_rows,
         lanes ? linear_lanes_tasks(v.n, v.o, lower->tuning) : matmul_tasks(v.n, v.o, lower->tuning),
         (KernelConstant[]){INT(v.n), INT(v.c), INT(v.o)}, 3,
         (KernelOperand[]){operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)}, 4);
}

void c_lower_linear_backward_input(Lower *lower) {
  Linear v = linear(lower, extent_of(lower, lower->op->operands[0]).n, lower->op->operands[1]);
  bool lanes = is_in_lanes(lower, lower->op->operands[0]);
  launch(lower, lanes ? KERNEL_linear_lanes_backward_input : KERNEL_linear_rows_backward_input,
         lanes ? linear_lanes_backward_input_tasks(v.n, v.c, lower->tuning) : matmul_tasks(v.n, v.c, lower->tuning),
         (KernelConstant[]){INT(v.n), INT(v.c), INT(v.o)}, 3,
         (KernelOperand[]){operand(lower, 0), operand(lower, 1), result(lower, 0)}, 3);
}

void c_lower_linear_backward_weight(Lower *lower) {
  Linear v = linear(lower, extent_of(lower, lower->op->operands[0]).n, lower->op->results[0]);
  bool lanes = is_in_lanes(lower, lower->op->operands[0]);
  launch(lower, lanes ? KERNEL_linear_lanes_backward_weight : KERNEL_linear_rows_backward_weight,
         lanes ? linear_lanes_backward_weight_tasks(v.o) : matmul_tasks(v.o, v.c, lower->tuning),
         (KernelConstant[]){INT(v.n), INT(v.c), INT(v.o)}, 3,
         (KernelOperand[]){operand(lower, 0), operand(lower, 1), result(lower, 0)}, 3);
}

void c_lower_sum_rows(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  bool lanes = is_in_lanes(lower, lower->op->operands[0]);
  launch(lower, lanes ? KERNEL_sum_rows_lanes : KERNEL_sum_rows_rows,
         lanes ? sum_rows_lanes_tasks(x.c) : column_tasks(x.c), (KernelConstant[]){INT(x.n), INT(x.c)}, 2,
         (KernelOperand[]){operand(lower, 0), result(lower, 0)}, 2);
}

void c_lower_count_assignments(Lower *lower) {
  Extent codes = extent_of(lower, lower->op->operands[0]);
  LAUNCH(lower, count_assignments, column_tasks(codes.c), (INT(codes.n), INT(codes.c)),
         (operand(lower, 0), result(lower, 0)));
}

void c_lower_l2_normalize(Lower *lower) {
  Extent x = extent_of(lower, lower->op->operands[0]);
  LAUNCH(lower, l2_normalize, row_tasks(x.n, x.c, lower->tuning),
         (INT(x.n), INT(x.c), REAL(lower->op->attributes.epsilon)),
         (operand(lower, 0), result(lower, 0), result(lower, 1)));
}

void c_lower_l2_normalize_backward(Lower *lower) {
  Extent y = extent_of(lower, lower->op->operands[1]);
  LAUNCH(lower, l2_normalize_backward, row_tasks(y.n, y.c, lower->tuning),
         (INT(y.n), INT(y.c), REAL(lower->op->attributes.epsilon)),
         (operand(lower, 0), operand(lower, 1), operand(lower, 2), result(lower, 0)));
}

void c_lower_concat_rows(Lower *lower) {
  int64_t first_row = 0;
  for (int i = 0; i < lower->op->operand_count; i++) {
    Extent x = extent_of(lower, lower->op->operands[i]);
    KernelKind kernel = is_in_lanes(lower, lower->op->operands[i]) ? KERNEL_concat_rows_lanes : KERNEL_concat_rows_rows;
    launch(lower, kernel, row_tasks(x.n, x.c, lower->tuning), (KernelConstant[]){INT(x.n), INT(x.c), INT(first_row)}, 3,
           (KernelOperand[]){operand(lower, i), result(lower, 0)}, 2);
    first_row += x.n;
  }
}

void c_lower_slice_rows(Lower *lower) {
  int64_t begin = lower->op->attributes.begin, end = lower->op->attributes.end,
          d = extent_of(lower, lower->op->operands[0]).c;
  if (is_in_lanes(lower, lower->op->operands[0])) BUG("'%s' slices a matrix that lies in lanes", lower->op->name);
  bool lanes = is_in_lanes(lower, lower->op->results[0]);
  launch(lower, lanes ? KERNEL_slice_rows_lanes : KERNEL_slice_rows_rows,
         lanes ? image_blocks(end - begin, lower->tuning) : row_tasks(end - begin, d, lower->tuning),
         (KernelConstant[]){INT(begin), INT(end), INT(d)}, 3, (KernelOperand[]){operand(lower, 0), result(lower, 0)},
         2);
}

void c_lower_pad_rows(Lower *lower) {
  Extent dx = extent_of(lower, lower->op->results[0]);
  int64_t begin = lower->op->attributes.begin, end = lower->op->attributes.end;
  KernelKind kernel = is_in_lanes(lower, lower->op->operands[0]) ? KERNEL_pad_rows_lanes : KERNEL_pad_rows_rows;
  if (is_in_lanes(lower, lower->op->results[0]) != is_in_lanes(lower, lower->op->operands[0]) &&
      kernel == KERNEL_pad_rows_rows) {
    BUG("'%s' would pad rows into lanes", lower->op->name);
  }
  launch(lower, kernel, row_tasks(dx.n, dx.c, lower->tuning),
         (KernelConstant[]){INT(dx.n), INT(begin), INT(end), INT(dx.c)}, 4,
         (KernelOperand[]){operand(lower, 0), result(lower, 0)}, 2);
}
