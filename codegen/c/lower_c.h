// Inside of the lowering for target c. Not for other rooms.
#ifndef SEER_CODEGEN_C_LOWER_C_H
#define SEER_CODEGEN_C_LOWER_C_H

#include "codegen/kernels/c/sizes.h"
#include "codegen/lower.h"

bool is_in_lanes(const Lower *lower, ValueId value);

// From partial sums of `parts` parts to results 1 and 2, mean and variance over all ranks.
void lower_statistics(Lower *lower, int64_t parts, int64_t c, KernelOperand partial);

// The mask of the op's result, for any op with a mask.
LowerOp c_lower_mask;

PartsLaunch c_average_parts, c_narrow_parts;

// One function per op of ops.def, in lower_conv.c, lower_dense.c, lower_norm.c, lower_pointwise.c, lower_loss.c,
// lower_update.c.
#define OP(name, ...) LowerOp c_lower_##name;
#include "compiler/graph/ops.def"
#undef OP

#endif
