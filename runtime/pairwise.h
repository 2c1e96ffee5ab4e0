// Sums in the order of a balanced binary tree: ((a + b) + (c + d)) + ... Of a power of two of numbers, the sum of an
// aligned share is a node of that tree: who sum a share each, and then the sums, get the bits of one who sums all.
#ifndef SEER_RUNTIME_PAIRWISE_H
#define SEER_RUNTIME_PAIRWISE_H

#include <stddef.h>

// Of numbers[0], numbers[stride], ...
double seer_pairwise_sum(const double *numbers, size_t stride, int count);
// sums [length]: of `count` rows, `stride` floats apart, each times `scale`. `sums` may be the first row.
void seer_pairwise_rows(const float *rows, size_t stride, int count, float scale, size_t length, float *sums);

#endif
