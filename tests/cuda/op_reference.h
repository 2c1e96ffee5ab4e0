// What a run of an op must make of what lies in a GPU's memory: the interpreter's results in double precision, and how
// far a kernel may be from them.
//
// Kernels round on purpose where the interpreter does not: results of 16 bits when they are stored, weights of
// convolutions before they multiply, and what is seen through a view where it would have been stored. These two are
// rounded here, too, so that limits need to cover results alone. In fp16 the gradient of the loss is multiplied by a
// scale, which the optimizer divides by.
#ifndef SEER_TESTS_CUDA_OP_REFERENCE_H
#define SEER_TESTS_CUDA_OP_REFERENCE_H

#include "compiler/graph/graph.h"

// `operands` and `results` by number of the op's; results are made in the arena. Operands that the op takes for their
// shape alone may hold anything.
void reference_evaluate(const Graph *graph, const Op *op, Arena *arena, const double *const *operands,
                        double loss_scale, double **results);
// Results of `op` that are made from another one as it is stored, in 16 bits: once `stored`, result number 0, is there.
void reference_evaluate_stored(const Graph *graph, const Op *op, Arena *arena, const double *stored, double **results);

// How far a result may be from the reference, relative to it, both in the L2 norm.
double reference_limit(const Graph *graph, const Op *op, int result);

#endif
