// Inside of the lowerings: how c/ and cuda/ turn each op of a graph into launches. Not for other rooms.
#ifndef SEER_CODEGEN_LOWER_H
#define SEER_CODEGEN_LOWER_H

#include "codegen/program.h"

typedef struct Lower Lower;
typedef void LowerOp(Lower *lower);

// What a target makes of a graph.
typedef struct LowerTarget {
  LowerOp *const *ops;  // by OpKind; one that the target never sees, removed by a pass, is a BUG there
  int64_t (*count)(const Lower *lower, ValueId value);  // of elements in memory
  bool (*has_mask)(const Lower *lower, ValueId value);  // NULL: none has
  LowerOp *mask;                                        // makes that of the op's result
  PartsLaunch *average_parts, *narrow_parts;
} LowerTarget;

struct Lower {
  Arena *arena;
  const Graph *graph;
  const LowerTarget *target;
  Lowering *lowering;
  const bool *in_lanes;                  // of target c, by ValueId: stored with images as vector lanes
  const struct ChannelLayout *channels;  // of target cuda, by ValueId: of images
  OpId id;
  const Op *op;
  RunVariant variant;
  uint64_t workspace_bytes;       // of this op so far
  const KernelTuning *tuning;     // of target c
  const struct CudaTuning *cuda;  // of target cuda
  int64_t ranks;                  // that train together: sums over the batch go over all of them
  int64_t norm_ranks;             // but BatchNorm's
  const PlanShards *shards;
};

// A tensor [n,h,w,c] or [n,c] (h = w = 1) as kernels take it.
typedef struct Extent {
  int64_t n, h, w, c;
} Extent;

Extent extent_of_shape(const Shape *shape);
Extent extent_of(const Lower *lower, ValueId value);
int64_t count_of(const Lower *lower, ValueId value);   // of elements in memory, dead lanes and pads included
int64_t own_count(const Lower *lower, ValueId value);  // of floats that an update works on: this rank's part, or all

// Reserves scratch of the op and returns it as an operand. Zero floats give NULL.
KernelOperand workspace(Lower *lower, int64_t floats);
KernelOperand operand(const Lower *lower, int index);  // op's operand; NULL when the op has fewer
KernelOperand result(const Lower *lower, int index);
KernelOperand value_operand(ValueId value);
KernelOperand mask_operand(ValueId value);
KernelOperand no_operand(void);
// The op's pair in the norms of parts: this rank's, or, `all`, rank 0's, behind which the others follow.
KernelOperand norms_operand(const Lower *lower, bool all);
int64_t norms_stride(const Lower *lower);                     // doubles from one rank's to the next's
KernelOperand behind(KernelOperand operand, int64_t floats);  // so many floats on
// Every rank's `floats` of `mine`, of those that BatchNorm goes over, in their order: scratch [norm_ranks][floats].
KernelOperand gather_norms(Lower *lower, KernelOperand mine, int64_t floats);
// The mean of all ranks, which send theirs in `format`: scratch [count].
KernelOperand average_over_ranks(Lower *lower, KernelOperand mine, int64_t count, SeerFormat format);
// The op's operand, a gradient, averaged over all ranks. That of a part has been reduced by the schedule.
KernelOperand reduced_gradient(Lower *lower, int index, int64_t count);

// LARC's norms, from sums of squares: pairs of doubles (of a parameter, of its gradient), `stride` doubles apart.
typedef struct Norms {
  int64_t pairs, stride;
  KernelOperand sums;
} Norms;

// How a target launches LARC. `share`: what is summed on its own, `count` of floats in all.
typedef struct LarcLaunches {
  int64_t pairs_most;  // that an update adds up on its own
  Norms (*sum)(Lower *lower, KernelOperand gradient, int64_t count, int64_t share);
  void (*fold)(Lower *lower, Norms sums, int64_t count, int64_t share, KernelOperand to);  // to a pair for each share
  void (*update)(Lower *lower, KernelOperand gradient, int64_t count, Norms norms);
} LarcLaunches;
void lower_larc(Lower *lower, const LarcLaunches *launches);

// Appends a launch; `constants` and `operands` in the order of kernels.def. Zero tasks append nothing.
void launch(Lower *lower, KernelKind kernel, int64_t tasks, const KernelConstant *constants, int constant_count,
            const KernelOperand *operands, int operand_count);

#define INT(number) \
  { .integer = (int64_t)(number) }
#define REAL(value) \
  { .number = (value) }
#define LAUNCH(lower, kernel, tasks, constants, operands)                               \
  launch(lower, KERNEL_##kernel, tasks, (KernelConstant[])CONSTANTS constants,          \
         (int)(sizeof((KernelConstant[])CONSTANTS constants) / sizeof(KernelConstant)), \
         (KernelOperand[])OPERANDS operands,                                            \
         (int)(sizeof((KernelOperand[])OPERANDS operands) / sizeof(KernelOperand)))
#define CONSTANTS(...) \
  { __VA_ARGS__ }
#define OPERANDS(...) \
  { __VA_ARGS__ }

// The same for target cuda; and a launch that is not yet appended, in so many blocks.
ProgramLaunch with_grid(ProgramLaunch launch, LaunchGrid grid);
void launch_grid(Lower *lower, KernelKind kernel, LaunchGrid grid, const KernelConstant *constants, int constant_count,
                 const KernelOperand *operands, int operand_count);

// Lowers every run of every op. Of `lower`, arena, graph, target, shards, norm_ranks and what is the target's are set.
Lowering *lower_graph(Lower *lower, SeerFormat reduce);

#endif
