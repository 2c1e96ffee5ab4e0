// The layers of model.c's trunk, block by block; see regnet_count.h.
#include "compiler/passes/regnet_count.h"

typedef struct Walk {
  const RegNetShape *shape;
  RegNetVisit *visit;
  void *context;
} Walk;

static int64_t square(int64_t side) { return side * side; }

// Padding keeps sides but for the stride, which rounds up.
static int64_t strided(int64_t side, int stride) { return (side + stride - 1) / stride; }

static void add_block(const Walk *walk, const RegNetStage *stage, int64_t input_width, int64_t side, int stride,
                      int64_t times) {
  const RegNetShape *shape = walk->shape;
  int64_t width = stage->width, inner = regnet_inner_width(shape, width), out = strided(side, stride);
  int64_t squeezed = regnet_se_width(shape, input_width), before = square(side), behind = square(out);
  const RegNetLayer projection = {input_width, width, input_width, 1, true, before, behind};
  const RegNetLayer layers[] = {{input_width, inner, input_width, 1, true, before, before},
                                {inner, inner, stage->group_width, 3, true, before, behind},
                                {inner, width, inner, 1, true, behind, behind}};
  const RegNetLayer squeezing[] = {{inner, squeezed, inner, 1, false, 1, 1},
                                   {squeezed, inner, squeezed, 1, false, 1, 1}};
  if (input_width != width || stride != 1) walk->visit(walk->context, &projection, times);
  for (int i = 0; i < 3; i++) walk->visit(walk->context, &layers[i], times);
  for (int i = 0; i < 2 && shape->se_ratio > 0; i++) walk->visit(walk->context, &squeezing[i], times);
}

void regnet_visit(const RegNetShape *shape, int size_pixels, RegNetVisit *visit, void *context) {
  Walk walk = {shape, visit, context};
  int64_t side = strided(size_pixels, shape->stem_stride), width = shape->stem_width;
  const RegNetLayer stem = {3, width, 3, 3, true, square(size_pixels), square(side)};
  visit(context, &stem, 1);
  for (int s = 0; s < shape->stage_count; s++) {
    const RegNetStage *stage = &shape->stages[s];
    add_block(&walk, stage, width, side, stage->stride, 1);
    side = strided(side, stage->stride);
    width = stage->width;
    if (stage->depth > 1) add_block(&walk, stage, width, side, 1, stage->depth - 1);
  }
}

int64_t regnet_layer_macs(const RegNetLayer *layer) {
  return layer->output_pixels * layer->outputs * layer->group_width * layer->kernel * layer->kernel;
}

static void add_parameters(void *context, const RegNetLayer *layer, int64_t times) {
  int64_t weights = layer->outputs * layer->group_width * layer->kernel * layer->kernel;
  *(int64_t *)context += times * (weights + (layer->normalized ? 2 : 1) * layer->outputs);
}

int64_t regnet_parameters(const RegNetShape *shape) {
  int64_t parameters = 0;
  regnet_visit(shape, 32, add_parameters, &parameters);
  return parameters;
}

static void add_macs(void *context, const RegNetLayer *layer, int64_t times) {
  *(int64_t *)context += times * regnet_layer_macs(layer);
}

int64_t regnet_macs(const RegNetShape *shape, int size_pixels) {
  int64_t macs = 0;
  regnet_visit(shape, size_pixels, add_macs, &macs);
  return macs;
}

static void add_activations(void *context, const RegNetLayer *layer, int64_t times) {
  if (layer->normalized) *(int64_t *)context += times * layer->outputs * layer->output_pixels;
}

int64_t regnet_activations(const RegNetShape *shape, int size_pixels) {
  int64_t activations = 0;
  regnet_visit(shape, size_pixels, add_activations, &activations);
  return activations;
}
