// From a graph to the launches of a target.
#ifndef SEER_CODEGEN_LOWERINGS_H
#define SEER_CODEGEN_LOWERINGS_H

#include "codegen/cuda/tuning.h"
#include "codegen/program.h"

// What a library is given to work in, of target cuda: as much as NVIDIA advises for sm_90 (cuBLAS library,
// cublasSetWorkspace).
enum { CUDA_LIBRARY_BYTES = 32 << 20 };

// The ranks of `shards` train together: Sinkhorn and the gradients go over all of them, BatchNorm over `norm_ranks` of
// them. Gradients travel in `reduce`.
Lowering *lower_for_c(Arena *arena, const Graph *graph, const KernelTuning *tuning, int norm_ranks, SeerFormat reduce,
                      const PlanShards *shards);
// The same for GPUs; images are what the graph's image type says.
Lowering *lower_for_cuda(Arena *arena, const Graph *graph, const CudaTuning *tuning, int norm_ranks, SeerFormat reduce,
                         const PlanShards *shards);

#endif
