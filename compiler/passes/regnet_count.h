// What a RegNet takes, in closed form: parameters, multiply-adds and activations of its trunk, without a graph. The
// tests hold them against the graph's own count.
#ifndef SEER_PASSES_REGNET_COUNT_H
#define SEER_PASSES_REGNET_COUNT_H

#include "compiler/passes/regnet.h"

// A convolution with BatchNorm, or one of squeeze-and-excitation's dense layers, which have a bias instead.
typedef struct RegNetLayer {
  int64_t inputs, outputs, group_width;  // group_width: inputs that one output sees
  int kernel;
  bool normalized;
  int64_t input_pixels, output_pixels;  // of one picture; 1 of a dense layer
} RegNetLayer;

// Calls `visit` for every layer of the trunk on pictures of this size; `times`: blocks that have the same.
typedef void RegNetVisit(void *context, const RegNetLayer *layer, int64_t times);
void regnet_visit(const RegNetShape *shape, int size_pixels, RegNetVisit *visit, void *context);

int64_t regnet_layer_macs(const RegNetLayer *layer);
int64_t regnet_parameters(const RegNetShape *shape);
int64_t regnet_macs(const RegNetShape *shape, int size_pixels);  // of one picture's forward
// Elements that convolutions write for one picture: pycls' measure, which runtime follows (P. Dollar, M. Singh,
// R. Girshick, Fast and accurate model scaling, CVPR 2021).
int64_t regnet_activations(const RegNetShape *shape, int size_pixels);

#endif
